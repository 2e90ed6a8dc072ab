package test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/devstack"
	"github.com/fleetjobs/fleetjobs/internal/fleetsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/latency"
)

// TestCanariesFirstThenOneDeviceOfASiteAtATime on two processes, by the sites that the hub groups the fleet into.
func TestCanariesFirstThenOneDeviceOfASiteAtATime(t *testing.T) {
	s := start(t, devstack.Options{Devices: 200, Instances: 2, Journal: true, Latency: latency.FixedAt(20 * time.Millisecond)})
	tags := map[string]map[string]any{}
	canaries := 0
	for d := range s.Fleet.All() {
		if tags[d.ID] = d.Tags; d.Tags["ring"] == "canary" {
			canaries++
		}
	}
	require.Positive(t, canaries)
	s.put("careful", `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"reboot"},"queryCondition":"*","rollout":{
		"spreadBy":"tags.site","batches":[{"queryCondition":"tags.ring = 'canary'"},{"gate":{"successThresholdPercentage":100}}]}}`)
	seen := s.until("careful", ended)
	require.Equal(t, "completed", seen[len(seen)-1].Status)
	require.Equal(t, 200, seen[len(seen)-1].Statistics["succeededCount"])
	calls := s.Hub.CallCounts(fault.Methods)
	require.Len(t, calls, 200)
	requireCalledOnce(t, calls)

	var proven time.Time // the last of the canaries
	sites := map[any][]execution{}
	for _, e := range s.executions("careful", "") {
		site := tags[e.DeviceID]["site"]
		sites[site] = append(sites[site], e)
		if tags[e.DeviceID]["ring"] == "canary" && e.EndTime.After(proven) {
			proven = e.EndTime
		}
	}
	require.Greater(t, len(sites), 1)
	for site, all := range sites {
		slices.SortFunc(all, func(a, b execution) int { return a.StartTime.Compare(b.StartTime) })
		for i, e := range all {
			if tags[e.DeviceID]["ring"] != "canary" {
				require.False(t, e.StartTime.Before(proven), "%s before the canaries had succeeded", e.DeviceID)
			}
			if i > 0 {
				require.False(t, e.StartTime.Before(all[i-1].EndTime), "%s and %s of %s at once", all[i-1].DeviceID, e.DeviceID, site)
			}
		}
	}
}

// TestASampleByChanceIsTheSameAgain: a job that is deleted and created anew takes the same devices, and not those that the hub
// lists first.
func TestASampleByChanceIsTheSameAgain(t *testing.T) {
	s := start(t, devstack.Options{Devices: 400})
	sample := func() (ids []string) {
		s.put("sample", `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"lockDoor"},"queryCondition":"tags.env = 'prod'",
			"maxDevices":12,"rollout":{"order":"random"}}`)
		seen := s.until("sample", ended)
		require.Equal(t, 12, seen[len(seen)-1].Statistics["deviceCount"])
		for _, e := range s.executions("sample", "") {
			ids = append(ids, e.DeviceID)
		}
		require.Equal(t, http.StatusNoContent, s.call(http.MethodDelete, "/api/jobs/sample", "").status)
		return ids
	}
	first := sample()
	require.Equal(t, first, sample())
	var listed []string
	s.Fleet.Expect(func(d fleetsim.Device) bool {
		if d.Tags["env"] == "prod" {
			listed = append(listed, d.ID)
		}
		return true
	})
	slices.Sort(listed)
	require.NotEqual(t, listed[:12], slices.Sorted(slices.Values(first)))
}
