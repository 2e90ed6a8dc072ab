package tablestore

import (
	"context"
	"errors"
	"fmt"

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

// Heads gives what Grow wants to know of the shards from <= n < to of a run that holds devices apart.
func (s *Store) Heads(ctx context.Context, runID string, from, to int) ([]Underway, error) {
	heads := make([]Underway, 0, to-from)
	q := query{partition: runID, from: numbered(rowShard, from), to: numbered(rowShard, to), columns: "RowKey,Devices,Part,AtOnce,Ended"}
	err := s.runs.each(ctx, q, func(e entity) (bool, error) {
		u := Underway{Number: from + len(heads), Devices: e.int("Devices"), Part: e.int("Part"), Limited: e.int("AtOnce") > 0}
		if e["Ended"] != nil {
			if err := e.json("Ended", &u.Counts); err != nil {
				return false, err
			}
		}
		heads = append(heads, u)
		return true, nil
	})
	if err == nil && len(heads) != to-from {
		err = fmt.Errorf("run %s: %d of the shards %d to %d are there", runID, len(heads), from, to-1)
	}
	return heads, err
}
