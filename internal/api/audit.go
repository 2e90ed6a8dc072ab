package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/principal"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// admit tells who makes r and refuses those who may not.
func (h *handler) admit(r *http.Request) (job.Caller, error) {
	if forEverybody(r) {
		return job.Caller{}, nil
	}
	c, err := h.callers.Caller(r)
	if err != nil {
		h.logRefusal(r, c, err)
		detail := "the app expects the principal that App Service authentication signs in, and the request has none"
		if errors.Is(err, principal.ErrMalformed) {
			detail = err.Error()
		}
		p := problemOf(notSignedIn, detail)
		p.header.Set("WWW-Authenticate", "Bearer")
		return job.Caller{}, p
	}
	err = c.Check(needed(r))
	if missing, ok := errors.AsType[*principal.RoleError](err); ok {
		h.logRefusal(r, c, err)
		return job.Caller{}, problemOf(roleMissing, "this needs the app role "+string(missing.Missing))
	}
	return c.Caller, err
}

// forEverybody reports whether r asks for what says nothing of jobs.
func forEverybody(r *http.Request) bool {
	return r.URL.Path == prefix+"openapi.yaml" || r.URL.Path == prefix+"health"
}

func needed(r *http.Request) principal.Role {
	switch {
	case r.Method == http.MethodGet, r.Method == http.MethodHead:
		return principal.Read
	case strings.HasPrefix(r.URL.Path, prefix+"jobs/") && strings.HasSuffix(r.URL.Path, "/approve"):
		return principal.Approve
	}
	return principal.Write
}

func (h *handler) logRefusal(r *http.Request, c principal.Caller, err error) {
	h.logger.LogAttrs(r.Context(), slog.LevelWarn, "the request was refused",
		slog.String("method", r.Method), slog.String("path", r.URL.EscapedPath()), slog.String("error", err.Error()),
		slog.String("callerId", c.ID), slog.String("callerName", c.Name), slog.String("userAgent", c.UserAgent))
}

const (
	changesPerPage    = 50
	maxChangesPerPage = 500
)

// changeView is an entry of the audit trail in JSON.
type changeView struct {
	Time         instant       `json:"time"`
	Action       job.Action    `json:"action"`
	JobID        string        `json:"jobId,omitempty"`
	TemplateID   string        `json:"templateId,omitempty"`
	Version      int           `json:"version,omitempty"` // of the template
	RunID        string        `json:"runId,omitempty"`
	StatusBefore job.Status    `json:"statusBefore,omitempty"`
	StatusAfter  job.Status    `json:"statusAfter,omitempty"`
	By           job.Principal `json:"by"`
	UserAgent    string        `json:"userAgent,omitempty"`
	Note         string        `json:"note,omitempty"`
}

type changePage struct {
	Changes           []changeView `json:"changes"`
	ContinuationToken string       `json:"continuationToken,omitempty"`
}

// audit gives the changes of all jobs, newest first.
func (h *handler) audit(ctx context.Context, r *request) (*answer, error) {
	page, err := h.changes(ctx, r, "")
	if err != nil {
		return nil, err
	}
	return h.changeAnswer(r, page)
}

// jobAudit gives the changes of one job, also of one that was deleted.
func (h *handler) jobAudit(ctx context.Context, r *request) (*answer, error) {
	if len(job.CheckJobID("", r.jobID)) > 0 {
		return nil, problemOf(unknownJob, "no job has this id")
	}
	page, err := h.changes(ctx, r, r.jobID)
	if err != nil {
		return nil, err
	}
	if len(page.Changes) == 0 && r.query.text("continuationToken") == "" {
		if _, err := h.current(ctx, r); err != nil { // a job from before there was a trail has none
			return nil, err
		}
	}
	return h.changeAnswer(r, page)
}

func (h *handler) changes(ctx context.Context, r *request, jobID string) (changePage, error) {
	q := tablestore.ChangeQuery{
		JobID: jobID, From: r.query.text("continuationToken"), Max: r.query.integer("pageSize", changesPerPage, maxChangesPerPage),
	}
	if err := r.query.err(); err != nil {
		return changePage{}, err
	}
	found, next, err := h.store.Changes(ctx, q)
	if err != nil {
		return changePage{}, err
	}
	page := changePage{Changes: make([]changeView, len(found)), ContinuationToken: next}
	for i, c := range found {
		page.Changes[i] = changeView{
			Time: instant(c.At), Action: c.Action, JobID: c.JobID, TemplateID: c.TemplateID, Version: c.Version, RunID: c.RunID,
			StatusBefore: c.From, StatusAfter: c.To, By: c.By, UserAgent: c.UserAgent, Note: c.Note,
		}
	}
	return page, nil
}

func (h *handler) changeAnswer(r *request, page changePage) (*answer, error) {
	a, err := taggedJSON(page)
	if err != nil {
		return nil, err
	}
	h.linkNext(a, r, page.ContinuationToken)
	return a, nil
}
