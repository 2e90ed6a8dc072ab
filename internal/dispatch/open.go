package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/pace"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// maxFed is how many stored shards a planner opens for itself at once.
const maxFed = 16

// fedFor is how long a run counts as fed after a planner took shards for itself.
const fedFor = 2 * time.Second

// fed reports whether others would only take from a planner what the hub allows of an operation: their shards go through the
// queue, and find this process busy when their slot comes.
func (d *Dispatcher) fed(run *job.Run, op *operation) bool {
	return op.lane.rates[op.kind] > 0 && d.now().Before(run.FedUntil)
}

// opens reports whether new shards can be opened as they are stored: shards are opened in order, and none waits. Those of a rollout
// are opened by supervisions alone.
func (p *planner) opens() bool {
	return p.run.Status == job.StatusRunning && p.run.Rollout == nil && p.run.Enqueued == p.plan.Shards
}

// store writes pending devices as shards: all of them when all is set, otherwise as many as find a free slot here. release
// gives the plan's claim back with the last write.
func (p *planner) store(ctx context.Context, all, release bool) error {
	if err := p.resolve(ctx); err != nil {
		return err
	}
	p.limit()
	p.sortByDelay()
	for {
		waiting := p.shards()
		n, mine := min(p.writable(), waiting), 0
		if p.opens() && !p.run.Jittered() {
			mine = p.local.reserve(n)
		}
		if !all {
			n = mine
		}
		if n == 0 && !release {
			return nil
		}
		last := n == waiting
		if err := p.write(ctx, n, mine, release && last); err != nil {
			return err
		}
		if last || !all {
			return nil
		}
	}
}

// write stores the next n shards, mine of which are to be carried out here.
func (p *planner) write(ctx context.Context, n, mine int, release bool) error {
	now := p.d.now()
	shards, to := p.cut(n)
	plan := *p.plan
	plan.Shards += len(shards)
	for _, s := range shards {
		plan.Devices += len(s.Executions)
	}
	if plan.Part != to.part {
		plan.Restarts = 0
	}
	plan.Part, plan.Continuation, plan.OpensAt = to.part, to.token, p.opensAt
	plan.SendAt = now.Add(p.pause)
	plan.Claim.Until = now.Add(p.d.opts.Lease)
	p.note(&plan)
	if p.done && len(p.pending) == 0 {
		p.end(&plan, now)
	}
	if release || plan.Complete() {
		plan.Claim = plan.Claim.Release()
	}
	o := opening{p: p, plan: &plan, shards: shards, mine: mine}
	err := o.store(ctx)
	if err != nil {
		p.local.release(mine)
		return err
	}
	p.plan, p.reads = &plan, reads{}
	return o.start(ctx)
}

// feed opens stored shards for free slots of this process.
func (p *planner) feed(ctx context.Context) error {
	if err := p.refresh(ctx); err != nil {
		return err
	}
	from := p.run.Enqueued
	mine := p.local.reserve(min(maxFed, p.plan.Shards-from))
	if p.stopped = p.run.Status != job.StatusRunning; p.stopped || mine == 0 {
		p.local.release(mine)
		return nil
	}
	if now := p.d.now(); !p.run.Calling(now) { // a supervision is about to stop or to pause the run, or to prolong its window
		p.feedAt = now.Add(superviseEvery)
		p.local.release(mine)
		return nil
	}
	shards, err := p.d.store.Shards(ctx, p.run.ID, tablestore.ShardQuery{From: from, Max: mine, Always: -1})
	if err != nil {
		p.local.release(mine)
		return err
	}
	o := opening{p: p, shards: shards, mine: mine}
	err = o.store(ctx)
	if err != nil {
		p.local.release(mine)
		return err
	}
	return o.start(ctx)
}

// refresh reads the run again.
func (p *planner) refresh(ctx context.Context) error {
	run, err := p.d.store.Run(ctx, p.run.ID)
	if err == nil {
		p.run = run
	}
	return err
}

// opening is one transaction that stores new shards, opens as many as can be worked on, and claims the first for the
// process itself.
type opening struct {
	p      *planner
	plan   *job.Plan // nil when the shards are stored already
	shards []*job.Shard
	mine   int

	grant  grant
	opened []tablestore.Underway
	taken  int // how many of them are carried out here
}

// store writes the opening, again when only the run was changed by somebody else meanwhile. Stored shards that can not be opened
// are not written: who was faster may be calling their devices.
func (o *opening) store(ctx context.Context) error {
	if err := o.reserve(ctx); err != nil {
		return err
	}
	for {
		o.open(o.p.d.now())
		g := tablestore.Growth{Plan: o.plan, Shards: o.shards, Opened: o.opened}
		switch {
		case len(o.opened) > 0:
			g.Run = o.p.run
		case o.plan == nil:
			return nil
		}
		err := o.p.d.store.Grow(ctx, g)
		if g.Run == nil || !errors.Is(err, job.ErrConflict) {
			return err
		}
		if mine, readErr := o.planned(ctx); readErr != nil || !mine {
			return errors.Join(err, readErr)
		}
		if err := o.p.refresh(ctx); err != nil {
			return err
		}
	}
}

// reserve asks the hub's allowance for what can be opened. Shards that sleep ask when they wake.
func (o *opening) reserve(ctx context.Context) error {
	if o.p.run.Jittered() {
		return nil
	}
	sizes := make([]int, o.room())
	for i := range sizes {
		sizes[i] = len(o.shards[i].Executions)
	}
	var err error
	op := o.p.local.op
	o.grant, err = op.lane.pacer.reserve(ctx, op.kind, pace.Ask{Run: o.p.run.ID, Costs: op.costs(sizes)})
	o.p.feedAt = o.grant.again
	return err
}

// planned reports whether the plan, if it is to be written, is still this planner's, and as it left it.
func (o *opening) planned(ctx context.Context) (bool, error) {
	if o.plan == nil {
		return true, nil
	}
	stored, err := o.p.d.store.Plan(ctx, o.p.run.ID)
	if err != nil {
		return false, err
	}
	was := o.p.plan
	o.plan.Rev = stored.Rev
	return stored.Claim.Owner == was.Claim.Owner && stored.Shards == was.Shards && !stored.Done, nil
}

// room is how many of the shards the run can open now.
func (o *opening) room() int {
	run := o.p.run
	if len(o.shards) == 0 || run.Rollout != nil || !run.Calling(o.p.d.now()) || run.Enqueued != o.shards[0].Number {
		return 0
	}
	if run.Jittered() {
		return len(o.shards)
	}
	room := o.mine
	if o.p.shares && !o.p.d.fed(run, o.p.local.op) {
		room += max(0, o.p.d.opts.OpenShards-(run.Enqueued-run.ClosedShards))
	}
	return min(len(o.shards), room)
}

// open lists the shards that the run can take, claims those that are carried out here, and counts them in the run.
func (o *opening) open(now time.Time) {
	run, d := o.p.run, o.p.d
	o.opened, o.taken = nil, 0
	if run.Jittered() {
		o.openAsleep()
		return
	}
	for _, s := range o.shards {
		s.Claim = job.Claim{}
		if o.p.local.op.once {
			s.Unmark()
		}
	}
	for i := range min(o.room(), len(o.grant.slots)) {
		s, slot := o.shards[i], o.grant.slots[i]
		if i < o.mine && !slot.At.After(now.Add(slotAhead)) {
			o.p.local.claim(s, now)
			if o.p.local.op.once {
				s.Mark(now)
			}
			o.taken++
		}
		size := len(s.Executions)
		o.opened = append(o.opened, tablestore.Underway{Number: s.Number, Devices: size, CheckAt: latest(now, slot.At).Add(d.opts.Lease)})
		run.Live = run.Live.Plus(job.CountsOf(job.Queued, job.NoReason, size))
	}
	run.Enqueued += len(o.opened)
	if o.taken > 0 {
		run.FedUntil = now.Add(fedFor)
	}
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// start carries out the claimed shards and sends the messages of the others that were opened.
func (o *opening) start(ctx context.Context) error {
	p := o.p
	p.local.release(o.mine - o.taken)
	for i, s := range o.shards[:o.taken] {
		p.local.start(ctx, p.run, s, o.grant.slots[i])
	}
	var messages []message
	for i := o.taken; i < min(len(o.opened), len(o.grant.slots)); i++ { // those that sleep have no slot
		messages = append(messages, message{Run: p.run.ID, Shard: o.opened[i].Number}.in(o.grant.slots[i]))
	}
	return p.d.sendShards(ctx, messages)
}
