package dispatch

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

const (
	superviseEvery  = time.Second
	superviseSilent = 10 * time.Second // at most, while a run is blocked or paused
	superviseTries  = 5
	maxChecks       = 50 // open shards looked at in one pass
	closesAtOnce    = 8
)

// supervise moves a run on: it counts what ended, hands out more shards, looks after lost ones, and ends the run.
func (d *Dispatcher) supervise(ctx context.Context, m message, in Delivery) error {
	next := m.Generation + 1
	// mine says that an earlier delivery of m, or an earlier try of this one, may have stored the next generation without
	// sending its message.
	mine := in.Redelivered
	for try := 1; ; try++ {
		run, err := d.store.Run(ctx, m.Run)
		if err != nil {
			return err
		}
		if run.Status.Ended() {
			return d.reflect(ctx, run)
		}
		if m.Generation < run.Generation && !(mine && run.Generation == next) {
			return nil
		}
		read := run.Rev
		err = d.pass(ctx, run, next)
		if !lostRace(err) {
			return err
		}
		mine = mine || run.Rev != read
		if try == superviseTries {
			return d.sendSupervise(ctx, run.ID, next, superviseEvery)
		}
	}
}

// sendSupervise sends the message of a generation. It dies on arrival when the run has a later one by then.
func (d *Dispatcher) sendSupervise(ctx context.Context, runID string, generation int, delay time.Duration) error {
	return d.send(ctx, message{Kind: kindSupervise, Run: runID, Generation: generation}, delay)
}

// advance is a pass outside the chain of supervise messages.
func (d *Dispatcher) advance(ctx context.Context, runID string) (*job.Run, error) {
	run, err := d.store.Run(ctx, runID)
	if err != nil || run.Status.Ended() {
		return run, err
	}
	return run, d.pass(ctx, run, 0)
}

// supervision is one pass over a run.
type supervision struct {
	d     *Dispatcher
	run   *job.Run
	plan  *job.Plan
	now   time.Time
	open  []tablestore.Underway
	done  []tablestore.Underway
	dirty bool // the run was changed since it was stored
	asked bool // a probe is on its way

	stored job.Run // the run as it was last read or stored
}

// pass makes one supervision. As part of the chain it stores the generation of the next message and sends that; 0 is no
// part of the chain.
func (d *Dispatcher) pass(ctx context.Context, run *job.Run, generation int) error {
	if run.Hubs != nil {
		return d.gather(ctx, run, generation)
	}
	chain := generation > 0
	s := &supervision{d: d, run: run, now: d.now(), dirty: chain, stored: *run}
	before := d.observe.before(run)
	if chain {
		run.Generation = generation
		run.SupervisedAt = s.now
	}
	if err := s.look(ctx); err != nil {
		return err
	}
	if err := s.act(ctx); err != nil {
		return err
	}
	if run.Exclusive && run.Status.Ended() {
		if err := d.lane(run.Hub).pacer.store.DropHeld(ctx, run.ID); err != nil {
			return err
		}
	}
	if s.dirty {
		if err := d.store.SaveRun(ctx, run); err != nil {
			return err
		}
	}
	d.observe.passed(ctx, before, run, len(s.open))
	if run.Status != before.status {
		if err := d.reflect(ctx, run); err != nil {
			return err
		}
	}
	if !chain || run.Status.Ended() || run.Resting(s.now) {
		return nil // a run that rests is woken by Resume, by Cancel, and by the timer at its deadline
	}
	return d.sendSupervise(ctx, run.ID, generation, s.delay())
}

func (s *supervision) delay() time.Duration {
	silent := superviseSilent
	switch gated := max(s.gated(), s.untilPart()); {
	case gated > 0:
		silent = min(silent, gated)
	case s.run.Status == job.StatusBlocked && !s.asked:
		silent = min(silent, s.run.Block.ProbeAt.Sub(s.now))
	case s.run.Status == job.StatusPaused && s.now.Sub(s.run.Pause.Since) > superviseSilent:
	case s.run.Status == job.StatusRunning && s.idleFor() > 0:
		silent = min(silent, s.idleFor())
	default:
		return superviseEvery
	}
	if !s.run.Deadline.IsZero() {
		silent = min(silent, s.run.Deadline.Sub(s.now))
	}
	return max(superviseEvery, silent)
}

// act does what the run's status asks for.
func (s *supervision) act(ctx context.Context) error {
	if s.run.PastDeadline(s.now) && s.run.Status.CanBecome(job.StatusStopping) {
		s.run.EndReason = job.EndTimeLimit
		if err := s.become(job.StatusStopping); err != nil {
			return err
		}
	}
	if err := s.abort(); err != nil {
		return err
	}
	if opened, err := s.window(ctx); opened || err != nil {
		return err
	}
	switch s.run.Status {
	case job.StatusRunning:
		return s.running(ctx)
	case job.StatusBlocked:
		return s.blocked(ctx)
	case job.StatusStopping:
		return s.stopping(ctx)
	}
	return nil
}

func (s *supervision) become(next job.Status) error {
	s.dirty = true
	return s.run.Become(next, s.now)
}

func (s *supervision) running(ctx context.Context) error {
	if err := s.stepRollout(); err != nil || s.run.Status != job.StatusRunning {
		return err
	}
	if s.plan.Done && s.run.Enqueued == s.plan.Shards && s.allCounted() {
		s.run.EndReason = job.EndFinished
		return s.become(job.StatusCompleted)
	}
	if s.run.Resend {
		if err := s.resend(ctx); err != nil {
			return err
		}
	}
	if err := s.wake(ctx); err != nil {
		return err
	}
	if err := s.openPart(ctx); err != nil {
		return err
	}
	if err := s.repair(ctx); err != nil {
		return err
	}
	return s.enqueue(ctx)
}

// allCounted reports whether every enqueued shard ended and was rolled up. That none is listed is no proof: a shard that
// ends between two pages of the listing shows in neither.
func (s *supervision) allCounted() bool {
	return len(s.open) == 0 && s.run.ClosedShards == s.run.Enqueued
}

// resend sends the messages again that were dropped while the run was blocked or paused.
func (s *supervision) resend(ctx context.Context) error {
	if !s.plan.Complete() {
		if err := s.d.send(ctx, message{Kind: kindPlan, Run: s.run.ID}, 0); err != nil {
			return err
		}
	}
	s.run.Resend, s.dirty = false, true
	again := make([]message, 0, len(s.open))
	for _, u := range s.open {
		if !u.WakeAt.After(s.now) {
			again = append(again, message{Run: s.run.ID, Shard: u.Number}.in(s.turn(u)))
		}
	}
	return s.d.sendShards(ctx, again)
}

// repair looks after shards and plans on which nobody works although somebody should.
func (s *supervision) repair(ctx context.Context) error {
	if s.overdue() {
		s.plan.SendAt = s.now
		if err := s.d.store.SavePlan(ctx, s.plan); err != nil {
			return err
		}
		if err := s.d.send(ctx, message{Kind: kindPlan, Run: s.run.ID}, 0); err != nil {
			return err
		}
	}
	checked := 0
	for _, u := range s.open {
		if u.CheckAt.After(s.now) || checked >= maxChecks {
			continue
		}
		checked++
		if err := s.check(ctx, u); err != nil {
			return err
		}
	}
	return nil
}

// check sends a shard's message again unless somebody holds the shard. The time to the next check doubles.
func (s *supervision) check(ctx context.Context, u tablestore.Underway) error {
	shard, err := s.d.store.Shard(ctx, s.run.ID, u.Number)
	if err != nil || shard.Closed {
		return err
	}
	if shard.Claim.Live(s.now) {
		u.Checks, u.CheckAt = 0, shard.Claim.Until.Add(superviseEvery)
		return s.d.store.MarkChecked(ctx, s.run.ID, u)
	}
	u.CheckAt = s.now.Add(s.d.opts.Lease << min(u.Checks, 4))
	u.Checks++
	if err := s.d.store.MarkChecked(ctx, s.run.ID, u); err != nil {
		return err
	}
	return s.d.sendShards(ctx, []message{{Run: s.run.ID, Shard: u.Number}})
}

// stopping ends what no worker holds and, when nothing is left, the run.
func (s *supervision) stopping(ctx context.Context) error {
	if !s.plan.Done {
		s.plan.Done = true
		if err := s.d.store.SavePlan(ctx, s.plan); err != nil {
			return err
		}
	}
	if err := s.closeIdle(ctx); err != nil {
		return err
	}
	if err := s.look(ctx); err != nil || !s.allCounted() {
		return err
	}
	switch s.run.EndReason {
	case job.EndTimeLimit:
		return s.become(job.StatusCompleted)
	case job.EndUnplannable:
		return s.become(job.StatusFailed)
	default:
		return s.become(job.StatusCancelled)
	}
}

const interrupted = "the worker that called this device ended without storing an outcome, and the job ended before the next call"

func (s *supervision) closeIdle(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(closesAtOnce)
	for _, u := range s.open {
		g.Go(func() error {
			shard, err := s.d.store.Shard(ctx, s.run.ID, u.Number)
			if err != nil || shard.Closed || shard.Claim.Live(s.now) {
				return err
			}
			if s.run.Failure.Once() {
				shard.Doubt(s.now)
			}
			abandon(shard, s.now)
			shard.EndRest(s.run.Unreached(), s.now)
			shard.Claim = shard.Claim.Release()
			if err := s.d.store.CloseShard(ctx, shard); err != nil && !errors.Is(err, job.ErrConflict) {
				return err
			}
			return nil
		})
	}
	return g.Wait()
}
