package dispatch

import (
	"context"
	"errors"
	"fmt"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/pace"
)

// limited makes one call, for as long as the job lets a call take.
func (w *worker) limited(ctx context.Context, deviceID string, do call) (job.Outcome, error) {
	if w.op.limit == 0 {
		return w.attempt(ctx, deviceID, do)
	}
	limited, cancel := context.WithTimeout(ctx, w.op.limit)
	defer cancel()
	outcome, err := w.attempt(limited, deviceID, do)
	if err != nil && ctx.Err() == nil && errors.Is(limited.Err(), context.DeadlineExceeded) {
		text := fmt.Appendf(nil, "no answer within %s, the job's timeout.inProgress", w.op.limit)
		return job.Outcome{State: job.TimedOut, Reason: job.ProgressTimedOut, Answer: text}, nil
	}
	return outcome, err
}

// endUncalled ends a device that it is too late to call, and gives its turn back.
func (w *worker) endUncalled(e *job.Execution) bool {
	ended := false
	w.update(func() {
		if w.op.once && e.Attempts == 1 { // the mark
			e.Undo()
		}
		ended = e.EndUncalled(w.d.now())
	})
	if ended {
		w.op.lane.gate.leave()
	}
	return ended
}

// reserve takes slots for new shards from the hub's allowance, unless it is too late to call their devices.
func (s *supervision) reserve(ctx context.Context, op *operation, sizes []int) (grant, error) {
	if s.run.TooLate(s.now) {
		return grant{slots: make([]pace.Slot, len(sizes))}, nil
	}
	kept, rest := s.d.kept.take(s.run.ID, s.now, sizes)
	if err := s.giveBack(ctx, rest); err != nil || len(kept.slots) > 0 {
		return kept, err
	}
	return op.lane.pacer.reserve(ctx, op.kind, pace.Ask{Run: s.run.ID, Weight: s.run.Priority, Costs: op.costs(sizes), Lead: slotLead})
}
