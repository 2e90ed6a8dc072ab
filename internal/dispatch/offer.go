package dispatch

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

const (
	offerEvery     = 10 * time.Second       // how often others are asked to help with a run
	offerAhead     = 2                      // seconds of its own work that a process keeps to itself
	offerLook      = 100 * time.Millisecond // between two looks whether others should help
	shardsPerOffer = 16
	leastOffers    = 16 // a host fetches that many at once, and passes on what it needs not
	mostOffers     = 64
	manyUnstored   = 16 // shards that wait for their storage while nothing came through yet
	offerTries     = 2  // how often one is passed on
	offersHeld     = 8  // that a process keeps for a moment before it passes them on
)

// offer asks others to help where more is stored than this process calls within offerAhead. The Functions host scales out by the
// length of the queue, so there are the more messages the more is left.
func (f *feeder) offer(ctx context.Context) error {
	now := f.d.now()
	if now.Before(f.offerAt) || !f.overflows(now) {
		return nil
	}
	f.offerAt = now.Add(offerLook)
	if err := f.refresh(ctx); err != nil || f.run.Status != job.StatusRunning || !f.overflows(now) {
		return err
	}
	first := f.run.OfferedAt.IsZero()
	f.run.OfferedAt = now
	if err := f.d.store.SaveRun(ctx, f.run); err != nil {
		if errors.Is(err, job.ErrConflict) { // it is looked at again soon
			return f.refresh(ctx)
		}
		return err
	}
	return f.d.sendOffers(ctx, f.run.ID, max(leastOffers, min(mostOffers, f.left()/shardsPerOffer)), first)
}

// crowded reports whether so many devices wait for their storage here that others are to help at once.
func (p *planner) crowded(waiting int) bool {
	return waiting >= manyUnstored*job.ShardSize && waiting > offerAhead*p.local.op.lane.gate.rate() && !p.storesOnly() && !p.local.free()
}

// overflows reports whether there is more to do than this process should keep to itself, and nobody asked others of late.
func (f *feeder) overflows(now time.Time) bool {
	return f.left()*job.ShardSize > offerAhead*f.local.op.lane.gate.rate() && !now.Before(f.run.OfferedAt.Add(offerEvery)) &&
		f.local.accepting() && !f.local.held() && !f.local.free()
}

// sendOffers sends n messages: the first ones of a run at once, later ones spread over the time until the next.
func (d *Dispatcher) sendOffers(ctx context.Context, runID string, n int, first bool) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(sendsAtOnce)
	for i := range n {
		m, delay := message{Kind: kindFeed, Run: runID}, time.Duration(0)
		if !first {
			m.Tries, delay = offerTries, offerEvery/time.Duration(n)*time.Duration(i)
		}
		g.Go(func() error { return d.send(ctx, m, delay) })
	}
	return g.Wait()
}

// passOn gives a message that this process has no use for to another one. Hosts that have nothing to do look into the queue about once
// a second, this one more often: so it comes back at some time within the next second, a few times.
func (d *Dispatcher) passOn(ctx context.Context, m message) error {
	if m.Tries >= offerTries {
		return nil
	}
	m.Tries++
	if d.feeders.held.Add(1) > offersHeld {
		d.feeders.held.Add(-1)
		return d.send(ctx, m, time.Second+rand.N(2*time.Second))
	}
	defer d.feeders.held.Add(-1)
	if err := sleep(ctx, rand.N(time.Second)); err != nil {
		return err
	}
	return d.send(ctx, m, 0)
}

// handOver has somebody go on with shards that this invocation has no more time for.
func (f *feeder) handOver(ctx context.Context) error {
	if f.stopped || f.left() == 0 || f.d.opts.QueueOnly {
		return nil
	}
	return f.d.send(ctx, message{Kind: kindFeed, Run: f.run.ID, Tries: offerTries}, 0)
}

// offer has somebody go on with a run whose shards nobody opens for himself.
func (s *supervision) offer(ctx context.Context) error {
	if s.d.opts.QueueOnly || s.plan.Shards == s.run.Enqueued || s.now.Before(s.run.OfferedAt.Add(offerEvery)) {
		return nil
	}
	s.run.OfferedAt, s.dirty = s.now, true
	return s.d.sendOffers(ctx, s.run.ID, 1, true)
}
