package dispatch

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/azurite/azuritetest"
	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// held makes every call wait until release is closed.
func (h *testHub) held(started chan<- string) (release chan struct{}) {
	release = make(chan struct{})
	h.answer = func(id string, _ int) (iothub.MethodResult, error) {
		select {
		case started <- id:
		default:
		}
		<-release
		return iothub.MethodResult{Status: 200}, nil
	}
	return release
}

func TestCancelStopsNewCallsAndTellsWhoWasReached(t *testing.T) {
	t.Parallel()
	opts := quick
	opts.CallsInFlight = 20
	w := newWorld(t, opts)
	w.hub.populate(30_000) // far beyond the shards that are enqueued at once
	w.hub.page = 1000
	late := azuritetest.Late(t, w.storage)
	started := make(chan string, 1)
	release := w.hub.held(started)
	id := w.create(lockDoor)
	w.run(func(context.Context) bool { return len(started) == 1 && w.status(id).PlanDone })

	_, run, err := w.current().d.Cancel(t.Context(), id, someone())
	require.NoError(t, err)
	require.Equal(t, job.StatusStopping, run.Status)
	asked := time.Now()
	w.run(func(context.Context) bool { return time.Since(asked) > 2*time.Second+late() })
	close(release)
	run = w.ended(id)

	require.Equal(t, job.StatusCancelled, run.Status)
	require.Equal(t, job.EndCancelled, run.EndReason)
	require.Equal(t, 30_000, run.Counts().Total())
	require.Equal(t, 30_000, run.Counts().Of(job.Succeeded)+run.Counts().Of(job.Canceled))
	executions := w.executions(run)
	require.Len(t, executions, 30_000)
	reached := 0
	for device, e := range executions {
		if !e.State.Final() || (e.State == job.Succeeded) != (w.hub.called(device) == 1) {
			t.Fatalf("%s is %s after %d calls", device, e.State, w.hub.called(device))
		}
		reached += w.hub.called(device)
	}
	require.LessOrEqual(t, reached, 20, "only the calls in flight at the time of the cancel were made")

	_, again, err := w.current().d.Cancel(t.Context(), id, someone())
	require.NoError(t, err, "cancelling again changes nothing")
	require.Equal(t, job.StatusCancelled, again.Status)
}

func TestAScheduledJobIsCancelledAtOnce(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]time.Duration{"waiting for the timer": time.Hour, "waiting in the queue": 15 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, quick)
			w.queue.fast = true
			w.hub.populate(3)
			at := time.Now().Add(ahead).UTC().Format(time.RFC3339)
			id := w.create(`{"jobId":"later","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*","startTime":"` + at + `"}`)
			_, run, err := w.current().d.Cancel(t.Context(), id, someone())
			require.NoError(t, err)
			require.Equal(t, job.StatusCancelled, run.Status)
			due, err := w.observer().Due(t.Context(), time.Now().Add(24*time.Hour))
			require.NoError(t, err)
			require.Empty(t, due)
			rec, _, err := w.current().d.Get(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, job.StatusCancelled, rec.Status)
			began := time.Now()
			w.run(func(context.Context) bool { return time.Since(began) > time.Second })
			require.Zero(t, w.hub.called("dev-0"))
		})
	}
}

func TestTheTimeLimitEndsARun(t *testing.T) {
	t.Parallel()
	clock := beforeTheEnd()
	opts := quick
	opts.CallsInFlight, opts.Now = 10, clock.now
	w := newWorld(t, opts)
	w.hub.populate(250)
	slow(w, 100*time.Millisecond)
	id := w.create(`{"jobId":"short","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*","maxExecutionTimeInSeconds":1}`)
	w.run(func(context.Context) bool { return w.total() > 0 })
	clock.goOn()
	run := w.ended(id)
	require.Equal(t, job.StatusCompleted, run.Status)
	require.Equal(t, job.EndTimeLimit, run.EndReason)
	c := run.Counts()
	require.Equal(t, 250, c.Total())
	require.Equal(t, 250, c.Of(job.Succeeded)+c.Of(job.TimedOut))
	require.Positive(t, c.Of(job.Succeeded))
	require.Equal(t, c.Of(job.TimedOut), c.ReasonMap()["notStarted"])
	for device, e := range w.executions(run) {
		require.Equal(t, e.State == job.Succeeded, w.hub.called(device) == 1, device)
	}
}

func TestASliceHandsOnWhatItsTimeDoesNotReach(t *testing.T) {
	t.Parallel()
	opts := quick
	opts.CallsInFlight, opts.Slice = 5, 300*time.Millisecond
	w := newWorld(t, opts)
	w.hub.populate(100)
	w.hub.answer = func(string, int) (iothub.MethodResult, error) {
		time.Sleep(50 * time.Millisecond) // a device that takes its time
		return iothub.MethodResult{Status: 200}, nil
	}
	run := w.ended(w.create(lockDoor))
	require.Equal(t, 100, run.Counts().Of(job.Succeeded))
	for i := range 100 {
		require.Equal(t, 1, w.hub.called(fmt.Sprintf("dev-%d", i)))
	}
}

func TestAStartTimeIsMetBetweenTicks(t *testing.T) {
	t.Parallel()
	clock := beforeTheEnd()
	w := newWorld(t, Options{Now: clock.now})
	w.queue.now = clock.now
	w.hub.populate(1)
	calls := w.timed(clock)
	start := clock.now().Add(2500 * time.Millisecond)
	id := w.create(startingAt("soon", start))
	require.Len(t, w.queue.messages, 1)
	require.WithinRange(t, w.queue.messages[0].visible, start.Add(-time.Second), start, "a job within two ticks does not wait for the timer")
	clock.goOn()
	w.ended(id)
	require.False(t, calls()["dev-0"][0].Before(start))
}

func TestTheTimerStartsWhatComesDue(t *testing.T) {
	t.Parallel()
	clock := beforeTheEnd()
	w := newWorld(t, Options{Tick: 100 * time.Millisecond, Now: clock.now})
	w.hub.populate(1)
	calls := w.timed(clock)
	start := clock.now().Add(1500 * time.Millisecond)
	id := w.create(startingAt("due", start))
	require.Empty(t, w.queue.messages, "a job beyond two ticks waits in its due row, not in the queue")
	clock.goOn()
	w.ended(id)
	require.False(t, calls()["dev-0"][0].Before(start))
}

func startingAt(id string, start time.Time) string {
	return fmt.Sprintf(`{"jobId":%q,"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*","startTime":%q}`,
		id, start.Format(time.RFC3339Nano))
}

func TestCopiesAndStrangersInTheQueueAreHarmless(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(550)
	id := w.create(lockDoor)
	run := w.observer()
	rec, err := run.Job(t.Context(), id)
	require.NoError(t, err)
	send := func(text string) { require.NoError(t, w.queue.Send(t.Context(), []byte(text), 0)) }
	for range 3 {
		for n := range 7 {
			send(fmt.Sprintf(`{"kind":"shard","run":%q,"shard":%d}`, rec.RunID, n))
		}
		send(fmt.Sprintf(`{"kind":"plan","run":%q}`, rec.RunID))
		send(fmt.Sprintf(`{"kind":"supervise","run":%q}`, rec.RunID))
		send(fmt.Sprintf(`{"kind":"supervise","run":%q,"generation":1}`, rec.RunID))
		send(fmt.Sprintf(`{"kind":"purge","run":%q}`, rec.RunID))
		send(`{"kind":"shard","run":"deleted.0123456789ab","shard":3}`)
		send(`{"kind":"supervise","run":"deleted.0123456789ab"}`)
	}
	send(`{"kind":"dance","run":"x"}`)
	send(`not even JSON`)
	ended := w.ended(id)
	require.Equal(t, 550, ended.Counts().Of(job.Succeeded))
	for i := range 550 {
		require.Equal(t, 1, w.hub.called(fmt.Sprintf("dev-%d", i)))
	}
	w.run(func(context.Context) bool {
		w.queue.mu.Lock()
		defer w.queue.mu.Unlock()
		return len(w.queue.poison) == 2
	})
	require.Len(t, w.queue.poison, 2, "only what nobody can read becomes poison")
}

func TestADeletedJobLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(3100)
	id := w.create(lockDoor)
	require.ErrorIs(t, w.current().d.Delete(t.Context(), id, someone()), ErrNotEnded)
	run := w.ended(id)
	require.NoError(t, w.current().d.Delete(t.Context(), id, someone()))
	require.NoError(t, w.queue.Send(t.Context(), fmt.Appendf(nil, `{"kind":"shard","run":%q,"shard":3}`, run.ID), 0))
	store := w.observer()
	w.run(func(ctx context.Context) bool {
		gone, err := store.IsGone(ctx, run.ID)
		return err == nil && !gone
	})
	shards, err := store.Shards(t.Context(), run.ID, tablestore.ShardQuery{Always: -1})
	require.NoError(t, err)
	require.Empty(t, shards)
	_, err = store.Run(t.Context(), run.ID)
	require.ErrorIs(t, err, job.ErrNotFound)

	// The id is free again, and the old messages do not meet the new run.
	again := w.ended(w.create(lockDoor))
	require.NotEqual(t, run.ID, again.ID)
	require.Equal(t, 3100, again.Counts().Of(job.Succeeded))
}

func TestTwoProcessesShareARunWithoutCallingADeviceTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(2000)
	first := w.current()
	second := w.boot(0)
	id := w.create(lockDoor)
	var turn sync.Mutex
	n := 0
	w.run(func(ctx context.Context) bool {
		turn.Lock()
		defer turn.Unlock()
		w.mu.Lock()
		n++
		w.proc = []*process{first, second}[n%2] // deliveries go round
		w.mu.Unlock()
		rec, err := w.observer().Job(ctx, id)
		return err == nil && rec.Status.Ended()
	})
	require.Equal(t, 2000, w.status(id).Counts().Of(job.Succeeded))
	for i := range 2000 {
		require.Equal(t, 1, w.hub.called(fmt.Sprintf("dev-%d", i)))
	}
}
