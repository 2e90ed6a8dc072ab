package logicapp_test

import (
	"bytes"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/devstack"
)

// output collects what the stack prints, for a test that fails.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func deploy(t *testing.T, settings map[string]string) *devstack.Stack {
	t.Helper()
	log := &output{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the stack's log:\n%s", log.b.String())
		}
	})
	s, err := devstack.Start(t.Context(), devstack.Options{
		Devices: 300, FailShare: 0.3, HandlerOutput: log, Progress: log, SettingsOverrides: settings,
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		require.NoError(t, s.Close())
	})
	return s
}

// The workflow against a whole deployment: 202, polling of Location with what it carries and nothing else, 200, and then
// the devices that failed.
func TestPollingAgainstADeployment(t *testing.T) {
	s := deploy(t, nil)
	e := newEngine(t, s.URL)
	e.parameters["hostKey"] = s.Key
	e.trigger = map[string]any{"building": 1}
	e.pause = func(d time.Duration) { <-time.After(d) }

	require.NoError(t, e.run(t.Context(), load(t, "workflow.json").Definition.Actions))
	requireReport(t, e, "Lock_the_doors")
	require.Equal(t, "PUT /api/jobs/"+jobID, e.calls[0])
	require.Equal(t, "GET /api/jobs/"+jobID+"/result", e.calls[1])
}

// requireReport holds the report of the workflow against the job that it read.
func requireReport(t *testing.T, e *engine, read string) {
	t.Helper()
	job := e.bodies[read].(map[string]any)
	require.Equal(t, jobID, job["jobId"])
	counts := job["deviceJobStatistics"].(map[string]any)
	count := func(name string) int { return int(counts[name].(float64)) }
	require.Greater(t, count("deviceCount"), 1)
	require.Equal(t, count("deviceCount"), count("succeededCount")+count("failedCount"))
	report, ok := e.bodies["Report_the_others"].(map[string]any)
	require.True(t, ok, "devices that fail were asked for, the run went another way: %v", e.ran)
	require.Len(t, report["devices"], count("failedCount"))
}
