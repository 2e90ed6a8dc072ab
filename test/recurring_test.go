package test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/devstack"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
)

// recurrence is what the scenario reads of a recurring job.
type recurrence struct {
	Status     string
	Recurrence struct {
		RunCount int
		Counters struct{ Occurrences, Requested, Started, Skipped, Missed, Dropped, Paused int }
	}
}

// run is a run as the API lists it.
type run struct {
	RunID, Status, Kind        string
	ScheduledTime, StartedTime time.Time
	DeviceJobStatistics        struct{ DeviceCount, SucceededCount int }
}

func get[T any](s *stack, path string) T {
	s.t.Helper()
	a := s.call(http.MethodGet, path, "")
	require.Equal(s.t, http.StatusOK, a.status, "%s", a.body)
	var v T
	require.NoError(s.t, json.Unmarshal(a.body, &v))
	return v
}

// TestAJobThatRecurs calls every device every four seconds, through a pause, a run now and the death of the app, until four
// scheduled runs were made.
func TestAJobThatRecurs(t *testing.T) {
	s := start(t, devstack.Options{Devices: 20})
	s.put("often", `{"type":"scheduleDeviceMethod","queryCondition":"*","cloudToDeviceMethod":{"methodName":"reboot"},
		"schedule":{"interval":"PT4S","remainingRuns":4}}`)
	runs := func() []run { return get[struct{ Runs []run }](s, "/api/jobs/often/runs").Runs }
	job := func() recurrence { return get[recurrence](s, "/api/jobs/often") }

	require.Eventually(t, func() bool { return len(runs()) >= 1 && runs()[0].Status == "completed" }, time.Minute, 100*time.Millisecond)
	require.Equal(t, http.StatusOK, s.call(http.MethodPost, "/api/jobs/often/pause", `{"note":"a break"}`).status)
	require.Eventually(t, func() bool { return job().Status == "paused" }, time.Minute, 100*time.Millisecond)
	before := len(runs())
	require.Equal(t, http.StatusOK, s.call(http.MethodPost, "/api/jobs/often/run", "").status)
	require.Eventually(t, func() bool { return len(runs()) == before+1 && runs()[0].Status == "completed" }, time.Minute, 100*time.Millisecond)
	require.Equal(t, "manual", runs()[0].Kind)
	require.NoError(t, s.Host.KillHandler(0))
	require.Eventually(t, func() bool { return s.call(http.MethodPost, "/api/jobs/often/resume", "").status == http.StatusOK }, time.Minute, 200*time.Millisecond)
	require.Eventually(t, func() bool { return job().Status == "completed" }, time.Minute, 200*time.Millisecond)

	got := job()
	c := got.Recurrence.Counters
	require.Equal(t, 5, c.Started)
	require.Equal(t, 1, c.Requested)
	require.Equal(t, c.Occurrences+c.Requested, c.Started+c.Skipped+c.Missed+c.Dropped+c.Paused)
	all := runs()
	require.Len(t, all, 5)
	seen := map[time.Time]bool{}
	for _, r := range all {
		require.Equal(t, "completed", r.Status)
		require.Equal(t, 20, r.DeviceJobStatistics.SucceededCount)
		require.False(t, seen[r.ScheduledTime], "no occurrence runs twice")
		seen[r.ScheduledTime] = true
		if r.Kind == "scheduled" {
			require.Zero(t, r.ScheduledTime.Unix()%4)
			require.False(t, r.StartedTime.Before(r.ScheduledTime))
		}
	}
	for device, calls := range s.Hub.CallCounts(fault.Methods) {
		require.GreaterOrEqual(t, calls, 5, device)
	}
}
