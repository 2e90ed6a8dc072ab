package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/pace"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

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
		if n == 0 && !release && !p.heavy() {
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
	countChosen(&plan, p.run.Rollout.Chosen(), shards)
	plan.Part, plan.Continuation, plan.OpensAt = to.part, to.token, p.opensAt
	plan.SendAt = now.Add(p.pause)
	plan.Claim.Until = now.Add(p.d.opts.Lease)
	p.note(&plan)
	if p.done && len(p.pending) == 0 {
		p.end(&plan, now)
	}
	if release || plan.Read() {
		plan.Claim = plan.Claim.Release()
	}
	o := opening{ended: p.unplaced(shards), f: &p.feeder, plan: &plan, listed: p.noted(), was: p.plan, shards: shards, mine: mine}
	err := o.store(ctx)
	if err != nil {
		p.local.release(mine)
		return err
	}
	p.plan, p.stored, p.reads = &plan, plan.Shards, reads{}
	if err := o.start(ctx); err != nil || plan.Complete() || !plan.Read() {
		return err
	}
	return p.d.send(ctx, message{Kind: kindPlan, Run: p.run.ID}, 0) // which sweeps
}

// opening is one transaction that stores new shards, opens as many as can be worked on, and claims the first for the
// process itself.
type opening struct {
	f      *feeder
	plan   *job.Plan // nil when the shards are stored already
	was    *job.Plan // as this planner left it
	listed *tablestore.Listed
	shards []*job.Shard
	mine   int

	ended  job.Counts // devices of new shards that ended as these were made
	costs  []int      // for which grant was asked
	grant  grant
	opened []tablestore.Underway
	taken  int // how many of them are carried out here
}

// store writes the opening of new shards, again when only the run was changed by somebody else meanwhile.
func (o *opening) store(ctx context.Context) error {
	if err := o.reserve(ctx); err != nil {
		return err
	}
	for {
		err := o.write(ctx)
		if len(o.opened) == 0 && o.ended.Total() == 0 || !errors.Is(err, job.ErrConflict) {
			return err
		}
		if mine, readErr := o.planned(ctx); readErr != nil || !mine {
			return errors.Join(err, readErr)
		}
		if err := o.f.refresh(ctx); err != nil {
			return err
		}
	}
}

// reserve asks for slots of the hub's allowance for the shards that the run can open, once. Shards that sleep ask when they wake.
func (o *opening) reserve(ctx context.Context) error {
	if o.costs != nil || o.f.run.Jittered() {
		return nil
	}
	sizes := make([]int, o.room())
	for i := range sizes {
		sizes[i] = o.shards[i].Left()
	}
	op := o.f.local.op
	o.costs = op.costs(sizes)
	var err error
	o.grant, err = op.lane.pacer.reserve(ctx, op.kind, pace.Ask{Run: o.f.run.ID, Weight: o.f.run.Priority, Costs: o.costs})
	o.f.feedAt, o.f.waited = o.grant.again, !o.grant.again.IsZero()
	return err
}

// giveBack returns the slots that no shard was left for: somebody else opened it meanwhile.
func (o *opening) giveBack(ctx context.Context) error {
	op := o.f.local.op
	return op.lane.pacer.giveBack(ctx, op.kind, o.f.run.ID, o.grant.slots[min(len(o.opened), len(o.grant.slots)):])
}

// write makes the transaction once. Without a plan and without a shard that can be opened there is none: who was faster may be
// calling the devices of stored shards.
func (o *opening) write(ctx context.Context) error {
	o.f.run.Early = o.f.run.Early.Plus(o.ended)
	o.open(o.f.d.now())
	g := tablestore.Growth{Plan: o.plan, Shards: o.shards, Opened: o.opened, Listed: o.listed}
	if len(o.opened) > 0 || o.ended.Total() > 0 {
		g.Run = o.f.run
	} else if o.plan == nil {
		return nil
	}
	if o.plan == nil {
		g.Shards = o.shards[:o.taken] // the others are opened as they are
	}
	return o.f.d.store.Grow(ctx, g)
}

// planned reports whether the plan is still this planner's, and as it left it.
func (o *opening) planned(ctx context.Context) (bool, error) {
	stored, err := o.f.d.store.Plan(ctx, o.f.run.ID)
	if err != nil {
		return false, err
	}
	o.plan.Rev = stored.Rev
	return stored.Claim.Owner == o.was.Claim.Owner && stored.Shards == o.was.Shards && !stored.Done, nil
}

// room is how many of the shards the run can open now.
func (o *opening) room() int {
	run, d := o.f.run, o.f.d
	if len(o.shards) == 0 || run.Rollout != nil || !run.Calling(d.now()) || run.Enqueued != o.shards[0].Number {
		return 0
	}
	if run.Jittered() {
		return len(o.shards)
	}
	room := o.mine
	if d.opts.QueueOnly {
		room += max(0, d.opts.OpenShards-(run.Enqueued-run.ClosedShards))
	}
	return min(len(o.shards), room)
}

// open lists the shards that the run can take, claims those that are carried out here, and counts them in the run.
func (o *opening) open(now time.Time) {
	run, d, here := o.f.run, o.f.d, o.f.local
	o.opened, o.taken = nil, 0
	if run.Jittered() {
		o.openAsleep()
		return
	}
	for _, s := range o.shards {
		s.Claim = job.Claim{}
		if here.op.once {
			s.Unmark()
		}
	}
	for i := range min(o.room(), len(o.grant.slots)) {
		s, slot := o.shards[i], o.grant.slots[i]
		size := len(s.Executions)
		if s.Left()*here.op.cost > o.costs[i] {
			break // the slot was reserved for another shard
		}
		if i < o.mine && !slot.At.After(now.Add(slotAhead)) {
			here.claim(s, now)
			if here.op.once {
				here.op.mark(s, now)
			}
			o.taken++
		}
		u := tablestore.Underway{Number: s.Number, Devices: size, CheckAt: latest(now, slot.At).Add(d.opts.Lease)}
		u.Counts = run.HandOut(size, s.Ended())
		o.opened = append(o.opened, u)
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
	f := o.f
	f.local.release(o.mine - o.taken)
	for i, s := range o.shards[:o.taken] {
		f.local.start(ctx, f.run, s, o.grant.slots[i])
	}
	var messages []message
	for i := o.taken; i < min(len(o.opened), len(o.grant.slots)); i++ { // those that sleep have no slot
		messages = append(messages, message{Run: f.run.ID, Shard: o.opened[i].Number}.in(o.grant.slots[i]))
	}
	return f.d.sendShards(ctx, messages)
}
