package dispatch

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/pace"
)

// awaits waits until something has happened, or until the test is over.
func awaits(t *testing.T, happened <-chan struct{}) {
	t.Helper()
	select {
	case <-happened:
	case <-t.Context().Done():
	}
}

func listOf(prefix string, n int) string {
	text := ""
	for i := range n {
		text += fmt.Sprintf(",%q", fmt.Sprintf("%s-%d", prefix, i))
	}
	return `{"jobId":"` + prefix + `","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"deviceIds":[` + text[1:] + `]}`
}

func TestCallsAreSpreadOverTheAllowance(t *testing.T) {
	t.Parallel()
	opts := quick
	opts.Rates = pace.Rates{pace.Methods: 400}
	w := newWorld(t, opts)
	started := time.Now()
	run := w.ended(w.create(listOf("dev", 1000)))
	require.Equal(t, 1000, run.Counts().Of(job.Succeeded))
	require.GreaterOrEqual(t, time.Since(started), 2300*time.Millisecond, "2.5 s by the allowance, less the last calls' distance")
}

// TestJobsShareAnAllowance: a job that has asked for much holds up a later one only for the horizon's part of it.
func TestJobsShareAnAllowance(t *testing.T) {
	t.Parallel()
	opts := quick
	opts.Rates = pace.Rates{pace.Methods: 300}
	w := newWorld(t, opts)
	var begun sync.Once
	called := make(chan struct{})
	w.hub.answer = func(id string, n int) (iothub.MethodResult, error) {
		if id[0] == 'b' {
			begun.Do(func() { close(called) })
		}
		if id == "a-899" {
			awaits(t, called) // b is not behind all of a
		}
		return accept(id, n)
	}
	started := time.Now()
	a, b := w.create(listOf("a", 900)), w.create(listOf("b", 900))
	require.Equal(t, 900, w.ended(a).Counts().Of(job.Succeeded))
	require.Equal(t, 900, w.ended(b).Counts().Of(job.Succeeded))
	require.GreaterOrEqual(t, time.Since(started), 5700*time.Millisecond, "1800 calls at 300 a second")
}

func TestQueriesKeepTheirOwnPace(t *testing.T) {
	t.Parallel()
	opts := quick
	opts.Rates = pace.Rates{pace.Queries: 5}
	w := newWorld(t, opts)
	w.hub.populate(1000)
	var begun sync.Once
	called := make(chan struct{})
	w.hub.answer = func(id string, n int) (iothub.MethodResult, error) {
		begun.Do(func() { close(called) })
		return accept(id, n)
	}
	started := time.Now()
	var last time.Time
	w.hub.query = func(continuation string) error {
		last = time.Now()
		if continuation == "900" { // the first page's devices do not wait for the others
			w.hub.mu.Unlock()
			defer w.hub.mu.Lock()
			awaits(t, called)
		}
		return nil
	}
	run := w.ended(w.create(lockDoor))
	require.Equal(t, 1000, run.Counts().Of(job.Succeeded))
	require.GreaterOrEqual(t, last.Sub(started), 1700*time.Millisecond, "ten pages, the first at once")
}

// TestManyJobsTakeTurnsAtTheQueries: planners that may not wait come back for the slot they got, not for a later one.
func TestManyJobsTakeTurnsAtTheQueries(t *testing.T) {
	t.Parallel()
	opts := quick
	opts.Rates = pace.Rates{pace.Queries: 4}
	w := newWorld(t, opts)
	w.hub.populate(20)
	const jobs = 3 * maxPatient
	ids := make([]string, jobs)
	for i := range ids {
		ids[i] = w.create(fmt.Sprintf(`{"jobId":"j%d","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*"}`, i))
	}
	for _, id := range ids {
		require.Equal(t, 20, w.ended(id).Counts().Of(job.Succeeded))
	}
}

// TestARefusalPushesTheLedgerBack: all processes learn from it.
func TestARefusalPushesTheLedgerBack(t *testing.T) {
	t.Parallel()
	opts := quick
	opts.Rates = pace.Rates{pace.Methods: 1000}
	w := newWorld(t, opts)
	var once sync.Once
	w.hub.answer = func(id string, n int) (iothub.MethodResult, error) {
		var err error
		once.Do(func() {
			err = &iothub.Error{Kind: iothub.Throttled, Op: iothub.OpInvokeMethod, Wait: 300 * time.Millisecond}
		})
		if err != nil {
			return iothub.MethodResult{}, err
		}
		return accept(id, n)
	}
	run := w.ended(w.create(listOf("dev", 300)))
	require.Equal(t, 300, run.Counts().Of(job.Succeeded))
	ledger, _, err := w.observer().Ledger(t.Context(), pace.Methods)
	require.NoError(t, err)
	require.InDelta(t, 0.8, ledger.Factor, 1e-9)
}

// TestALateShardTakesANewSlot: the old one is somebody else's time by now.
func TestALateShardTakesANewSlot(t *testing.T) {
	t.Parallel()
	opts := quick
	opts.Rates = pace.Rates{pace.Methods: 10}
	d := newWorld(t, opts).current().d
	op := &operation{lane: d.lanes[0], kind: pace.Methods, cost: 2}
	shard := newShard("j.0", 0, []string{"a", "b", "c"})
	m, run := message{Kind: kindShard, Run: "j.0"}, &job.Run{ID: "j.0"}
	now := d.now()
	fresh := m.in(pace.Slot{At: now.Add(-slotLate / 2), For: time.Second})
	kept, _, err := d.paced(t.Context(), fresh, run, op, shard)
	require.NoError(t, err)
	require.Equal(t, fresh, kept)
	late, _, err := d.paced(t.Context(), m.in(pace.Slot{At: now.Add(-2 * slotLate), For: time.Second}), run, op, shard)
	require.NoError(t, err)
	require.False(t, late.slot().At.Before(now.Truncate(time.Millisecond)))
	require.Equal(t, 600*time.Millisecond, late.slot().For, "three calls of cost two at ten a second")
	for range 20 {
		_, _, err = d.paced(t.Context(), m, run, op, newShard("j.0", 0, make([]string, 100)))
		require.NoError(t, err)
	}
	old := m.in(pace.Slot{At: now.Add(-time.Hour), For: time.Minute})
	none, wait, err := d.paced(t.Context(), old, run, op, shard)
	require.NoError(t, err)
	require.Greater(t, wait, hold, "the run's part of the horizon is taken: the message comes back")
	require.Equal(t, old, none, "and asks again, with no slot that nobody reserved and the time over which a rollout spreads it")
}

func TestAPreviewDoesNotWaitForLong(t *testing.T) {
	t.Parallel()
	opts := quick
	opts.Rates = pace.Rates{pace.Queries: 0.1}
	clock := beforeTheEnd()
	opts.Now = clock.now
	w := newWorld(t, opts)
	w.hub.populate(3)
	d := w.current().d
	_, err := d.ask(t.Context(), "", "SELECT deviceId FROM devices", 1)
	require.NoError(t, err)
	clock.jump(time.Millisecond)
	_, err = d.ask(t.Context(), "", "SELECT deviceId FROM devices", 1)
	require.Equal(t, iothub.Throttled, iothub.KindOf(err), "%v", err)
	require.InDelta(t, 10*time.Second, waitOf(err), float64(time.Second))
}

func TestAHubWithoutLimitsCostsNoLedger(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(300)
	w.ended(w.create(lockDoor))
	for _, op := range []pace.Operation{pace.Methods, pace.Queries, pace.TwinUpdates} {
		_, rev, err := w.observer().Ledger(context.Background(), op)
		require.NoError(t, err)
		require.Empty(t, rev)
	}
}
