package dispatch

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
)

// watchful looks after devices that are waited for as soon as the slack of retries allows.
var watchful = Options{
	RetryDelay: time.Millisecond, ProbeDelay: 50 * time.Millisecond, Flush: 100 * time.Millisecond, LookDelay: 1100 * time.Millisecond,
}

const confirmed = `{"jobId":"confirmed","type":"scheduleUpdateTwin","queryCondition":"*",
	"updateTwin":{"properties":{"desired":{"telemetryInterval":30,"door":{"mode":"closed"}}}},"confirm":{"within":"%s"}%s}`

// closed is a device that reports what confirmed desires.
func closed(string) map[string]any {
	return map[string]any{"telemetryInterval": 30, "door": map[string]any{"mode": "closed"}}
}

// A device that the hub has updated is in progress until it reports what was desired. Meanwhile no invocation and no message waits.
func TestATwinJobWaitsUntilDevicesHaveAppliedIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, watchful)
	w.hub.populate(150)
	var applied atomic.Bool
	w.hub.reported = func(id string) map[string]any {
		switch {
		case id == "dev-7": // an acknowledgement of IoT Plug and Play
			return map[string]any{"door": map[string]any{"mode": "closed"}, "telemetryInterval": map[string]any{"value": 30, "ac": 400, "ad": "too often", "av": 2}}
		case applied.Load():
			return closed(id)
		}
		return map[string]any{"telemetryInterval": 60}
	}
	id := w.create(fmt.Sprintf(confirmed, "PT1H", ""))
	w.run(func(context.Context) bool {
		run := w.status(id)
		return w.hub.looked() >= 4 && run.Counts().Of(job.Rejected) == 1 && len(w.current().d.slots) == 0
	})
	run := w.status(id)
	require.Equal(t, map[string]int{"awaitingConfirmation": 149}, run.Counts().AwaitingMap())
	require.Empty(t, run.Counts().Of(job.Succeeded))
	e := w.executions(run)["dev-7"]
	require.Equal(t, job.DeviceRejected, e.Reason)
	require.Equal(t, 400, e.StatusCode)
	require.JSONEq(t, `{"value":30,"ac":400,"ad":"too often","av":2}`, string(e.Payload()))

	applied.Store(true)
	run = w.ended(id)
	require.Equal(t, 149, run.Counts().Of(job.Succeeded))
	require.Nil(t, run.Counts().AwaitingMap())
	for device := range w.executions(run) {
		require.Equal(t, "twin", w.hub.did(device), device)
	}
}

func TestADeviceThatDoesNotConfirmInTimeTimesOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, watchful)
	w.hub.populate(3)
	w.hub.reported = func(id string) map[string]any {
		if id == "dev-1" {
			return map[string]any{"telemetryInterval": 30, "door": map[string]any{"mode": "open"}}
		}
		return closed(id)
	}
	run := w.ended(w.create(fmt.Sprintf(confirmed, "PT1S", `,"retry":{"criteria":[{"failureType":"notConfirmed","numberOfRetries":1,"delay":"PT1S"}]}`)))
	require.Equal(t, 2, run.Counts().Of(job.Succeeded))
	require.Equal(t, map[string]int{"notConfirmed": 1}, run.Counts().ReasonMap())
	e := w.executions(run)["dev-1"]
	require.Equal(t, job.TimedOut, e.State)
	require.Equal(t, `not within PT1S: door.mode is "open", desired is "closed"`, e.ErrorText())
	require.Equal(t, "twin twin", w.hub.did("dev-1"), "the retry patches again")
}

const update = `{"jobId":"update","type":"scheduleSteps","queryCondition":"*","steps":[
	{"method":{"methodName":"prepare"}},
	{"updateTwin":{"properties":{"desired":{"telemetryInterval":30}}},"confirm":{}},
	{"waitFor":{"path":"properties.reported.fw.status","equals":"done","within":"PT30M"}},
	{"method":{"methodName":"finish"},"succeedOn":{"statusCodes":[204]}}]%s}`

// fine is a device on which every step of update succeeds.
func fine(string) map[string]any {
	return map[string]any{"telemetryInterval": 30, "fw": map[string]any{"status": "done"}}
}

func (h *testHub) methods(answer func(id, method string) (iothub.MethodResult, error)) {
	h.answer = func(id string, _ int) (iothub.MethodResult, error) {
		h.mu.Lock()
		method := h.order[id][len(h.order[id])-1]
		h.mu.Unlock()
		return answer(id, method)
	}
}

func stepwise(_, method string) (iothub.MethodResult, error) {
	if method == "finish" {
		return iothub.MethodResult{Status: 204}, nil
	}
	return iothub.MethodResult{Status: 200, Payload: json.RawMessage(`"` + method + `"`)}, nil
}

// Each device goes through the steps in order and stops at its first failure; a retry goes on at the step that failed.
func TestStepsAreCarriedOutInOrderUntilOneFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, watchful)
	w.hub.populate(120)
	var offline atomic.Bool
	offline.Store(true)
	w.hub.methods(func(id, method string) (iothub.MethodResult, error) {
		switch {
		case id == "dev-3" && method == "prepare":
			return iothub.MethodResult{Status: 500}, nil
		case id == "dev-5" && method == "finish" && offline.CompareAndSwap(true, false):
			return iothub.MethodResult{}, hubError(iothub.Offline)
		}
		return stepwise(id, method)
	})
	w.hub.reported = fine
	run := w.ended(w.create(fmt.Sprintf(update, `,"retry":{"criteria":[{"failureType":"deviceOffline","numberOfRetries":1,"delay":"PT1S"}]}`)))
	require.Equal(t, 119, run.Counts().Of(job.Succeeded))
	for device, e := range w.executions(run) {
		switch device {
		case "dev-3":
			require.Equal(t, job.DeviceError, e.Reason)
			require.Zero(t, e.At())
			require.Equal(t, "prepare", w.hub.did(device))
			continue
		case "dev-5":
			require.Equal(t, "prepare twin finish finish", w.hub.did(device))
		default:
			require.Equal(t, "prepare twin finish", w.hub.did(device))
		}
		require.Equal(t, 3, e.At())
		require.Equal(t, 204, e.StatusCode)
		require.Len(t, e.Progress.Results, 3)
		require.JSONEq(t, `"prepare"`, string(e.Progress.Results[0].Payload()))
	}
}
