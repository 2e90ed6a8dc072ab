package dispatch

import (
	"context"
	"slices"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// maxRemembered is how many devices of chosen batches a planner knows for certain; what is beyond takes a look into storage
// when a later part selects it again.
const maxRemembered = 50_000

// remember notes that a device belongs to a chosen batch.
func (p *planner) remember(print uint64, part int) {
	if part < p.run.Rollout.Chosen() && len(p.chosen) < maxRemembered {
		if p.chosen == nil {
			p.chosen = map[uint64]struct{}{}
		}
		p.chosen[print] = struct{}{}
	}
}

// repeated reports whether a device of a later part is certain to be in a chosen batch.
func (p *planner) repeated(print uint64) bool {
	_, ok := p.chosen[print]
	return ok
}

// recallChosen finds out which devices earlier stretches have stored for chosen batches.
func (p *planner) recallChosen(ctx context.Context) error {
	left := min(sum(p.plan.Chosen), maxRemembered)
	if left == 0 {
		return nil
	}
	return p.d.store.FirstSelected(ctx, p.run.ID, left, func(print uint64) { p.remember(print, 0) })
}

// chosenBefore is how many devices of chosen batches come before a pending device of a part, negative when it is one itself.
func (p *planner) chosenBefore(part int) int {
	batches := p.run.Rollout.Chosen()
	switch {
	case batches == 0:
		return 0
	case part < batches:
		return -1
	}
	n, from := sum(p.plan.Chosen), 0
	for _, s := range p.stints {
		if s.part < batches {
			n += s.n - from
		}
		from = s.n
	}
	return n
}

// countChosen counts new shards of chosen batches.
func countChosen(plan *job.Plan, batches int, shards []*job.Shard) {
	if batches == 0 || plan.Part >= batches && len(plan.Chosen) == batches && (len(shards) == 0 || shards[0].Part >= batches) {
		return
	}
	counts := make([]int, batches)
	copy(counts, plan.Chosen)
	for _, s := range shards {
		if s.Part < batches {
			counts[s.Part] += len(s.Executions)
		}
	}
	plan.Chosen = counts
}

// chosen gives the devices of the chosen batches that are selected.
func (s *supervision) chosen() []int {
	known := len(s.plan.Chosen)
	if !s.plan.Done {
		known = min(known, s.plan.Part)
	}
	return slices.Clone(s.plan.Chosen[:known])
}

func sum(all []int) (n int) {
	for _, i := range all {
		n += i
	}
	return n
}
