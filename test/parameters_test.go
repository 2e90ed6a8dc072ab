package test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/devstack"
	"github.com/fleetjobs/fleetjobs/internal/fleetsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
)

// TestEveryDeviceOfATemplatesJobGetsWhatIsItsOwn: a template, a job of it whose devices get values of their twins, a copy of that for a
// list, and a job whose devices have no such value.
func TestEveryDeviceOfATemplatesJobGetsWhatIsItsOwn(t *testing.T) {
	s := start(t, devstack.Options{Devices: 250, Journal: true})
	fleet := map[string]fleetsim.Device{}
	var ids []string
	s.Fleet.Expect(func(d fleetsim.Device) bool {
		fleet[d.ID] = d
		ids = append(ids, d.ID)
		return true
	})
	a := s.call(http.MethodPut, "/api/templates/lock-site", `{"parameters":[{"name":"site","type":"string"},{"name":"minutes","type":"integer","default":10}],
		"job":{"type":"scheduleDeviceMethod","queryCondition":"tags.site = {{parameters.site}}","cloudToDeviceMethod":{"methodName":"lockDoor","payload":{"lockTime":
			{"minutes":"{{parameters.minutes}}","floor":"{{tags.floor}}","where":"{{deviceId}} in {{tags.location}}","was":"{{properties.reported.lock ?? null}}"}}}}}`)
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	requireOwn := func(id string, devices func(fleetsim.Device) bool) {
		expected := s.Fleet.Expect(devices)
		last := s.until(id, ended)
		v := last[len(last)-1]
		requireAddsUp(t, v)
		require.Equal(t, expected.Total, v.Statistics["succeededCount"])
		for _, e := range s.executions(id, "") {
			tags := fleet[e.DeviceID].Tags
			location, err := json.Marshal(tags["location"])
			require.NoError(t, err)
			want, err := json.Marshal(map[string]any{"result": "locked", "lockTime": map[string]any{
				"minutes": 10, "floor": tags["floor"], "where": e.DeviceID + " in " + string(location), "was": nil,
			}})
			require.NoError(t, err)
			require.JSONEq(t, string(want), string(e.Payload), "the device says what it got")
		}
	}
	s.put("osaka", `{"template":"lock-site","parameters":{"site":"osaka"}}`)
	requireOwn("osaka", func(d fleetsim.Device) bool { return d.Tags["site"] == "osaka" })

	list, err := json.Marshal(map[string]any{"jobId": "listed", "deviceIds": ids[:130]})
	require.NoError(t, err)
	before := s.Hub.Stats().QueryPages
	a = s.call(http.MethodPost, "/api/jobs/osaka/copy", string(list))
	require.Equal(t, http.StatusAccepted, a.status, "%s", a.body)
	named := map[string]bool{}
	for _, id := range ids[:130] {
		named[id] = true
	}
	requireOwn("listed", func(d fleetsim.Device) bool { return named[d.ID] })
	require.Equal(t, int64(2), s.Hub.Stats().QueryPages-before, "one query for a hundred devices")

	calls := s.Hub.CallCounts(fault.TwinUpdate)
	s.put("missing", `{"type":"scheduleUpdateTwin","updateTwin":{"tags":{"was":"{{properties.reported.none}}"}},"queryCondition":"*"}`)
	last := s.until("missing", ended)
	require.Equal(t, map[string]int{"missingParameter": 250}, last[len(last)-1].FailureReasons)
	require.Equal(t, calls, s.Hub.CallCounts(fault.TwinUpdate), "nobody was called")
	e := s.executions("missing", "")[0]
	require.Zero(t, e.Attempts)
	require.Contains(t, e.Error.Message, "properties.reported.none")
}
