package tablestore

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// rowOccurrence is run:<job id>.<nonce>:<reversed number>, a run of a recurring job; the latest comes first.
const rowOccurrence = "run:"

const lastRunNumber = 9_999_999_999

// occurrences begins the row keys of a recurring job's runs.
func occurrences(series string) string { return rowOccurrence + strings.TrimSuffix(series, ".0") + ":" }

func occurrenceRow(series string, number int) string {
	return occurrences(series) + reversed(number)
}

func reversed(number int) string { return fmt.Sprintf("%010d", lastRunNumber-number) }

// occurrenceEntity is the row of a run, without the definition of its job.
func (s *Store) occurrenceEntity(rec *job.Record) (entity, error) {
	series, number, ok := job.NumberOf(rec.RunID)
	if !ok {
		return nil, fmt.Errorf("storing run %s: it has no number", rec.RunID)
	}
	short := *rec
	short.Definition = job.Definition{JobID: rec.JobID, Type: rec.Type, StartTime: rec.StartTime}
	short.ListFrom, short.ListChunks, short.DeviceCount, short.Warnings = 0, 0, 0, nil
	short.CreatedBy, short.EditedBy = job.Principal{}, job.Principal{}
	e := s.row(occurrenceRow(series, number))
	return e, e.putJSON("Data", &short)
}

// Occurrence reads the record of a recurring job's run, with the definition of the job, and the record of the job itself.
func (s *Store) Occurrence(ctx context.Context, runID string) (*job.Record, error) {
	series, number, ok := job.NumberOf(runID)
	if !ok || number < 1 {
		return nil, fmt.Errorf("reading run %s: %w", runID, job.ErrNotFound)
	}
	rec, err := s.Job(ctx, job.OwnerOf(runID))
	if err != nil {
		return nil, err
	}
	if rec.RunID != series {
		return nil, fmt.Errorf("job %s no longer has run %s: %w", rec.JobID, runID, job.ErrNotFound)
	}
	e, rev, err := s.jobs.get(ctx, s.hub, occurrenceRow(series, number))
	if err != nil {
		return nil, err
	}
	return s.occurrence(ctx, e, rev, newFormers(rec))
}

func (s *Store) occurrence(ctx context.Context, e entity, rev string, of formers) (*job.Record, error) {
	run := &job.Record{}
	if err := e.json("Data", run); err != nil {
		return nil, err
	}
	run.Of(of.job, run.StartTime)
	run.Rev = rev
	if run.Edits == of.job.Edits {
		return run, nil
	}
	f, err := s.former(ctx, of, run.Edits)
	if err != nil {
		return nil, err
	}
	run.AsOf(f)
	return run, nil
}

// RunQuery selects runs of a recurring job, the latest first.
type RunQuery struct {
	Job  *job.Record
	From string // token of the page before, "" for the first
	Max  int
}

// Runs lists runs and gives the token of the next page, "" after the last.
func (s *Store) Runs(ctx context.Context, rq RunQuery) ([]*job.Record, string, error) {
	prefix := occurrences(rq.Job.RunID)
	q := query{partition: s.hub, from: prefix, to: after(prefix), max: rq.Max + 1}
	if rq.From != "" {
		key, err := base64.RawURLEncoding.DecodeString(rq.From)
		if err != nil || len(key) != len(reversed(0)) || strings.Trim(string(key), "0123456789") != "" {
			return nil, "", job.Faults{{Field: "continuationToken", Value: rq.From, Rule: "is not a token that this service gave"}}
		}
		q.from = prefix + string(key)
	}
	var page []*job.Record
	next, of := "", newFormers(rq.Job)
	err := s.jobs.each(ctx, q, func(e entity) (bool, error) {
		if len(page) == rq.Max {
			next = base64.RawURLEncoding.EncodeToString([]byte(strings.TrimPrefix(e.row(), prefix)))
			return false, nil
		}
		run, err := s.occurrence(ctx, e, "", of)
		page = append(page, run)
		return true, err
	})
	return page, next, err
}

// SeriesWrite is what one transaction changes of a recurring job.
type SeriesWrite struct {
	Job     *job.Record
	From    job.Status    // the job's status as it was read
	Run     *job.Record   // a run that has ended, nil for none
	Begun   []*job.Record // at most job.BegunAtOnce
	Changes []job.Change
}

// SaveSeries stores w if job and run are as they were read.
func (s *Store) SaveSeries(ctx context.Context, w SeriesWrite) error {
	b := newBatch()
	if err := s.seriesRow(b, w.Job, w.From); err != nil {
		return err
	}
	if w.Run != nil {
		endsNow(w.Run)
		if err := s.occurrenceRows(b, w.Run); err != nil {
			return err
		}
		s.keep(b, w.Run)
		b.remove(s.hub, rowActive+w.Run.RunID)
	}
	if err := s.keepFormer(b, w.Job); err != nil {
		return err
	}
	for _, run := range w.Begun {
		e, err := s.occurrenceEntity(run)
		if err != nil {
			return err
		}
		b.insert(e)
		b.put(s.activeEntity(run))
	}
	if err := s.record(b, w.Changes); err != nil {
		return err
	}
	rev, err := s.jobs.apply(ctx, b)
	if err != nil {
		return err
	}
	w.Job.Rev, w.Job.Outdated = rev, nil
	if w.Run != nil {
		w.Run.Rev = "" // known to the service alone
	}
	return nil
}

// seriesRow adds the row of a recurring job, and those that list it.
func (s *Store) seriesRow(b *batch, rec *job.Record, from job.Status) error {
	was := rec.Series.Due
	rec.Series.Due = rec.Series.Next.Truncate(time.Millisecond) // as its row has it
	ends := rec.Status.Ended() && !from.Ended()
	if ends {
		endsNow(rec)
	}
	e, err := s.recordEntity(rec)
	if err != nil {
		return err
	}
	b.replace(e, rec.Rev)
	if ends {
		s.keep(b, rec)
	}
	if now := rec.Series.Due; !now.Equal(was) {
		if !was.IsZero() {
			b.remove(s.hub, dueRowAt(was, rec.JobID))
		}
		if !now.IsZero() {
			b.put(s.row(dueRowAt(now, rec.JobID)))
		}
	}
	return s.lists(b, rec, from)
}

// occurrenceRows adds the row of a run, and those that list it.
func (s *Store) occurrenceRows(b *batch, rec *job.Record) error {
	wasOwed := rec.Owed
	rec.Owed = rec.NextDelivery().Truncate(time.Millisecond)
	e, err := s.occurrenceEntity(rec)
	if err != nil {
		return err
	}
	b.replace(e, rec.Rev)
	s.owe(b, rec, wasOwed)
	return nil
}

// saveOccurrence stores the record of a run.
func (s *Store) saveOccurrence(ctx context.Context, rec *job.Record, changes []job.Change) error {
	b := newBatch()
	if err := s.occurrenceRows(b, rec); err != nil {
		return err
	}
	if err := s.record(b, changes); err != nil {
		return err
	}
	rev, err := s.jobs.apply(ctx, b)
	if err == nil {
		rec.Rev = rev
	}
	return err
}

// mostGoneRows is how many rows ForgetRuns changes for one run at most.
const mostGoneRows = 5 + job.MaxHubs

// goneAtHubs notes that the rows of a run's runs at several hubs are to be deleted from now on.
func (s *Store) goneAtHubs(b *batch, rec *job.Record, now time.Time) {
	for _, h := range rec.AtHubs {
		gone := s.row(rowGone + job.HubRunID(rec.RunID, h.Hub))
		gone.putTime("After", now)
		b.put(gone)
	}
}

// ForgetRuns deletes up to max runs of a recurring job that is gone, notes that their rows are to be deleted from now on, and
// gives their ids: none when none is left.
func (s *Store) ForgetRuns(ctx context.Context, series string, now time.Time, max int) ([]string, error) {
	b := newBatch()
	var runs []string
	prefix := occurrences(series)
	q := query{partition: s.hub, from: prefix, to: after(prefix), max: max}
	err := s.jobs.each(ctx, q, func(e entity) (bool, error) {
		run := &job.Record{}
		if err := e.json("Data", run); err != nil {
			return false, err
		}
		run.JobID = job.OwnerOf(run.RunID)
		runs = append(runs, run.RunID)
		gone := s.row(rowGone + run.RunID)
		gone.putTime("After", now)
		b.put(gone)
		s.goneAtHubs(b, run, now)
		s.forgetAfter(b, run, now)
		b.remove(s.hub, e.row())
		s.unkeep(b, run)
		if !run.Owed.IsZero() {
			b.remove(s.hub, owedRow(run.RunID, run.Owed))
		}
		return len(b.actions)+mostGoneRows <= maxBatch, nil
	})
	if err != nil {
		return nil, err
	}
	if len(runs) == 0 {
		return nil, s.forgetFormers(ctx, series)
	}
	_, err = s.jobs.apply(ctx, b)
	return runs, err
}
