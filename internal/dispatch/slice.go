package dispatch

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/pace"
)

const (
	// runAge is how old a worker's view of its run may be, and how often it looks. A cancel bites within twice that.
	runAge = 700 * time.Millisecond
	// maxLost is how many claims in a row may die before the shard's devices are given up.
	maxLost = 10
)

// slice claims a shard and calls its devices.
func (d *Dispatcher) slice(ctx context.Context, m message, in Delivery) error {
	run, err := d.wants(ctx, m)
	if run == nil || err != nil {
		return err
	}
	lane := d.lane(run.Hub)
	if closed := lane.gate.closed(); closed > hold {
		return d.send(ctx, m, closed) // not worth a claim: its calls would be handed back at once
	}
	if early := m.early(d.now()); early > hold {
		return d.send(ctx, m, early)
	}
	ahead := m.ahead(d.now())
	if !d.slot(ctx, lane.gate, patience(ahead, m.Tries)) {
		if ahead < time.Second { // the least delay of a queue
			m.Tries++
			ahead = busyDelay(m.Tries)
		}
		return d.send(ctx, m, ahead)
	}
	defer func() { <-d.slots }()
	shard, err := d.store.Shard(ctx, m.Run, m.Shard)
	if err != nil || shard.Closed {
		return err
	}
	now := d.now()
	if shard.Claim.Live(now) {
		return d.send(ctx, m, shard.Claim.Until.Sub(now)+time.Second)
	}
	op, err := d.operation(ctx, run)
	if err != nil {
		return err
	}
	if op.guard.asks(run, m.Shard) {
		if run, err = d.runs.get(ctx, m.Run, 0); err != nil {
			return err
		}
	}
	if op.guard.saw(run); op.guard.holds() != nil {
		return d.send(ctx, m, heldAgain)
	}
	if run.TooLate(now) {
		shard.EndUncalled(now)
	}
	if closed, err := d.rests(ctx, op, shard); closed || err != nil {
		return err
	}
	if d.sleeps(shard) && !m.Probe {
		return d.park(ctx, shard)
	}
	op = op.next(shard, now, m.Probe)
	m, wait, err := d.paced(ctx, m, run, op, shard)
	if err != nil {
		return err
	}
	if wait > hold {
		return d.send(ctx, m, wait)
	}
	if err := d.claim(ctx, shard, claimant{in.Owner, op}); err != nil || shard.Closed {
		if errors.Is(err, job.ErrConflict) {
			return d.send(ctx, m, d.opts.Lease+time.Second)
		}
		return err
	}
	w := d.newWorker(run, shard, op, now.Add(d.opts.Slice))
	w.slot = m.slot()
	return w.work(ctx, m.in(pace.Slot{}))
}

// claim takes a shard for owner, or closes it when too many of its workers died.
func (d *Dispatcher) claim(ctx context.Context, shard *job.Shard, by claimant) error {
	now := d.now()
	if by.op.once {
		shard.Doubt(now)
	}
	shard.Interrupted()
	shard.Claim = shard.Claim.Take(by.owner, now, d.opts.Lease)
	if shard.Claim.Lost > maxLost {
		shard.EndRest(job.Outcome{State: job.Failed, Reason: job.Abandoned, Answer: []byte(abandoned)}, now)
		d.observe.abandoned(ctx, shard)
		return d.store.CloseShard(ctx, shard)
	}
	if by.op.once {
		return d.claimOnce(ctx, shard, by.op)
	}
	return d.store.ClaimShard(ctx, shard)
}

// paced gives m a slot in the hub's allowance for what is left of its shard, unless it has one whose time has not passed, and how
// long m should still be on its way.
func (d *Dispatcher) paced(ctx context.Context, m message, run *job.Run, op *operation, shard *job.Shard) (message, time.Duration, error) {
	now := d.now()
	if slot := m.slot(); !slot.At.IsZero() && now.Sub(slot.At) <= slotLate {
		return m, m.early(now), nil
	}
	ready := op.ready(shard, now)
	if ready == 0 {
		return m.in(pace.Slot{}), 0, nil
	}
	g, err := op.lane.pacer.reserve(ctx, op.kind, pace.Ask{Run: m.Run, Weight: run.Priority, Costs: op.costs([]int{ready})})
	if err != nil {
		return m, 0, err
	}
	if len(g.slots) == 0 {
		return m, g.again.Sub(now), nil // the run's part of the horizon is taken: when some of it is free, m comes back and asks again
	}
	slot := g.slots[0]
	if over := m.slot().For; op.rolls && over > slot.For {
		slot = pace.Slot{At: latest(slot.At, now), For: over}
	}
	m = m.in(slot)
	return m, m.early(now), nil
}

const (
	slotWait     = time.Second
	gateLook     = 20 * time.Millisecond
	maxBusyDelay = 16 * time.Second
)

// patience is how long a message waits for a place. One that comes long before its slot in the hub's allowance does not wait: it
// comes back just before that, and leaves the places to those whose time it is.
func patience(ahead time.Duration, tries int) time.Duration {
	if ahead >= time.Second {
		return 0
	}
	return slotWait >> min(tries, 3)
}

// slot waits a little for a place among the slices of this process, and for the gate to have room, and reports whether there is
// one. Fast devices free one within the wait; behind slow ones a message goes back to the queue, for other processes to take,
// or for later.
func (d *Dispatcher) slot(ctx context.Context, g *gate, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case d.slots <- struct{}{}:
	default:
		select {
		case d.slots <- struct{}{}:
		case <-ctx.Done():
			return false
		}
	}
	for g.room() <= 0 {
		if sleep(ctx, gateLook) != nil {
			<-d.slots
			return false
		}
	}
	return true
}

// busyDelay doubles with the tries and is spread, so that messages do not come back together.
func busyDelay(tries int) time.Duration {
	d := min(maxBusyDelay, time.Second<<min(tries-1, 5))
	return d + rand.N(d)
}

// wants gives the run if it lets m through, nil if not: the supervisor sends again what is to go on, and closes what is not.
// A view of the run that is a second old may let a message through, but not turn one away.
func (d *Dispatcher) wants(ctx context.Context, m message) (*job.Run, error) {
	for _, age := range []time.Duration{runAge, 0} {
		run, err := d.runs.get(ctx, m.Run, age)
		if err != nil {
			return nil, err // a run that is gone is a lost race
		}
		if now := d.now(); run.PastDeadline(now) || age == 0 && run.WindowClosed(now) {
			return nil, nil // the supervisor is about to stop or to pause it
		}
		if run.Calling(d.now()) || m.Probe && run.Status == job.StatusBlocked {
			return run, nil
		}
	}
	return nil, nil
}

const abandoned = "the workers that called this device's shard ended eleven times in a row without storing an outcome"
