package dispatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/telemetry/tracectx"
)

const (
	startsAtOnce = 8
	purgesATick  = 20
	forgetsATick = 20
	purgeRetry   = 10 * time.Minute
	purgeRows    = 1000
)

// Tick is the timer's work: it starts what is due within the next two ticks, repairs what a crash left, and sees to the
// deletion of what is gone, of what its retention no longer keeps, and of the audit trail of jobs that are gone for long. Last it notes that it got so far. It calls
// no device. One job's fault keeps no other waiting; all are returned together.
func (d *Dispatcher) Tick(ctx context.Context) error {
	now := d.now()
	ticked := d.observe.ticking(ctx)
	due, err := d.store.Due(ctx, now.Add(2*d.opts.Tick))
	if err != nil {
		return err
	}
	turns, err := d.turns(ctx) // before the runs that go on: who has a turn and is not among those has ended
	if err != nil {
		return err
	}
	active, err := d.store.ActiveRuns(ctx)
	if err != nil {
		return err
	}
	errs := d.forEach(ctx, due, d.startDue)
	errs = append(errs, d.forEach(ctx, active, d.repair)...)
	errs = append(errs, d.remind(ctx, now), d.callWaiting(ctx, turns, active))
	errs = append(errs, d.expire(ctx, now), d.sweep(ctx, now), d.store.ForgetChanges(ctx, now, forgetsATick), d.store.Ticked(ctx, now))
	ticked(len(due), len(active))
	return errors.Join(errs...)
}

// forEach calls work for every id, of a job or a run, and collects the errors.
func (d *Dispatcher) forEach(ctx context.Context, ids []string, work func(context.Context, string) error) []error {
	errs := make([]error, len(ids))
	var g errgroup.Group
	g.SetLimit(startsAtOnce)
	for i, id := range ids {
		g.Go(func() error {
			if err := work(ctx, id); err != nil && !lostRace(err) {
				errs[i] = fmt.Errorf("%s: %w", id, err)
			}
			return nil
		})
	}
	_ = g.Wait() // every function returns nil
	return errs
}

func (d *Dispatcher) startDue(ctx context.Context, jobID string) error {
	rec, err := d.store.Job(ctx, jobID)
	if err != nil {
		return err
	}
	if rec.Series != nil {
		return d.dueSeries(ctx, rec)
	}
	return d.start(ctx, rec)
}

// start hands a job's run to the workers, to begin at its start time. Doing it twice is harmless.
func (d *Dispatcher) start(ctx context.Context, rec *job.Record) error {
	if rec.Status.Ended() || rec.Status == job.StatusPaused {
		return nil
	}
	ctx = tracectx.Resume(ctx, rec.Trace)
	run := rec.NewRun()
	if err := d.store.CreateRun(ctx, &run); err != nil {
		return err
	}
	if !rec.Active {
		if err := d.store.Activate(ctx, rec); err != nil {
			return err
		}
	}
	if cancels(rec) != "" {
		return d.cancelOccurrence(ctx, rec)
	}
	return d.send(ctx, message{Kind: kindPlan, Run: run.ID}, rec.StartTime.Sub(d.now()))
}

// repair goes on with a run whose messages died.
func (d *Dispatcher) repair(ctx context.Context, runID string) error {
	rec, err := d.owner(ctx, runID)
	if err != nil {
		return err
	}
	run, err := d.store.Run(ctx, rec.RunID)
	if errors.Is(err, job.ErrNotFound) {
		return d.start(ctx, rec)
	}
	if err != nil {
		return err
	}
	d.observe.active(run)
	ctx = tracectx.Resume(ctx, rec.Trace)
	silent := d.now().Sub(run.SupervisedAt)
	switch {
	case run.Status.Ended():
		return d.reflect(ctx, run)
	case cancels(rec) != "" && run.EndReason == "":
		return d.cancelOccurrence(ctx, rec)
	case run.Status == job.StatusScheduled:
		late := d.now().Sub(run.StartAt)
		if d.awaits(run, late) {
			return nil
		}
		if soon := run.StartAt.After(rec.StartTime) && late > -2*d.opts.Tick; late > d.opts.Silence || soon {
			return d.send(ctx, message{Kind: kindPlan, Run: run.ID}, -late) // soon is a window that opens
		}
		return nil
	case silent > d.opts.Silence && !run.Resting(d.now()):
		return d.wake(ctx, run)
	}
	return d.reflect(ctx, run)
}

// sweep has the rows of deleted jobs and abandoned uploads deleted.
func (d *Dispatcher) sweep(ctx context.Context, now time.Time) error {
	gone, err := d.store.Gone(ctx, now, purgesATick)
	if err != nil {
		return err
	}
	for _, runID := range gone {
		if err := d.store.BeginUpload(ctx, runID, now.Add(purgeRetry)); err != nil {
			return err
		}
		if err := d.send(ctx, message{Kind: kindPurge, Run: runID}, 0); err != nil {
			return err
		}
	}
	return nil
}

// purge deletes the rows of a run whose job is gone, for at most a slice's time.
func (d *Dispatcher) purge(ctx context.Context, m message) error {
	gone, err := d.store.IsGone(ctx, m.Run)
	if err != nil || !gone {
		return err
	}
	until := d.now().Add(d.opts.Slice)
	if _, number, ok := job.NumberOf(m.Run); ok && number == 0 {
		if done, err := d.purgeRuns(ctx, m.Run, until); err != nil {
			return err
		} else if !done {
			return d.send(ctx, m, 0)
		}
	}
	for d.now().Before(until) {
		empty, err := d.store.Purge(ctx, m.Run, purgeRows)
		if err != nil {
			return err
		}
		if empty {
			return d.store.Purged(ctx, m.Run)
		}
	}
	return d.send(ctx, m, 0)
}
