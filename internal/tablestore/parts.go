package tablestore

import (
	"context"
	"errors"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// Parts reads the parts of a run's target, empty ones when none are stored.
func (s *Store) Parts(ctx context.Context, runID string) (job.Parts, error) {
	var parts job.Parts
	e, _, err := s.runs.get(ctx, runID, rowParts)
	if errors.Is(err, job.ErrNotFound) {
		return parts, nil
	}
	if err == nil {
		err = e.json("Data", &parts)
	}
	return parts, err
}

// SaveParts stores the parts of a run's target together with its plan, if the plan is as it was read.
func (s *Store) SaveParts(ctx context.Context, plan *job.Plan, parts job.Parts) error {
	p, err := planEntity(plan)
	if err != nil {
		return err
	}
	e := newEntity(plan.RunID, rowParts)
	if err := e.putJSON("Data", parts); err != nil {
		return err
	}
	b := newBatch()
	b.replace(p, plan.Rev)
	b.put(e)
	rev, err := s.runs.apply(ctx, b)
	if err == nil {
		plan.Rev = rev
	}
	return err
}
