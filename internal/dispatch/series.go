package dispatch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// conflictPause spreads those who write a job's row again because another was faster: several of its runs may end at once.
const conflictPause = 50 * time.Millisecond

// forgottenAtOnce is how many runs of a deleted job one transaction deletes: four rows each.
const forgottenAtOnce = 25

// dueSeries decides about a recurring job that is due, and sends a message for what is due before long.
func (d *Dispatcher) dueSeries(ctx context.Context, rec *job.Record) error {
	if !rec.Series.Next.After(d.now()) {
		_, err := d.step(ctx, rec, nil)
		return err
	}
	return d.foresee(ctx, rec)
}

// foresee sends the message of a job's next occurrence, if the timer would find it too late.
func (d *Dispatcher) foresee(ctx context.Context, rec *job.Record) error {
	next := rec.Series.Next
	wait := next.Sub(d.now())
	if next.IsZero() || wait > 2*d.opts.Tick {
		return nil
	}
	return d.send(ctx, message{Kind: kindRecur, Run: rec.RunID, At: next.UnixMilli()}, wait)
}

// recur decides about the occurrence of a message. A copy that comes after it was decided finds another one, and dies.
func (d *Dispatcher) recur(ctx context.Context, m message) error {
	rec, err := d.store.Job(ctx, job.OwnerOf(m.Run))
	if err != nil || rec.RunID != m.Run || rec.Series.Next.UnixMilli() != m.At {
		return err
	}
	if early := rec.Series.Next.Sub(d.now()); early > 0 {
		if early > time.Second {
			return d.send(ctx, m, early)
		}
		if err := sleep(ctx, early); err != nil {
			return err
		}
	}
	_, err = d.step(ctx, rec, nil)
	return err
}

// request changes a recurring job at now, beside what its schedule decides, and gives the entries of the audit trail.
type request func(rec *job.Record, now time.Time) ([]job.Change, error)

// step has the schedule of a job decide what has come by now, before and after a request, stores it, and begins the runs. It
// does so again while there is more to do or somebody else was faster. The job as it is stored is returned.
func (d *Dispatcher) step(ctx context.Context, rec *job.Record, ask request) (*job.Record, error) {
	for {
		c, err := decide(rec, ask, d.now())
		if err != nil {
			return rec, err
		}
		if c.Changed || c.asked {
			err = d.store.SaveSeries(ctx, c.write)
		}
		if errors.Is(err, job.ErrConflict) && ctx.Err() == nil {
			if rec, err = d.same(ctx, rec); err != nil {
				return rec, err
			}
			continue
		}
		if err != nil {
			return rec, err
		}
		d.carry(ctx, rec, c.Runs)
		if c.asked {
			ask = nil
		}
		if !c.Again {
			return rec, nil
		}
	}
}

// decided is what one round of step stores.
type decided struct {
	job.Begun
	write tablestore.SeriesWrite
	asked bool // the request is part of it
}

// decide changes rec, and says what is to be stored. While there is more to do than one write can take, a request waits.
func decide(rec *job.Record, ask request, now time.Time) (decided, error) {
	c := decided{write: tablestore.SeriesWrite{Job: rec, From: rec.Status}}
	var err error
	if c.Begun, err = rec.Recur(now); err == nil && ask != nil && !c.Again {
		c.asked = true
		if c.write.Changes, err = ask(rec, now); err == nil {
			before := c.Runs
			c.Begun, err = rec.Recur(now)
			c.Runs = append(before, c.Runs...)
		}
	}
	c.write.Begun = c.Runs
	return c, err
}

// same reads a job again. One that was deleted and created again is job.ErrNotFound.
func (d *Dispatcher) same(ctx context.Context, rec *job.Record) (*job.Record, error) {
	now, err := d.store.Job(ctx, rec.JobID)
	if err == nil && now.RunID != rec.RunID {
		err = fmt.Errorf("job %s was created anew: %w", rec.JobID, job.ErrNotFound)
	}
	return now, err
}

// carry starts the runs that a stored step began and cancels those that it wants cancelled. What fails the timer does.
func (d *Dispatcher) carry(ctx context.Context, rec *job.Record, begun []*job.Record) {
	warn := func(runID string, err error) {
		if err != nil && !lostRace(err) {
			d.opts.Logger.WarnContext(ctx, "the schedule's decision is stored; the timer will carry it out", "job", rec.JobID, "run", runID, "error", err)
		}
	}
	for _, run := range begun {
		warn(run.RunID, d.start(ctx, run))
	}
	for _, l := range rec.Series.Running {
		if l.Cancel == "" {
			continue
		}
		id := rec.RunNumber(l.Number)
		run, err := d.store.Occurrence(ctx, id)
		if err == nil {
			err = d.cancelOccurrence(ctx, run)
		}
		warn(id, err)
	}
	warn(rec.RunID, d.foresee(ctx, rec))
}

// follow shows a run's status in its record. A run's end is stored together with what the job's schedule makes of it.
func (d *Dispatcher) follow(ctx context.Context, rec *job.Record, run *job.Run) error {
	for try := 1; ; try++ {
		changes := rec.Untold(run)
		if rec.Status.Ended() || rec.Status == run.Status && len(changes) == 0 {
			return nil
		}
		rec.Reflect(run)
		d.owe(rec)
		b, err := d.followed(ctx, rec, changes)
		if errors.Is(err, job.ErrConflict) && ctx.Err() == nil {
			if err := sleep(ctx, rand.N(time.Duration(min(try, 10))*conflictPause)); err != nil {
				return err
			}
			if rec, err = d.store.Occurrence(ctx, run.ID); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		d.tell(ctx, rec)
		if run.Status.Ended() {
			d.carry(ctx, rec.Occurrence.Job, b.Runs)
		}
		if b.Again {
			_, err = d.step(ctx, rec.Occurrence.Job, nil)
		}
		return err
	}
}

// followed stores a record that shows its run, and at the run's end the job too, and what begins then.
func (d *Dispatcher) followed(ctx context.Context, rec *job.Record, changes []job.Change) (job.Begun, error) {
	if !rec.Status.Ended() {
		return job.Begun{}, d.store.SaveJob(ctx, rec, rec.Status, changes...)
	}
	of, now := rec.Occurrence.Job, d.now()
	w := tablestore.SeriesWrite{Job: of, From: of.Status, Run: rec, Changes: changes}
	if err := of.Followed(rec, now); err != nil {
		return job.Begun{}, err
	}
	b, err := of.Recur(now)
	if err != nil {
		return job.Begun{}, err
	}
	w.Begun = b.Runs
	return b, d.store.SaveSeries(ctx, w)
}

// cancels gives why a record's run is to be cancelled, "" when it is not.
func cancels(rec *job.Record) job.EndReason {
	if rec.Occurrence == nil {
		return ""
	}
	return rec.Occurrence.Job.Series.Cancels(rec.Occurrence.Number)
}

// cancelOccurrence cancels a run because its schedule or its job wants it. Doing it twice is harmless.
func (d *Dispatcher) cancelOccurrence(ctx context.Context, rec *job.Record) error {
	run, err := d.change(ctx, rec.RunID, func(run *job.Run) (bool, error) {
		if run.Status.Ended() || run.Status == job.StatusStopping {
			return false, nil
		}
		next := job.StatusStopping
		if run.StartedAt.IsZero() {
			next = job.StatusCancelled
		}
		run.EndReason = cancels(rec)
		return true, run.Become(next, d.now())
	})
	switch {
	case errors.Is(err, job.ErrNotFound):
		return d.start(ctx, rec) // who was to start it died: it has rows from now on, and is cancelled
	case err != nil || run.Status != job.StatusStopping:
		return err
	}
	return d.wake(ctx, run)
}

// cancelSeries ends a recurring job: nothing starts any more, and its runs are cancelled.
func (d *Dispatcher) cancelSeries(ctx context.Context, rec *job.Record, by job.Caller) (*job.Record, *job.Run, error) {
	if rec.EndReason != job.EndCancelled {
		var err error
		rec, err = d.step(ctx, rec, func(rec *job.Record, now time.Time) ([]job.Change, error) {
			if rec.EndReason == job.EndCancelled {
				return nil, nil
			}
			if rec.Status.Ended() {
				return nil, ErrEnded
			}
			cancelled := rec.Change(job.ActionCancelled, by, now)
			cancelled.From = rec.Status
			err := rec.EndSeries(now)
			cancelled.To = rec.Status
			return []job.Change{cancelled}, err
		})
		if err != nil {
			return nil, nil, err
		}
	}
	run, err := d.runOf(ctx, rec)
	return rec, run, err
}

// purgeRuns has the runs of a deleted job deleted, until it is time to leave the rest to another message.
func (d *Dispatcher) purgeRuns(ctx context.Context, series string, until time.Time) (done bool, err error) {
	for d.now().Before(until) {
		runs, err := d.store.ForgetRuns(ctx, series, d.now(), forgottenAtOnce)
		if err != nil || len(runs) == 0 {
			return err == nil, err
		}
		for _, id := range runs {
			if err := d.send(ctx, message{Kind: kindPurge, Run: id}, 0); err != nil {
				return false, err
			}
		}
	}
	return false, nil
}
