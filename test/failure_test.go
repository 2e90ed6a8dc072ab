package test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/devstack"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/latency"
)

// with adds members to the JSON of a job.
func with(body, members string) string { return strings.TrimSuffix(body, "}") + "," + members + "}" }

// TestFailuresAreControlled: a job stops at its threshold, another calls its failed devices again, and a third does those of
// the second once more.
func TestFailuresAreControlled(t *testing.T) {
	const inFlight, least = 40, 100
	s := start(t, devstack.Options{
		Devices: 1000, FailShare: 0.3, Journal: true, Latency: latency.FixedAt(20 * time.Millisecond),
		SettingsOverrides: map[string]string{"FLEETJOBS_MAX_CALLS_IN_FLIGHT": "40"},
	})
	s.put("careful", with(method("reboot", "*"), `"abort":{"criteria":[{"thresholdPercentage":20,"minNumberOfExecutedDevices":100}]}`))
	seen := s.until("careful", ended)
	last := seen[len(seen)-1]
	requireAddsUp(t, last)
	require.Equal(t, "cancelled", last.Status)
	require.Equal(t, "aborted", last.EndReason)
	called := len(s.Hub.CallCounts(fault.Methods))
	t.Logf("met at %d devices or a few later; %d were called", least, called)
	require.LessOrEqual(t, called, least+2*inFlight, "what was in flight, and a few until one in five had failed")
	require.Equal(t, 1000-called, last.FailureReasons["jobAborted"])

	s.put("patient", with(method("reboot", "*"), `"retry":{"criteria":[{"failureType":"deviceError","numberOfRetries":2,"delay":"PT1S","factor":1}]}`))
	seen = s.until("patient", ended)
	last = seen[len(seen)-1]
	require.Equal(t, "completed", last.Status)
	failed := last.ExecutionStatistics["failed"]
	require.Positive(t, failed)
	for _, e := range s.executions("patient", "&status=failed") {
		require.Equal(t, 3, e.Attempts, e.DeviceID)
	}
	for _, e := range s.executions("patient", "&status=succeeded") {
		require.Equal(t, 1, e.Attempts, e.DeviceID)
	}

	a := s.call(http.MethodPost, "/api/jobs/patient/rerun", `{"jobId":"again"}`)
	require.Equal(t, http.StatusAccepted, a.status, "%s", a.body)
	seen = s.until("again", ended)
	require.Equal(t, failed, seen[len(seen)-1].Statistics["deviceCount"])
}

// TestAtMostOnceThroughDeaths: the handler is killed in the middle of a run, twice. No device is called a second time.
func TestAtMostOnceThroughDeaths(t *testing.T) {
	s := start(t, devstack.Options{
		Devices: 1500, Journal: true, Latency: latency.FixedAt(200 * time.Millisecond),
		SettingsOverrides: map[string]string{"FLEETJOBS_MAX_CALLS_IN_FLIGHT": "100", "FLEETJOBS_LEASE_SECONDS": "10"},
	})
	s.put("once", with(method("reboot", "*"), `"deliveryGuarantee":"atMostOnce"`))
	for n := 1; n <= 2; n++ {
		s.until("once", func(v view) bool { return done(v) >= 300*n })
		require.NoError(t, s.Host.KillHandler(0))
		require.NoError(t, s.Host.WaitReady(t.Context()))
	}
	seen := s.until("once", ended)
	last := seen[len(seen)-1]
	requireAddsUp(t, last)
	require.Equal(t, "completed", last.Status)
	require.Equal(t, 1500, last.ExecutionStatistics["succeeded"]+last.ExecutionStatistics["inDoubt"], "%v", last)
	require.Positive(t, last.ExecutionStatistics["inDoubt"])
	for device, n := range s.Hub.CallCounts(fault.Methods) {
		require.Equal(t, 1, n, device)
	}
	t.Logf("two deaths left %d of 1,500 devices in doubt", last.ExecutionStatistics["inDoubt"])
}
