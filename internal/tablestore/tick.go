package tablestore

import (
	"context"
	"errors"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// rowTick is the one row of a hub that says when the timer's last tick was. No range of the other rows holds it.
const rowTick = "tick"

// Ticked notes that the timer ticked at a time. Nothing is decided by it, so the last writer wins.
func (s *Store) Ticked(ctx context.Context, at time.Time) error {
	e := s.row(rowTick)
	e.putTime("At", at)
	return s.jobs.upsert(ctx, e)
}

// LastTick gives the time of the last tick, the zero time before the first one. It makes no table: one that is missing has
// seen no tick.
func (s *Store) LastTick(ctx context.Context) (time.Time, error) {
	e, _, err := s.jobs.get(ctx, s.hub, rowTick)
	if re, ok := errors.AsType[*azcore.ResponseError](err); ok && re.ErrorCode == string(aztables.TableNotFound) {
		return time.Time{}, nil
	}
	if errors.Is(err, job.ErrNotFound) {
		return time.Time{}, nil
	}
	return e.time("At"), err
}
