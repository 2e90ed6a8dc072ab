package dispatch

import (
	"context"
	"errors"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// Pause keeps a job from starting calls until Resume. Calls under way end and are stored; the time limit goes on. A job that is
// paused already stays as it is; ErrEnded says that it has ended or is about to. Of a recurring job it pauses the schedule; with the id of
// one of its runs it pauses that.
func (d *Dispatcher) Pause(ctx context.Context, id, note string, by job.Caller) (*job.Record, *job.Run, error) {
	return d.hold(ctx, id, holding{action: job.ActionPaused, note: note, by: by})
}

// Resume lets a paused job go on, or what the id names as for Pause. A job that is not paused stays as it is; ErrEnded says that it has ended or is about to.
func (d *Dispatcher) Resume(ctx context.Context, id, note string, by job.Caller) (*job.Record, *job.Run, error) {
	return d.hold(ctx, id, holding{action: job.ActionResumed, note: note, by: by})
}

// holding is a request to pause or resume.
type holding struct {
	action job.Action
	note   string
	by     job.Caller
}

func (d *Dispatcher) hold(ctx context.Context, id string, h holding) (*job.Record, *job.Run, error) {
	if job.IsRun(id) {
		rec, err := d.owner(ctx, id)
		if err != nil {
			return nil, nil, err
		}
		run, err := d.holdRun(ctx, rec, id, h)
		return rec, run, err
	}
	for {
		rec, err := d.store.Job(ctx, id)
		switch {
		case err != nil:
			return nil, nil, err
		case rec.Status.Ended():
			return nil, nil, ErrEnded
		case rec.Series != nil:
			return d.holdSeries(ctx, rec, h)
		case rec.Active:
			run, err := d.holdRun(ctx, rec, rec.RunID, h)
			return rec, run, err
		}
		err = d.holdJob(ctx, rec, h)
		if errors.Is(err, job.ErrConflict) && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		run, err := d.runOf(ctx, rec)
		return rec, run, err
	}
}

// apply changes a run and reports whether there was anything to change.
func (d *Dispatcher) apply(run *job.Run, rec *job.Record, h holding) (bool, error) {
	waits := run.Pause != nil && !run.Pause.Until.IsZero() // for a window, which a person's pause outlasts
	rests := h.action == job.ActionResumed && run.RestsSomewhere()
	if (run.Status == job.StatusPaused) == (h.action == job.ActionPaused) && !(waits && h.action == job.ActionPaused) && !rests {
		return false, nil
	}
	if run.Hubs != nil {
		run.Order++
	}
	change := rec.Change(h.action, h.by, d.now())
	change.From, change.Note = run.Status, h.note
	var err error
	if h.action == job.ActionPaused {
		err = run.Hold(job.Pause{Since: change.At, Note: h.note, By: h.by.Principal})
	} else {
		err = run.Resume(change.At)
	}
	change.To = run.Status
	run.Enter(change)
	return err == nil, err
}

// holdJob pauses or resumes a job whose run has no rows yet. While it is paused the timer passes it over.
func (d *Dispatcher) holdJob(ctx context.Context, rec *job.Record, h holding) error {
	run, from := rec.NewRun(), rec.Status
	run.Status, run.Pause = rec.Status, rec.Pause
	changed, err := d.apply(&run, rec, h)
	if err != nil || !changed {
		return err
	}
	rec.Status, rec.Pause = run.Status, run.Pause
	if err := d.store.SaveJob(ctx, rec, from, run.Trail...); err != nil {
		return err
	}
	if rec.Status == job.StatusScheduled && rec.StartTime.Before(d.now().Add(2*d.opts.Tick)) {
		if err := d.start(ctx, rec); err != nil {
			d.opts.Logger.WarnContext(ctx, "the job is resumed; the timer will start it", "job", rec.JobID, "error", err)
		}
	}
	return nil
}

func (d *Dispatcher) holdRun(ctx context.Context, rec *job.Record, runID string, h holding) (*job.Run, error) {
	changed := false
	run, err := d.change(ctx, runID, func(run *job.Run) (bool, error) {
		if run.Status.Ended() || run.Status == job.StatusStopping {
			return false, ErrEnded
		}
		var err error
		changed, err = d.apply(run, rec, h)
		return changed, err
	})
	if err == nil && changed {
		err = d.enterWhole(ctx, run)
	}
	switch {
	case err != nil:
		return nil, err
	case changed && run.Status == job.StatusScheduled:
		return run, d.send(ctx, message{Kind: kindPlan, Run: run.ID}, run.StartAt.Sub(d.now()))
	case changed && !run.StartedAt.IsZero():
		return run, d.wake(ctx, run)
	}
	return run, nil
}
