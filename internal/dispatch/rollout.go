package dispatch

import (
	"context"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/pace"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// sight is what the run's rollout decides on.
func (s *supervision) sight() job.Sight {
	c := s.run.Closed.Plus(s.run.Live)
	return job.Sight{
		Selected: s.plan.Devices, Complete: s.plan.Done, Chosen: s.chosen(), Succeeded: c.Of(job.Succeeded),
		InFlight: s.run.Live.Total() - s.run.Live.Ended() - s.waiting(),
	}
}

// stepRollout moves the batches of a run on. One whose gate can not open any more by itself pauses the run.
func (s *supervision) stepRollout() error {
	r := s.run.Rollout
	if r == nil {
		return nil
	}
	s.dirty = true
	if missed := r.Step(s.now, s.run.Enqueued, s.sight()); missed != "" {
		return s.run.Hold(job.Pause{Since: s.now, Note: missed})
	}
	return nil
}

// rollOut opens the shards that the run's rollout lets begin now, and sends their messages.
func (s *supervision) rollOut(ctx context.Context) error {
	if s.run.Rollout.Spreads() {
		return s.spreadOut(ctx)
	}
	r, seen, from := s.run.Rollout, s.sight(), s.run.Enqueued
	most := min(s.plan.Shards-from, tablestore.MaxPerWrite)
	if most <= 0 || r.Fits(s.now, []int{1}, seen) == 0 {
		return nil
	}
	sizes, ended, err := s.d.store.ShardSizes(ctx, s.run.ID, from, from+most)
	if err != nil {
		return err
	}
	sizes = sizes[:r.Fits(s.now, sizes, seen)]
	if len(sizes) == 0 {
		return nil
	}
	op, err := s.d.operation(ctx, s.run)
	if err != nil {
		return err
	}
	g, err := s.reserve(ctx, op, left(sizes, ended))
	if err != nil || len(g.slots) == 0 {
		return err
	}
	opened, messages := make([]tablestore.Underway, len(g.slots)), make([]message, len(g.slots))
	for i, slot := range g.slots {
		at, over := r.Begin(s.now, slot.At, sizes[i], seen)
		slot = wider(slot, at, over)
		opened[i] = tablestore.Underway{Number: from + i, Devices: sizes[i], CheckAt: latest(s.now, slot.End()).Add(s.d.opts.Lease)}
		opened[i].Counts = s.run.HandOut(sizes[i], ended[i])
		messages[i] = message{Run: s.run.ID, Shard: from + i}.in(slot)
	}
	s.run.Enqueued += len(opened)
	if err := s.grow(ctx, opened, g); err != nil {
		return err
	}
	s.dirty = false
	return s.d.sendShards(ctx, messages)
}

// wider gives a slot of the hub's allowance that keeps a rollout's rate too.
func wider(slot pace.Slot, at time.Time, over time.Duration) pace.Slot {
	if over == 0 {
		return slot
	}
	return pace.Slot{At: at, For: max(slot.For, over)}
}

// turn gives a shard that is handed out again its turn in the rollout's rate.
func (s *supervision) turn(u tablestore.Underway) pace.Slot {
	r := s.run.Rollout
	if r == nil {
		return pace.Slot{}
	}
	at, over := r.Turn(s.now, time.Time{}, u.Devices-u.Counts.Ended(), s.sight())
	return wider(pace.Slot{}, at, over)
}

// rest gives the part of a slot that the worker of a run with a rollout has not used.
func (w *worker) rest() pace.Slot {
	now := w.d.now()
	if w.op.stages != nil && w.op.ready(w.shard, now) == 0 {
		return pace.Slot{} // what follows is another stage
	}
	if left := w.first.Add(w.slot.For).Sub(now); w.rolls && !w.first.IsZero() && left > 0 {
		return pace.Slot{At: now, For: left}
	}
	return pace.Slot{}
}

// gated is how long a run that waits for a gate, or for its slow rate, needs no look, 0 when it needs one.
func (s *supervision) gated() time.Duration {
	r := s.run.Rollout
	if r == nil || s.run.Status != job.StatusRunning || s.run.Live.Total() > 0 || !s.plan.Complete() {
		return 0
	}
	if wait := r.Next.Sub(s.now) - slotAhead; wait > superviseEvery {
		return min(superviseSilent, wait)
	}
	next := r.Current() + 1
	if next >= len(r.Batches) || r.Batches[next].State != job.BatchWaiting {
		return 0
	}
	if at := r.Policy.Opens(next, r.Batches); at.After(s.now) {
		return min(superviseSilent, at.Sub(s.now))
	}
	return superviseSilent
}

// enough reports whether the run has the devices that it takes at most.
func (p *planner) enough() bool { return p.most > 0 && p.net()+len(p.pending) >= p.most }

// limit drops pending devices beyond those that the run takes at most.
func (p *planner) limit() {
	if !p.enough() {
		return
	}
	p.pending, p.at, p.done = p.pending[:max(0, p.most-p.net())], place{}, true
	if len(p.marks) > 0 {
		p.marks = []mark{{len(p.pending), p.at, p.marks[0].at}}
	}
}
