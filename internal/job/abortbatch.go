package job

import "fmt"

// AbortScope says whose executions an abort criterion counts.
type AbortScope string

// The scopes of an abort criterion.
const (
	OverRun   AbortScope = "run"   // all of the run
	OverBatch AbortScope = "batch" // those of each batch of the rollout for itself
)

// AbortScopes lists the scopes.
func AbortScopes() []AbortScope { return []AbortScope{OverRun, OverBatch} }

// OverBatches reports whether a criterion counts batches.
func (a *Abort) OverBatches() bool {
	if a == nil {
		return false
	}
	for _, c := range a.Criteria {
		if c.Over == OverBatch {
			return true
		}
	}
	return false
}

// MetInBatch is Met for the criteria over a batch, of whose executions c are the counts.
func (a *Abort) MetInBatch(c, forgiven Counts) *AbortCriterion { return a.met(OverBatch, c, forgiven) }

// Outcomes are the counts of a batch's executions, kept for abort criteria over batches.
type Outcomes struct {
	Closed, Live Counts `json:",omitzero"` // of shards that were rolled up, and of those under way
	Forgiven     Counts `json:",omitzero"` // of when somebody last resumed the run
}

// Counts gives those of all.
func (o *Outcomes) Counts() Counts { return o.Closed.Plus(o.Live) }

// countOutcomes has the batches keep their counts if a criterion needs them. Where an edit asks for them they begin with what is
// under way.
func (r *Run) countOutcomes() {
	if r.Rollout == nil || r.Failure == nil || !r.Failure.Abort.OverBatches() {
		return
	}
	for i := range r.Rollout.Batches {
		if b := &r.Rollout.Batches[i]; b.Outcomes == nil {
			b.Outcomes = &Outcomes{}
		}
	}
}

// LatestBatch is the batch of a run that was begun last.
type LatestBatch struct {
	Number     int // from 0 on; -1 where there is none, or none whose outcomes are counted
	FirstShard int
	Outcomes
}

// LatestBatch gives that of the run. A run without batches is one.
func (r *Run) LatestBatch() LatestBatch {
	if r.Rollout == nil || len(r.Rollout.Batches) == 0 {
		return LatestBatch{Outcomes: Outcomes{Closed: r.Counts(), Forgiven: r.Forgiven}}
	}
	n := r.Rollout.Current()
	if n < 0 || r.Rollout.Batches[n].Outcomes == nil {
		return LatestBatch{Number: -1}
	}
	b := &r.Rollout.Batches[n]
	return LatestBatch{Number: n, FirstShard: b.FirstShard, Outcomes: *b.Outcomes}
}

// abortOfBatch is Abort for criteria over a batch.
func (r *Run) abortOfBatch() (met *AbortCriterion, how string) {
	latest := r.LatestBatch()
	for i := latest.Number; i >= 0; i-- {
		o := latest.Outcomes
		if i < latest.Number {
			o = *r.Rollout.Batches[i].Outcomes
		}
		if met = r.Failure.Abort.MetInBatch(o.Counts(), o.Forgiven); met != nil {
			return met, fmt.Sprintf("batch %d: %s", i+1, met.explain(met.counted(o.Counts(), o.Forgiven)))
		}
	}
	return nil, ""
}

// forgive has criteria that pause the run count anew.
func (r *Run) forgive() {
	r.Forgiven = r.Counts()
	if r.Rollout == nil {
		return
	}
	for i := range r.Rollout.Batches {
		if o := r.Rollout.Batches[i].Outcomes; o != nil {
			o.Forgiven = o.Counts()
		}
	}
}
