package dispatch

import (
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/pace"
)

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
	plan.Rounds.Begin(now)
	return true
}

// reads is what a planner has read of its round and not stored yet.
type reads struct{ pages, devices int }

// listed counts a page of a round.
func (p *planner) listed(devices int) {
	p.reads.pages++
	p.reads.devices += devices
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
	plan.Rounds = &r
}

// end notes in a plan that is about to be stored that its target was read to the end: for good, or until the next round.
func (p *planner) end(plan *job.Plan, now time.Time) {
	if plan.Rounds == nil || p.most > 0 && plan.Devices >= p.most {
		plan.Done = true
		return
	}
	plan.Part, plan.Continuation = 0, ""
	plan.Rounds.End(now, p.interval, p.local.op.lane.rates[pace.Queries])
	plan.SendAt = plan.Rounds.NextAt
}

// salt makes the false alarms of one round's filter other than those of the next: a device that one round takes for a
// selected one is found by a later round.
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
