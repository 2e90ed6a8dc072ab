package dispatch

import (
	"context"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// begin makes a scheduled run a running one, begins the chain of its supervise messages, and gives the run as it is then.
func (d *Dispatcher) begin(ctx context.Context, runID string) (*job.Run, error) {
	began := false
	var waited *job.Run
	run, err := d.change(ctx, runID, func(run *job.Run) (bool, error) {
		if run.Status != job.StatusScheduled {
			return false, nil
		}
		if run.Waiting != nil {
			was := *run
			waited = &was
		}
		rec, err := d.record(ctx, run)
		if err != nil {
			return false, err
		}
		now := d.now()
		if ok, err := admit(run, rec, now); !ok {
			run.Waiting = nil // it is due later, and keeps nobody waiting until then
			return err == nil, err
		}
		if turn, changed, err := d.turn(ctx, run); !turn {
			return changed, err
		}
		run.SupervisedAt, run.Generation, began = now, 1, true
		if run.Hub == "" {
			d.spread(run, rec)
		}
		if rec.MaxExecutionTimeInSeconds > 0 {
			run.Deadline = latest(now, run.LastStart).Add(time.Duration(rec.MaxExecutionTimeInSeconds) * time.Second)
		}
		return true, run.Become(job.StatusRunning, now)
	})
	if err == nil && began {
		err = d.sendSupervise(ctx, runID, 1, superviseEvery)
	}
	if err == nil && waited != nil && run.Waiting == nil {
		err = d.store.Unawait(ctx, waited)
	}
	return run, err
}

// admit keeps a run from beginning while its maintenance window is closed: its start moves to when it opens. A window that never
// opens again lets it begin and end.
func admit(run *job.Run, rec *job.Record, now time.Time) (bool, error) {
	open, at, err := rec.Latest(run).Opening(now)
	if err != nil {
		return false, err
	}
	if !open && !at.IsZero() {
		run.StartAt = at
		return false, nil
	}
	if run.OpenUntil = at; !open {
		run.OpenUntil = now
	}
	return true, nil
}
