package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/schedule"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// expiresATick is how many runs and jobs one tick deletes, or has exported, at most.
const expiresATick = 20

// putOffFor is how long a run waits that could not be deleted yet, and how long its export may take before another worker
// begins too, which harms nobody.
const putOffFor = 10 * time.Minute

// Retention says how long what has ended is kept. The zero value keeps it until somebody deletes it.
type Retention struct {
	// After is the time between the end of a run and its deletion; 0 is never.
	After time.Duration
	// Export is where runs go before they are deleted; nil is nowhere.
	Export *Export
}

// expire deletes some of what ended long ago: jobs, and runs of recurring jobs. With an export it sends a message for each, and lists
// it under a later time, at which the next message is sent unless it is gone by then.
func (d *Dispatcher) expire(ctx context.Context, now time.Time) error {
	keep := d.opts.Retention
	if keep.After == 0 {
		return nil
	}
	expired, err := d.store.Expired(ctx, now.Add(-keep.After), expiresATick)
	if err != nil {
		return err
	}
	work := d.retire
	if keep.Export != nil {
		work = func(ctx context.Context, id string) error {
			rec, err := d.hasEnded(ctx, id)
			if err != nil {
				return err
			}
			if err := d.putOff(ctx, rec); err != nil {
				return err
			}
			return d.send(ctx, message{Kind: kindExpire, Run: id}, 0)
		}
	}
	return errors.Join(d.forEach(ctx, expired, work)...)
}

// hasEnded reads the record of a run that has ended, of a recurring job for the id that stands for it.
func (d *Dispatcher) hasEnded(ctx context.Context, id string) (*job.Record, error) {
	rec, err := d.ownerOrSeries(ctx, id)
	if err == nil && rec.Kept.IsZero() {
		err = job.ErrNotFound
	}
	return rec, err
}

func (d *Dispatcher) ownerOrSeries(ctx context.Context, id string) (*job.Record, error) {
	if _, number, recurring := job.NumberOf(id); !recurring || number > 0 {
		return d.owner(ctx, id)
	}
	rec, err := d.store.Job(ctx, job.OwnerOf(id))
	if err == nil && rec.RunID != id {
		err = job.ErrNotFound // deleted, and created again
	}
	return rec, err
}

// putOff lists rec so that it is looked at again in a while.
func (d *Dispatcher) putOff(ctx context.Context, rec *job.Record) error {
	return d.store.PutOff(ctx, rec, d.now().Add(putOffFor-d.opts.Retention.After))
}

// retire deletes a run, or a job, that ended long ago and, where that is asked for, is exported. A recurring job waits until the last
// of its runs is gone.
func (d *Dispatcher) retire(ctx context.Context, id string) error {
	rec, err := d.hasEnded(ctx, id)
	if err != nil {
		return err
	}
	if rec.Series != nil && rec.Occurrence == nil {
		left, _, err := d.store.Runs(ctx, tablestore.RunQuery{Job: rec, Max: 1})
		if err != nil {
			return err
		}
		if len(left) > 0 {
			return d.putOff(ctx, rec)
		}
	}
	now := d.now()
	expired := rec.Change(job.ActionExpired, job.Caller{Principal: job.Principal{Kind: job.PrincipalRetention}}, now)
	expired.From, expired.Note = rec.Status, "ended "+rec.EndedAt.UTC().Format(time.RFC3339)+
		"; kept for "+schedule.Duration(d.opts.Retention.After).String()
	if e := d.opts.Retention.Export; e != nil {
		expired.Note += "; exported to " + e.folder(rec)
	}
	remove := d.store.DeleteJob
	if rec.Occurrence != nil {
		remove = d.store.DeleteRun
	}
	if err := remove(ctx, rec, now, expired); err != nil {
		return err
	}
	if err := d.send(ctx, message{Kind: kindPurge, Run: id}, 0); err != nil {
		d.opts.Logger.WarnContext(ctx, "the run is deleted; the timer will sweep its rows", "run", id, "error", err)
	}
	return nil
}
