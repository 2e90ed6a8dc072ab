package dispatch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// rollUpTries is how often a roll-up is written where feeders are faster.
const rollUpTries = 20

// look reads plan and shards under way and counts those that ended.
func (s *supervision) look(ctx context.Context) error {
	plan, err := s.d.store.Plan(ctx, s.run.ID)
	if err != nil {
		return err
	}
	all, err := s.d.store.Underway(ctx, s.run.ID)
	if err != nil {
		return err
	}
	s.plan, s.open, s.done = plan, nil, nil
	s.run.Planned, s.run.Devices, s.run.PlanDone = plan.Shards, plan.Devices, plan.Done
	if s.run.List = plan.List; plan.Rounds != nil {
		s.run.Rounds = plan.Rounds
	}
	s.run.Live = job.Counts{}
	s.run.Rollout.Live()
	for _, u := range all {
		if u.Counts.Total() == 0 {
			u.Counts = job.CountsOf(job.Queued, job.NoReason, u.Devices)
		}
		s.run.Live = s.run.Live.Plus(u.Counts)
		if u.Done {
			s.done = append(s.done, u)
			continue
		}
		s.open = append(s.open, u)
		s.run.Rollout.Under(u.Number, u.Counts)
	}
	return s.rollUp(ctx)
}

// rollUp counts the shards that are done in the run, as many as one write takes at a time.
func (s *supervision) rollUp(ctx context.Context) error {
	for rest := s.done; len(rest) > 0; {
		n := min(len(rest), tablestore.MaxPerWrite)
		var ended job.Counts
		for _, u := range rest[:n] {
			ended = ended.Plus(u.Counts)
			s.run.Rollout.RolledUp(u.Number, u.Counts)
		}
		s.run.Closed, s.run.Live = s.run.Closed.Plus(ended), s.run.Live.Minus(ended)
		s.run.ClosedShards += n
		if err := s.storeRollUp(ctx, rest[:n]); err != nil {
			return err
		}
		s.d.observe.executed(ctx, s.run.Hub, ended)
		s.dirty, s.stored = false, *s.run
		rest = rest[n:]
	}
	return nil
}

// storeRollUp writes the run that counts done shards. Feeders write the run many times a second: were each pass that meets them to
// begin anew, with a listing of all that is done, then the longer the listing the less often one would succeed.
func (s *supervision) storeRollUp(ctx context.Context, done []tablestore.Underway) error {
	for try := 1; ; try++ {
		err := s.d.store.RollUp(ctx, s.run, done)
		if !errors.Is(err, job.ErrConflict) || try == rollUpTries {
			return err
		}
		fresh, readErr := s.d.store.Run(ctx, s.run.ID)
		if readErr != nil {
			return readErr
		}
		if only, cmpErr := onlyFed(s.stored, *fresh); cmpErr != nil || !only {
			return errors.Join(cmpErr, err)
		}
		s.adopt(fresh)
	}
}

// onlyFed reports whether a run was changed by nothing but the opening of stored shards.
func onlyFed(was, is job.Run) (bool, error) {
	was.Rev, was.Enqueued, was.Live, was.FedUntil, was.OfferedAt = is.Rev, is.Enqueued, is.Live, is.FedUntil, is.OfferedAt
	a, err := json.Marshal(was)
	if err != nil {
		return false, fmt.Errorf("comparing runs: %w", err)
	}
	b, err := json.Marshal(is)
	if err != nil {
		return false, fmt.Errorf("comparing runs: %w", err)
	}
	return bytes.Equal(a, b), nil
}

// adopt takes over what feeders have stored. Shards that they opened since this pass listed those under way count as queued.
func (s *supervision) adopt(fresh *job.Run) {
	opened := fresh.Live.Total() + fresh.Closed.Total() - s.run.Live.Total() - s.run.Closed.Total()
	if opened > 0 {
		s.run.Live = s.run.Live.Plus(job.CountsOf(job.Queued, job.NoReason, opened))
	}
	s.run.Rev, s.run.Enqueued, s.run.FedUntil, s.run.OfferedAt = fresh.Rev, fresh.Enqueued, fresh.FedUntil, fresh.OfferedAt
	s.stored = *fresh
}
