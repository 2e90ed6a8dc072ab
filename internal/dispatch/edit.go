package dispatch

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// ErrEdited says that a job was edited since the version that the caller knows.
var ErrEdited = errors.New("the job was edited meanwhile")

// AnyVersion stands for whatever version a job has.
const AnyVersion = 0

// Edit is a change of a job's rate, thresholds, time limit, maintenance window or priority, also while it runs.
type Edit struct {
	Patch   []byte // a merge patch of the definition's editable members, of a recurring job of all
	Version int    // that the caller knows, or AnyVersion
}

// Edit changes a job. A run that goes on keeps to it from its next supervision on; a recurring job from its next run on. Errors are
// job.Faults, ErrEdited and ErrEnded.
func (d *Dispatcher) Edit(ctx context.Context, id string, e Edit, by job.Caller) (*job.Record, *job.Run, error) {
	for {
		rec, err := d.store.Job(ctx, id)
		switch {
		case err != nil:
			return nil, nil, err
		case rec.Status.Ended():
			return nil, nil, ErrEnded
		case rec.Series != nil:
			return d.editSeries(ctx, rec, e, by)
		case rec.Active:
			return d.editRun(ctx, id, e, by)
		}
		next, err := e.of(rec, nil, d.now())
		if err != nil {
			return nil, nil, err
		}
		rec.Definition = next
		rec.Edits++
		err = d.store.SaveJob(ctx, rec, rec.Status, e.change(rec.Change(job.ActionEdited, by, d.now()), rec.Status))
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

// of gives the definition as it is after the edit.
func (e Edit) of(rec *job.Record, run *job.Run, now time.Time) (job.Definition, error) {
	if e.Version != AnyVersion && e.Version != rec.Version(run) {
		return job.Definition{}, ErrEdited
	}
	return rec.Latest(run).Edit(e.Patch, now)
}

// change completes an entry of the audit trail.
func (e Edit) change(c job.Change, status job.Status) job.Change {
	c.From, c.To, c.Note = status, status, job.Note(e.Patch)
	return c
}

func (d *Dispatcher) editRun(ctx context.Context, id string, e Edit, by job.Caller) (*job.Record, *job.Run, error) {
	var former job.Run
	rec, run, err := d.roll(ctx, id, func(run *job.Run, rec *job.Record) (bool, error) {
		former = *run
		was := rec.Latest(run).MaintenanceWindow
		next, err := e.of(rec, run, d.now())
		if err != nil {
			return false, err
		}
		run.TakeOver(&next)
		if !reflect.DeepEqual(was, next.MaintenanceWindow) {
			run.NewWindow()
		}
		run.Enter(e.change(rec.Change(job.ActionEdited, by, d.now()), run.Status))
		return true, nil
	})
	if err != nil {
		return nil, nil, err
	}
	rec.Definition = rec.Latest(run)
	return rec, run, d.relist(ctx, &former, run)
}
