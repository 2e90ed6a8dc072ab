package tablestore

import (
	"context"
	"errors"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/pace"
)

// rowPace holds the ledger of one of the hub's allowances, in the hub's partition.
const rowPace = "pace:"

// Ledger reads the ledger of an operation and its revision, which is "" for one that was never stored.
func (s *Store) Ledger(ctx context.Context, op pace.Operation) (*pace.Ledger, string, error) {
	e, rev, err := s.jobs.get(ctx, s.hub, rowPace+string(op))
	if errors.Is(err, job.ErrNotFound) {
		return &pace.Ledger{}, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	l := &pace.Ledger{}
	return l, rev, e.json("Data", l)
}

// SaveLedger stores a ledger if it is as it was read. A write whose reply was lost may report job.ErrConflict although it
// stands: what it reserved is lost then, which costs time and harms nobody.
func (s *Store) SaveLedger(ctx context.Context, op pace.Operation, l *pace.Ledger, rev string) error {
	e := newEntity(s.hub, rowPace+string(op))
	if err := e.putJSON("Data", l); err != nil {
		return err
	}
	if rev != "" {
		_, err := s.jobs.replace(ctx, e, rev)
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
