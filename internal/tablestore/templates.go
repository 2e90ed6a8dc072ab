package tablestore

import (
	"context"
	"encoding/base64"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// rowTemplate is template:<id>, in a hub's partition of the jobs table.
const rowTemplate = "template:"

// Template reads a template. An id that none can have is job.ErrNotFound too.
func (s *Store) Template(ctx context.Context, id string) (*job.Template, error) {
	e, rev, err := s.jobs.get(ctx, s.hub, rowTemplate+id)
	if err != nil {
		return nil, err
	}
	t := &job.Template{}
	if err := e.json("Data", t); err != nil {
		return nil, err
	}
	t.Rev = rev
	return t, nil
}

// PutTemplate stores a template, with an entry of the audit trail: a new one, or job.ErrExists, if it has no Rev; else one that is
// as it was read, or job.ErrConflict.
func (s *Store) PutTemplate(ctx context.Context, t *job.Template, change job.Change) error {
	e := s.row(rowTemplate + t.ID)
	if err := e.putJSON("Data", t); err != nil {
		return err
	}
	b := newBatch()
	if t.Rev == "" {
		b.insert(e)
	} else {
		b.replace(e, t.Rev)
	}
	if err := s.record(b, []job.Change{change}); err != nil {
		return err
	}
	rev, err := s.jobs.apply(ctx, b)
	if err == nil {
		t.Rev = rev
	}
	return err
}

// DeleteTemplate deletes a template that is as it was read, with an entry of the audit trail, and leaves a note that its entries
// are to be deleted after AuditRetention.
func (s *Store) DeleteTemplate(ctx context.Context, t *job.Template, change job.Change) error {
	e := s.row(rowTemplate + t.ID)
	if err := e.putJSON("Data", t); err != nil {
		return err
	}
	b := newBatch()
	note := s.row(rowForget + change.At.Add(AuditRetention).UTC().Format(dueFormat) + ":" + t.Key)
	note["JobID"], note["RunID"] = templateTrail(t.ID), t.Key
	b.put(note) // first, so that its token tells whose write it was
	b.removeIf(e, t.Rev)
	if err := s.record(b, []job.Change{change}); err != nil {
		return err
	}
	_, err := s.jobs.apply(ctx, b)
	return err
}

// TemplateQuery selects the templates of a listing, by id.
type TemplateQuery struct {
	From string // token of the page before, "" for the first
	Max  int
}

// Templates lists templates and gives the token of the next page, "" after the last.
func (s *Store) Templates(ctx context.Context, tq TemplateQuery) ([]*job.Template, string, error) {
	q := query{partition: s.hub, from: rowTemplate, to: after(rowTemplate), max: tq.Max + 1}
	if tq.From != "" {
		id, err := base64.RawURLEncoding.DecodeString(tq.From)
		if err != nil || len(job.CheckJobID("", string(id))) > 0 {
			return nil, "", job.Faults{{Field: "continuationToken", Value: tq.From, Rule: "is not a token that this service gave"}}
		}
		q.from = rowTemplate + string(id)
	}
	var page []*job.Template
	next := ""
	err := s.jobs.each(ctx, q, func(e entity) (bool, error) {
		if len(page) == tq.Max {
			next = base64.RawURLEncoding.EncodeToString([]byte(strings.TrimPrefix(e.row(), rowTemplate)))
			return false, nil
		}
		t := &job.Template{}
		page = append(page, t)
		return true, e.json("Data", t)
	})
	return page, next, err
}
