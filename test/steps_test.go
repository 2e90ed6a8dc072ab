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

// stepwise is the part of an execution's JSON that this scenario looks at.
type stepwise struct {
	Status, Substate string
	Step             int
	Steps            []struct {
		Step         int
		DeviceStatus int
		Payload      json.RawMessage
	}
	Error struct{ Code string }
}

func (s *stack) stepwise(job, device string) stepwise {
	s.t.Helper()
	a := s.call(http.MethodGet, "/api/jobs/"+job+"/executions/"+device, "")
	require.Equal(s.t, http.StatusOK, a.status, "%s", a.body)
	var e stepwise
	require.NoError(s.t, json.Unmarshal(a.body, &e))
	return e
}

// TestDevicesConfirmAndGoStepByStep: devices that take their time to apply what is desired are waited for by one query for each
// hundred of them, and a job with steps goes on where each device is ready. Devices that are offline confirm nothing.
func TestDevicesConfirmAndGoStepByStep(t *testing.T) {
	s := start(t, devstack.Options{Devices: 250, OfflineShare: 0.1, Journal: true, ApplyAfter: 2 * time.Second})
	desired := `{"type":"scheduleUpdateTwin","queryCondition":"*","updateTwin":{"properties":{"desired":{"telemetryInterval":15,"door":{"mode":"closed"}}}},
		"confirm":{"properties":["telemetryInterval","door.mode"],"within":"PT3S"}}`
	s.put("apply", desired)
	var device string
	s.until("apply", func(view) bool {
		a := s.call(http.MethodGet, "/api/jobs/apply/executions?status=inProgress&pageSize=1", "")
		var page struct {
			Executions []struct{ DeviceID, Substate string }
		}
		require.NoError(t, json.Unmarshal(a.body, &page))
		if len(page.Executions) > 0 && page.Executions[0].Substate != "" {
			device = page.Executions[0].DeviceID
		}
		return device != ""
	})
	last := s.until("apply", ended)
	v := last[len(last)-1]
	requireAddsUp(t, v)
	require.Equal(t, "completed", v.Status)
	offline := v.FailureReasons["notConfirmed"]
	require.Positive(t, offline)
	require.Equal(t, 250-offline, v.ExecutionStatistics["succeeded"])

	s.put("update", `{"type":"scheduleSteps","queryCondition":"*","steps":[
		{"method":{"methodName":"reboot"}},
		{"updateTwin":{"properties":{"desired":{"release":"2.4"}}},"confirm":{}},
		{"waitFor":{"path":"properties.reported.release","equals":"2.4"}},
		{"method":{"methodName":"lockDoor"}}]}`)
	last = s.until("update", ended)
	v = last[len(last)-1]
	requireAddsUp(t, v)
	require.Equal(t, 250-offline, v.ExecutionStatistics["succeeded"], "those that were connected did all of it")
	require.Equal(t, offline, v.FailureReasons["deviceOffline"], "the others stopped at the first step")
	for _, n := range s.Hub.CallCounts(fault.TwinUpdate) {
		require.LessOrEqual(t, n, 2, "one for each job")
	}
	for _, e := range s.executions("update", "&status=succeeded")[:3] {
		done := s.stepwise("update", e.DeviceID)
		require.Equal(t, 4, done.Step)
		require.Len(t, done.Steps, 3)
		require.JSONEq(t, `{"result":"rebooting"}`, string(done.Steps[0].Payload))
	}
	require.Less(t, s.Hub.Stats().QueryPages, int64(100), "nobody reads twins one by one")
}
