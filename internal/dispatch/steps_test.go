package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/pace"
	"github.com/fleetjobs/fleetjobs/internal/twinquery"
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

const shortSteps = `{"jobId":"short","type":"scheduleSteps","queryCondition":"*","steps":[
	{"method":{"methodName":"prepare"}},
	{"waitFor":{"path":"properties.reported.fw.status","equals":"done"}},
	{"updateTwin":{"properties":{"desired":{"telemetryInterval":30}}}}]%s}`

// TestAProcessMayDieBetweenSteps kills the process at its nth storage request: every device goes through all steps in order, and
// only the step whose outcome was not stored is repeated.
func TestAProcessMayDieBetweenSteps(t *testing.T) {
	t.Parallel()
	dieBetweenSteps(t, "", func(t *testing.T, w *world, run *job.Run) {
		require.Equal(t, 60, run.Counts().Of(job.Succeeded))
		repeated := 0
		for device := range w.executions(run) {
			require.Regexp(t, "^(prepare )+twin( twin)*$", w.hub.did(device), device)
			repeated += w.hub.called(device) - 2
		}
		require.LessOrEqual(t, repeated, 60, "one death repeats one step of a device at most")
	})
}

func TestNoStepIsEverDoneTwice(t *testing.T) {
	t.Parallel()
	dieBetweenSteps(t, `,"deliveryGuarantee":"atMostOnce"`, func(t *testing.T, w *world, run *job.Run) {
		c := run.Counts()
		require.Equal(t, 60, c.Of(job.Succeeded)+c.Of(job.InDoubt))
		for device, e := range w.executions(run) {
			did := w.hub.did(device)
			if e.State == job.Succeeded {
				require.Equal(t, "prepare twin", did, device)
				continue
			}
			require.Contains(t, []string{"", "prepare", "prepare twin"}, did, device)
		}
	})
}

func dieBetweenSteps(t *testing.T, members string, check func(*testing.T, *world, *job.Run)) {
	t.Helper()
	const last = 40
	step := int64(2)
	if testing.Short() {
		step = 9
	}
	for n := int64(1); n <= last; n += step {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			opts := impatient
			opts.LookDelay, opts.Slices = 1100*time.Millisecond, 1
			w := newMortalWorld(t, opts)
			w.hub.page = 40
			w.hub.populate(60)
			w.hub.reported = fine
			id := w.create(fmt.Sprintf(shortSteps, members))
			w.current().left.Store(n)
			run := w.ended(id)
			require.Equal(t, job.StatusCompleted, run.Status)
			require.Equal(t, 60, run.Counts().Total())
			check(t, w, run)
		})
	}
}

// What becomes of devices that are waited for when their run ends or rests, and of those between two steps.
func TestWhatEndsAJobEndsItsWaits(t *testing.T) {
	t.Parallel()
	awaits := func(t *testing.T, body string) (*world, string) {
		t.Helper()
		w := newWorld(t, watchful)
		w.hub.populate(3)
		w.hub.reported = func(string) map[string]any { return nil }
		id := w.create(body)
		w.run(func(context.Context) bool { return w.status(id).Counts().AwaitingMap()["awaitingConfirmation"] == 3 })
		return w, id
	}
	t.Run("its time limit", func(t *testing.T) {
		t.Parallel()
		w, id := awaits(t, fmt.Sprintf(confirmed, "PT1H", `,"maxExecutionTimeInSeconds":3600`))
		_, _, err := w.current().d.Edit(t.Context(), id, Edit{Patch: []byte(`{"maxExecutionTimeInSeconds":1}`)}, someone())
		require.NoError(t, err)
		run := w.ended(id)
		require.Equal(t, map[string]int{"notConfirmed": 3}, run.Counts().ReasonMap())
		require.Equal(t, 3, run.Counts().Of(job.TimedOut))
	})
	t.Run("its cancel", func(t *testing.T) {
		t.Parallel()
		w, id := awaits(t, fmt.Sprintf(confirmed, "PT1H", ""))
		e, err := w.current().d.CancelExecution(t.Context(), w.status(id).ID, "dev-0", someone())
		for errors.Is(err, ErrNotWaiting) { // somebody is looking at the device
			e, err = w.current().d.CancelExecution(t.Context(), w.status(id).ID, "dev-0", someone())
		}
		require.NoError(t, err)
		require.Equal(t, job.Canceled, e.State)
		require.False(t, e.Awaiting())
		_, _, err = w.current().d.Cancel(t.Context(), id, someone())
		require.NoError(t, err)
		run := w.ended(id)
		require.Equal(t, map[string]int{"executionCanceled": 1, "jobCanceled": 2}, run.Counts().ReasonMap())
	})
	t.Run("a pause only rests them", func(t *testing.T) {
		t.Parallel()
		w, id := awaits(t, fmt.Sprintf(confirmed, "PT2S", ""))
		_, _, err := w.current().d.Pause(t.Context(), id, "", someone())
		require.NoError(t, err)
		w.hub.mu.Lock()
		w.hub.reported = closed
		w.hub.mu.Unlock()
		w.run(func(context.Context) bool { return time.Since(w.status(id).StartedAt) > 3*time.Second })
		_, _, err = w.current().d.Resume(t.Context(), id, "", someone())
		require.NoError(t, err)
		require.Equal(t, 3, w.ended(id).Counts().Of(job.Succeeded), "who was late to look takes what there is")
	})
}

// A hub that does not answer a query fails no device: the run asks again, and is blocked meanwhile where that takes longer. A query that the
// hub will never take ends those that it was for.
func TestQueriesThatTheHubDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind      iothub.Kind
		blocks    bool
		succeeded int
	}{
		"out of reach": {iothub.HubFault, true, 3},
		"failing":      {iothub.ServerError, false, 3},
		"broken":       {iothub.Lost, false, 3},
		"throttling":   {iothub.Throttled, false, 3},
		"refusing":     {iothub.Rejected, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, watchful)
			w.hub.populate(3)
			w.hub.reported = closed
			var blocked atomic.Bool
			w.hub.blind = func(look int) error {
				if c.blocks && !blocked.Load() || !c.blocks && look <= 2 {
					return hubError(c.kind)
				}
				return nil
			}
			id := w.create(fmt.Sprintf(confirmed, "PT1S", ""))
			run := w.endedAfter(id, func() {
				if w.status(id).Status == job.StatusBlocked {
					blocked.Store(true)
				}
			})
			require.Equal(t, c.blocks, blocked.Load())
			require.Equal(t, c.succeeded, run.Counts().Of(job.Succeeded))
			require.Equal(t, 3-c.succeeded, run.Counts().ReasonMap()["requestRejected"])
			require.Equal(t, 1, w.hub.called("dev-0"))
		})
	}
}

// Devices are asked for by one query for each shard, on a schedule, and never one by one.
func TestDevicesAreLookedAfterByThePage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, watchful)
	w.hub.populate(250)
	w.hub.reported = closed
	run := w.ended(w.create(fmt.Sprintf(confirmed, "PT1H", "")))
	require.Equal(t, 250, run.Counts().Of(job.Succeeded))
	require.Less(t, w.hub.looked(), 50, "three shards, whose devices are ready about together")
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	for _, q := range w.hub.looks {
		require.LessOrEqual(t, len(q), twinquery.MaxLength)
	}
}

// Devices that are waited for are in progress: they count for the rollout's concurrency, and the next begin when they are done.
func TestDevicesThatAreWaitedForCountAsInFlight(t *testing.T) {
	t.Parallel()
	w := newWorld(t, watchful)
	w.hub.populate(250)
	var applied atomic.Bool
	w.hub.reported = func(id string) map[string]any {
		if applied.Load() {
			return closed(id)
		}
		return nil
	}
	id := w.create(fmt.Sprintf(confirmed, "PT1H", `,"rollout":{"maxConcurrency":100}`))
	w.run(func(context.Context) bool { return w.hub.looked() >= 3 && w.status(id).PlanDone })
	called := 0
	for device := range w.executions(w.status(id)) {
		called += w.hub.called(device)
	}
	require.Equal(t, 100, called)
	applied.Store(true)
	require.Equal(t, 250, w.ended(id).Counts().Of(job.Succeeded))
}

// Each device is waited for until it reports what it was given itself.
func TestADeviceConfirmsItsOwnValues(t *testing.T) {
	t.Parallel()
	w := newWorld(t, watchful)
	w.hub.populate(3)
	w.hub.reported = func(id string) map[string]any { return map[string]any{"name": "at " + id} }
	run := w.ended(w.create(`{"jobId":"own","type":"scheduleSteps","queryCondition":"*","steps":[
		{"method":{"methodName":"prepare","payload":"{{deviceId}}"}},
		{"updateTwin":{"properties":{"desired":{"name":"at {{deviceId}}"}}},"confirm":{"within":"PT1S"}}]}`))
	require.Equal(t, 3, run.Counts().Of(job.Succeeded))
}

func TestModulesConfirmToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, watchful)
	w.hub.devices = []string{"dev-0/camera", "dev-0/door", "dev-1/camera"}
	w.hub.reported = func(id string) map[string]any { return map[string]any{"a": id == "dev-0/door"} }
	run := w.ended(w.create(`{"jobId":"parts","type":"scheduleUpdateTwin","queryCondition":"FROM devices.modules",
		"updateTwin":{"properties":{"desired":{"a":true}}},"confirm":{"within":"PT1S"}}`))
	require.Equal(t, map[string]int{"notConfirmed": 2}, run.Counts().ReasonMap())
	require.Equal(t, job.Succeeded, w.executions(run)["dev-0/door"].State)
	require.Contains(t, w.hub.looks[0], "FROM devices.modules WHERE deviceId IN ['dev-0', 'dev-1'] AND moduleId IN ['camera', 'door']")
}

// Looks are charged to the hub's allowance of queries, like the pages of a selection: however many shards wait, no more are made than
// it holds, and no device suffers from those that come late.
func TestLooksKeepToTheAllowance(t *testing.T) {
	t.Parallel()
	const rate = 4.0
	opts := watchful
	opts.Rates = pace.Rates{pace.Queries: rate}
	w := newWorld(t, opts)
	w.hub.populate(800)
	var applied atomic.Bool
	w.hub.reported = func(id string) map[string]any {
		if applied.Load() {
			return closed(id)
		}
		return nil
	}
	id := w.create(fmt.Sprintf(confirmed, "PT1H", ""))
	w.run(func(context.Context) bool { return w.hub.looked() >= 4 })
	applied.Store(true)
	run := w.ended(id)
	require.Equal(t, 800, run.Counts().Of(job.Succeeded))
	took := run.EndedAt.Sub(run.StartedAt).Seconds()
	require.LessOrEqual(t, float64(w.hub.looked()), rate*(took+2), "what the allowance held, and what it lets come late")
}
