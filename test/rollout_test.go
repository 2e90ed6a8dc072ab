package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/devstack"
	"github.com/fleetjobs/fleetjobs/internal/fleetsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/latency"
)

// rebootOf is a careful job on a list: ten devices at first, then all, and stop if 5 % fail.
func rebootOf(t *testing.T, devices []string) string {
	t.Helper()
	ids, err := json.Marshal(devices)
	require.NoError(t, err)
	return fmt.Sprintf(`{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"reboot"},"deviceIds":%s,
		"rollout":{"batches":[{"number":10},{"gate":{"successThresholdPercentage":90,"minimumObservationTime":"PT2S"}}]},
		"abort":{"criteria":[{"thresholdPercentage":5,"minNumberOfExecutedDevices":10}]}}`, ids)
}

// TestRebootTenAtFirstThenAllAndStopIfOneInTwentyFails: the first batch decides whether the others are called at all.
func TestRebootTenAtFirstThenAllAndStopIfOneInTwentyFails(t *testing.T) {
	s := start(t, devstack.Options{Devices: 700, FailShare: 0.3, Journal: true, Latency: latency.FixedAt(20 * time.Millisecond)})
	var healthy, failing []string
	s.Fleet.Expect(func(d fleetsim.Device) bool {
		if d.Failing {
			failing = append(failing, d.ID)
		} else {
			healthy = append(healthy, d.ID)
		}
		return true
	})
	good, spared := healthy[:200], healthy[200:400]
	bad := append(append([]string{failing[0]}, spared[:9]...), append(failing[1:20], spared[9:]...)...)

	s.put("good", rebootOf(t, good))
	seen := s.until("good", ended)
	last := seen[len(seen)-1]
	require.Equal(t, "completed", last.Status)
	require.Equal(t, 200, last.Statistics["succeededCount"])
	first, rest := time.Time{}, last.EndTime
	for i, e := range s.executions("good", "") {
		if i < 10 && e.EndTime.After(first) {
			first = e.EndTime
		}
		if i >= 10 && e.StartTime.Before(rest) {
			rest = e.StartTime
		}
	}
	require.GreaterOrEqual(t, rest.Sub(first), 2*time.Second, "the second batch waits for the first, and two seconds")

	s.put("bad", rebootOf(t, bad))
	seen = s.until("bad", ended)
	last = seen[len(seen)-1]
	require.Equal(t, "cancelled", last.Status)
	require.Equal(t, "aborted", last.EndReason)
	require.Equal(t, 9, last.Statistics["succeededCount"], "one of the ten failed, and nobody else was called")
	require.Len(t, s.Hub.CallCounts(fault.Methods), 200+10)
}

// TestAPauseHoldsARolloutAndAResumeLetsItGoOn at the rate that it had.
func TestAPauseHoldsARolloutAndAResumeLetsItGoOn(t *testing.T) {
	s := start(t, devstack.Options{Devices: 120, Journal: true, Latency: latency.FixedAt(20 * time.Millisecond)})
	called := func() int { return len(s.Hub.CallCounts(fault.Methods)) }
	s.put("held", `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"reboot"},"queryCondition":"*",
		"rollout":{"maximumPerMinute":1200}}`)
	s.until("held", func(view) bool { return called() >= 10 })
	a := s.call(http.MethodPost, "/api/jobs/held/pause", `{"note":"lunch"}`)
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	paused := time.Now()
	after := func(d time.Duration) int {
		<-time.After(time.Until(paused.Add(d)))
		return called()
	}
	two := after(2*time.Second + s.late())
	require.Less(t, two, 120)
	require.Equal(t, two, after(4*time.Second+s.late()), "no call starts two seconds after the pause")
	v := s.job("held")
	require.Equal(t, "paused", v.Status)
	requireAddsUp(t, v)
	resumed := time.Now()
	require.Equal(t, http.StatusOK, s.call(http.MethodPost, "/api/jobs/held/resume", "").status)
	seen := s.until("held", ended)
	require.Equal(t, 120, seen[len(seen)-1].Statistics["succeededCount"])
	require.GreaterOrEqual(t, time.Since(resumed), time.Duration(120-two)*time.Second/20-time.Second, "twenty a second")
	requireCalledOnce(t, s.Hub.CallCounts(fault.Methods))
}
