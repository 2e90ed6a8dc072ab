package dispatch

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

const patient = `{"jobId":"patient","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*",
	"maxExecutionTimeInSeconds":3600,"retry":{"criteria":[{"failureType":"deviceOffline","delay":"PT20M","factor":1,"jitter":0}]}}`

// Devices that are offline are called again until they come back, no more often than the delay allows, and no invocation and no
// message waits for them.
func TestOfflineDevicesAreCalledAgainUntilTheyComeBack(t *testing.T) {
	t.Parallel()
	w, clock := clocked(t, "2026-12-01T00:00:00Z", 250)
	calls := w.timed(clock)
	online := w.hub.answer
	w.hub.answer = func(id string, call int) (iothub.MethodResult, error) {
		answer, err := online(id, call)
		if id[len(id)-1] == '7' && call <= 2 {
			return iothub.MethodResult{}, hubError(iothub.Offline)
		}
		return answer, err
	}
	id := w.create(patient)
	w.run(func(context.Context) bool {
		run := w.status(id)
		return run.PlanDone && run.Counts().Of(job.Succeeded) == 225
	})
	w.calls.Wait() // nothing is delivered meanwhile
	waiting, err := w.observer().Underway(t.Context(), w.status(id).ID)
	require.NoError(t, err)
	require.Len(t, waiting, 3)
	for _, u := range waiting {
		require.False(t, u.WakeAt.IsZero())
	}
	e := w.executions(w.status(id))["dev-7"]
	require.Equal(t, job.Queued, e.State)
	require.Equal(t, job.DeviceOffline, e.Reason)
	require.False(t, e.NextAttemptAt.IsZero())
	require.Empty(t, w.proc.d.slots, "no invocation waits")

	clock.jump(20 * time.Minute)
	w.run(func(context.Context) bool {
		for device, e := range w.executions(w.status(id)) {
			if device[len(device)-1] == '7' && (e.Attempts < 2 || e.NextAttemptAt.IsZero()) {
				return false
			}
		}
		return true
	})
	clock.jump(20 * time.Minute)
	run := w.ended(id)
	require.Equal(t, 250, run.Counts().Of(job.Succeeded))
	for device, at := range calls() {
		for n := range at[1:] {
			require.GreaterOrEqual(t, at[n+1].Sub(at[n]), 20*time.Minute-time.Second, "%s: the delay, less the slack of one second", device)
		}
	}
	for device, e := range w.executions(run) {
		want := 1
		if device[len(device)-1] == '7' {
			want = 3
		}
		require.Equal(t, want, e.Attempts, device)
		require.Equal(t, want, w.hub.called(device), device)
	}
}

func TestTheEndOfARunEndsItsRetries(t *testing.T) {
	t.Parallel()
	w, clock := clocked(t, "2026-12-01T00:00:00Z", 120)
	w.hub.answer = func(string, int) (iothub.MethodResult, error) { return iothub.MethodResult{}, hubError(iothub.Offline) }
	id := w.create(patient)
	for attempts := 1; attempts <= 2; attempts++ {
		w.run(func(context.Context) bool {
			all := w.executions(w.status(id))
			for _, e := range all {
				if e.Attempts < attempts || e.NextAttemptAt.IsZero() {
					return false
				}
			}
			return len(all) == 120
		})
		clock.jump(20 * time.Minute)
	}
	run := w.ended(id)
	require.Equal(t, job.EndFinished, run.EndReason, "no retry fits before the end, so that the last attempts were the end")
	require.Equal(t, map[string]int{"deviceOffline": 120}, run.Counts().ReasonMap())
	require.Equal(t, 3, w.hub.called("dev-0"))

	w.hub.calls = map[string]int{}
	id = w.create(`{"jobId":"called-off","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*",
		"retry":{"criteria":[{"until":"P1D","delay":"PT1H"}]}}`)
	w.run(func(context.Context) bool {
		return w.hub.called("dev-119") == 1 && !w.executions(w.status(id))["dev-119"].NextAttemptAt.IsZero()
	})
	_, _, err := w.current().d.Cancel(t.Context(), id, someone())
	require.NoError(t, err)
	run = w.ended(id)
	require.Equal(t, job.StatusCancelled, run.Status)
	require.Equal(t, 120, run.Counts().ReasonMap()["deviceOffline"])
}

// A device that is cancelled before its shard was opened is not called, whoever opens the shard.
func TestACanceledExecutionIsNotCalled(t *testing.T) {
	t.Parallel()
	opts := quick
	opts.CallsInFlight, opts.Slices, opts.OpenShards = 5, 1, 1
	w := newWorld(t, opts)
	w.hub.populate(500)
	started := make(chan string, 1)
	release := w.hub.held(started)
	id := w.create(lockDoor)
	w.run(func(context.Context) bool { return len(started) == 1 && w.status(id).PlanDone })
	run := w.status(id)
	require.Less(t, run.Enqueued, 5)
	for range 2 {
		e, err := w.current().d.CancelExecution(t.Context(), run.ID, "dev-499", someone())
		require.NoError(t, err)
		require.Equal(t, job.Canceled, e.State)
	}
	_, err := w.current().d.CancelExecution(t.Context(), run.ID, <-started, someone())
	require.ErrorIs(t, err, ErrNotWaiting)
	close(release)
	run = w.ended(id)
	require.Equal(t, 499, run.Counts().Of(job.Succeeded))
	require.Equal(t, 1, run.Counts().ReasonMap()["executionCanceled"])
	require.Zero(t, w.hub.called("dev-499"))
	changes, _, err := w.observer().Changes(t.Context(), tablestore.ChangeQuery{JobID: id, Max: 100})
	require.NoError(t, err)
	edits := 0
	for _, c := range changes {
		if c.Action == job.ActionEdited {
			edits++
			require.Equal(t, "cancelled the execution of dev-499", c.Note)
			require.Equal(t, someone().Principal, c.By)
		}
	}
	require.Equal(t, 1, edits, "the second cancel changed nothing")
}
