package dispatch

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// Turns: where a deployment limits how many runs go on at once, one that begins takes a turn, and gives it back when it ends. One row
// lists the turns, and is changed by compare-and-swap; who finds none free is listed by priority and age, and called by the end
// of another run, or by the timer. A turn whose run has ended without giving it back is the timer's to find: the run is not
// among those that go on.

const (
	turnTries = 20
	turnPause = 10 * time.Millisecond
	// spareWaiting is how many runs are looked at beyond those that could begin: some have been called already, or have ended.
	spareWaiting = 20
	relistEvery  = 5 * time.Minute
)

// turn takes a turn for a run that is about to begin, or notes in it that it waits, which changed says. Doing both again is harmless.
// Runs at several hubs have the turn of the whole.
func (d *Dispatcher) turn(ctx context.Context, run *job.Run) (taken, changed bool, err error) {
	if _, hub := job.WholeRun(run.ID); d.opts.MaxRuns == 0 || hub != "" {
		return true, false, nil
	}
	listed := run.Waiting != nil
	if !listed {
		run.Waiting = &job.Waiting{Since: run.StartAt, Most: d.opts.MaxRuns}
	}
	err = d.changeTurns(ctx, func(turns []string) ([]string, error) {
		taken = slices.Contains(turns, run.ID)
		if taken || len(turns) >= d.opts.MaxRuns {
			return turns, nil
		}
		first, err := d.firstWaiting(ctx, turns)
		if err != nil || first != nil && first.RunID != run.ID && first.Before(run) {
			return turns, err
		}
		taken = true
		return append(turns, run.ID), nil
	})
	if err != nil || taken {
		return taken, false, err
	}
	return false, !listed, d.store.Await(ctx, run)
}

// relist ranks a run that waits for its turn, and was edited, by its new priority. Should it begin meanwhile, or this process
// die on the way, it is listed once too often until the timer comes to that row.
func (d *Dispatcher) relist(ctx context.Context, former, run *job.Run) error {
	if d.opts.MaxRuns == 0 || run.Waiting == nil || former.Waiting == nil || former.Priority == run.Priority {
		return nil
	}
	if err := d.store.Await(ctx, run); err != nil {
		return err
	}
	return d.store.Unawait(ctx, former)
}

// firstWaiting gives the run that is to begin next, nil when none waits.
func (d *Dispatcher) firstWaiting(ctx context.Context, turns []string) (*tablestore.Waits, error) {
	waiting, err := d.store.Waiting(ctx, len(turns)+1)
	for i := range waiting {
		if !slices.Contains(turns, waiting[i].RunID) {
			return &waiting[i], err
		}
	}
	return nil, err
}

// changeTurns changes which runs have turns, again while somebody else is faster.
func (d *Dispatcher) changeTurns(ctx context.Context, edit func([]string) ([]string, error)) error {
	for try := 1; ; try++ {
		turns, err := d.store.Turns(ctx)
		if err != nil {
			return err
		}
		next, err := edit(slices.Clone(turns.Runs))
		if err != nil || slices.Equal(next, turns.Runs) {
			return err
		}
		turns.Runs = next
		err = d.store.SaveTurns(ctx, turns)
		if !errors.Is(err, job.ErrConflict) || try == turnTries {
			return err
		}
		if err := sleep(ctx, rand.N(turnPause)); err != nil {
			return err
		}
	}
}

// yieldTurn gives the turn of a run that has ended to the next. What fails the timer does.
func (d *Dispatcher) yieldTurn(ctx context.Context, runID string) {
	if d.opts.MaxRuns == 0 {
		return
	}
	had := false
	var left []string
	err := d.changeTurns(ctx, func(turns []string) ([]string, error) {
		had = slices.Contains(turns, runID)
		left = slices.DeleteFunc(turns, func(id string) bool { return id == runID })
		return left, nil
	})
	if err == nil && had {
		var next *tablestore.Waits
		if next, err = d.firstWaiting(ctx, left); err == nil && next != nil {
			err = d.send(ctx, message{Kind: kindPlan, Run: next.RunID}, 0)
		}
	}
	if err != nil {
		d.opts.Logger.WarnContext(ctx, "a run has ended; the timer will give its turn to the next", "run", runID, "error", err)
	}
}

// turns reads who has a turn, where there are any.
func (d *Dispatcher) turns(ctx context.Context) (tablestore.Turns, error) {
	if d.opts.MaxRuns == 0 {
		return tablestore.Turns{}, nil
	}
	return d.store.Turns(ctx)
}

// callWaiting takes back the turns of runs that are not active any more, and sends a message to each run that can begin. turns
// were read before active.
func (d *Dispatcher) callWaiting(ctx context.Context, turns tablestore.Turns, active []string) error {
	if d.opts.MaxRuns == 0 {
		return nil
	}
	lost := slices.DeleteFunc(slices.Clone(turns.Runs), func(id string) bool { return slices.Contains(active, id) })
	if len(lost) > 0 {
		err := d.changeTurns(ctx, func(now []string) ([]string, error) {
			turns.Runs = slices.DeleteFunc(now, func(id string) bool { return slices.Contains(lost, id) })
			return turns.Runs, nil
		})
		if err != nil {
			return err
		}
	}
	waiting, err := d.store.Waiting(ctx, d.opts.MaxRuns+spareWaiting)
	if err != nil {
		return err
	}
	free := d.opts.MaxRuns - len(turns.Runs)
	for _, w := range waiting {
		has := slices.Contains(turns.Runs, w.RunID)
		if has || free > 0 || !slices.Contains(active, w.RunID) {
			called, err := d.call(ctx, w)
			if err != nil {
				return err
			}
			if called && !has {
				free--
			}
		}
	}
	return nil
}

// call sends the message of a run that waits, or takes it off the list: somebody paused or cancelled it, or it has begun.
func (d *Dispatcher) call(ctx context.Context, w tablestore.Waits) (bool, error) {
	run, err := d.store.Run(ctx, w.RunID)
	if err != nil && !errors.Is(err, job.ErrNotFound) {
		return false, err
	}
	if err != nil || run.Status != job.StatusScheduled || run.Waiting == nil {
		return false, d.store.Unlist(ctx, w)
	}
	return true, d.send(ctx, message{Kind: kindPlan, Run: w.RunID}, 0)
}

// awaits reports whether callWaiting sees to a run. Now and then the timer sends its message nevertheless, by which it is listed again.
func (d *Dispatcher) awaits(run *job.Run, late time.Duration) bool {
	return d.opts.MaxRuns > 0 && run.Waiting != nil && late%relistEvery >= d.opts.Tick
}
