package dispatch

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
)

// continuous is a job that selects its devices every five minutes for a day.
func continuous(members string) string {
	return `{"jobId":"lock","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"lockDoor"},"queryCondition":"tags.fw = 1",
		"selection":"continuous","maxExecutionTimeInSeconds":86400` + members + `}`
}

// rested delivers messages until the run of a job has ended so many rounds and has nothing to do before the next.
func (w *world) rested(id string, rounds int) *job.Run {
	w.t.Helper()
	var run *job.Run
	w.run(func(context.Context) bool {
		run = w.status(id)
		return run.Resting(w.opts.Now()) && run.Rounds.Ended >= rounds
	})
	return run
}

// matches sets the devices that the job's query lists from now on.
func (w *world) matches(devices ...string) {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	w.hub.devices = devices
}

// fleet gives the names of the devices from <= n < to.
func fleet(from, to int) []string {
	var ids []string
	for n := from; n < to; n++ {
		ids = append(ids, fmt.Sprintf("dev-%d", n))
	}
	return ids
}

// TestDevicesThatMatchLaterGetAContinuousJobOnceEach: some are there at first, others come, some of those before leave after they
// were called and come back. Between its rounds the run waits for nobody's message.
func TestDevicesThatMatchLaterGetAContinuousJobOnceEach(t *testing.T) {
	t.Parallel()
	w, clock := clocked(t, "2026-12-01T00:00:00Z", 0)
	w.hub.page = 60
	w.matches(fleet(0, 130)...)
	w.recur(continuous(""))
	run := w.rested("lock", 1)
	require.Equal(t, job.StatusRunning, run.Status)
	require.Equal(t, 130, run.Counts().Of(job.Succeeded))
	require.Equal(t, [2]int{130, 130}, [2]int{run.Rounds.Last.Matched, run.Rounds.Last.Added})
	require.Equal(t, run.Rounds.Last.BeganAt.Add(5*time.Minute), run.Rounds.NextAt)

	w.matches(fleet(100, 250)...)
	supervised := w.queue.count(kindSupervise)
	require.NoError(t, w.current().d.Tick(t.Context()))
	require.Equal(t, supervised, w.queue.count(kindSupervise), "a run that rests has no message")
	clock.jump(5 * time.Minute)
	run = w.rested("lock", 2)
	require.Equal(t, 250, run.Counts().Of(job.Succeeded))
	require.Equal(t, [2]int{150, 120}, [2]int{run.Rounds.Last.Matched, run.Rounds.Last.Added})

	w.matches(slices.Concat(fleet(0, 5), fleet(249, 251))...)
	clock.jump(5 * time.Minute)
	w.rested("lock", 3)
	clock.jump(24 * time.Hour)
	run = w.ended("lock")
	require.Equal(t, job.StatusCompleted, run.Status)
	require.Equal(t, job.EndTimeLimit, run.EndReason)
	require.Equal(t, job.Statistics{DeviceCount: 251, SucceededCount: 251}, run.Counts().Statistics())
	require.Len(t, w.executions(run), 251)
	for _, id := range fleet(0, 251) {
		require.Equal(t, 1, w.hub.called(id), id)
	}
	require.Empty(t, w.queue.poison)
}

// TestMaxDevicesEndAContinuousJob: once it has taken as many as it may there is no further round.
func TestMaxDevicesEndAContinuousJob(t *testing.T) {
	t.Parallel()
	w, clock := clocked(t, "2026-12-01T00:00:00Z", 0)
	w.matches(fleet(0, 10)...)
	w.recur(continuous(`,"maxDevices":15`))
	w.rested("lock", 1)
	w.matches(fleet(0, 20)...)
	clock.jump(5 * time.Minute)
	run := w.ended("lock")
	require.Equal(t, job.EndFinished, run.EndReason)
	require.Equal(t, 15, run.Counts().Of(job.Succeeded))
	require.Zero(t, w.hub.called("dev-15"))
}

// TestAContinuousJobKeepsItsRate: devices that come later are begun no faster than those at first.
func TestAContinuousJobKeepsItsRate(t *testing.T) {
	t.Parallel()
	w, clock := clocked(t, "2026-12-01T00:00:00Z", 0)
	begun := w.hub.clocked()
	w.matches("early")
	w.recur(continuous(`,"rollout":{"maximumPerMinute":600,"batches":[{"number":11},{}]}`))
	w.rested("lock", 1)
	w.matches(fleet(0, 30)...)
	clock.jump(5 * time.Minute)
	run := w.rested("lock", 2)
	require.Equal(t, 31, run.Counts().Of(job.Succeeded))
	require.Equal(t, []int{11, 20}, []int{run.Rollout.Batches[0].Begun, run.Rollout.Batches[1].Begun})
	calls := begun()[1:]
	require.GreaterOrEqual(t, calls[29].Sub(calls[0]), 2500*time.Millisecond, "thirty take three seconds, less the last one's")
}

// TestAProcessMayDieInAnyRound kills the process at its nth storage request after the first round.
func TestAProcessMayDieInAnyRound(t *testing.T) {
	t.Parallel()
	for n := int64(1); n <= 25; n += 3 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			clock := clockAt(t, "2026-12-01T00:00:00Z")
			opts := impatient
			opts.Now, opts.Slices = clock.now, 1
			w := newWorld(t, opts)
			w.hurries(clock.jump)
			w.hub.page = 60
			w.matches(fleet(0, 70)...)
			w.recur(continuous(""))
			w.rested("lock", 1)
			w.matches(fleet(50, 210)...)
			w.current().left.Store(n)
			clock.jump(5 * time.Minute)
			run := w.rested("lock", 2)
			require.Equal(t, job.Statistics{DeviceCount: 210, SucceededCount: 210}, run.Counts().Statistics())
			require.Len(t, w.executions(run), 210)
			for _, id := range fleet(0, 70) {
				require.Equal(t, 1, w.hub.called(id), id)
			}
		})
	}
}

// TestDevicesThatLeaveBeforeTheyAreCalledAreRemoved: a slow rollout has begun a few devices only when half of the others leave the
// target, one of which comes back. Those are called that are there when their turn comes, the others never.
func TestDevicesThatLeaveBeforeTheyAreCalledAreRemoved(t *testing.T) {
	t.Parallel()
	w, clock := clocked(t, "2026-12-01T00:00:00Z", 0)
	w.matches(fleet(0, 60)...)
	w.recur(continuous(`,"rollout":{"maximumPerMinute":60,"batches":[{"number":5},{"number":30,"gate":{"startTime":"2026-12-01T01:00:00Z"}},{}]}`))
	w.run(func(context.Context) bool { return w.status("lock").Counts().Of(job.Succeeded) == 5 })
	round := func(n int) *job.Run {
		clock.jump(5 * time.Minute)
		w.run(func(context.Context) bool { return w.status("lock").Rounds.Ended == n })
		return w.status("lock")
	}
	w.matches(fleet(0, 30)...)
	run := round(2)
	require.Equal(t, 30, run.Rounds.Last.Removed)
	require.Equal(t, 30, run.Counts().Of(job.Removed), "also as long as no worker has their shards")
	require.Equal(t, 25, run.Counts().Of(job.Queued))
	require.Equal(t, map[string]int{"leftTarget": 30}, run.Counts().ReasonMap())
	e, _, err := w.observer().Find(t.Context(), run.ID, "dev-40")
	require.NoError(t, err)
	require.Equal(t, job.Removed, e.State)

	w.matches(append(fleet(0, 30), "dev-40")...)
	run = round(3)
	require.Equal(t, 1, run.Rounds.Last.Added)
	e, _, err = w.observer().Find(t.Context(), run.ID, "dev-40")
	require.NoError(t, err)
	require.Equal(t, job.Queued, e.State)

	_, _, err = w.current().d.Edit(t.Context(), "lock", Edit{Patch: []byte(`{"rollout":{"maximumPerMinute":null}}`), Version: 1}, someone())
	require.NoError(t, err)
	clock.jump(time.Hour)
	run = w.rested("lock", 4)
	require.Equal(t, 31, run.Counts().Of(job.Succeeded))
	require.Equal(t, 30, run.Counts().Of(job.Removed))
	require.Equal(t, 61, run.Counts().Total())
	require.Zero(t, run.Early)
	require.Zero(t, w.hub.called("dev-30"))
	require.Equal(t, 1, w.hub.called("dev-40"))
}

// TestDevicesThatWaitForARetryAreRemovedToo: an offline device that leaves the target is not called again.
func TestDevicesThatWaitForARetryAreRemovedToo(t *testing.T) {
	t.Parallel()
	w, clock := clocked(t, "2026-12-01T00:00:00Z", 0)
	w.matches(fleet(0, 4)...)
	w.hub.answer = func(id string, _ int) (iothub.MethodResult, error) {
		if id != "dev-0" {
			return iothub.MethodResult{}, hubError(iothub.Offline)
		}
		return iothub.MethodResult{Status: 200}, nil
	}
	w.recur(continuous(`,"retry":{"criteria":[{"failureType":"deviceOffline","delay":"PT1H","factor":1,"jitter":0}]}`))
	w.run(func(context.Context) bool { return w.hub.called("dev-3") == 1 && w.status("lock").Rounds.Waits() })
	w.matches(fleet(2, 5)...)
	clock.jump(5 * time.Minute)
	w.run(func(context.Context) bool { return w.status("lock").Rounds.Ended == 2 })
	executions := w.executions(w.status("lock"))
	require.Equal(t, job.Succeeded, executions["dev-0"].State, "what has ended stays")
	require.Equal(t, job.Removed, executions["dev-1"].State)
	require.Equal(t, 1, executions["dev-1"].Attempts)
	require.Equal(t, job.Queued, executions["dev-2"].State)
	clock.jump(time.Hour)
	w.run(func(context.Context) bool { return w.hub.called("dev-2") == 2 && w.hub.called("dev-3") == 2 })
	require.Equal(t, 1, w.hub.called("dev-1"))
}
