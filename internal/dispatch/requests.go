package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

// ErrNotRecurring says that a request is for jobs with a schedule.
var ErrNotRecurring = errors.New("the job has no schedule")

// asked is what a person asks of a recurring job's schedule.
type asked struct {
	action job.Action
	note   string
	key    string // hash of the Idempotency-Key, "" without one
	by     job.Caller
	change func(*schedule.Series, schedule.State, time.Time) (schedule.State, error)
}

// askSeries carries out a request, and has the schedule decide before and after it.
func (d *Dispatcher) askSeries(ctx context.Context, rec *job.Record, a asked) (*job.Record, *job.Run, error) {
	if rec.Series == nil {
		return nil, nil, ErrNotRecurring
	}
	rec, err := d.step(ctx, rec, func(rec *job.Record, now time.Time) ([]job.Change, error) {
		if rec.Series.Knows(a.key) {
			return nil, nil // another try of a request that was carried out
		}
		if rec.Status.Ended() || rec.EndReason != "" {
			return nil, ErrEnded
		}
		rec.Series.Remember(a.key)
		made := rec.Change(a.action, a.by, now)
		made.From, made.Note = rec.Status, a.note
		err := rec.Ask(now, func(s *schedule.Series, st schedule.State) (schedule.State, error) { return a.change(s, st, now) })
		if made.To = rec.Status; a.action == job.ActionPaused && rec.Pause != nil {
			rec.Pause.By = a.by.Principal
		}
		return []job.Change{made}, err
	})
	if err != nil {
		return nil, nil, err
	}
	run, err := d.runOf(ctx, rec)
	return rec, run, err
}

// RunNow has a recurring job run once more, now or when the run that goes on has ended. A request with the idempotency key of an
// earlier one, among the last 32 with one, changes nothing. The error is ErrNotRecurring, ErrEnded or
// schedule.ErrTooMany.
func (d *Dispatcher) RunNow(ctx context.Context, jobID, key string, by job.Caller) (*job.Record, *job.Run, error) {
	rec, err := d.store.Job(ctx, jobID)
	if err != nil {
		return nil, nil, err
	}
	return d.askSeries(ctx, rec, asked{
		action: job.ActionRunNow, by: by, key: keyHash(key),
		change: func(s *schedule.Series, st schedule.State, now time.Time) (schedule.State, error) {
			return s.RunNow(st, now)
		},
	})
}

// Backfill has a recurring job run for each of its occurrences in a range of the past. The error is ErrNotRecurring, ErrEnded,
// schedule.ErrTooMany, or job.Faults of the range.
func (d *Dispatcher) Backfill(ctx context.Context, jobID string, r job.Range, by job.Caller) (*job.Record, *job.Run, error) {
	rec, err := d.store.Job(ctx, jobID)
	if err != nil {
		return nil, nil, err
	}
	return d.askSeries(ctx, rec, asked{
		action: job.ActionBackfilled, by: by,
		change: func(s *schedule.Series, st schedule.State, now time.Time) (schedule.State, error) {
			next, err := s.Backfill(st, r.From, r.To, now)
			if errors.Is(err, schedule.ErrFuture) || errors.Is(err, schedule.ErrNone) {
				err = job.Faults{{Field: "to", Value: r.To.Format(time.RFC3339), Rule: err.Error()}}
			}
			return next, err
		},
	})
}

// holdSeries pauses or resumes the schedule of a recurring job. Runs that go on do so.
func (d *Dispatcher) holdSeries(ctx context.Context, rec *job.Record, h holding) (*job.Record, *job.Run, error) {
	if rec.Series.State.Paused == (h.action == job.ActionPaused) {
		run, err := d.runOf(ctx, rec)
		return rec, run, err
	}
	return d.askSeries(ctx, rec, asked{
		action: h.action, note: h.note, by: h.by,
		change: func(_ *schedule.Series, st schedule.State, now time.Time) (schedule.State, error) {
			if h.action == job.ActionPaused {
				return st.Pause(now, h.note), nil
			}
			return st.Resume(now, h.note), nil
		},
	})
}

// CancelRun cancels one run of a job, as Cancel does a job of one run. The job goes on.
func (d *Dispatcher) CancelRun(ctx context.Context, runID string, by job.Caller) (*job.Record, *job.Run, error) {
	rec, err := d.owner(ctx, runID)
	if err != nil {
		return nil, nil, err
	}
	if rec.Occurrence == nil && runID == rec.RunID {
		return d.Cancel(ctx, rec.JobID, by)
	}
	return d.cancelRun(ctx, rec, runID, by)
}

// GetRun gives the record of a run with its state as it is now.
func (d *Dispatcher) GetRun(ctx context.Context, runID string) (*job.Record, *job.Run, error) {
	rec, err := d.owner(ctx, runID)
	if err != nil {
		return nil, nil, err
	}
	if runID != rec.RunID {
		run, err := d.store.Run(ctx, runID)
		return rec, run, err
	}
	run, err := d.runOf(ctx, rec)
	return rec, run, err
}
