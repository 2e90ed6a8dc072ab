package dispatch

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// onDevices is a job on a list of devices; members are further ones.
func onDevices(id string, from, to int, members string) string {
	list := ""
	for n := from; n < to; n++ {
		list += fmt.Sprintf(`,"dev-%d"`, n)
	}
	return fmt.Sprintf(`{"jobId":%q,"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"deviceIds":[%s]%s}`, id, list[1:], members)
}

// nothingHeld checks that no run holds anything any more.
func (w *world) nothingHeld() {
	w.t.Helper()
	require.NoError(w.t, w.observer().Holders(w.t.Context(), "", func(h tablestore.Holder) { require.Fail(w.t, "still held", "%+v", h) }))
}

// busy counts the calls that a device has under way, and remembers the most.
type busy struct {
	mu   sync.Mutex
	now  map[string]int
	most int
	hold map[string]chan struct{} // devices that answer when their channel is closed
}

func (b *busy) call(ctx context.Context, id string) error {
	b.mu.Lock()
	b.now[id]++
	b.most = max(b.most, b.now[id])
	hold := b.hold[id]
	b.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
		}
	}
	<-time.After(time.Millisecond) // so that calls could meet
	b.mu.Lock()
	b.now[id]--
	b.mu.Unlock()
	return nil
}

// An exclusive run's device waits, visibly, while another exclusive run works on it; the others of its shard are called, and a run that
// is not exclusive calls it.
func TestExclusiveRunsWorkOnADeviceOneAfterTheOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{Flush: 100 * time.Millisecond, RetryDelay: time.Millisecond})
	slow := make(chan struct{})
	b := &busy{now: map[string]int{}, hold: map[string]chan struct{}{"dev-1": slow}}
	w.hub.slow = b.call
	w.create(onDevices("first", 0, 2, `,"exclusive":true`))
	w.run(func(context.Context) bool { return w.hub.called("dev-1") == 1 })

	w.create(onDevices("second", 1, 4, `,"exclusive":true`))
	store := w.observer()
	w.run(func(ctx context.Context) bool {
		rec, err := store.Job(ctx, "second")
		if err != nil {
			return false
		}
		e, _, err := store.Find(ctx, rec.RunID, "dev-1")
		return err == nil && e.Reason == job.DeviceHeld
	})
	held := w.executions(w.status("second"))
	require.Equal(t, job.Queued, held["dev-1"].State)
	require.False(t, held["dev-1"].NextAttemptAt.IsZero())
	require.Zero(t, held["dev-1"].Attempts)
	w.run(func(context.Context) bool { return w.hub.called("dev-2") == 1 && w.hub.called("dev-3") == 1 })
	require.Equal(t, 1, w.hub.called("dev-1"))

	w.create(onDevices("other", 1, 2, ""))
	w.run(func(context.Context) bool { return w.hub.called("dev-1") == 2 })
	close(slow)
	for id, devices := range map[string]int{"first": 2, "second": 3, "other": 1} {
		run := w.ended(id)
		require.Equal(t, job.Statistics{DeviceCount: devices, SucceededCount: devices}, run.Counts().Statistics())
		require.Equal(t, 1, w.executions(run)["dev-1"].Attempts, "waiting is no attempt")
	}
	require.Equal(t, 3, w.hub.called("dev-1"))
	w.nothingHeld()
}

// However exclusive runs begin, with whatever devices in common, no device has two of their calls at once, and all come to their end.
func TestExclusiveRunsNeverMeet(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{Flush: 100 * time.Millisecond, RetryDelay: time.Millisecond})
	w.queue.fast = true
	b := &busy{now: map[string]int{}}
	w.hub.slow = b.call
	const runs = 4
	for n := range runs {
		w.create(onDevices(fmt.Sprint("job-", n), 30*n, 150+30*n, `,"exclusive":true`))
	}
	for n := range runs {
		run := w.ended(fmt.Sprint("job-", n))
		require.Equal(t, job.Statistics{DeviceCount: 150, SucceededCount: 150}, run.Counts().Statistics())
	}
	require.Equal(t, 1, b.most)
}

// A run that is cancelled does not go on waiting for a device, whose execution was never begun.
func TestADeviceThatIsHeldIsCanceled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{Flush: 100 * time.Millisecond, RetryDelay: time.Millisecond})
	slow := make(chan struct{})
	b := &busy{now: map[string]int{}, hold: map[string]chan struct{}{"dev-0": slow}}
	w.hub.slow = b.call
	w.create(onDevices("first", 0, 1, `,"exclusive":true,"deliveryGuarantee":"atMostOnce"`))
	w.run(func(context.Context) bool { return w.hub.called("dev-0") == 1 })
	w.create(onDevices("second", 0, 1, `,"exclusive":true,"deliveryGuarantee":"atMostOnce"`))
	store := w.observer()
	w.run(func(ctx context.Context) bool {
		rec, err := store.Job(ctx, "second")
		if err != nil {
			return false
		}
		e, _, err := store.Find(ctx, rec.RunID, "dev-0")
		return err == nil && e.Reason == job.DeviceHeld
	})
	_, _, err := w.current().d.Cancel(t.Context(), "second", someone())
	require.NoError(t, err)
	run := w.ended("second")
	e := w.executions(run)["dev-0"]
	require.Equal(t, job.Canceled, e.State)
	require.Equal(t, job.JobCanceled, e.Reason)
	close(slow)
	require.Equal(t, 1, w.ended("first").Counts().Of(job.Succeeded))
	require.Equal(t, 1, w.hub.called("dev-0"))
}

// TestExclusiveRunsThroughADeath kills the process at its nth storage request while two runs want the same devices: both come to their
// end, and what a dead slice held keeps nobody for longer than its lease.
func TestExclusiveRunsThroughADeath(t *testing.T) {
	t.Parallel()
	for n := int64(4); n <= 44; n += 4 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			w := newMortalWorld(t, impatient)
			w.create(onDevices("first", 0, 120, `,"exclusive":true`))
			w.create(onDevices("second", 0, 120, `,"exclusive":true`))
			w.current().left.Store(n)
			for _, id := range []string{"first", "second"} {
				run := w.ended(id)
				require.Equal(t, job.Statistics{DeviceCount: 120, SucceededCount: 120}, run.Counts().Statistics())
			}
			shards, err := w.observer().Shards(t.Context(), w.status("first").ID, tablestore.ShardQuery{Always: -1})
			require.NoError(t, err)
			require.NotEmpty(t, shards)
		})
	}
}
