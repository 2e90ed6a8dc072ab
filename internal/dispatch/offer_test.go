package dispatch

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
)

// helped gives a world of two processes: one gets the feed messages, the other all messages else. Supervisions are withheld, so that
// nobody opens shards for the queue. Devices answer when the returned function is called.
func helped(t *testing.T, opts Options) (w *world, helper *Dispatcher, answer func()) {
	w = newWorld(t, opts)
	first := w.current()
	w.feed = w.boot(0)
	w.proc = first
	w.queue.withheld = kindSupervise
	may := make(chan struct{})
	w.hub.answer = func(id string, n int) (iothub.MethodResult, error) {
		<-may
		return accept(id, n)
	}
	answer = sync.OnceFunc(func() { close(may) })
	t.Cleanup(answer)
	return w, w.feed.d, answer
}

// TestABusyPlannerAsksOthersForHelp: what finds no free slot here is taken by a process that has some, without a message for each
// shard.
func TestABusyPlannerAsksOthersForHelp(t *testing.T) {
	t.Parallel()
	opts := quick
	opts.Slices = 2
	w, helper, answer := helped(t, opts)
	w.hub.populate(1000)
	id := w.create(lockDoor)
	w.run(func(context.Context) bool { return w.status(id).Enqueued == 4 })
	require.Len(t, w.current().d.slots, 2)
	require.Len(t, helper.slots, 2)
	require.Zero(t, w.queue.count(kindShard))
	answer()
	w.queue.deliverAll()
	run := w.ended(id)
	require.Equal(t, 1000, run.Counts().Of(job.Succeeded))
	for device := range w.executions(run) {
		require.Equal(t, 1, w.hub.called(device), device)
	}
}

// TestAProcessAtItsCapAsksOthersForHelp: at the cap of calls in flight shards are not held, though slots are free.
func TestAProcessAtItsCapAsksOthersForHelp(t *testing.T) {
	t.Parallel()
	opts := quick
	opts.CallsInFlight = 50
	w, helper, answer := helped(t, opts)
	w.hub.populate(1000)
	id := w.create(lockDoor)
	w.run(func(context.Context) bool { return len(helper.slots) > 0 })
	require.Less(t, len(w.current().d.slots), 5, "slots taken by shards whose calls can not begin")
	answer()
	w.queue.deliverAll()
	require.Equal(t, 1000, w.ended(id).Counts().Of(job.Succeeded))
}

// TestAPlannerThatKeepsUpAsksNobody: a run that one process can do has no message but those of its plan and its supervisions.
func TestAPlannerThatKeepsUpAsksNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(2000)
	run := w.ended(w.create(lockDoor))
	require.Equal(t, 2000, run.Counts().Of(job.Succeeded))
	require.Zero(t, w.queue.count(kindFeed))
	require.Equal(t, 1, w.queue.count(kindPlan))
}

// TestFeedingGoesOnAfterASlice: a run of many slices costs a message for each of them and none for a shard.
func TestFeedingGoesOnAfterASlice(t *testing.T) {
	t.Parallel()
	opts := quick
	opts.CallsInFlight, opts.Slice, opts.Silence = 20, time.Second, time.Hour
	w := newWorld(t, opts)
	w.queue.withheld = kindSupervise
	w.hub.populate(3000)
	slow(w, 25*time.Millisecond) // 3.75 s
	id := w.create(lockDoor)
	w.run(func(context.Context) bool { return w.status(id).Enqueued == 30 })
	require.GreaterOrEqual(t, w.queue.count(kindPlan)+w.queue.count(kindFeed), 2)
	w.queue.deliverAll()
	run := w.ended(id)
	require.Equal(t, 3000, run.Counts().Of(job.Succeeded))
}

// TestASupervisionReplacesALostFeeder: nobody opens shards for himself any more, and the queue gets some, and a feed message.
func TestASupervisionReplacesALostFeeder(t *testing.T) {
	t.Parallel()
	opts := quick
	opts.OpenShards = 1
	w := newWorld(t, opts)
	p := w.fed(5)
	_, err := p.d.runs.operation(p.run.ID, func() (*operation, error) { return p.local.op, nil })
	require.NoError(t, err)
	_, err = p.d.advance(t.Context(), p.run.ID)
	require.NoError(t, err)
	require.Equal(t, 1, w.queue.count(kindShard))
	require.Equal(t, 1, w.queue.count(kindFeed))
	shard, err := w.observer().Shard(t.Context(), p.run.ID, 0)
	require.NoError(t, err)
	shard.EndRest(job.Outcome{State: job.Failed, Reason: job.DeviceOffline}, time.Now())
	require.NoError(t, w.observer().CloseShard(t.Context(), shard))
	_, err = p.d.advance(t.Context(), p.run.ID)
	require.NoError(t, err)
	require.Equal(t, 4, w.queue.count(kindShard), "three for one that ended")
	require.Equal(t, 1, w.queue.count(kindFeed), "one message is enough for a while")
}

// TestNobodyTakesShardsFromAFeeder: while somebody opens shards for himself, supervisions open none for the queue.
func TestNobodyTakesShardsFromAFeeder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	p := w.fed(5)
	p.run.FedUntil = time.Now().Add(time.Minute)
	require.NoError(t, w.observer().SaveRun(t.Context(), p.run))
	_, err := p.d.advance(t.Context(), p.run.ID)
	require.NoError(t, err)
	require.Zero(t, w.queue.count(kindShard)+w.queue.count(kindFeed))
}

// TestAnOfferIsPassedOnAFewTimes: a process that works on the run already has no use for it, and another one may.
func TestAnOfferIsPassedOnAFewTimes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	p := w.fed(5)
	p.d.feeders.enter(p.run.ID)
	for try := range 2 * offerTries {
		require.NoError(t, p.d.feed(t.Context(), message{Kind: kindFeed, Run: p.run.ID, Tries: try}, Delivery{}))
	}
	require.Equal(t, offerTries, w.queue.count(kindFeed))
	require.Zero(t, w.stored(p).Enqueued)
}
