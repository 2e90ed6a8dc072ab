package tablestore

import (
	"context"
	"strings"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// rowOwed is owed:<run id>, while deliveries of the job are pending.
const rowOwed = "owed:"

// owe keeps the row that lists rec for its pending deliveries in step with them; before says whether there is one.
func (s *Store) owe(b *batch, rec *job.Record, before bool) {
	switch {
	case rec.Owed:
		e := s.row(rowOwed + rec.RunID)
		e.putTime("After", rec.NextDelivery())
		b.put(e)
	case before:
		b.remove(s.hub, rowOwed+rec.RunID)
	}
}

// Owed gives up to max runs of which a delivery was due at a time.
func (s *Store) Owed(ctx context.Context, due time.Time, max int) ([]string, error) {
	return s.dueRuns(ctx, rowOwed, due, max)
}

// dueRuns gives up to max runs that have a row below prefix whose time has come.
func (s *Store) dueRuns(ctx context.Context, prefix string, now time.Time, max int) ([]string, error) {
	var runs []string
	q := query{partition: s.hub, from: prefix, to: after(prefix), columns: "RowKey,After"}
	err := s.jobs.each(ctx, q, func(e entity) (bool, error) {
		if !e.time("After").After(now) {
			runs = append(runs, strings.TrimPrefix(e.row(), prefix))
		}
		return len(runs) < max, nil
	})
	return runs, err
}
