package test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/devstack"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
)

// TestEachDeviceAtItsOwnLocalTime tags devices with time zones by jobs, and runs an occurrence of today whose wall time Tokyo has had,
// UTC has in a moment, and New York has hours later: each zone has its turn, one device has no zone, and who waits can be cancelled.
func TestEachDeviceAtItsOwnLocalTime(t *testing.T) {
	s := start(t, devstack.Options{Devices: 31, Journal: true})
	for i, zone := range []string{"Asia/Tokyo", "UTC", "America/New_York"} {
		ids := make([]string, 10)
		for n := range ids {
			ids[n] = fmt.Sprintf(`"dev-%06d"`, 10*i+n+1)
		}
		id := fmt.Sprint("tag-", i)
		s.put(id, `{"type":"scheduleUpdateTwin","updateTwin":{"tags":{"timeZone":"`+zone+`"}},"deviceIds":[`+strings.Join(ids, ",")+`]}`)
		require.Eventually(t, func() bool { return s.job(id).Status == "completed" }, time.Minute, 100*time.Millisecond)
	}
	soon := time.Now().UTC().Add(10 * time.Second)
	s.put("own-time", fmt.Sprintf(`{"type":"scheduleDeviceMethod","queryCondition":"*","cloudToDeviceMethod":{"methodName":"reboot"},
		"schedule":{"cron":"%d %d %d * * *","timeZone":"device"}}`, soon.Second(), soon.Minute(), soon.Hour()))
	began := soon.Add(-14 * time.Hour)
	a := s.call(http.MethodPost, "/api/jobs/own-time/backfill",
		fmt.Sprintf(`{"from":%q,"to":%q}`, began.Add(-time.Hour).Format(time.RFC3339), began.Add(time.Hour).Format(time.RFC3339)))
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	require.Eventually(t, func() bool { return s.job("own-time").Statistics["succeededCount"] == 20 }, time.Minute, 200*time.Millisecond)
	got := s.job("own-time")
	require.Equal(t, "running", got.Status, "New York is still to come")
	runs := get[struct {
		Runs []struct {
			RunID     string
			LocalTime struct{ LocalTime string }
		}
	}](s, "/api/jobs/own-time/runs").Runs
	require.Len(t, runs, 1)
	require.Equal(t, soon.Format("2006-01-02T15:04:05"), runs[0].LocalTime.LocalTime)
	calls := s.Hub.CallCounts(fault.Methods)
	for n := range 31 {
		want := 1
		if n >= 20 {
			want = 0
		}
		require.Equal(t, want, calls[fmt.Sprintf("dev-%06d", n+1)], "device %d", n+1)
	}
	a = s.call(http.MethodPost, "/api/jobs/own-time/runs/"+runs[0].RunID+"/cancel", "")
	require.Contains(t, []int{http.StatusOK, http.StatusAccepted}, a.status, "%s", a.body)
	require.Eventually(t, func() bool { return s.job("own-time").Status == "scheduled" }, time.Minute, 200*time.Millisecond)
}
