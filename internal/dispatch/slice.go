package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

const (
	// runAge is how old a worker's view of its run may be. A cancel bites within it.
	runAge = time.Second
	// maxLost is how many claims in a row may die before the shard's devices are given up.
	maxLost = 10
)

// slice claims a shard and calls its devices.
func (d *Dispatcher) slice(ctx context.Context, m message, in Delivery) error {
	run, err := d.wants(ctx, m)
	if run == nil || err != nil {
		return err
	}
	shard, err := d.store.Shard(ctx, m.Run, m.Shard)
	if err != nil || shard.Closed {
		return err
	}
	now := d.now()
	if shard.Claim.Live(now) {
		return d.send(ctx, m, shard.Claim.Until.Sub(now)+time.Second)
	}
	shard.Interrupted()
	shard.Claim = shard.Claim.Take(in.Owner, now, d.opts.Lease)
	if shard.Claim.Lost > maxLost {
		shard.EndRest(job.Outcome{State: job.Failed, Reason: job.Abandoned, Answer: []byte(abandoned)}, now)
		return d.store.CloseShard(ctx, shard)
	}
	if err := d.store.ClaimShard(ctx, shard); err != nil {
		if errors.Is(err, job.ErrConflict) {
			return d.send(ctx, m, d.opts.Lease+time.Second)
		}
		return err
	}
	op, err := d.operation(ctx, run)
	if err != nil {
		return err
	}
	return d.newWorker(run, shard, op).work(ctx, m)
}

// wants gives the run if it lets m through, nil if not: the supervisor sends again what is to go on, and closes what is not.
// A view of the run that is a second old may let a message through, but not turn one away.
func (d *Dispatcher) wants(ctx context.Context, m message) (*job.Run, error) {
	for _, age := range []time.Duration{runAge, 0} {
		run, err := d.runs.get(ctx, m.Run, age)
		if err != nil {
			return nil, err // a run that is gone is a lost race
		}
		if run.Status == job.StatusRunning || m.Probe && run.Status == job.StatusBlocked {
			return run, nil
		}
	}
	return nil, nil
}

const abandoned = "the workers that called this device's shard ended eleven times in a row without storing an outcome"
