package dispatch

import (
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/pace"
)

// stages are the operations of a job with several, and which of them one is. A slice carries out one for all devices of a shard that are
// at it, so that each is charged to its own allowance and marked for itself; the others are for the next slice.
type stages struct {
	seq *job.Sequence
	at  job.Stage
	all map[job.Stage]*operation
}

// stagesOf prepares the operations of a job's steps, each with the job's rules, and gives the first.
func stagesOf(rec *job.Record, seq *job.Sequence, rules operation) (*operation, error) {
	all := map[job.Stage]*operation{}
	add := func(op *operation, at job.Stage) {
		op.stages = &stages{seq, at, all}
		all[at] = op
	}
	var bind func(*job.Execution) (call, job.Outcome)
	if rec.Placeholders {
		var err error
		if bind, err = binder(rules.lane.hub, rec); err != nil {
			return nil, err
		}
	}
	steps := seq.Steps()
	for n := range steps {
		step := &steps[n]
		if step.WaitFor == nil {
			op, err := operationOf(rules.lane.hub, step.Call(), step.Judge)
			if err != nil {
				return nil, err
			}
			op.bind = bind
			add(op.under(rules), job.Stage{Step: n})
		}
		if step.Waits() {
			add((&operation{kind: pace.Queries}).under(rules), job.Stage{Step: n, Wait: true})
		}
	}
	return all[seq.Of(&job.Execution{})], nil
}

// next gives the operation that a slice of the shard carries out now.
func (o *operation) next(shard *job.Shard, now time.Time, probe bool) *operation {
	if o.stages == nil {
		return o
	}
	if op := o.all[o.seq.Next(shard, now, probe && shard.Ready(now) == 0)]; op != nil {
		return op
	}
	return o // there is nothing left to do
}

// waits reports whether the operation is to look after devices rather than to call them.
func (o *operation) waits() bool { return o.stages != nil && o.at.Wait }

// does reports whether the operation is what an execution that has not ended is at.
func (o *operation) does(e *job.Execution) bool { return o.stages == nil || o.seq.Of(e) == o.at }

// takes reports whether the operation is to be carried out for an execution now.
func (o *operation) takes(e *job.Execution, now time.Time) bool { return e.Due(now) && o.does(e) }

// ready is for how many executions of a shard that is so.
func (o *operation) ready(shard *job.Shard, now time.Time) int {
	if o.stages == nil {
		return shard.Ready(now)
	}
	n := 0
	for i := range shard.Executions {
		if o.takes(&shard.Executions[i], now) {
			n++
		}
	}
	return n
}

// mark begins an attempt of every execution that is about to be called, before the shard is stored.
func (o *operation) mark(shard *job.Shard, now time.Time) {
	if !o.waits() {
		shard.Mark(now, o.does)
	}
}

// settle has an execution end with the outcome of its last attempt, or go on with what its job does next.
func (o *operation) settle(shard int, e *job.Execution, outcome job.Outcome, now time.Time) {
	if o.stages == nil {
		e.End(outcome, now)
	} else {
		o.seq.Settle(e, outcome, now)
	}
	if e.State.Final() {
		o.guard.ended(shard, e)
	}
}
