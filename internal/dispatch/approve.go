package dispatch

import (
	"context"
	"errors"
	"fmt"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// ErrOwnApproval says that the creator of a job, or who edited it last while it recurs, wants to approve it.
var ErrOwnApproval = errors.New("a job is approved by somebody else than its creator")

// Approve lets a batch, from 1 on, begin as far as its approval goes. Who created the job may not approve it. Errors are
// job.ErrNotWaiting, ErrOwnApproval and ErrEnded.
func (d *Dispatcher) Approve(ctx context.Context, id string, batch int, remark string, by job.Caller) (*job.Record, *job.Run, error) {
	return d.rollBatches(ctx, id, func(run *job.Run, rec *job.Record) (bool, error) {
		if rec.CreatedBy.Same(by.Principal) || rec.EditedBy.Kind != "" && rec.EditedBy.Same(by.Principal) {
			return false, ErrOwnApproval
		}
		change := rec.Change(job.ActionApproved, by, d.now())
		changed, err := run.Rollout.Approve(batch-1, job.Approval{By: by.Principal, At: change.At, Remark: remark})
		if changed {
			change.From, change.To, change.Note = run.Status, run.Status, noted(fmt.Sprintf("batch %d", batch), remark)
			run.Enter(change)
		}
		return changed, err
	})
}

// NextBatch has the next batch begin now, without regard to the results of the one before, but not without its approval. A run
// that a missed gate has paused goes on. Errors are job.ErrNotWaiting and ErrEnded.
func (d *Dispatcher) NextBatch(ctx context.Context, id, note string, by job.Caller) (*job.Record, *job.Run, error) {
	return d.rollBatches(ctx, id, func(run *job.Run, rec *job.Record) (bool, error) {
		changed, err := run.Rollout.Force()
		if err != nil {
			return false, err
		}
		change := rec.Change(job.ActionAdvanced, by, d.now())
		change.From = run.Status
		if run.Pause != nil && run.Pause.By.Kind == "" && run.Rollout.Missed() {
			if err := run.Resume(change.At); err != nil {
				return false, err
			}
			changed = true
		}
		if changed {
			change.To, change.Note = run.Status, noted(fmt.Sprintf("batch %d", run.Rollout.Current()+2), note)
			run.Enter(change)
		}
		return changed, nil
	})
}

func noted(what, note string) string {
	if note == "" {
		return what
	}
	return what + ": " + note
}

// roll changes the rollout of a run, shows it in the job, and has the run looked at.
func (d *Dispatcher) roll(ctx context.Context, id string, edit func(*job.Run, *job.Record) (bool, error)) (*job.Record, *job.Run, error) {
	rec, err := d.rolling(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	if rec.Status.Ended() {
		return nil, nil, ErrEnded
	}
	if !rec.Active {
		return nil, nil, fmt.Errorf("%w: the job has not begun", job.ErrNotWaiting)
	}
	changed := false
	runID := rec.RunID
	if _, hub := job.WholeRun(id); hub != "" {
		runID = id
	}
	run, err := d.change(ctx, runID, func(run *job.Run) (bool, error) {
		if run.Status.Ended() || run.Status == job.StatusStopping {
			return false, ErrEnded
		}
		var err error
		changed, err = edit(run, rec)
		return changed, err
	})
	if err != nil {
		return nil, nil, err
	}
	if changed {
		if err := errors.Join(d.enterWhole(ctx, run), d.reflect(ctx, run)); err != nil { // the status may be the same, and the trail is not
			return nil, nil, err
		}
		err = d.wake(ctx, run)
	}
	return rec, run, err
}

// rolling reads the job of an id, or the run of a recurring job: the latest if the id is the job's.
func (d *Dispatcher) rolling(ctx context.Context, id string) (*job.Record, error) {
	if !job.IsRun(id) {
		rec, err := d.store.Job(ctx, id)
		if err != nil || rec.Series == nil || rec.Series.Runs == 0 {
			return rec, err
		}
		id = rec.LastRun()
	}
	return d.owner(ctx, id)
}
