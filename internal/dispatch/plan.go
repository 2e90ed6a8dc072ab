package dispatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
)

const (
	maxRestarts = 5                      // of a selection whose continuation token the hub lost
	planFlush   = 500 * time.Millisecond // longest time between a page and its storage
	planShards  = 48                     // most shards of one write

	throttledPlan = 3 * time.Second // least wait before a throttled query is asked again
	maxPatient    = 4               // stretches of a process that may wait that long without ending
)

// plan starts a run that is due and selects the next stretch of its devices.
func (d *Dispatcher) plan(ctx context.Context, m message, in Delivery) error {
	run, err := d.store.Run(ctx, m.Run)
	if err != nil {
		return err
	}
	if early := run.StartAt.Sub(d.now()); run.Status == job.StatusScheduled && early > 0 {
		if early > time.Second {
			return d.send(ctx, m, early)
		}
		if err := sleep(ctx, early); err != nil {
			return err
		}
	}
	if run, err = d.begin(ctx, run.ID); err != nil {
		return err
	}
	if run.Status != job.StatusRunning && !(m.Probe && run.Status == job.StatusBlocked) {
		return nil
	}
	rec, err := d.record(ctx, run)
	if err != nil {
		return err
	}
	plan, err := d.store.Plan(ctx, run.ID)
	if err != nil || plan.Done {
		return err
	}
	now := d.now()
	if plan.Claim.Live(now) {
		return d.send(ctx, m, plan.Claim.Until.Sub(now)+time.Second)
	}
	plan.Claim = plan.Claim.Take(in.Owner, now, d.opts.Lease)
	if err := d.store.SavePlan(ctx, plan); err != nil {
		return err
	}
	p := &planner{d: d, run: run, plan: plan, blocked: m.Probe, until: now.Add(d.opts.Slice)}
	if p.next, err = d.source(rec); err != nil {
		return p.unplannable(ctx, err)
	}
	d.planners.Add(1)
	defer d.planners.Add(-1)
	return p.stretch(ctx)
}

// begin makes a scheduled run a running one and gives the run as it is then.
func (d *Dispatcher) begin(ctx context.Context, runID string) (*job.Run, error) {
	return d.change(ctx, runID, func(run *job.Run) (bool, error) {
		if run.Status != job.StatusScheduled {
			return false, nil
		}
		rec, err := d.record(ctx, run)
		if err != nil {
			return false, err
		}
		now := d.now()
		run.SupervisedAt = now
		if rec.MaxExecutionTimeInSeconds > 0 {
			run.Deadline = now.Add(time.Duration(rec.MaxExecutionTimeInSeconds) * time.Second)
		}
		return true, run.Become(job.StatusRunning, now)
	})
}

// planner selects one stretch.
type planner struct {
	d       *Dispatcher
	run     *job.Run
	plan    *job.Plan
	next    source
	blocked bool // the run is blocked, and this stretch is its probe
	until   time.Time

	seen    map[uint64]struct{} // fingerprints of the devices that the plan holds, nil while it holds none from before
	pending []string            // selected and not stored
	token   string              // continuation after pending
	done    bool
	stored  time.Time
	pause   time.Duration // before the next stretch
}

// stretch selects devices until the target is complete, the time is over, or the hub wants a pause.
func (p *planner) stretch(ctx context.Context) error {
	if err := p.recall(ctx); err != nil {
		return err
	}
	p.token = p.plan.Continuation
	p.stored = p.d.now()
	for {
		devices, next, err := p.ask(ctx)
		if wait, ok := p.patient(err); ok {
			if wanted, err := p.flush(ctx, false); err != nil || !wanted {
				return err
			}
			if err := sleep(ctx, wait); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return p.failed(ctx, err)
		}
		if p.blocked {
			p.blocked = false
			if err := p.d.unblock(ctx, p.run.ID); err != nil {
				return err
			}
		}
		p.take(devices)
		p.token, p.done = next, next == ""
		now := p.d.now()
		over := !now.Before(p.until)
		if !p.done && !over && !p.full(now) {
			continue
		}
		wanted, err := p.flush(ctx, over)
		if err != nil || p.done || !wanted {
			return err
		}
		if over {
			return p.d.send(ctx, message{Kind: kindPlan, Run: p.run.ID}, 0)
		}
	}
}

// ask reads the next devices, again a few times while the hub fails. The claim outlives each try.
func (p *planner) ask(ctx context.Context) ([]string, string, error) {
	for attempt := 1; ; attempt++ {
		devices, next, err := p.try(ctx)
		kind := iothub.KindOf(err)
		if err == nil || attempt >= p.d.opts.Attempts || kind != iothub.ServerError && kind != iothub.Lost {
			return devices, next, err
		}
		if err := sleep(ctx, p.d.opts.RetryDelay); err != nil {
			return nil, "", err
		}
		p.plan.Claim.Until = p.d.now().Add(p.d.opts.Lease)
		if err := p.d.store.SavePlan(ctx, p.plan); err != nil {
			return nil, "", err
		}
	}
}

// try reads the next devices within half a lease, so that no other planner takes a slow one's place.
func (p *planner) try(ctx context.Context) ([]string, string, error) {
	within := p.d.opts.Lease / 2
	limited, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	devices, next, err := p.next(limited, p.token)
	if iothub.KindOf(err) == iothub.Canceled && ctx.Err() == nil {
		err = &iothub.Error{Kind: iothub.Lost, Op: iothub.OpQuery, Message: fmt.Sprintf("no answer within %s", within), Sent: true}
	}
	return devices, next, err
}

// patient reports whether to wait for a throttled hub within the stretch, and how long: a new stretch would have to recall
// all that was selected. Only few stretches of a process may wait, so that other messages keep flowing.
func (p *planner) patient(err error) (time.Duration, bool) {
	if iothub.KindOf(err) != iothub.Throttled || p.blocked || p.d.planners.Load() > maxPatient {
		return 0, false
	}
	wait := max(waitOf(err), throttledPlan)
	return wait, wait <= p.d.opts.Lease/3 && p.d.now().Add(wait).Before(p.until)
}

// recall reads which devices the plan holds from earlier stretches.
func (p *planner) recall(ctx context.Context) error {
	p.seen = map[uint64]struct{}{}
	if p.plan.Shards == 0 {
		return nil
	}
	return p.d.store.Selected(ctx, p.run.ID, func(print uint64) { p.seen[print] = struct{}{} })
}

// take adds the devices that were not selected before.
func (p *planner) take(devices []string) {
	for _, id := range devices {
		print := p.d.store.Fingerprint(p.run.ID, id)
		if _, twice := p.seen[print]; twice {
			continue
		}
		p.seen[print] = struct{}{}
		p.pending = append(p.pending, id)
	}
}

// full reports whether it is time to store: at once after the first page, then in growing steps.
func (p *planner) full(now time.Time) bool {
	step := min(planShards, 1+2*p.plan.Shards)
	return len(p.pending) >= step*job.ShardSize || now.Sub(p.stored) >= planFlush
}

// flush stores what was selected and lets the supervisor enqueue it. It reports whether the run wants more.
func (p *planner) flush(ctx context.Context, release bool) (bool, error) {
	for {
		rest := p.pending
		var shards []*job.Shard
		for len(rest) > 0 && len(shards) < planShards {
			n := min(len(rest), job.ShardSize)
			shards = append(shards, newShard(p.run.ID, p.plan.Shards+len(shards), rest[:n]))
			rest = rest[n:]
		}
		p.plan.Shards += len(shards)
		p.plan.Devices += len(p.pending) - len(rest)
		if len(rest) == 0 {
			p.plan.Continuation, p.plan.Done = p.token, p.done
		}
		now := p.d.now()
		p.plan.Claim.Until = now.Add(p.d.opts.Lease)
		if len(rest) == 0 && (release || p.done) {
			p.plan.Claim = p.plan.Claim.Release()
		}
		p.plan.SendAt = now.Add(p.pause)
		if err := p.d.store.AppendShards(ctx, p.plan, shards); err != nil {
			return false, err
		}
		p.pending, p.stored = rest, now
		if len(rest) == 0 {
			break
		}
	}
	wanted, err := p.advance(ctx)
	if err == nil && !wanted && p.plan.Claim.Owner != "" {
		// Whoever lets the run go on again sends a message that must not wait for this claim.
		p.plan.Claim = p.plan.Claim.Release()
		err = p.d.store.SavePlan(ctx, p.plan)
	}
	return wanted, err
}

// advance lets the supervisor see the new shards and reports whether the run still runs.
func (p *planner) advance(ctx context.Context) (bool, error) {
	run, err := p.d.advance(ctx, p.run.ID)
	if errors.Is(err, job.ErrConflict) {
		return true, nil // the run's own supervisor is at work
	}
	if err != nil {
		return false, err
	}
	return run.Status == job.StatusRunning, nil
}

func newShard(runID string, n int, devices []string) *job.Shard {
	s := &job.Shard{RunID: runID, Number: n, Executions: make([]job.Execution, len(devices))}
	for i, id := range devices {
		s.Executions[i].DeviceID = id
	}
	return s
}

// failed ends a stretch whose source failed: it is taken up later, begun anew, blocked, or the run can not be planned.
func (p *planner) failed(ctx context.Context, err error) error {
	var he *iothub.Error
	if errors.Is(err, errTarget) {
		return p.unplannable(ctx, err)
	}
	if !errors.As(err, &he) {
		return err // storage
	}
	switch he.Kind {
	case iothub.Throttled:
		p.pause = max(he.Wait, throttledPlan)
	case iothub.Canceled:
		return err
	case iothub.Rejected:
		if p.token == "" || p.plan.Restarts >= maxRestarts {
			return p.unplannable(ctx, fmt.Errorf("the hub refused the target: %w", he))
		}
		p.plan.Restarts++
		p.token = ""
	}
	if _, err := p.flush(ctx, true); err != nil {
		return err
	}
	if he.Kind != iothub.Throttled && he.Kind != iothub.Rejected {
		return p.d.block(ctx, p.run.ID, trouble{fault: he, planning: true, probe: p.blocked})
	}
	return p.d.send(ctx, message{Kind: kindPlan, Run: p.run.ID, Probe: p.blocked}, p.pause)
}

// unplannable ends a run whose devices can not be selected.
func (p *planner) unplannable(ctx context.Context, cause error) error {
	run, err := p.d.change(ctx, p.run.ID, func(run *job.Run) (bool, error) {
		if run.Status != job.StatusRunning && run.Status != job.StatusBlocked {
			return false, nil
		}
		run.EndReason, run.FailureReason = job.EndUnplannable, cause.Error()
		return true, run.Become(job.StatusStopping, p.d.now())
	})
	if err != nil {
		return err
	}
	_, err = p.d.advance(ctx, run.ID)
	return err
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
