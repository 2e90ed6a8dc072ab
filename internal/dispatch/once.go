package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
)

// claimant is who takes a shard, and what for.
type claimant struct {
	owner string
	op    *operation
}

// claimOnce stores the claim together with a mark on every device that is about to be called: after a crash these are in
// doubt, and nobody calls them again.
func (d *Dispatcher) claimOnce(ctx context.Context, shard *job.Shard, op *operation) error {
	if shard.Done() {
		return d.store.CloseShard(ctx, shard)
	}
	op.mark(shard, d.now())
	rev := shard.Rev
	err := d.store.SaveShard(ctx, shard)
	if shard.Rev != rev {
		return nil // the marks are stored, though perhaps not the counts for the run's progress
	}
	return err
}

// begin starts an attempt, which a mark has begun already where no device is called twice.
func (w *worker) begin(e *job.Execution, now time.Time) {
	if w.op.once {
		e.StartedAt = now
		return
	}
	e.Begin(now)
}

// undo takes an attempt back that is to be made again in this slice. A mark stays until the slice ends.
func (w *worker) undo(e *job.Execution) {
	if !w.op.once {
		e.Undo()
	}
}

// onceOnly makes of an attempt that would be repeated one that is not, unless it surely did not reach the device.
func onceOnly(v verdict, outcome job.Outcome, err error) (verdict, job.Outcome) {
	he, _ := errors.AsType[*iothub.Error](err)
	switch {
	case v == stopped && he != nil && !he.Sent:
		return v, outcome
	case v == stopped, v == again && outcome.Reason == job.ConnectionLost:
		return final, job.Outcome{State: job.InDoubt, Reason: job.OutcomeUnknown, Answer: []byte(detailOf(err))}
	case v == again:
		return final, outcome
	}
	return v, outcome
}
