package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// mergeTries is how often outcomes are merged into a shard that others keep writing.
const mergeTries = 5

// storeAgain is the time between two tries to store the end of a slice.
const storeAgain = time.Second

// snapshot copies the shard so that it can be stored while calls go on.
func (w *worker) snapshot() *job.Shard {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dirty = false
	s := *w.shard
	s.Executions = append([]job.Execution(nil), w.shard.Executions...)
	return &s
}

// flush stores the outcomes so far and renews the claim.
func (w *worker) flush(ctx context.Context, now time.Time) error {
	w.mu.Lock()
	idle := !w.dirty && w.shard.Claim.Until.Sub(now) > w.d.opts.Lease/2
	w.mu.Unlock()
	if idle {
		return nil
	}
	s := w.snapshot()
	rev := s.Rev
	s.Claim.Until = now.Add(w.d.opts.Lease)
	err := w.d.store.SaveShard(ctx, s)
	if errors.Is(err, job.ErrConflict) {
		return err
	}
	w.stored(ctx, s, rev, err)
	return nil
}

// stored takes over what a flush stored.
func (w *worker) stored(ctx context.Context, s *job.Shard, rev string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.Rev != rev { // the shard is stored, though perhaps not its counts for the run's progress
		w.shard.Rev, w.shard.Claim = s.Rev, s.Claim
		w.lapse.Reset(w.safe())
	}
	if err != nil {
		w.dirty = true
		w.log.WarnContext(ctx, "outcomes could not be stored yet; the slice stops unless its claim can be renewed", "error", err)
	}
}

// finish stores how the slice ended. All calls have ended.
func (w *worker) finish(ctx context.Context, m message) error {
	if w.op.once {
		w.shard.Unmark()
	}
	run, err := w.d.runs.get(ctx, w.shard.RunID, runAge)
	if err == nil && (run.Status == job.StatusStopping || run.Status.Ended()) {
		w.shard.EndRest(run.Unreached(), w.d.now())
	}
	w.review(ctx)
	if err := w.store(ctx); err != nil {
		return w.orMerge(ctx, err, m)
	}
	w.letGo(ctx, w.shard)
	if w.shard.Closed {
		if w.local || len(w.d.slots) > 1 {
			return nil
		}
		// The last slice here: its run may have come to its end.
		_, err := w.d.advance(ctx, w.shard.RunID)
		return err
	}
	if w.fault != nil {
		return w.d.block(ctx, w.shard.RunID, trouble{fault: w.fault, probe: m.Probe})
	}
	if w.d.sleeps(w.shard) {
		return nil // the open row says until when
	}
	m.Probe = false
	return w.d.send(ctx, m.in(w.rest()), w.wait)
}

// store closes the shard, or releases its claim. While storage fails it tries again, for a slice's time: what it holds is
// known nowhere else, and giving up would have devices called again.
func (w *worker) store(ctx context.Context) error {
	write := w.d.store.SaveShard
	if w.shard.Done() {
		write = w.d.closer.close
	}
	w.shard.Claim = w.shard.Claim.Release()
	for until := w.d.now().Add(w.d.opts.Slice); ; {
		rev := w.shard.Rev
		err := write(ctx, w.shard)
		if err == nil || lostRace(err) || w.shard.Rev != rev || !w.d.now().Before(until) {
			return err
		}
		w.log.WarnContext(ctx, "outcomes could not be stored yet; trying again", "error", err)
		if err := sleep(ctx, storeAgain); err != nil {
			return err
		}
	}
}

// orMerge saves what a refused write would have lost.
func (w *worker) orMerge(ctx context.Context, err error, m message) error {
	if lostRace(err) {
		return w.merge(ctx, m)
	}
	return err
}

// merge adds the outcomes that this worker knows to a shard that somebody else has written meanwhile, and leaves. When the
// claim is still this worker's, the shard's message goes on.
func (w *worker) merge(ctx context.Context, m message) error {
	var err error
	for range mergeTries {
		theirs, readErr := w.d.store.Shard(ctx, w.shard.RunID, w.shard.Number)
		if readErr != nil || theirs.Closed {
			return readErr
		}
		mine := theirs.Claim.Owner == w.owner
		if !theirs.Adopt(w.shard.Executions) && !mine {
			return nil
		}
		if mine {
			theirs.Claim = theirs.Claim.Release()
		}
		if theirs.Done() {
			err = w.d.store.CloseShard(ctx, theirs)
		} else {
			err = w.d.store.SaveShard(ctx, theirs)
		}
		if err == nil && mine {
			w.letGo(ctx, theirs)
		}
		if err == nil && mine && !theirs.Closed {
			m.Probe = false
			return w.d.send(ctx, m, w.wait)
		}
		if !lostRace(err) {
			return err
		}
	}
	return err
}
