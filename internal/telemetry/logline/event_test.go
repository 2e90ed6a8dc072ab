package logline

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

var update = flag.Bool("update", false, "rewrite testdata/events.jsonl")

var noon = time.Date(2026, 11, 23, 12, 0, 0, 123_000_000, time.UTC)

func someRun(status job.Status) *job.Run {
	r := &job.Run{
		ID: "unlock-2026.0f3a9c", JobID: "unlock-2026", Status: status, StartAt: noon.Add(-time.Minute), StartedAt: noon.Add(-59 * time.Second),
		Enqueued: 12, Planned: 20, Devices: 2000, PlanDone: true,
	}
	r.Closed.ByState[job.Succeeded], r.Closed.ByState[job.Failed], r.Closed.ByReason[job.DeviceOffline] = 990, 10, 10
	if status.Ended() {
		r.EndReason, r.EndedAt, r.Enqueued = job.EndFinished, noon, 20
		r.Closed.ByState[job.Succeeded] = 1990
	}
	return r
}

// samples has one of each event, in the order of docs/monitoring.md.
func samples() []Event {
	slice := job.Counts{}
	slice.ByState[job.Succeeded], slice.ByState[job.Failed], slice.ByReason[job.DeviceOffline] = 98, 1, 1
	return []Event{
		HandlerStarted{Version: "v0.2.0", Hub: "contoso.azure-devices.net", Address: "127.0.0.1:41235", OTel: true},
		HTTPRequest{Method: "POST", Path: "/api/jobs", Status: 202, Took: 48 * time.Millisecond},
		InvocationFailed{Function: "RunShard", DequeueCount: 5, Err: errors.New("storage did not answer")},
		TickDone{Due: 1, Active: 2, Jobs: map[job.Status]int{job.StatusRunning: 1, job.StatusBlocked: 1}, Took: 35 * time.Millisecond},
		RunStarted{Late: 120 * time.Millisecond},
		RunFirstCall{Lag: 850 * time.Millisecond},
		RunPlanned{Devices: 2000, Shards: 20, Took: 4 * time.Second},
		RunProgress{Run: someRun(job.StatusRunning), Open: 2, EndedPerSecond: 118.5, Now: noon},
		RunBlocked{Block: &job.Block{Reason: "the hub refused the identity", Code: "IotHubUnauthorizedAccess", Probes: 2}, Blocked: 5 * time.Second},
		RunUnblocked{Blocked: 20 * time.Second},
		RunPaused{},
		RunResumed{Paused: 2 * time.Hour},
		RunStopping{EndReason: job.EndCancelled},
		RunEnded{Run: someRun(job.StatusCompleted)},
		SliceDone{Devices: 100, Calls: 101, Throttled: 2, Ended: slice, Left: 1, Took: 1900 * time.Millisecond, Queued: 210 * time.Millisecond},
		SliceAbandoned{Devices: 37, Lost: 11},
		HubThrottled{Operation: "method", Wait: 2 * time.Second, Throttled: 17, Limit: 256},
		Notified{Delivery: job.Delivery{
			Event: job.EventCompleted, Channel: job.ChannelCallback, State: job.DeliveryPending, Attempts: 2, LastError: "refused", LastStatus: 503,
		}},
		TelemetryFailed{Err: errors.New("post http://collector:4318/v1/traces: connection refused"), Failures: 3},
	}
}

// written gives the lines of all samples, as the handler writes them to stdout.
func written(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	log := slog.New(NewHandler(slog.NewJSONHandler(&out, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				a.Value = slog.TimeValue(noon)
			}
			return a
		},
	})))
	for _, e := range samples() {
		Write(sampleContext(t, e.line().event), log, e)
	}
	return out.Bytes()
}

func TestTheSampleLinesAreWhatTheCodeWrites(t *testing.T) {
	t.Parallel()
	path := filepath.Join("testdata", "events.jsonl")
	got := written(t)
	if *update {
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "go test ./internal/telemetry/logline -update rewrites it; queries in Azure use these names")
}

func TestEveryLineIsOneJSONObjectWithItsIDs(t *testing.T) {
	t.Parallel()
	lines := bufio.NewScanner(bytes.NewReader(written(t)))
	for lines.Scan() {
		var l map[string]any
		require.NoError(t, json.Unmarshal(lines.Bytes(), &l), lines.Text())
		for _, member := range []string{"time", "level", "msg", "event"} {
			require.IsType(t, "", l[member], member)
		}
		event := l["event"].(string)
		if event == "handler.started" || event == "telemetry.failed" {
			continue // about the process
		}
		require.Contains(t, l, "invocation", event)
		require.Contains(t, l, "traceId", event)
		if strings.HasPrefix(event, "run.") || strings.HasPrefix(event, "slice.") {
			require.Contains(t, l, "job", event)
			require.Contains(t, l, "run", event)
		}
		if strings.HasPrefix(event, "slice.") {
			require.Contains(t, l, "shard", event)
		}
	}
	require.NoError(t, lines.Err())
}

// TestThePageNamesEveryMember holds docs/monitoring.md to the code: each event has a row, and each row names its members.
func TestThePageNamesEveryMember(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "monitoring.md"))
	require.NoError(t, err)
	events, _, found := strings.Cut(string(page), "## Traces and metrics")
	require.True(t, found)
	rows := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z]+\\.[A-Za-z]+)` \\|(.*)$").FindAllStringSubmatch(events, -1) {
		rows[row[1]] = row[2]
	}
	inCommon := []string{"reasons"}
	for _, s := range job.ExecutionStates() {
		inCommon = append(inCommon, s.String())
	}
	var known []string
	for _, e := range samples() {
		l := e.line()
		known = append(known, l.event)
		for _, a := range l.attrs {
			if !slices.Contains(inCommon, a.Key) {
				require.Contains(t, rows[l.event], "`"+a.Key+"`", "%s: the page does not name the member", l.event)
			}
		}
	}
	require.ElementsMatch(t, known, slices.Collect(maps.Keys(rows)))
}
