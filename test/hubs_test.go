package test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/devstack"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
)

// perHub is what a job reports of each hub.
type perHub struct {
	HubRuns []struct {
		Hub        string         `json:"hub"`
		Status     string         `json:"status"`
		Statistics map[string]int `json:"deviceJobStatistics"`
	} `json:"hubRuns"`
}

// TestOneJobOverTwoHubsOfWhichOneHasLostItsRole: the hubs have devices of the same ids. The first one's come to their end while the
// second refuses the app, and the second one's follow when it does not any more.
func TestOneJobOverTwoHubsOfWhichOneHasLostItsRole(t *testing.T) {
	s := start(t, devstack.Options{
		Devices: 250, Hubs: 2, Journal: true, SettingsOverrides: map[string]string{"FLEETJOBS_LOG_LEVEL": "debug"},
	})
	first, second := s.Hub, s.Further[0].Hub
	require.NoError(t, second.SetFaults(fault.Plan{Revoked: true}))

	s.put("both", strings.Replace(method("lockDoor", "*"), "{", `{"hubs":"all",`, 1))
	atHubs := func() perHub {
		var v perHub
		a := s.call(http.MethodGet, "/api/jobs/both", "")
		require.NoError(t, json.Unmarshal(a.body, &v), "%s", a.body)
		return v
	}
	seen := s.until("both", func(v view) bool { return v.Status == "blocked" && v.Statistics["succeededCount"] == 250 })
	last := seen[len(seen)-1]
	require.Contains(t, last.Blocked.Reason, "hub-2: ")
	runs := atHubs().HubRuns
	require.Len(t, runs, 2)
	require.Equal(t, []string{"hub-1", "completed", "hub-2", "blocked"}, []string{runs[0].Hub, runs[0].Status, runs[1].Hub, runs[1].Status})
	require.Empty(t, second.CallCounts(fault.Methods))

	require.NoError(t, second.SetFaults(fault.Plan{}))
	seen = s.until("both", ended)
	for _, v := range seen {
		requireAddsUp(t, v)
	}
	last = seen[len(seen)-1]
	require.Equal(t, "completed", last.Status)
	require.Equal(t, 500, last.Statistics["succeededCount"])
	for _, h := range atHubs().HubRuns {
		require.Equal(t, 250, h.Statistics["succeededCount"], h.Hub)
	}
	one, two := first.CallCounts(fault.Methods), second.CallCounts(fault.Methods)
	require.Len(t, one, 250)
	require.Equal(t, one, two, "each device of each hub was called once, and both have the same ids")

	hubs := map[string]int{}
	for _, e := range s.executions("both", "") {
		hubs[e.Hub]++
	}
	require.Equal(t, map[string]int{"hub-1": 250, "hub-2": 250}, hubs)
	require.Contains(t, s.log.String(), `"hub":"hub-2"`, "lines of the second hub's run name it")

	plain := s.put("plain", method("lockDoor", "*"))
	require.Equal(t, "plain", plain.JobID)
	s.until("plain", ended)
	require.Equal(t, 250, s.job("plain").Statistics["succeededCount"], "the default hub's devices alone")
}
