package dispatch

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
)

// storesShard says that a request stores a shard that goes on.
func storesShard(r *http.Request) bool {
	return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "RowKey='shard:")
}

// slow gives a hub whose devices take their time, and counts its calls.
func slow(w *world, d time.Duration) *atomic.Int64 {
	var calls atomic.Int64
	w.hub.answer = func(string, int) (iothub.MethodResult, error) {
		calls.Add(1)
		time.Sleep(d) // a device that takes its time
		return iothub.MethodResult{Status: 200}, nil
	}
	return &calls
}

// TestNoCallStartsAfterTheClaimWhileStorageHangs: a worker that waits for storage does not go on calling devices that
// others may claim meanwhile.
func TestNoCallStartsAfterTheClaimWhileStorageHangs(t *testing.T) {
	t.Parallel()
	opts := quick
	opts.Lease, opts.CallsInFlight = time.Second, 2
	w := newWorld(t, opts)
	w.hub.populate(100)
	calls := slow(w, 50*time.Millisecond)
	hangs, heals := make(chan struct{}, 100), make(chan struct{})
	w.through(meddler{before: func(r *http.Request) {
		if storesShard(r) {
			hangs <- struct{}{}
			<-heals
		}
	}})
	id := w.create(lockDoor)
	w.run(func(context.Context) bool { return len(hangs) > 0 }) // and from here on nothing is delivered
	time.Sleep(opts.Lease)                                      // until the claim has ended by the clock; nothing else tells
	called := calls.Load()
	time.Sleep(opts.Lease / 2) // nothing may happen in this time
	require.Equal(t, called, calls.Load())
	require.Less(t, called, int64(100))
	close(heals)
	require.Equal(t, 100, w.ended(id).Counts().Of(job.Succeeded))
}

// TestOutcomesSurviveAStorageThatFailsForAWhile: what a slice came to is not given up, so that no device is called
// again.
func TestOutcomesSurviveAStorageThatFailsForAWhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(100)
	calls := slow(w, time.Millisecond)
	var since atomic.Int64
	w.through(meddler{fail: func(*http.Request, string) bool {
		if calls.Load() == 0 {
			return false
		}
		since.CompareAndSwap(0, time.Now().UnixNano())
		return time.Since(time.Unix(0, since.Load())) < 4*time.Second
	}})
	run := w.ended(w.create(lockDoor))
	require.Equal(t, 100, run.Counts().Of(job.Succeeded))
	require.Equal(t, int64(100), calls.Load())
}

// TestTheTimeLimitHoldsWithoutASupervisor: messages that come after the time limit start nothing, even when nobody has
// stopped the run yet.
func TestTheTimeLimitHoldsWithoutASupervisor(t *testing.T) {
	t.Parallel()
	opts := quick
	clock := clockAt(t, "2026-12-01T00:00:00Z")
	opts.Slice, opts.Now = time.Second, clock.now // in which the planner finds no room for the shard
	w := newWorld(t, opts)
	w.hub.populate(100)
	calls := slow(w, time.Millisecond)
	id := w.create(`{"jobId":"short","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*","maxExecutionTimeInSeconds":60}`)
	rec, err := w.observer().Job(t.Context(), id)
	require.NoError(t, err)
	d := w.current().d
	free := occupy(d)
	require.NoError(t, d.Handle(t.Context(), Delivery{Body: fmt.Appendf(nil, `{"kind":"plan","run":%q}`, rec.RunID), Owner: "a"}))
	free()
	clock.jump(61 * time.Second)
	require.NoError(t, d.Handle(t.Context(), Delivery{Body: fmt.Appendf(nil, `{"kind":"shard","run":%q}`, rec.RunID), Owner: "b"}))
	require.Zero(t, calls.Load())
	require.Equal(t, 100, w.ended(id).Counts().ReasonMap()["notStarted"])
}
