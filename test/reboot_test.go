package test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/devstack"
	"github.com/fleetjobs/fleetjobs/internal/fleetsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/latency"
)

// TestRebootOfTenThousandDevices is the main job: a method on the devices that match a condition, watched until it is done.
func TestRebootOfTenThousandDevices(t *testing.T) {
	s := start(t, devstack.Options{
		Devices: 10_000, OfflineShare: 0.05, FailShare: 0.03, SilentShare: 0.01, Journal: true,
		Latency: latency.FixedAt(20 * time.Millisecond),
	})
	want := s.Fleet.Expect(func(d fleetsim.Device) bool { return d.Tags["building"].(int) <= 40 })
	s.put("reboot", `{"type":"scheduleDeviceMethod","queryCondition":"tags.building <= 40",
		"cloudToDeviceMethod":{"methodName":"reboot","payload":{"delay":5},"responseTimeoutInSeconds":5}}`)
	seen := s.until("reboot", ended)
	last := seen[len(seen)-1]
	t.Logf("%d devices: %v %v", want.Total, last.ExecutionStatistics, last.FailureReasons)

	grew := 0
	for i, v := range seen {
		requireAddsUp(t, v)
		if i > 0 && done(v) > done(seen[i-1]) && !ended(v) {
			grew++
		}
	}
	require.GreaterOrEqual(t, grew, 2, "progress grows while the run goes on")
	require.Equal(t, "completed", last.Status)
	require.Equal(t, "finished", last.EndReason)
	require.Equal(t, want.Total, last.Statistics["deviceCount"])
	require.Equal(t, want.Answering, last.ExecutionStatistics["succeeded"])
	require.Equal(t, want.Silent, last.ExecutionStatistics["timedOut"])
	require.Equal(t, map[string]int{
		"deviceOffline": want.Offline, "deviceError": want.Failing, "deviceNoAnswer": want.Silent,
	}, last.FailureReasons)
	requireCalledOnce(t, s.Hub.CallCounts(fault.Methods))
	requireReportedPromptly(t, s, last)
}

func done(v view) int { return v.Statistics["succeededCount"] + v.Statistics["failedCount"] }

func requireCalledOnce(t *testing.T, calls map[string]int) {
	t.Helper()
	for device, n := range calls {
		require.Equal(t, 1, n, "%s was called %d times", device, n)
	}
}

// requireReportedPromptly checks that the job ended within 2 s of its last execution, and that the executions list every
// device once.
func requireReportedPromptly(t *testing.T, s *stack, v view) {
	t.Helper()
	seen := map[string]bool{}
	var last time.Time
	for _, e := range s.executions(v.JobID, "") {
		require.False(t, seen[e.DeviceID], "%s is listed twice", e.DeviceID)
		seen[e.DeviceID] = true
		if e.EndTime.After(last) {
			last = e.EndTime
		}
	}
	require.Len(t, seen, v.Statistics["deviceCount"])
	require.WithinRange(t, v.EndTime, last, last.Add(2*time.Second+s.late()))
}

// execution is the part of an execution's JSON that the scenarios look at.
type execution struct {
	Hub       string          `json:"hub"`
	DeviceID  string          `json:"deviceId"`
	Status    string          `json:"status"`
	Attempts  int             `json:"attempts"`
	StartTime time.Time       `json:"startTime"`
	EndTime   time.Time       `json:"endTime"`
	Code      int             `json:"deviceStatus"`
	Payload   json.RawMessage `json:"payload"`
	Error     *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// executions reads all pages of a job's executions.
func (s *stack) executions(id, filter string) []execution {
	s.t.Helper()
	var all []execution
	for token := ""; ; {
		a := s.call("GET", fmt.Sprintf("/api/jobs/%s/executions?pageSize=1000&continuationToken=%s%s", id, token, filter), "")
		if token == "" {
			a = s.call("GET", fmt.Sprintf("/api/jobs/%s/executions?pageSize=1000%s", id, filter), "")
		}
		require.Equal(s.t, 200, a.status, "%s", a.body)
		var page struct {
			Items []execution `json:"executions"`
			Token string      `json:"continuationToken"`
		}
		require.NoError(s.t, json.Unmarshal(a.body, &page))
		all = append(all, page.Items...)
		if token = page.Token; token == "" {
			return all
		}
	}
}

// TestHandlersSideBySide runs two and four handler processes on one queue: no device is done twice, none is lost.
func TestHandlersSideBySide(t *testing.T) {
	for _, n := range []int{2, 4} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			s := start(t, devstack.Options{Devices: 4000, Instances: n, Journal: true, Latency: latency.FixedAt(30 * time.Millisecond)})
			s.put("all", method("reboot", "*"))
			seen := s.until("all", ended)
			require.Equal(t, 4000, seen[len(seen)-1].Statistics["succeededCount"])
			calls := s.Hub.CallCounts(fault.Methods)
			require.Len(t, calls, 4000)
			requireCalledOnce(t, calls)
			requireAllTookPart(t, s, n)
		})
	}
}

func requireAllTookPart(t *testing.T, s *stack, n int) {
	t.Helper()
	require.Len(t, s.Host.Pids(), n)
}

// TestACancelStopsARunningJob: no new call starts within 2 s, and what was not reached is canceled.
func TestACancelStopsARunningJob(t *testing.T) {
	s := start(t, devstack.Options{
		Devices: 5000, Journal: true, Latency: latency.FixedAt(400 * time.Millisecond),
		SettingsOverrides: map[string]string{"FLEETJOBS_MAX_CALLS_IN_FLIGHT": "64"},
	})
	s.put("long", method("reboot", "*"))
	s.until("long", func(v view) bool { return v.Status == "running" && done(v) > 50 })
	a := s.call("POST", "/api/jobs/long/cancel", "")
	asked := time.Now()
	require.Equal(t, 202, a.status, "%s", a.body)
	seen := s.until("long", ended)
	last := seen[len(seen)-1]
	requireAddsUp(t, last)
	require.Equal(t, "cancelled", last.Status)
	require.Equal(t, "cancelled", last.EndReason)
	require.Equal(t, 5000, last.ExecutionStatistics["succeeded"]+last.ExecutionStatistics["canceled"], "%v", last)
	require.Positive(t, last.ExecutionStatistics["canceled"])
	requireNoCallAfter(t, s.Hub.Calls(), asked.Add(2*time.Second+s.late()))
	require.Len(t, s.Hub.CallCounts(fault.Methods), last.ExecutionStatistics["succeeded"])
	require.Len(t, s.executions("long", "&status=canceled"), last.ExecutionStatistics["canceled"])

	require.Equal(t, 204, s.call("DELETE", "/api/jobs/long", "").status)
	require.Equal(t, 404, s.call("GET", "/api/jobs/long", "").status)
}

func requireNoCallAfter(t *testing.T, calls []hubsim.Call, limit time.Time) {
	t.Helper()
	require.NotEmpty(t, calls)
	for _, c := range calls {
		require.False(t, c.Time.After(limit), "%s was called %v too late", c.DeviceID, c.Time.Sub(limit))
	}
}
