package dispatch

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/azurite/azuritetest"
	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// takesTime makes every call take d, and tells how many began and when the last did.
func (h *testHub) takesTime(d time.Duration) (begun *atomic.Int64, last *atomic.Int64) {
	begun, last = &atomic.Int64{}, &atomic.Int64{}
	h.answer = func(string, int) (iothub.MethodResult, error) {
		begun.Add(1)
		last.Store(time.Now().UnixNano())
		time.Sleep(d) // a device that takes its time
		return iothub.MethodResult{Status: 200}, nil
	}
	return begun, last
}

// TestAPauseStopsNewCallsUntilTheRunIsResumed: calls that begin after the pause do so within two seconds; what was under way
// is stored, and after the resume every device has been called once.
func TestAPauseStopsNewCallsUntilTheRunIsResumed(t *testing.T) {
	t.Parallel()
	opts := quick
	opts.CallsInFlight = 20
	w := newWorld(t, opts)
	const devices = 5_000 // who take 12 s
	w.hub.populate(devices)
	begun, last := w.hub.takesTime(50 * time.Millisecond)
	late := azuritetest.Late(t, w.storage)
	id := w.create(lockDoor)
	w.run(func(context.Context) bool { return begun.Load() > 100 })

	rec, run, err := w.current().d.Pause(t.Context(), id, "firmware", someone())
	require.NoError(t, err)
	paused := time.Now()
	require.Equal(t, job.StatusPaused, run.Status)
	require.Equal(t, "firmware", run.Pause.Note)
	w.run(func(context.Context) bool {
		return time.Since(paused) > 4*time.Second && w.status(id).Counts().Of(job.Succeeded) == int(begun.Load())
	})
	require.Less(t, time.Unix(0, last.Load()).Sub(paused), 2*time.Second+late())
	called := begun.Load()
	require.Less(t, called, int64(devices))
	run = w.status(id)
	require.Equal(t, job.StatusPaused, run.Status)
	require.Equal(t, int(called), run.Counts().Of(job.Succeeded), "what was under way ended and is counted")
	stored, err := w.observer().Job(t.Context(), rec.JobID)
	require.NoError(t, err)
	require.Equal(t, job.StatusPaused, stored.Status)

	_, again, err := w.current().d.Pause(t.Context(), id, "other", someone())
	require.NoError(t, err)
	require.Equal(t, "firmware", again.Pause.Note, "pausing again changes nothing")
	w.hub.mu.Lock()
	w.hub.answer = accept
	w.hub.mu.Unlock()
	_, run, err = w.current().d.Resume(t.Context(), id, "", someone())
	require.NoError(t, err)
	require.Equal(t, job.StatusRunning, run.Status)
	run = w.ended(id)
	require.Equal(t, job.StatusCompleted, run.Status)
	require.Equal(t, devices, w.total(), "each device was called once")
	changes, _, err := w.observer().Changes(t.Context(), tablestore.ChangeQuery{JobID: id, Max: 10})
	require.NoError(t, err)
	require.Len(t, changes, 3, "created, paused, resumed")
	require.Equal(t, job.ActionPaused, changes[1].Action)
	require.Equal(t, "firmware", changes[1].Note)
}

// TestAPauseHoldsTheSelectionToo: the plan goes on where it was.
func TestAPauseHoldsTheSelectionToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(1_000)
	late := azuritetest.Late(t, w.storage)
	var pages atomic.Int64
	w.hub.query = func(string) error {
		pages.Add(1)
		time.Sleep(50 * time.Millisecond) // a hub that takes its time
		return nil
	}
	id := w.create(lockDoor)
	w.run(func(context.Context) bool { return pages.Load() > 2 })
	_, _, err := w.current().d.Pause(t.Context(), id, "", someone())
	require.NoError(t, err)
	paused := time.Now()
	w.run(func(context.Context) bool { return time.Since(paused) > 2*time.Second+late() })
	held, looked := pages.Load(), time.Now()
	w.run(func(context.Context) bool { return time.Since(looked) > time.Second })
	require.Equal(t, held, pages.Load())
	_, _, err = w.current().d.Resume(t.Context(), id, "", someone())
	require.NoError(t, err)
	run := w.ended(id)
	require.Equal(t, 1_000, run.Counts().Of(job.Succeeded))
}

// TestAPausedRunThatRestsSendsNoMessages: while it rests no message is under way, and the timer sends none.
func TestAPausedRunThatRestsSendsNoMessages(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	opts := quick
	opts.Silence = 100 * time.Millisecond
	opts.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	w := newWorld(t, opts)
	w.hub.populate(300)
	w.queue.fast = true
	release := w.hub.held(make(chan string, 1))
	id := w.create(`{"jobId":"lock","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*","maxExecutionTimeInSeconds":7200}`)
	w.run(func(context.Context) bool { return w.status(id).PlanDone })
	_, _, err := w.current().d.Pause(t.Context(), id, "", someone())
	require.NoError(t, err)
	close(release)
	w.run(func(context.Context) bool { return w.status(id).Counts().Of(job.InProgress) == 0 })
	ahead.Store(int64(time.Hour))
	w.calls.Wait()
	require.NoError(t, w.current().d.Tick(t.Context()))
	w.run(func(context.Context) bool { return w.queue.empty() })
	w.calls.Wait()
	sent, began := w.queue.count(kindSupervise), time.Now()
	w.run(func(context.Context) bool { return time.Since(began) > time.Second })
	require.Equal(t, sent, w.queue.count(kindSupervise))

	ahead.Store(int64(3 * time.Hour))
	run := w.ended(id)
	require.Equal(t, job.EndTimeLimit, run.EndReason, "the time limit went on")
	require.Equal(t, 300, run.Counts().Ended())
}

func (q *testQueue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.messages) == 0
}

func TestAPausedRunIsCancelled(t *testing.T) {
	t.Parallel()
	opts := quick
	opts.CallsInFlight = 20
	w := newWorld(t, opts)
	w.hub.populate(1_000)
	begun, _ := w.hub.takesTime(50 * time.Millisecond)
	id := w.create(lockDoor)
	w.run(func(context.Context) bool { return begun.Load() > 100 })
	_, _, err := w.current().d.Pause(t.Context(), id, "", someone())
	require.NoError(t, err)
	_, _, err = w.current().d.Cancel(t.Context(), id, someone())
	require.NoError(t, err)
	run := w.ended(id)
	require.Equal(t, job.StatusCancelled, run.Status)
	require.Equal(t, run.Counts().Total(), run.Counts().Ended())
	_, _, err = w.current().d.Resume(t.Context(), id, "", someone())
	require.ErrorIs(t, err, ErrEnded)
	require.NoError(t, w.current().d.Delete(t.Context(), id, someone()))
}

// TestAJobIsPausedBeforeItBegins: it does not begin at its start time, but when it is resumed.
func TestAJobIsPausedBeforeItBegins(t *testing.T) {
	t.Parallel()
	for name, tick := range map[string]time.Duration{"waiting for the timer": 10 * time.Millisecond, "waiting in the queue": 10 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := quick
			opts.Tick = tick
			w := newWorld(t, opts)
			w.hub.populate(3)
			at := time.Now().Add(1500 * time.Millisecond).UTC().Format(time.RFC3339Nano)
			id := w.create(`{"jobId":"later","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*","startTime":"` + at + `"}`)
			_, run, err := w.current().d.Pause(t.Context(), id, "", someone())
			require.NoError(t, err)
			require.Equal(t, job.StatusPaused, run.Status)
			began := time.Now()
			w.run(func(context.Context) bool { return time.Since(began) > 3*time.Second })
			require.Zero(t, w.hub.called("dev-0"))
			_, run, err = w.current().d.Resume(t.Context(), id, "", someone())
			require.NoError(t, err)
			require.Equal(t, job.StatusScheduled, run.Status)
			require.Equal(t, 3, w.ended(id).Counts().Of(job.Succeeded))

			second := w.create(`{"jobId":"never","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*","startTime":"` +
				time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `"}`)
			_, _, err = w.current().d.Pause(t.Context(), second, "", someone())
			require.NoError(t, err)
			_, run, err = w.current().d.Cancel(t.Context(), second, someone())
			require.NoError(t, err)
			require.Equal(t, job.StatusCancelled, run.Status)
			require.Nil(t, run.Pause)
		})
	}
}
