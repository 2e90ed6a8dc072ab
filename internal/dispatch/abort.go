package dispatch

import (
	"context"
	"sync"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// abort ends or pauses a run whose counts meet one of its abort criteria.
func (s *supervision) abort() error {
	met, how := s.run.Abort()
	switch {
	case met == nil:
		return nil
	case met.Action == job.AbortPause:
		s.dirty = true
		return s.run.Hold(job.Pause{Since: s.now, Note: how})
	}
	s.run.EndReason, s.run.FailureReason = job.EndAborted, how
	return s.become(job.StatusStopping)
}

// guardPasses is how many supervisions a held run waits for: outcomes are stored within the first, counted in the second,
// and known to the process after the third.
const guardPasses = 3

// guard holds the calls of one run in one process back as soon as the outcomes that the process knows meet an abort
// criterion, until a supervision that counted them has let the run go on. So no more calls are made after a criterion is
// met than were on their way. It decides nothing: supervisions do, by what is stored. A nil guard holds nothing.
type guard struct {
	abort *job.Abort

	mu         sync.Mutex
	stored     job.Counts // as of a supervision some passes ago
	forgiven   job.Counts // of the run
	since      job.Counts // outcomes of this process since stored was read
	before     job.Counts // those of the time before, which stored may lack; some it has too, so that the guard errs on the safe side
	generation int        // of the run as it was last seen
	turn       int        // the generation from which on stored is outdated, or the calls go on
	held       chan struct{}
}

func newGuard(a *job.Abort) *guard {
	if a == nil {
		return nil
	}
	return &guard{abort: a}
}

// ended counts an outcome.
func (g *guard) ended(e *job.Execution) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.since = g.since.Plus(job.CountsOf(e.State, e.Reason, 1))
	if g.held == nil && g.abort.Met(g.stored.Plus(g.before).Plus(g.since), g.forgiven) != nil {
		g.held, g.turn = make(chan struct{}), g.generation+guardPasses
	}
}

// saw learns how far the run's supervision is.
func (g *guard) saw(run *job.Run) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.generation = run.Generation
	if g.abort = new(job.Abort); run.Failure != nil && run.Failure.Abort != nil { // both may have been edited
		g.abort = run.Failure.Abort
	}
	if g.generation < g.turn {
		return
	}
	g.forgiven = run.Forgiven
	g.stored, g.before, g.since, g.turn = run.Counts(), g.since, job.Counts{}, g.generation+guardPasses
	if g.held != nil { // stored has everything: no call has begun in the meantime
		g.before = job.Counts{}
		close(g.held)
		g.held = nil
	}
}

// holds gives what is closed when held calls may go on, nil when none is held.
func (g *guard) holds() <-chan struct{} {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.held
}

// heldAgain is when the shard of a held run comes back, to find out whether the run goes on.
const heldAgain = time.Second

// enter waits for the process's gate and the run's guard. It returns when a call may begin, or for how long none may.
func (w *worker) enter(ctx context.Context) (time.Duration, error) {
	for {
		wait, err := w.op.lane.gate.enter(ctx, hold)
		held := w.op.guard.holds()
		if err != nil || wait > 0 || held == nil {
			return wait, err
		}
		w.op.lane.gate.leave()
		timer := time.NewTimer(hold)
		defer timer.Stop()
		select {
		case <-held:
		case <-timer.C:
			return heldAgain, nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}
