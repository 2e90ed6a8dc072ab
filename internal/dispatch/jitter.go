package dispatch

import (
	"time"

	"github.com/fleetjobs/fleetjobs/internal/schedule"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// maxDelayFlush is the longest time between a page and its storage where devices begin spread over a jitter. The more devices are
// stored together, the fewer delays the devices of a shard have.
const maxDelayFlush = 20 * time.Second

// storesOnly reports whether the planner leaves all calls to others: a rollout lets supervisions open shards, and those of a run
// with a jitter wait.
func (p *planner) storesOnly() bool { return p.run.Rollout != nil || p.run.Jittered() }

// flushAfter is the longest time between a page and its storage.
func (p *planner) flushAfter() time.Duration {
	if !p.run.Jittered() {
		return planFlush
	}
	if p.done {
		return 0
	}
	return max(planFlush, min(schedule.JitterStep(p.run.Jitter), maxDelayFlush))
}

// sortByDelay puts pending devices, those of each part, in the order in which the run's jitter lets them begin. The source goes on behind them only
// when all of them are stored.
func (p *planner) sortByDelay() {
	if !p.run.Jittered() || len(p.pending) == 0 {
		return
	}
	from := 0
	for _, s := range p.stints {
		p.run.SortByDelay(p.pending[from:s.n])
		from = s.n
	}
	p.run.SortByDelay(p.pending[from:])
	p.marks = []mark{{len(p.pending), p.at, p.marks[0].at}}
}

// openAsleep lists the shards of a run with a jitter as ones that wait, each until its first device begins: the supervision
// wakes it, as it does for retries.
func (o *opening) openAsleep() {
	run := o.f.run
	for _, s := range o.shards[:o.room()] {
		size, at := len(s.Executions), s.WakeAt()
		u := tablestore.Underway{Number: s.Number, Devices: size, CheckAt: at, WakeAt: at}
		u.Counts = run.HandOut(size, s.Ended())
		o.opened = append(o.opened, u)
	}
	run.Enqueued += len(o.opened)
}
