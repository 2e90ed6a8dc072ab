package dispatch

import (
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/pace"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// maxNoted is how many devices of a round a planner notes in one row: 64 KiB.
const maxNoted = 8192

// admitRound begins the next round of a run whose selection is continuous. It reports false when the time for that has not come.
func admitRound(run *job.Run, plan *job.Plan, now time.Time) bool {
	if run.Rounds == nil {
		return true
	}
	if plan.Rounds == nil {
		plan.Rounds = &job.Rounds{}
	}
	if plan.Rounds.Waits() {
		if now.Before(plan.Rounds.NextAt) {
			return false
		}
		plan.Restarts = 0
	}
	waiting := plan.Shards
	if run.ClosedShards == plan.Shards {
		waiting = 0
	}
	plan.Rounds.Begin(now, waiting)
	return true
}

// reads is what a planner has read of its round and not stored yet.
type reads struct {
	pages, devices int
	prints         []uint64 // of the devices, where the round looks for those that have left
}

// listed notes a page of a round.
func (p *planner) listed(devices []string) {
	if p.plan.Rounds == nil {
		return
	}
	p.reads.pages++
	p.reads.devices += len(devices)
	if p.plan.Rounds.Watches() {
		for _, id := range devices {
			p.reads.prints = append(p.reads.prints, p.d.store.Fingerprint(p.run.ID, id))
		}
	}
}

// heavy reports whether what a round has listed is to be stored now.
func (p *planner) heavy() bool { return len(p.reads.prints) > maxNoted-job.ShardSize }

// noted gives what the round has listed since the last write, nil for nothing.
func (p *planner) noted() *tablestore.Listed {
	if len(p.reads.prints) == 0 {
		return nil
	}
	return &tablestore.Listed{Round: p.plan.Rounds.Ended, Part: p.plan.Rounds.Notes, Prints: p.reads.prints}
}

// note brings the rounds of a plan that is about to be stored up to date.
func (p *planner) note(plan *job.Plan) {
	if plan.Rounds == nil {
		return
	}
	r := *plan.Rounds
	r.Pages += p.reads.pages
	r.Current.Matched += p.reads.devices
	r.Current.Added += plan.Devices - p.plan.Devices
	if len(p.reads.prints) > 0 {
		r.Notes++
	}
	plan.Rounds = &r
}

// end notes in a plan that is about to be stored that its target was read to the end: for good, or until the next round.
func (p *planner) end(plan *job.Plan, now time.Time) {
	if plan.Rounds == nil || p.sated {
		plan.Done = true
		if plan.List != nil {
			list := *plan.List
			list.Complete = true
			plan.List = &list
		}
		return
	}
	plan.Part, plan.Continuation = 0, ""
	if plan.Rounds.Watches() {
		plan.Rounds.Sweeps = true
		return
	}
	plan.Rounds.End(now, p.interval, p.local.op.lane.rates[pace.Queries])
	plan.SendAt = plan.Rounds.NextAt
}

// net is how many of the stored devices have not left the target again.
func (p *planner) net() int { return p.plan.Devices - p.run.Counts().Of(job.Removed) }

// salt makes the false alarms of one round's filters other than those of the next: what one round misses, a later one finds.
func salt(plan *job.Plan) uint64 {
	if plan.Rounds == nil {
		return 0
	}
	return uint64(plan.Rounds.Ended) * 0x9E3779B97F4A7C15 // 2^64 divided by the golden ratio
}

// overdue reports whether a plan wants a message that nobody may be sending.
func (s *supervision) overdue() bool {
	switch {
	case s.plan.Done || s.plan.Claim.Live(s.now):
		return false
	case s.plan.Rounds.Waits() && !s.plan.SendAt.After(s.plan.Rounds.NextAt):
		return !s.now.Before(s.plan.Rounds.NextAt)
	}
	return s.now.Sub(s.plan.SendAt) > 2*s.d.opts.Silence
}

// left gives how many devices of stored shards are still to be called.
func left(sizes []int, ended []job.Counts) []int {
	rest := make([]int, len(sizes))
	for i, n := range sizes {
		rest[i] = n - ended[i].Total()
	}
	return rest
}
