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

	mu          sync.Mutex
	all, latest tally // of the run, and of its batch that was begun last
	batch       int   // the number of that one, and its first shard
	first       int
	generation  int // of the run as it was last seen
	turn        int // the generation from which on stored is outdated, or the calls go on
	held        chan struct{}
}

// tally is what a process knows of some outcomes.
type tally struct {
	stored   job.Counts // as of a supervision some passes ago
	forgiven job.Counts // of the run
	since    job.Counts // outcomes of this process since stored was read
	before   job.Counts // those of the time before, which stored may lack; some it has too, so that the guard errs on the safe side
}

func (t *tally) known() job.Counts { return t.stored.Plus(t.before).Plus(t.since) }

// read takes over what is stored. Where calls are held it has all outcomes of this process.
func (t *tally) read(stored, forgiven job.Counts, held bool) {
	*t = tally{stored: stored, forgiven: forgiven, before: t.since}
	if held {
		t.before = job.Counts{}
	}
}

func newGuard(a *job.Abort) *guard {
	if a == nil {
		return nil
	}
	return &guard{abort: a}
}

// asks reports whether the guard knows the shard's batch only by a run that is newer than this view.
func (g *guard) asks(run *job.Run, shard int) bool {
	return g != nil && run.Rollout != nil && shard >= run.Enqueued && run.Failure != nil && run.Failure.Abort.OverBatches()
}

// ended counts an outcome in a shard.
func (g *guard) ended(shard int, e *job.Execution) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	one := job.CountsOf(e.State, e.Reason, 1)
	g.all.since = g.all.since.Plus(one)
	if shard >= g.first {
		g.latest.since = g.latest.since.Plus(one)
	}
	if g.held != nil {
		return
	}
	if g.abort.Met(g.all.known(), g.all.forgiven) != nil || g.abort.MetInBatch(g.latest.known(), g.latest.forgiven) != nil {
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
	latest := run.LatestBatch()
	if latest.Number > g.batch { // this process has called none of its devices yet
		g.batch, g.first, g.latest = latest.Number, latest.FirstShard, tally{stored: latest.Counts(), forgiven: latest.Forgiven}
	}
	if g.generation < g.turn {
		return
	}
	g.turn = g.generation + guardPasses
	g.all.read(run.Counts(), run.Forgiven, g.held != nil)
	if latest.Number == g.batch {
		g.latest.read(latest.Counts(), latest.Forgiven, g.held != nil)
	}
	if g.held != nil { // what is stored has everything: no call has begun in the meantime
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
