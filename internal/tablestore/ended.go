package tablestore

import (
	"context"
	"fmt"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// rowEnded is ended:<time>:<run id>, from the end of a run, or of a recurring job, until it is deleted; the time is that of its end,
// or a later one by which its deletion was put off.
const rowEnded = "ended:"

func endedRow(runID string, at time.Time) string {
	return rowEnded + at.UTC().Format(dueFormat) + ":" + runID
}

// endsNow notes in rec, whose end is about to be stored, under which time it is listed.
func endsNow(rec *job.Record) { rec.Kept = rec.EndedAt.UTC().Truncate(time.Millisecond) }

// keep adds the row that lists rec among what has ended; unkeep deletes it.
func (s *Store) keep(b *batch, rec *job.Record) {
	if !rec.Kept.IsZero() {
		b.put(s.row(endedRow(rec.RunID, rec.Kept)))
	}
}

func (s *Store) unkeep(b *batch, rec *job.Record) {
	if !rec.Kept.IsZero() {
		b.remove(s.hub, endedRow(rec.RunID, rec.Kept))
	}
}

// Expired gives up to max ids of runs, and of recurring jobs as job.SeriesID has them, that are listed as ended before a time, the
// earliest first. It reads no more rows than it gives.
func (s *Store) Expired(ctx context.Context, before time.Time, max int) ([]string, error) {
	return s.ids(ctx, query{
		partition: s.hub, from: rowEnded, to: rowEnded + before.UTC().Format(dueFormat), columns: "RowKey", max: max,
	})
}

// PutOff lists a run or a job that has ended under another time, if its record is as it was read.
func (s *Store) PutOff(ctx context.Context, rec *job.Record, at time.Time) error {
	b, was := newBatch(), *rec
	rec.Kept = at.UTC().Truncate(time.Millisecond)
	if rec.Kept.Equal(was.Kept) {
		return nil
	}
	encode := s.recordEntity
	if rec.Occurrence != nil {
		encode = s.occurrenceEntity
	}
	e, err := encode(rec)
	if err != nil {
		return err
	}
	b.replace(e, rec.Rev)
	s.unkeep(b, &was)
	s.keep(b, rec)
	rev, err := s.jobs.apply(ctx, b)
	if err == nil {
		rec.Rev = rev
	}
	return err
}

// DeleteRun deletes the record of a recurring job's run that has ended, with entries of the audit trail, and leaves notes as
// DeleteJob does.
func (s *Store) DeleteRun(ctx context.Context, rec *job.Record, now time.Time, changes ...job.Change) error {
	series, number, ok := job.NumberOf(rec.RunID)
	if !ok || number < 1 {
		return fmt.Errorf("deleting run %s: %w", rec.RunID, job.ErrNotFound)
	}
	gone := s.row(rowGone + rec.RunID)
	gone.putTime("After", now)
	b := newBatch()
	b.put(gone)
	s.goneAtHubs(b, rec, now)
	b.removeIf(s.row(occurrenceRow(series, number)), rec.Rev)
	s.unkeep(b, rec)
	if !rec.Owed.IsZero() {
		b.remove(s.hub, owedRow(rec.RunID, rec.Owed))
	}
	s.forgetAfter(b, rec, now)
	if err := s.record(b, changes); err != nil {
		return err
	}
	_, err := s.jobs.apply(ctx, b)
	return err
}
