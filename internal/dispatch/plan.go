package dispatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/pace"
)

const (
	maxRestarts = 5                      // of a selection whose continuation token the hub lost
	planFlush   = 500 * time.Millisecond // longest time between a page and its storage
	planShards  = 48                     // most shards of one write: each has two rows
	farthest    = time.Hour              // that a message is sent ahead; a window may open much later
	planBeat    = 100 * time.Millisecond // how often a planner looks up
)

// plan starts a run that is due, selects the next stretch of its devices, and carries out what this process has room for.
func (d *Dispatcher) plan(ctx context.Context, m message, in Delivery) error {
	run, err := d.store.Run(ctx, m.Run)
	if err != nil {
		return err
	}
	if early := run.StartAt.Sub(d.now()); run.Status == job.StatusScheduled && early > 0 {
		if early > time.Second {
			return d.send(ctx, m, min(early, farthest))
		}
		if err := sleep(ctx, early); err != nil {
			return err
		}
	}
	if run, err = d.begin(ctx, run.ID); err != nil {
		return err
	}
	if run.Hubs != nil {
		_, err = d.advance(ctx, run.ID)
		return err
	}
	if run.Status != job.StatusRunning && !(m.Probe && run.Status == job.StatusBlocked) {
		return nil
	}
	plan, err := d.store.Plan(ctx, run.ID)
	if err != nil || plan.Done {
		return err
	}
	now := d.now()
	if plan.OpensAt.After(now) || !admitRound(run, plan, now) {
		return nil // the supervision sends a message then
	}
	if plan.Claim.Live(now) {
		return d.send(ctx, m, plan.Claim.Until.Sub(now)+time.Second)
	}
	plan.Claim = plan.Claim.Take(in.Owner, now, d.opts.Lease)
	if err := d.store.SavePlan(ctx, plan); err != nil {
		return err
	}
	if plan.Read() {
		return d.endRound(ctx, run, plan)
	}
	p := &planner{feeder: feeder{d: d, run: run, stored: plan.Shards}, plan: plan, blocked: m.Probe, until: now.Add(d.opts.Slice - d.opts.Slice/6)}
	if slot := m.slot(); now.Sub(slot.At) < queryLate {
		p.slots = []pace.Slot{slot}
	}
	return p.carryOut(ctx, in.Owner)
}

// planner selects one stretch, and opens what can be worked on.
type planner struct {
	feeder
	plan    *job.Plan
	blocked bool        // the run is blocked, and this stretch is its probe
	until   time.Time   // the next stretch goes on from here, while what this one began is carried out
	slots   []pace.Slot // that earlier stretches reserved for pages

	seen     seen
	chosen   map[uint64]struct{} // fingerprints of devices of chosen batches
	suspects []string            // selected, perhaps for the second time
	pending  []string            // selected and not stored
	known    values              // of those, for the job's placeholders
	parts    []job.Part          // of the target, none of one without
	part     int                 // that the last page belongs to
	stints   []stint             // parts before it that pending devices belong to
	marks    []mark              // continuations after some of pending
	at       place               // continuation after pending
	done     bool                // the source has no more, or the run has enough
	sated    bool                // the run has enough
	most     int                 // devices that the run takes, 0 for all
	pause    time.Duration       // before the next stretch
	gathers  bool                // the part that comes next is to be read into its pool
	opensAt  time.Time           // when the part that comes next may be selected
	interval time.Duration       // of the rounds of a continuous selection
	reads    reads
}

// mark says that the source goes on at a place after the first n pending devices, and when their last page came.
type mark struct {
	n  int
	to place
	at time.Time
}

// carryOut selects a stretch and waits for the shards that this invocation took for itself.
func (p *planner) carryOut(ctx context.Context, owner string) error {
	rec, err := p.d.record(ctx, p.run)
	if err != nil {
		return err
	}
	op, err := p.d.operation(ctx, p.run)
	if err != nil {
		return err
	}
	p.most, p.interval = rec.MaxDevices, time.Duration(rec.SelectionInterval)
	p.local = p.d.newLocal(op, owner)
	if err := p.findList(ctx, rec); err != nil {
		return err
	}
	r := &reader{
		d: p.d, lane: op.lane, run: p.run.ID, weight: p.run.Priority, until: p.until, blocked: p.blocked, slots: p.slots,
		target: target{d: p.d, hub: p.run.Hub, run: p.run.ID, rec: rec, list: p.plan.List, pool: p.plan.Pool},
	}
	ready, err := p.divide(ctx, r)
	if ready && err == nil {
		err = p.stretch(ctx, r)
	}
	if p.gathers && err == nil {
		err = p.gather(ctx, r)
	}
	if err == nil && (p.plan.Read() || p.pause > 0) {
		err = p.handOver(ctx)
	}
	err = errors.Join(err, p.local.wait())
	if err == nil && p.plan.Read() {
		_, err = p.d.advance(ctx, p.run.ID)
	}
	return err
}

// stretch selects devices until the target is complete, the time is over, or the hub wants a pause.
func (p *planner) stretch(ctx context.Context, r *reader) (err error) {
	p.d.feeders.enter(p.run.ID)
	defer p.d.feeders.leave(p.run.ID)
	p.d.planners.Add(1)
	defer p.d.planners.Add(-1)
	if err := p.recall(ctx); err != nil {
		return err
	}
	if err := p.recallChosen(ctx); err != nil {
		return err
	}
	defer func() { p.rememberSeen(err) }()
	p.at = place{p.plan.Part, p.plan.Continuation}
	p.part = p.at.part
	reading, stop := context.WithCancel(ctx)
	pages, ended := make(chan page, readAhead), make(chan struct{})
	go func() {
		defer close(ended)
		r.read(reading, place{p.plan.Part, p.plan.Continuation}, pages)
	}()
	defer func() {
		stop()
		<-ended
	}()
	beat := time.NewTicker(planBeat)
	defer beat.Stop()
	for {
		more := pages
		if p.full() {
			more = nil
		}
		var err error
		select {
		case got := <-more:
			for ready := true; ready && err == nil; { // what came during the last write goes into the next one
				if got.err != nil {
					return p.failed(ctx, got.err, r.missed)
				}
				err = p.take(ctx, got)
				if ready = !p.full(); ready {
					select {
					case got = <-pages:
					default:
						ready = false
					}
				}
			}
		case <-p.local.freed:
		case <-beat.C:
			err = p.look(ctx)
		case <-ctx.Done():
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if ended, err := p.step(ctx); ended || err != nil {
			return err
		}
	}
}

// full reports whether no page is to be taken before the next write.
func (p *planner) full() bool {
	return p.done || len(p.pending)+len(p.suspects) >= planShards*job.ShardSize || p.heavy()
}

// take adds a page.
func (p *planner) take(ctx context.Context, got page) error {
	if err := p.answered(ctx); err != nil {
		return err
	}
	if err := p.turnTo(ctx, got.part); err != nil {
		return err
	}
	for _, id := range got.devices {
		print := p.d.store.Fingerprint(p.run.ID, id)
		if p.seen.add(print) {
			if p.plan.Rounds == nil && !p.repeated(print) {
				p.suspects = append(p.suspects, id)
				p.known.keep(id, got.values)
			}
			continue
		}
		p.remember(print, got.part)
		p.pending = append(p.pending, id)
		p.known.keep(id, got.values)
	}
	p.listed(got.devices)
	p.sated = p.enough()
	p.at, p.done = got.next, got.last || p.sated
	p.marks = append(p.marks, mark{len(p.pending), p.at, p.d.now()})
	return nil
}

// step stores and opens what it is time for, and reports whether the stretch has ended.
func (p *planner) step(ctx context.Context) (bool, error) {
	now := p.d.now()
	over := p.stopped || !now.Before(p.until)
	waiting := len(p.pending) + len(p.suspects)
	overdue := waiting > 0 && now.Sub(p.marks[0].at) >= p.flushAfter()
	var err error
	switch {
	case !p.plan.Read() && (over || p.done && waiting == 0):
		err = p.store(ctx, true, true)
	case overdue, p.heavy(), p.done && waiting > 0 && !p.local.accepting():
		err = p.store(ctx, true, false)
	case !over && !p.blocked && p.starves(now):
		err = p.takeNext(ctx)
	case waiting >= planShards*job.ShardSize, p.crowded(waiting):
		err = p.store(ctx, true, false)
	case over || p.blocked || p.storesOnly():
	case !p.local.free():
		err = p.offer(ctx)
	case !p.opens():
		if !now.Before(p.feedAt) {
			err = p.takeNext(ctx)
		}
	case waiting > 0 && len(p.suspects) == 0: // to look suspects up costs a read of the whole plan
		err = p.store(ctx, false, false)
	}
	if err != nil {
		return true, err
	}
	if over && p.stopped {
		return true, p.leave(ctx)
	}
	if over && !p.plan.Read() {
		return true, p.d.send(ctx, message{Kind: kindPlan, Run: p.run.ID}, 0)
	}
	idle := p.left() == 0 || !p.local.accepting() || p.d.planners.Load() > maxPatient
	return over || p.plan.Read() && idle, nil
}

// look renews the claim and watches whether the run still wants devices.
func (p *planner) look(ctx context.Context) error {
	now := p.d.now()
	if !p.plan.Read() && p.plan.Claim.Until.Sub(now) < 2*p.d.opts.Lease/3 {
		p.plan.Claim.Until = now.Add(p.d.opts.Lease)
		if err := p.d.store.SavePlan(ctx, p.plan); err != nil {
			return err
		}
	}
	if p.blocked {
		return nil
	}
	return p.feeder.look(ctx)
}

// leave ends a stretch whose run wants no more devices for now. The message of whoever lets the run go on must not wait for
// this stretch's claim: one that came before the claim was released is replaced.
func (p *planner) leave(ctx context.Context) error {
	if err := p.refresh(ctx); err != nil || p.run.Status != job.StatusRunning || p.plan.Read() {
		return err
	}
	return p.d.send(ctx, message{Kind: kindPlan, Run: p.run.ID}, 0)
}

// resolve finds out which suspects are new. Everything else that was selected is in storage or pending.
func (p *planner) resolve(ctx context.Context) error {
	if len(p.suspects) == 0 {
		return nil
	}
	fresh := make(map[uint64]struct{}, len(p.suspects))
	for _, id := range p.suspects {
		fresh[p.d.store.Fingerprint(p.run.ID, id)] = struct{}{}
	}
	for _, id := range p.pending {
		delete(fresh, p.d.store.Fingerprint(p.run.ID, id))
	}
	if p.plan.Shards > 0 {
		if err := p.d.store.Selected(ctx, p.run.ID, func(print uint64) { delete(fresh, print) }); err != nil {
			return err
		}
	}
	for _, id := range p.suspects {
		print := p.d.store.Fingerprint(p.run.ID, id)
		if _, ok := fresh[print]; ok {
			p.pending = append(p.pending, id)
			delete(fresh, print)
		}
	}
	p.suspects = nil
	p.marks = []mark{{len(p.pending), p.at, p.marks[0].at}}
	return nil
}

// failed ends a stretch whose source failed: it is taken up later (in the slot that it missed, if it has one), begun anew,
// blocked, or the run can not be planned.
func (p *planner) failed(ctx context.Context, err error, missed pace.Slot) error {
	var he *iothub.Error
	var soon *notYet
	switch {
	case errors.Is(err, errTarget):
		return p.unplannable(ctx, err)
	case errors.Is(err, errListGone):
		return p.askHub(ctx)
	case errors.Is(err, errUnpooled):
		p.gathers = true
		return p.store(ctx, true, false)
	case errors.As(err, &soon):
		return p.postpone(ctx, soon.opensAt)
	case !errors.As(err, &he):
		return err // storage
	}
	switch he.Kind {
	case iothub.Throttled:
		p.pause = he.Wait
		if missed.At.IsZero() {
			p.pause = max(he.Wait, throttledPlan)
		}
	case iothub.Canceled:
		return err
	case iothub.Rejected:
		if p.at.token == "" || p.plan.Restarts >= maxRestarts {
			return p.unplannable(ctx, fmt.Errorf("the hub refused the target: %w", he))
		}
		p.plan.Restarts++
		p.at.token = ""
		p.marks = []mark{{len(p.pending), p.at, p.d.now()}}
	}
	if err := p.store(ctx, true, true); err != nil {
		return err
	}
	if p.stopped {
		return p.leave(ctx)
	}
	if he.Kind != iothub.Throttled && he.Kind != iothub.Rejected {
		return p.d.block(ctx, p.run.ID, trouble{fault: he, planning: true, probe: p.blocked})
	}
	return p.d.send(ctx, message{Kind: kindPlan, Run: p.run.ID, Probe: p.blocked}.in(missed), p.pause)
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
