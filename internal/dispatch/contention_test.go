package dispatch

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/pace"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// reservations counts the writes of a ledger from now on. after runs after the first.
func (w *world) reservations(op pace.Operation, after func()) *atomic.Int64 {
	var n atomic.Int64
	w.through(meddler{after: func(r *http.Request, body string) {
		if strings.Contains(r.URL.Path+body, "pace:"+string(op)) && r.Method != http.MethodGet && n.Add(1) == 1 {
			after()
		}
	}})
	return &n
}

// TestManyProcessesShareALedger: twelve of them reserve at the same time and without a pause. None fails, and no two get the same slot.
func TestManyProcessesShareALedger(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	const processes, each, rate = 12, 5, 1000
	slots := make([][]pace.Slot, processes)
	var all sync.WaitGroup
	for i := range processes {
		p := pacer{store: w.observer(), rates: pace.Rates{pace.Methods: rate}, now: time.Now}
		all.Go(func() {
			for range each {
				g, err := p.reserve(t.Context(), pace.Methods, pace.Ask{Run: "j.0", Costs: []int{10, 10}})
				if err != nil {
					t.Error(err)
					return
				}
				slots[i] = append(slots[i], g.slots...)
			}
		})
	}
	all.Wait()
	got := slices.Concat(slots...)
	require.Len(t, got, processes*each*2)
	slices.SortFunc(got, func(a, b pace.Slot) int { return a.At.Compare(b.At) })
	for i := 1; i < len(got); i++ {
		require.False(t, got[i].At.Before(got[i-1].End()), "slot %d begins before the end of the one before", i)
	}
}

// TestASupervisionKeepsItsSlotsOverAConflict: somebody else writes the run between its reservation and its write.
func TestASupervisionKeepsItsSlotsOverAConflict(t *testing.T) {
	t.Parallel()
	opts := quick
	opts.Rates = pace.Rates{pace.Methods: 10}
	w := newWorld(t, opts)
	reserved := w.reservations(pace.Methods, func() {
		run, err := w.observer().Run(t.Context(), "lock.0")
		require.NoError(t, err)
		require.NoError(t, w.observer().SaveRun(t.Context(), run))
	})
	p := w.fed(4)
	_, err := p.d.runs.operation(p.run.ID, func() (*operation, error) { return p.local.op, nil })
	require.NoError(t, err)
	require.NoError(t, p.d.Handle(t.Context(), Delivery{Body: []byte(`{"kind":"supervise","run":"lock.0"}`)}))
	require.Equal(t, 4, w.stored(p).Enqueued)
	require.Equal(t, 4, w.queue.count(kindShard))
	require.Equal(t, int64(1), reserved.Load())
}

// openedBySomebody has all of a run's shards opened by somebody else.
func (w *world) openedBySomebody(shards int) {
	w.t.Helper()
	store := w.observer()
	run, err := store.Run(w.t.Context(), "lock.0")
	require.NoError(w.t, err)
	g := tablestore.Growth{Run: run}
	for n := range shards {
		g.Opened = append(g.Opened, tablestore.Underway{Number: n, Devices: 2, CheckAt: never()})
	}
	run.Enqueued = shards
	require.NoError(w.t, store.Grow(w.t.Context(), g))
}

// unused requires that nothing of an allowance is reserved. A slot of two calls takes 200 s in these tests.
func (w *world) unused(op pace.Operation) {
	w.t.Helper()
	ledger, _, err := w.observer().Ledger(w.t.Context(), op)
	require.NoError(w.t, err)
	require.False(w.t, ledger.Next.After(time.Now().Add(slotLead)), "reserved until %s", ledger.Next)
}

// overtaken gives a planner whose four stored shards somebody else opens once slots of the hub's allowance are reserved for them.
func overtaken(t *testing.T) (w *world, p *planner, reserved *atomic.Int64) {
	t.Helper()
	opts := quick
	opts.Rates = pace.Rates{pace.Methods: 0.01}
	w = newWorld(t, opts)
	reserved = w.reservations(pace.Methods, func() { w.openedBySomebody(4) })
	return w, w.fed(4), reserved
}

// TestSlotsForWhichNoShardIsLeftAreGivenBack: a supervision opens a run's last shards while a planner reserves slots for them. Another
// job may have the slots.
func TestSlotsForWhichNoShardIsLeftAreGivenBack(t *testing.T) {
	t.Parallel()
	w, p, reserved := overtaken(t)
	require.NoError(t, p.takeNext(t.Context()))
	require.Equal(t, int64(2), reserved.Load(), "reserved and given back")
	w.unused(pace.Methods)
	require.Empty(t, p.d.slots)
}

// TestASupervisionGivesItsSlotsBack: a planner opened the shards that it had reserved them for.
func TestASupervisionGivesItsSlotsBack(t *testing.T) {
	t.Parallel()
	w, p, reserved := overtaken(t)
	_, err := p.d.runs.operation(p.run.ID, func() (*operation, error) { return p.local.op, nil })
	require.NoError(t, err)
	require.NoError(t, p.d.Handle(t.Context(), Delivery{Body: []byte(`{"kind":"supervise","run":"lock.0"}`)}))
	require.Zero(t, w.queue.count(kindShard))
	require.Equal(t, int64(2), reserved.Load(), "reserved and given back")
	w.unused(pace.Methods)
}

// TestAPlannerThatWaitedLooksAtTheRunFirst: while it waited for the allowance, a supervision may have opened all that is left.
func TestAPlannerThatWaitedLooksAtTheRunFirst(t *testing.T) {
	t.Parallel()
	opts := quick
	opts.Rates = pace.Rates{pace.Methods: 10}
	w := newWorld(t, opts)
	p := w.fed(4)
	_, err := p.d.lanes[0].pacer.reserve(t.Context(), pace.Methods, pace.Ask{Run: p.run.ID, Costs: []int{1000}}) // far more than the horizon
	require.NoError(t, err)
	require.NoError(t, p.takeNext(t.Context()))
	require.True(t, p.feedAt.After(time.Now()), "it is to come back")
	w.openedBySomebody(4)
	reserved := w.reservations(pace.Methods, func() {})
	require.NoError(t, p.takeNext(t.Context()))
	require.Zero(t, reserved.Load())
	require.Zero(t, p.left())
}

// TestKeptSlotsFitTheirShards: they are for no more calls than were reserved, and not for the past.
func TestKeptSlotsFitTheirShards(t *testing.T) {
	t.Parallel()
	var k kept
	now := time.Now()
	slots := []pace.Slot{{At: now.Add(time.Second)}, {At: now.Add(2 * time.Second)}, {At: now.Add(3 * time.Second)}}
	put := func() { k.put("a", now, keptSlots{slots, []int{100, 100, 50}}) }
	put()
	g, rest := k.take("a", now, []int{100, 90, 60, 10})
	require.Equal(t, slots[:2], g.slots)
	require.Equal(t, slots[2:], rest)
	g, rest = k.take("a", now, []int{1})
	require.Empty(t, g.slots, "they are handed out once")
	require.Empty(t, rest)
	put()
	g, _ = k.take("a", now.Add(90*time.Second), []int{1})
	require.Empty(t, g.slots)
	put()
	k.put("b", now.Add(time.Minute), keptSlots{slots, []int{1, 1, 1}})
	require.Len(t, k.run, 1)
}

// TestRepeatedCallsTakeSlotsOfTheirOwn: a hub that fails calls is asked no faster for it.
func TestRepeatedCallsTakeSlotsOfTheirOwn(t *testing.T) {
	t.Parallel()
	opts := quick
	opts.Rates = pace.Rates{pace.Methods: 100}
	w := newWorld(t, opts)
	w.hub.answer = func(id string, n int) (iothub.MethodResult, error) {
		if n == 1 {
			return iothub.MethodResult{}, hubError(iothub.ServerError)
		}
		return accept(id, n)
	}
	reserved := w.reservations(pace.Methods, func() {})
	run := w.ended(w.create(listOf("dev", 2*repeatSlots+1)))
	require.Equal(t, 2*repeatSlots+1, run.Counts().Of(job.Succeeded))
	require.GreaterOrEqual(t, reserved.Load(), int64(4), "one for the shard, and three for the repeated calls")
}

// TestSlotsOfRepeatedCallsAreSpread and cost nothing where the hub has no limit.
func TestSlotsOfRepeatedCallsAreSpread(t *testing.T) {
	t.Parallel()
	opts := quick
	now := time.Now().UTC()
	opts.Now = func() time.Time { return now }
	opts.Rates = pace.Rates{pace.Methods: 10}
	d := newWorld(t, opts).current().d
	op := &operation{lane: d.lanes[0], kind: pace.Methods, cost: 2, repeats: newRepeats()}
	for i := range repeatSlots + 2 {
		at, err := op.repeats.take(t.Context(), op, "j.0", d.now)
		require.NoError(t, err)
		require.WithinDuration(t, now.Add(time.Duration(i)*200*time.Millisecond), at, time.Millisecond)
	}
	op.kind = pace.TwinUpdates
	at, err := op.repeats.take(t.Context(), op, "j.0", d.now)
	require.NoError(t, err)
	require.Zero(t, at)
}

// TestFewPlannersWait: those beyond come back by a message, so that the host fetches supervisions.
func TestFewPlannersWait(t *testing.T) {
	t.Parallel()
	d := newWorld(t, quick).current().d
	r := &reader{d: d, until: d.now().Add(time.Minute)}
	for _, c := range []struct {
		planners int32
		wait     time.Duration
		leaves   bool
	}{
		{maxPatient, 10 * time.Second, false},
		{maxPatient + 1, 10 * time.Second, true},
		{maxPlanners, time.Second, false},
		{maxPlanners + 1, time.Millisecond, true},
		{1, 2 * time.Minute, true},
	} {
		d.planners.Store(c.planners)
		require.Equal(t, c.leaves, r.mayNotWait(c.wait), "%d planners, %s", c.planners, c.wait)
	}
}

// TestTheCacheKeepsWhatNobodyHasReadYet: it forgets runs that nobody asked for, not those that somebody is about to read.
func TestTheCacheKeepsWhatNobodyHasReadYet(t *testing.T) {
	t.Parallel()
	now := time.Now()
	c := newRunCache(nil, func() time.Time { return now })
	asked := c.entry("a")
	c.entry("b")
	require.Same(t, asked, c.entry("a"))
	_, err := c.operation("a", func() (*operation, error) { return nil, errors.New("out of reach") })
	require.Error(t, err)
	now = now.Add(forgetRuns + time.Second)
	c.entry("c")
	require.NotContains(t, c.entries, "a")
}

// TestARollUpGoesOnWhileShardsAreOpened: a feeder writes the run faster than a supervision can list what is done. The listing is made
// once all the same, and every device that was opened is counted.
func TestARollUpGoesOnWhileShardsAreOpened(t *testing.T) {
	t.Parallel()
	const done, opened = 4, 8
	w := newWorld(t, quick)
	p := w.fed(done + opened)
	store := w.observer()
	feed := func(n int) {
		run := w.stored(p)
		g := tablestore.Growth{Run: run, Opened: []tablestore.Underway{{Number: n, Devices: 2, Counts: run.HandOut(2, job.Counts{}), CheckAt: time.Now().Add(time.Hour)}}}
		run.Enqueued++
		require.NoError(t, store.Grow(t.Context(), g))
	}
	for n := range done {
		feed(n)
		shard, err := store.Shard(t.Context(), p.run.ID, n)
		require.NoError(t, err)
		shard.EndRest(job.Outcome{State: job.Canceled, Reason: job.JobCanceled}, time.Now())
		require.NoError(t, store.CloseShard(t.Context(), shard))
	}
	next, listings := done, 0
	w.through(meddler{fail: func(r *http.Request, body string) bool {
		if strings.Contains(r.URL.Query().Get("$filter"), "'done:'") {
			listings++
		}
		if isRollUp(body) && next < done+opened {
			feed(next)
			next++
		}
		return false
	}})
	require.NoError(t, w.current().d.Handle(t.Context(), Delivery{Body: []byte(`{"kind":"supervise","run":"lock.0"}`)}))
	run := w.stored(p)
	require.Equal(t, done+opened, run.Enqueued)
	require.Equal(t, done, run.ClosedShards)
	require.Equal(t, 2*done, run.Closed.Of(job.Canceled))
	require.Equal(t, 2*opened, run.Live.Of(job.Queued))
	require.Equal(t, 1, listings)
}
