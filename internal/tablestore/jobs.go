package tablestore

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// Row keys of a hub's partition of the jobs table; tick.go, owed.go, ended.go and series.go have one more each, audit.go three.
const (
	rowJob    = "job:"    // job:<id>, the job
	rowDue    = "due:"    // due:<time>:<id>, until its run is activated; of a recurring job while its schedule has a next time
	rowNew    = "new:"    // new:<reversed time>:<id>, jobs newest first
	rowBy     = "by:"     // by:<status>:<reversed time>:<id>, the same for one status
	rowActive = "active:" // active:<run id>, until the run has ended
	rowKey    = "key:"    // key:<hash>, the Idempotency-Key of a job
	rowGone   = "gone:"   // gone:<run id>, a run whose rows are to be deleted
)

const dueFormat = "20060102T150405.000Z"

func dueRow(rec *job.Record) string { return dueRowAt(rec.StartTime, rec.JobID) }

func dueRowAt(at time.Time, jobID string) string {
	return rowDue + at.UTC().Format(dueFormat) + ":" + jobID
}

// activeEntity is the row that lists a run that goes on.
func (s *Store) activeEntity(rec *job.Record) entity {
	e := s.row(rowActive + rec.RunID)
	e["JobID"] = rec.JobID
	return e
}

// newestFirst orders keys by descending time.
func newestFirst(rec *job.Record) string {
	const end = 9_999_999_999_999
	return fmt.Sprintf("%013d:%s", end-rec.CreatedAt.UnixMilli(), rec.JobID)
}

func newRow(rec *job.Record) string { return rowNew + newestFirst(rec) }

func byRow(rec *job.Record, status job.Status) string {
	return rowBy + string(status) + ":" + newestFirst(rec)
}

func (s *Store) row(key string) entity { return newEntity(s.hub, key) }

// recordEntity is the row of a whole job.
func (s *Store) recordEntity(rec *job.Record) (entity, error) {
	e := s.row(rowJob + rec.JobID)
	return e, e.putJSON("Data", rec)
}

// summaryEntity is a row of a list: the job without the bodies of its operation, the query of its callback and the lists of
// its schedule and window.
func (s *Store) summaryEntity(key string, rec *job.Record) (entity, error) {
	short := *rec
	if rec.Method != nil {
		m := *rec.Method
		m.Payload = nil
		short.Method = &m
	}
	short.UpdateTwin, short.Confirm, short.Steps = nil, nil, nil
	if rec.FromTemplate != nil {
		from := *rec.FromTemplate
		from.Parameters = nil
		short.FromTemplate = &from
	}
	if rec.Schedule != nil {
		spec := *rec.Schedule
		spec.Times, spec.Exclude = nil, nil
		short.Schedule = &spec
	}
	if rec.MaintenanceWindow != nil {
		spec := *rec.MaintenanceWindow
		spec.Times, spec.Exclude = nil, nil
		short.MaintenanceWindow = &spec
	}
	short.Notifications = rec.Notifications.Redacted()
	e := s.row(key)
	e["Type"] = string(rec.Type)
	return e, e.putJSON("Data", &short)
}

// lists adds the rows that list rec to b; from is the status under which it was listed before.
func (s *Store) lists(b *batch, rec *job.Record, from job.Status) error {
	summary, err := s.summaryEntity(newRow(rec), rec)
	if err != nil {
		return err
	}
	by, err := s.summaryEntity(byRow(rec, rec.Status), rec)
	if err != nil {
		return err
	}
	b.put(summary)
	b.put(by)
	if from != "" && from != rec.Status {
		b.remove(s.hub, byRow(rec, from))
	}
	return nil
}

// BeginUpload notes that rows of a run are about to be stored for a job that does not exist yet, so that they are deleted
// after until unless CreateJob comes first.
func (s *Store) BeginUpload(ctx context.Context, runID string, until time.Time) error {
	e := s.row(rowGone + runID)
	e.putTime("After", until)
	return s.jobs.upsert(ctx, e)
}

// CreateJob stores a new job, due at its start time, with entries of the audit trail. It returns job.ErrExists when its id or
// Idempotency-Key is taken.
func (s *Store) CreateJob(ctx context.Context, rec *job.Record, changes ...job.Change) error {
	if rec.Series != nil {
		rec.Series.Due = rec.StartTime
	}
	e, err := s.recordEntity(rec)
	if err != nil {
		return err
	}
	b := newBatch()
	b.insert(e)
	b.insert(s.row(dueRow(rec)))
	if err := s.lists(b, rec, ""); err != nil {
		return err
	}
	if rec.KeyHash != "" {
		key := s.row(rowKey + rec.KeyHash)
		key["JobID"] = rec.JobID
		b.insert(key)
	}
	if rec.ListChunks > 0 {
		b.remove(s.hub, rowGone+rec.RunID)
	}
	if err := s.record(b, changes); err != nil {
		return err
	}
	rev, err := s.jobs.apply(ctx, b)
	rec.Rev = rev
	return err
}

// Job reads a job. An id that no job can have is job.ErrNotFound too.
func (s *Store) Job(ctx context.Context, id string) (*job.Record, error) {
	e, rev, err := s.jobs.get(ctx, s.hub, rowJob+id)
	if err != nil {
		return nil, err
	}
	rec := &job.Record{}
	if err := e.json("Data", rec); err != nil {
		return nil, err
	}
	rec.Rev = rev
	return rec, nil
}

// JobByKey gives the id of the job that was created under an Idempotency-Key.
func (s *Store) JobByKey(ctx context.Context, keyHash string) (string, error) {
	e, _, err := s.jobs.get(ctx, s.hub, rowKey+keyHash)
	return e.text("JobID"), err
}

// SaveJob stores a job whose status was from, and keeps its lists in step. A job that becomes active leaves the list of due
// jobs for that of active runs; one that ends leaves either. Entries of the audit trail are written with it. Of a recurring
// job's run it stores what is not its end, for which SaveSeries is.
func (s *Store) SaveJob(ctx context.Context, rec *job.Record, from job.Status, changes ...job.Change) error {
	if rec.Occurrence != nil {
		return s.saveOccurrence(ctx, rec, changes)
	}
	wasActive := rec.Active
	rec.Active = wasActive || rec.Status != job.StatusScheduled && rec.Status != job.StatusPaused && !rec.Status.Ended()
	return s.saveJob(ctx, rec, from, wasActive, changes)
}

// Activate moves a due job to the active runs.
func (s *Store) Activate(ctx context.Context, rec *job.Record) error {
	rec.Active = true
	return s.saveJob(ctx, rec, rec.Status, false, nil)
}

func (s *Store) saveJob(ctx context.Context, rec *job.Record, from job.Status, wasActive bool, changes []job.Change) error {
	wasOwed, ends := rec.Owed, rec.Status.Ended() && !from.Ended()
	rec.Owed = rec.NextDelivery().Truncate(time.Millisecond) // as its row has it
	if ends {
		endsNow(rec)
	}
	e, err := s.recordEntity(rec)
	if err != nil {
		return err
	}
	b := newBatch()
	b.replace(e, rec.Rev)
	s.owe(b, rec, wasOwed)
	if err := s.lists(b, rec, from); err != nil {
		return err
	}
	if ends {
		s.keep(b, rec)
	}
	switch {
	case wasActive && ends:
		b.remove(s.hub, rowActive+rec.RunID)
	case !wasActive && rec.Active && !ends:
		b.remove(s.hub, dueRow(rec))
		b.put(s.activeEntity(rec))
	case !wasActive && ends:
		b.remove(s.hub, dueRow(rec))
	}
	if err := s.record(b, changes); err != nil {
		return err
	}
	rev, err := s.jobs.apply(ctx, b)
	if err != nil {
		return err
	}
	rec.Rev = rev
	return nil
}

// DeleteJob deletes an ended job, with entries of the audit trail, and leaves notes that the rows of its run are to be deleted
// from now on, and its audit trail after AuditRetention.
func (s *Store) DeleteJob(ctx context.Context, rec *job.Record, now time.Time, changes ...job.Change) error {
	e, err := s.recordEntity(rec)
	if err != nil {
		return err
	}
	gone := s.row(rowGone + rec.RunID)
	gone.putTime("After", now)
	b := newBatch()
	b.put(gone)
	s.goneAtHubs(b, rec, now)
	b.removeIf(e, rec.Rev)
	b.remove(s.hub, newRow(rec))
	b.remove(s.hub, byRow(rec, rec.Status))
	s.unkeep(b, rec)
	if !rec.Owed.IsZero() {
		b.remove(s.hub, owedRow(rec.RunID, rec.Owed))
	}
	if rec.KeyHash != "" {
		b.remove(s.hub, rowKey+rec.KeyHash)
	}
	s.forgetAfter(b, rec, now)
	if err := s.record(b, changes); err != nil {
		return err
	}
	_, err = s.jobs.apply(ctx, b)
	return err
}

// Due gives the ids of the jobs that are due before until and were not activated yet, or recur, the earliest first.
func (s *Store) Due(ctx context.Context, until time.Time) ([]string, error) {
	return s.ids(ctx, query{partition: s.hub, from: rowDue, to: rowDue + until.UTC().Format(dueFormat), columns: "RowKey"})
}

// ids reads the last part of row keys.
func (s *Store) ids(ctx context.Context, q query) ([]string, error) {
	var ids []string
	err := s.jobs.each(ctx, q, func(e entity) (bool, error) {
		ids = append(ids, lastPart(e.row()))
		return true, nil
	})
	return ids, err
}

func lastPart(row string) string { return row[strings.LastIndexByte(row, ':')+1:] }

// ActiveRuns gives the ids of the runs that were activated and have not ended.
func (s *Store) ActiveRuns(ctx context.Context) ([]string, error) {
	return s.ids(ctx, query{partition: s.hub, from: rowActive, to: after(rowActive), columns: "RowKey"})
}

// Gone gives up to max runs whose rows are to be deleted at now.
func (s *Store) Gone(ctx context.Context, now time.Time, max int) ([]string, error) {
	var runs []string
	q := query{partition: s.hub, from: rowGone, to: after(rowGone), columns: "RowKey,After"}
	err := s.jobs.each(ctx, q, func(e entity) (bool, error) {
		if !e.time("After").After(now) {
			runs = append(runs, strings.TrimPrefix(e.row(), rowGone))
		}
		return len(runs) < max, nil
	})
	return runs, err
}

// Purged forgets the note that a run's rows are to be deleted.
func (s *Store) Purged(ctx context.Context, runID string) error {
	b := newBatch()
	b.remove(s.hub, rowGone+runID)
	_, err := s.jobs.apply(ctx, b)
	if errors.Is(err, job.ErrNotFound) {
		return nil
	}
	return err
}

// JobQuery selects the jobs of a listing, newest first.
type JobQuery struct {
	Status job.Status // "" for all
	Type   job.Type   // "" for all
	From   string     // token of the page before, "" for the first
	Max    int
}

// Jobs lists jobs, without the bodies of their operations, and gives the token of the next page, "" after the last.
func (s *Store) Jobs(ctx context.Context, jq JobQuery) ([]*job.Record, string, error) {
	prefix := rowNew
	if jq.Status != "" {
		prefix = rowBy + string(jq.Status) + ":"
	}
	q := query{partition: s.hub, from: prefix, to: after(prefix), max: jq.Max + 1}
	if jq.Type != "" {
		q.filter = "Type eq " + quoted(string(jq.Type))
	}
	if jq.From != "" {
		key, err := base64.RawURLEncoding.DecodeString(jq.From)
		if err != nil || !listKey(string(key)) {
			return nil, "", job.Faults{{Field: "continuationToken", Value: jq.From, Rule: "is not a token that this service gave"}}
		}
		q.from = prefix + string(key)
	}
	var page []*job.Record
	next := ""
	err := s.jobs.each(ctx, q, func(e entity) (bool, error) {
		if len(page) == jq.Max {
			next = base64.RawURLEncoding.EncodeToString([]byte(strings.TrimPrefix(e.row(), prefix)))
			return false, nil
		}
		rec := &job.Record{}
		page = append(page, rec)
		return true, e.json("Data", rec)
	})
	return page, next, err
}

// listKey reports whether key is what newestFirst gives, so that a forged token can not leave the list.
func listKey(key string) bool {
	digits, id, ok := strings.Cut(key, ":")
	return ok && len(digits) == 13 && strings.Trim(digits, "0123456789") == "" && len(job.CheckJobID("", id)) == 0
}

// IsGone reports whether the rows of a run are to be deleted.
func (s *Store) IsGone(ctx context.Context, runID string) (bool, error) {
	_, _, err := s.jobs.get(ctx, s.hub, rowGone+runID)
	if errors.Is(err, job.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
