// Package test holds the end-to-end scenarios: the packaged app as real processes behind the local Functions host, on Azurite
// and the IoT Hub simulator. What one package does alone is tested beside that package.
package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fleetjobs/fleetjobs/internal/azurite/azuritetest"
	"github.com/fleetjobs/fleetjobs/internal/devstack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs the whole stack as real processes for one test.
func start(t *testing.T, opts devstack.Options) *stack {
	t.Helper()
	log := &output{}
	opts.Progress = log
	if opts.HandlerOutput == nil {
		opts.HandlerOutput = io.Discard
	}
	opts.HandlerOutput = io.MultiWriter(log, opts.HandlerOutput)
	opts.Log = slog.New(slog.NewTextHandler(log, nil))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the stack's log, its last lines:\n%s", tail(log.String(), 60))
		}
	})
	s, err := devstack.Start(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return &stack{Stack: s, t: t, log: log, late: azuritetest.Late(t, s.StorageConnectionString)}
}

// tail gives the last n lines.
func tail(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

type stack struct {
	*devstack.Stack
	t   *testing.T
	log *output // of all parts
	// late is how late the effect of something may have been because the machine is busy.
	late func() time.Duration
}

// answer is one HTTP answer of the API.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// call makes one request with the host key.
func (s *stack) call(method, path, body string) answer {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.t.Context()), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, s.URL+path, bytes.NewBufferString(body))
	require.NoError(s.t, err)
	r.Header.Set("X-Functions-Key", s.Key)
	r.Header.Set("Content-Type", "application/json")
	if body == "" {
		r.Body = http.NoBody
	}
	resp, err := http.DefaultClient.Do(r)
	require.NoError(s.t, err)
	defer resp.Body.Close() //nolint:errcheck // read to its end
	b, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	http.DefaultClient.CloseIdleConnections()
	return answer{resp.StatusCode, resp.Header, b}
}

// view is the part of a job's JSON that the scenarios look at.
type view struct {
	JobID               string         `json:"jobId"`
	Status              string         `json:"status"`
	EndReason           string         `json:"endReason"`
	CreatedTime         time.Time      `json:"createdTime"`
	StartTime           time.Time      `json:"startTime"`
	EndTime             time.Time      `json:"endTime"`
	Statistics          map[string]int `json:"deviceJobStatistics"`
	ExecutionStatistics map[string]int `json:"executionStatistics"`
	FailureReasons      map[string]int `json:"failureReasons"`
	Blocked             *struct {
		Reason string `json:"reason"`
	} `json:"blocked"`
}

func (s *stack) put(id, body string) view {
	s.t.Helper()
	a := s.call(http.MethodPut, "/api/jobs/"+id, body)
	require.Equal(s.t, http.StatusAccepted, a.status, "%s", a.body)
	return s.decode(a)
}

func (s *stack) decode(a answer) view {
	s.t.Helper()
	var v view
	require.NoError(s.t, json.Unmarshal(a.body, &v), "%s", a.body)
	return v
}

func (s *stack) job(id string) view {
	s.t.Helper()
	a := s.call(http.MethodGet, "/api/jobs/"+id, "")
	require.Equal(s.t, http.StatusOK, a.status, "%s", a.body)
	return s.decode(a)
}

// patience is how long a job may take until it is taken for stuck, on a busy machine too.
const patience = 3 * time.Minute

// until polls a job until done says so, and returns every view on the way.
func (s *stack) until(id string, done func(view) bool) []view {
	s.t.Helper()
	var seen []view
	for end := time.Now().Add(patience); ; {
		a := s.call(http.MethodGet, "/api/jobs/"+id, "")
		if a.status == http.StatusOK { // else a handler is being restarted, or storage is having a bad time
			seen = append(seen, s.decode(a))
			if done(seen[len(seen)-1]) {
				return seen
			}
		}
		if time.Now().After(end) {
			s.t.Fatalf("job %s did not come to the state that was waited for; now: %d %s", id, a.status, a.body)
		}
		<-time.After(100 * time.Millisecond)
	}
}

func ended(v view) bool {
	return v.Status == "completed" || v.Status == "failed" || v.Status == "cancelled"
}

// requireAddsUp checks the invariant of every view.
func requireAddsUp(t *testing.T, v view) {
	t.Helper()
	c := v.Statistics
	require.Equal(t, c["deviceCount"], c["pendingCount"]+c["runningCount"]+c["succeededCount"]+c["failedCount"], "%+v", v)
	sum := 0
	for _, n := range v.ExecutionStatistics {
		sum += n
	}
	require.Equal(t, c["deviceCount"], sum, "%+v", v)
}

func method(name, condition string) string {
	return fmt.Sprintf(`{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":%q},"queryCondition":%q}`, name, condition)
}
