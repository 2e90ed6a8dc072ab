package tablestore

import (
	"context"
	"errors"
	"fmt"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// Rows of a hub that limits how many runs go on at once. rowTurns lists those that do, rowWaiting is waiting:<rank>:<time>:<run id>
// while a run waits for its turn: what comes first begins first.
const (
	rowTurns   = "turns"
	rowWaiting = "waiting:"
)

// waitingRow ranks by priority, then by the time since when the run waits.
func waitingRow(run *job.Run) string {
	priority := run.Priority
	if priority == 0 {
		priority = job.DefaultPriority
	}
	return fmt.Sprintf("%s%02d:%s:%s", rowWaiting, job.MaxPriority-priority, run.Waiting.Since.UTC().Format(dueFormat), run.ID)
}

// Turns are the runs that go on.
type Turns struct {
	Runs []string
	rev  string
}

// Turns reads which runs go on, as far as they asked for a turn.
func (s *Store) Turns(ctx context.Context) (Turns, error) {
	var t Turns
	e, rev, err := s.jobs.get(ctx, s.hub, rowTurns)
	if errors.Is(err, job.ErrNotFound) {
		return t, nil
	}
	if err != nil {
		return t, err
	}
	t.rev = rev
	return t, e.json("Data", &t.Runs)
}

// SaveTurns stores which runs go on, if that is as it was read. A write whose reply was lost may report job.ErrConflict although it
// stands: who reads again finds its own run in it.
func (s *Store) SaveTurns(ctx context.Context, t Turns) error {
	e := s.row(rowTurns)
	if err := e.putJSON("Data", t.Runs); err != nil {
		return err
	}
	if t.rev != "" {
		_, err := s.jobs.replace(ctx, e, t.rev)
		return err
	}
	b := newBatch()
	b.insert(e)
	_, err := s.jobs.apply(ctx, b)
	if errors.Is(err, job.ErrExists) {
		return job.ErrConflict
	}
	return err
}

// Await lists a run that has Waiting among those that wait for their turn; Unawait takes it off.
func (s *Store) Await(ctx context.Context, run *job.Run) error {
	return s.jobs.upsert(ctx, s.row(waitingRow(run)))
}

// Unawait takes a run off the list.
func (s *Store) Unawait(ctx context.Context, run *job.Run) error {
	return s.unlist(ctx, waitingRow(run))
}

func (s *Store) unlist(ctx context.Context, row string) error {
	b := newBatch()
	b.remove(s.hub, row)
	_, err := s.jobs.apply(ctx, b)
	if errors.Is(err, job.ErrNotFound) {
		return nil
	}
	return err
}

// Waits is a run that waits for its turn.
type Waits struct {
	RunID string
	row   string
}

// Before reports whether w begins before a run that has Waiting.
func (w Waits) Before(run *job.Run) bool { return w.row < waitingRow(run) }

// Waiting gives up to max runs that wait, in the order in which they begin.
func (s *Store) Waiting(ctx context.Context, max int) ([]Waits, error) {
	var all []Waits
	q := query{partition: s.hub, from: rowWaiting, to: after(rowWaiting), columns: "RowKey", max: max}
	err := s.jobs.each(ctx, q, func(e entity) (bool, error) {
		all = append(all, Waits{RunID: lastPart(e.row()), row: e.row()})
		return true, nil
	})
	return all, err
}

// Unlist takes a run off the list whose record says no more under what it is listed.
func (s *Store) Unlist(ctx context.Context, w Waits) error { return s.unlist(ctx, w.row) }
