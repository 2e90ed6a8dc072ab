package dispatch

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// maxWakes is how many shards whose devices are due again one pass sends at most.
const maxWakes = 500

// retries gives when an execution whose attempt came to outcome is called again. w.mu is held.
func (w *worker) retries(e *job.Execution, outcome job.Outcome) (time.Time, bool) {
	return w.op.retry.Next(w.run, e, outcome, w.d.now(), w.share)
}

// todo lists the executions that can be called now. A probe calls one that waits rather than none.
func (w *worker) todo(probe bool) []int {
	now := w.d.now()
	var due []int
	for i := range w.shard.Executions {
		e := &w.shard.Executions[i]
		if w.op.takes(e, now) && w.holds.may(i) && (!w.op.once || e.State == job.InProgress) { // what is not marked is for the next slice
			due = append(due, i)
		}
	}
	if w.op.once {
		return due
	}
	for i := range w.shard.Executions {
		if e := &w.shard.Executions[i]; probe && due == nil && !e.State.Final() && w.op.does(e) && w.holds.may(i) {
			due = append(due, i)
		}
	}
	return due
}

// sleeps reports whether all devices of a shard that have not ended wait for their next attempt.
func (d *Dispatcher) sleeps(shard *job.Shard) bool {
	return shard.WakeAt().After(d.now()) && shard.Ready(d.now()) == 0
}

// park leaves a shard that sleeps to the supervision.
func (d *Dispatcher) park(ctx context.Context, shard *job.Shard) error {
	at := shard.WakeAt()
	return d.store.MarkChecked(ctx, shard.RunID, tablestore.Underway{Number: shard.Number, CheckAt: at, WakeAt: at})
}

// asleep is how many open shards wait for the next attempts of their devices.
func (s *supervision) asleep() int {
	n := 0
	for _, u := range s.open {
		if u.WakeAt.After(s.now) {
			n++
		}
	}
	return n
}

// waiting is how many devices wait for their next attempts in shards that sleep. One that is waited for is in progress.
func (s *supervision) waiting() int {
	n := 0
	for _, u := range s.open {
		if u.WakeAt.After(s.now) {
			n += u.Devices - u.Counts.Ended() - u.Counts.Of(job.InProgress)
		}
	}
	return n
}

// wake sends the messages of shards whose devices are due again.
func (s *supervision) wake(ctx context.Context) error {
	var due []message
	g, marking := errgroup.WithContext(ctx)
	g.SetLimit(closesAtOnce)
	for i := range s.open {
		u := &s.open[i]
		if u.WakeAt.IsZero() || !u.WakeAt.Equal(u.CheckAt) || u.WakeAt.After(s.now) || len(due) == maxWakes {
			continue
		}
		u.CheckAt = s.now.Add(s.d.opts.Lease)
		again := message{Run: s.run.ID, Shard: u.Number}
		if u.Counts.Of(job.InProgress) == 0 { // to look after devices takes nothing of a rollout's rate
			again = again.in(s.turn(*u))
		}
		due = append(due, again)
		g.Go(func() error { return s.d.store.MarkChecked(marking, s.run.ID, *u) })
	}
	if err := g.Wait(); err != nil || due == nil {
		return err
	}
	return s.d.sendShards(ctx, due)
}

// idleFor is how long a running run needs no supervision: until the first of its shards wakes, when all of them sleep.
func (s *supervision) idleFor() time.Duration {
	if !s.plan.Complete() || s.run.Enqueued < s.plan.Shards || len(s.open) == 0 || s.asleep() < len(s.open) {
		return 0
	}
	first := s.open[0].WakeAt
	for _, u := range s.open {
		if u.WakeAt.Before(first) {
			first = u.WakeAt
		}
	}
	return first.Sub(s.now)
}
