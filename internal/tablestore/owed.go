package tablestore

import (
	"context"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// rowOwed is owed:<time>:<run id>, while deliveries of the job are pending; the time is that of the next one.
const rowOwed = "owed:"

func owedRow(runID string, next time.Time) string {
	return rowOwed + next.UTC().Format(dueFormat) + ":" + runID
}

// owe keeps the row that lists rec for its pending deliveries in step with them; before is where it stands now.
func (s *Store) owe(b *batch, rec *job.Record, before time.Time) {
	if rec.Owed.Equal(before) {
		return
	}
	if !before.IsZero() {
		b.remove(s.hub, owedRow(rec.RunID, before))
	}
	if !rec.Owed.IsZero() {
		b.put(s.row(owedRow(rec.RunID, rec.Owed)))
	}
}

// Owed gives up to max runs of which a delivery was due before a time, the longest due first.
func (s *Store) Owed(ctx context.Context, due time.Time, max int) ([]string, error) {
	return s.ids(ctx, query{partition: s.hub, from: rowOwed, to: rowOwed + due.UTC().Format(dueFormat), columns: "RowKey", max: max})
}
