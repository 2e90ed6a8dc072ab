package dispatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

const maxProbeDelay = time.Minute

// change reads a run, lets edit change it, and stores it, again as often as somebody else was faster. edit returns false
// when there is nothing to store. The run that stands is returned, and its job shows the run's status.
func (d *Dispatcher) change(ctx context.Context, runID string, edit func(*job.Run) (bool, error)) (*job.Run, error) {
	run, err := d.store.Run(ctx, runID)
	if err != nil {
		return nil, err
	}
	return d.changeFrom(ctx, run, edit)
}

// changeFrom is change of a run that was read already.
func (d *Dispatcher) changeFrom(ctx context.Context, run *job.Run, edit func(*job.Run) (bool, error)) (*job.Run, error) {
	for {
		before := d.observe.before(run)
		store, err := edit(run)
		if err != nil || !store {
			return run, err
		}
		err = d.store.SaveRun(ctx, run)
		if errors.Is(err, job.ErrConflict) && ctx.Err() == nil {
			if run, err = d.store.Run(ctx, run.ID); err != nil {
				return nil, err
			}
			continue
		}
		if err == nil && run.Status != before.status {
			d.observe.changed(ctx, before, run)
			err = d.reflect(ctx, run)
		}
		return run, err
	}
}

// reflect shows the run's status in its job and in the lists of jobs, and who changed it in the audit trail. Whoever changes a
// run's status calls it; the timer does when they died in between.
func (d *Dispatcher) reflect(ctx context.Context, run *job.Run) error {
	if _, hub := job.WholeRun(run.ID); hub != "" {
		return d.tellWhole(ctx, run)
	}
	if run.Status.Ended() {
		d.yieldTurn(ctx, run.ID)
	}
	for {
		rec, err := d.record(ctx, run)
		if err != nil {
			return err
		}
		if rec.Occurrence != nil {
			return d.follow(ctx, rec, run)
		}
		changes := rec.Untold(run)
		if from := rec.Status; !from.Ended() && (from != run.Status || len(changes) > 0) {
			rec.Reflect(run)
			d.owe(rec)
			err = d.store.SaveJob(ctx, rec, from, changes...)
			if errors.Is(err, job.ErrConflict) && ctx.Err() == nil {
				continue
			}
			if err == nil {
				d.tell(ctx, rec)
			}
		}
		return err
	}
}

// trouble is a fault of the hub that is none of its devices', and who met it.
type trouble struct {
	fault    error
	planning bool // the selection of devices, not a call
	probe    bool // the call or query that was to find out whether the hub is back
}

// block stops a run until the hub is back. A failed probe makes the next one come later.
func (d *Dispatcher) block(ctx context.Context, runID string, t trouble) error {
	now, changed := d.now(), false
	run, err := d.change(ctx, runID, func(run *job.Run) (bool, error) {
		changed = false
		b := run.Block
		switch {
		case run.Status == job.StatusRunning:
			b = &job.Block{Since: now}
		case run.Status != job.StatusBlocked || !t.probe:
			return false, nil
		}
		if err := run.Become(job.StatusBlocked, now); err != nil {
			return false, err
		}
		delay := min(maxProbeDelay, d.opts.ProbeDelay<<min(b.Probes, 10))
		run.Block = &job.Block{
			Reason: t.fault.Error(), Code: codeOf(t.fault), Since: b.Since, ProbeAt: now.Add(delay),
			Probes: b.Probes + 1, Planning: t.planning,
		}
		changed = true
		return true, nil
	})
	if err == nil && changed {
		d.observe.blocked(ctx, run)
	}
	return err
}

// unblock lets a blocked run go on and wakes its supervisor, which sends what was held back.
func (d *Dispatcher) unblock(ctx context.Context, runID string) error {
	run, err := d.change(ctx, runID, func(run *job.Run) (bool, error) {
		if run.Status != job.StatusBlocked {
			return false, nil
		}
		run.Resend = true
		return true, run.Become(job.StatusRunning, d.now())
	})
	if err != nil {
		return fmt.Errorf("unblocking run %s: %w", runID, err)
	}
	return d.wake(ctx, run)
}

// wake sends a supervise message that is handled at once; the one that is under way dies when it arrives.
func (d *Dispatcher) wake(ctx context.Context, run *job.Run) error {
	return d.sendSupervise(ctx, run.ID, run.Generation, 0)
}

// detailOf gives the hub's own words, which an execution shows beside its device and reason.
func detailOf(err error) string {
	if he, ok := errors.AsType[*iothub.Error](err); ok {
		return he.Detail()
	}
	return err.Error()
}

func codeOf(err error) string {
	if he, ok := errors.AsType[*iothub.Error](err); ok {
		return he.Code
	}
	return ""
}

func waitOf(err error) time.Duration {
	if he, ok := errors.AsType[*iothub.Error](err); ok {
		return he.Wait
	}
	return 0
}

// blocked asks the hub again when it is time, by one call or one query.
func (s *supervision) blocked(ctx context.Context) error {
	b := s.run.Block
	if s.now.Before(b.ProbeAt) {
		return nil
	}
	b.ProbeAt = s.now.Add(maxProbeDelay) // the probe itself sets an earlier one, or unblocks the run
	s.dirty, s.asked = true, true
	switch {
	case b.Planning && !s.plan.Complete():
		return s.d.send(ctx, message{Kind: kindPlan, Run: s.run.ID, Probe: true}, 0)
	case len(s.open) > 0:
		idle, err := s.idle(ctx)
		if err == nil && idle == nil {
			b.ProbeAt, s.asked = s.now.Add(s.d.opts.ProbeDelay), false // every shard waits for calls in flight
		}
		if err != nil || idle == nil {
			return err
		}
		return s.d.sendShards(ctx, []message{{Run: s.run.ID, Shard: idle.Number, Probe: true}})
	}
	s.run.Resend = true
	return s.become(job.StatusRunning)
}

// idle gives an open shard that no worker holds, nil when there is none: a held one would keep a probe waiting for as long
// as its slowest call.
func (s *supervision) idle(ctx context.Context) (*tablestore.Underway, error) {
	looked, sleeping := 0, s.asleep()
	for i, u := range s.open {
		if u.WakeAt.After(s.now) && sleeping < len(s.open) || parked(u) || looked == maxChecks {
			continue
		}
		looked++
		shard, err := s.d.store.Shard(ctx, s.run.ID, u.Number)
		if err != nil {
			return nil, err
		}
		if !shard.Closed && !shard.Claim.Live(s.now) {
			return &s.open[i], nil
		}
	}
	return nil, nil
}

// answered ends the block of a run whose probe the hub answered.
func (p *planner) answered(ctx context.Context) error {
	if !p.blocked {
		return nil
	}
	p.blocked = false
	if err := p.d.unblock(ctx, p.run.ID); err != nil {
		return err
	}
	return p.refresh(ctx)
}
