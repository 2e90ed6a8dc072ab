package tablestore

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// Row keys of the audit trail, in a hub's partition of the jobs table. An entry has two rows, one for each list; its key
// follows from what it says, so that the same entry written twice is one.
const (
	rowAudit  = "audit:"  // audit:<reversed time>:<run id>:<action>, all entries newest first
	rowTrail  = "trail:"  // trail:<job id>:<reversed time>:<run id>:<action>, those of one job id newest first
	rowForget = "forget:" // forget:<time>:<run id>, from when on the entries of a deleted job go
)

// AuditRetention is how long the audit trail of a job is kept after its deletion.
const AuditRetention = 90 * 24 * time.Hour

// auditKey orders entries by descending time.
func auditKey(c *job.Change) string {
	id := c.RunID
	if c.TemplateID != "" {
		id = fmt.Sprintf("%s.%d", id, c.Version)
	}
	return fmt.Sprintf("%019d:%s:%s", math.MaxInt64-c.At.UnixNano(), id, c.Action)
}

// owner is what an entry is about. No job id has a point.
func owner(c *job.Change) string {
	if c.TemplateID != "" {
		return templateTrail(c.TemplateID)
	}
	return c.JobID
}

func templateTrail(id string) string { return "template." + id }

// record adds entries to a transaction over the jobs table.
func (s *Store) record(b *batch, changes []job.Change) error {
	for _, c := range changes {
		for _, key := range []string{rowAudit + auditKey(&c), rowTrail + owner(&c) + ":" + auditKey(&c)} {
			e := s.row(key)
			e["RunID"] = c.RunID
			if err := e.putJSON("Data", &c); err != nil {
				return err
			}
			b.put(e)
		}
	}
	return nil
}

// forgetAfter adds the note that the entries of a deleted job go when AuditRetention has passed.
func (s *Store) forgetAfter(b *batch, rec *job.Record, now time.Time) {
	e := s.row(rowForget + now.Add(AuditRetention).UTC().Format(dueFormat) + ":" + rec.RunID)
	e["JobID"], e["RunID"] = rec.JobID, rec.RunID
	b.put(e)
}

// ChangeQuery selects entries of the audit trail, newest first.
type ChangeQuery struct {
	JobID string // "" for all
	From  string // token of the page before, "" for the first
	Max   int
}

// Changes lists the audit trail and gives the token of the next page, "" after the last. It reads no more rows than it gives,
// and one.
func (s *Store) Changes(ctx context.Context, cq ChangeQuery) ([]*job.Change, string, error) {
	prefix := rowAudit
	if cq.JobID != "" {
		prefix = rowTrail + cq.JobID + ":"
	}
	q := query{partition: s.hub, from: prefix, to: after(prefix), columns: "RowKey,Data", max: cq.Max + 1}
	if cq.From != "" {
		key, err := base64.RawURLEncoding.DecodeString(cq.From)
		if err != nil || !isAuditKey(string(key)) {
			return nil, "", job.Faults{{Field: "continuationToken", Value: cq.From, Rule: "is not a token that this service gave"}}
		}
		q.from = prefix + string(key)
	}
	var page []*job.Change
	next := ""
	err := s.jobs.each(ctx, q, func(e entity) (bool, error) {
		if len(page) == cq.Max {
			next = base64.RawURLEncoding.EncodeToString([]byte(strings.TrimPrefix(e.row(), prefix)))
			return false, nil
		}
		c := &job.Change{}
		page = append(page, c)
		return true, e.json("Data", c)
	})
	return page, next, err
}

// isAuditKey reports whether key is like those of auditKey, so that a forged token can not leave the list.
func isAuditKey(key string) bool {
	digits, rest, ok := strings.Cut(key, ":")
	return ok && len(digits) == 19 && strings.Trim(digits, "0123456789") == "" && validKey(rest)
}

// forgetsAtOnce is how many entries one transaction of ForgetChanges deletes: two rows each, and the note.
const forgetsAtOnce = maxBatch/2 - 1

// ForgetChanges deletes entries of up to max deleted jobs whose AuditRetention has passed at now, some of each; it goes on
// with the rest when it is called again. Where others delete too, it leaves the work to them.
func (s *Store) ForgetChanges(ctx context.Context, now time.Time, max int) error {
	var notes []entity
	q := query{
		partition: s.hub, from: rowForget, to: rowForget + now.UTC().Format(dueFormat), columns: "RowKey,JobID,RunID", max: max,
	}
	err := s.jobs.each(ctx, q, func(e entity) (bool, error) {
		notes = append(notes, e)
		return true, nil
	})
	if err != nil {
		return err
	}
	for _, note := range notes {
		if err := s.forget(ctx, note); err != nil && !errors.Is(err, job.ErrNotFound) {
			return err
		}
	}
	return nil
}

// ofRun filters entries about a run, and about what it does at each of several hubs, whose ids have an @ and the hub behind it.
func ofRun(id string) string {
	return "(RunID eq " + quoted(id) + " or RunID ge " + quoted(id+"@") + " and RunID lt " + quoted(id+"A") + ")"
}

func (s *Store) forget(ctx context.Context, note entity) error {
	b := newBatch()
	prefix := rowTrail + note.text("JobID") + ":"
	q := query{
		partition: s.hub, from: prefix, to: after(prefix), filter: ofRun(note.text("RunID")),
		columns: "RowKey", max: forgetsAtOnce,
	}
	found := 0
	err := s.jobs.each(ctx, q, func(e entity) (bool, error) {
		found++
		b.remove(s.hub, e.row())
		b.remove(s.hub, rowAudit+strings.TrimPrefix(e.row(), prefix))
		return true, nil
	})
	if err != nil {
		return err
	}
	if found < forgetsAtOnce {
		b.remove(s.hub, note.row())
	}
	_, err = s.jobs.apply(ctx, b)
	return err
}
