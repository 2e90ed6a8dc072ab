package dispatch

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

const patient = `{"jobId":"patient","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*",
	"maxExecutionTimeInSeconds":%s,"retry":{"criteria":[{"failureType":"deviceOffline","delay":"PT2S","factor":1,"jitter":0}]}}`

// Devices that are offline are called again until they come back, no more often than the delay allows, and no invocation and no
// message waits for them.
func TestOfflineDevicesAreCalledAgainUntilTheyComeBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(250)
	w.hub.answer = func(id string, call int) (iothub.MethodResult, error) {
		if id[len(id)-1] == '7' && call <= 2 {
			return iothub.MethodResult{}, hubError(iothub.Offline)
		}
		return iothub.MethodResult{Status: 200}, nil
	}
	began := time.Now()
	id := w.create(replaced(patient, "3600"))
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

	run := w.ended(id)
	require.Equal(t, 250, run.Counts().Of(job.Succeeded))
	require.GreaterOrEqual(t, time.Since(began), 3*time.Second, "two delays, less the slack of one second")
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
	w := newWorld(t, quick)
	w.hub.populate(120)
	w.hub.answer = func(string, int) (iothub.MethodResult, error) { return iothub.MethodResult{}, hubError(iothub.Offline) }
	run := w.ended(w.create(replaced(patient, "8")))
	require.Equal(t, job.EndFinished, run.EndReason, "no retry fits before the end, so that the last attempts were the end")
	require.Equal(t, map[string]int{"deviceOffline": 120}, run.Counts().ReasonMap())
	require.LessOrEqual(t, w.hub.called("dev-0"), 5)
	require.GreaterOrEqual(t, w.hub.called("dev-0"), 2)

	w.hub.calls = map[string]int{}
	id := w.create(`{"jobId":"called-off","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*",
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

func replaced(body, seconds string) string { return strings.Replace(body, "%s", seconds, 1) }

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
