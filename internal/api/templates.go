package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/dispatch"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

const (
	templatesPerPage    = 20
	maxTemplatesPerPage = 100
)

// TemplateCommands change templates. Errors are job.ErrNotFound, dispatch.ErrEdited, or those of storage.
type TemplateCommands interface {
	PutTemplate(ctx context.Context, t job.Template, version int, by job.Caller) (*job.Template, error)
	DeleteTemplate(ctx context.Context, id string, version int, by job.Caller) error
}

// TemplateStore reads templates; *tablestore.Store does.
type TemplateStore interface {
	Template(ctx context.Context, id string) (*job.Template, error)
	Templates(ctx context.Context, q tablestore.TemplateQuery) (templates []*job.Template, next string, err error)
}

// templateView is a template in JSON.
type templateView struct {
	TemplateID  string          `json:"templateId"`
	Version     int             `json:"version"`
	Description string          `json:"description,omitempty"`
	Parameters  []job.Parameter `json:"parameters"`
	Job         json.RawMessage `json:"job,omitempty"`
	CreatedTime instant         `json:"createdTime"`
	UpdatedTime instant         `json:"updatedTime"`
	UpdatedBy   job.Principal   `json:"updatedBy"`
}

func viewOfTemplate(t *job.Template) templateView {
	return templateView{
		TemplateID: t.ID, Version: t.Version, Description: t.Description, Parameters: append([]job.Parameter{}, t.Parameters...), Job: t.ShownJob(),
		CreatedTime: instant(t.CreatedAt), UpdatedTime: instant(t.UpdatedAt), UpdatedBy: t.UpdatedBy,
	}
}

// template reads the template of an id.
func (h *handler) template(ctx context.Context, id string) (*job.Template, error) {
	unknown := problemOf(unknownTemplate, "no template has this id")
	if len(job.CheckJobID("", id)) > 0 {
		return nil, unknown
	}
	t, err := h.store.Template(ctx, id)
	if errors.Is(err, job.ErrNotFound) {
		return nil, unknown
	}
	return t, err
}

func (h *handler) getTemplate(ctx context.Context, r *request) (*answer, error) {
	t, err := h.template(ctx, r.templateID)
	if err != nil {
		return nil, err
	}
	return taggedJSON(viewOfTemplate(t))
}

// putTemplate creates a template, or stores another version of it.
func (h *handler) putTemplate(ctx context.Context, r *request) (*answer, error) {
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	t, err := job.DecodeTemplate(r.templateID, body, h.now())
	if err != nil {
		return nil, err
	}
	version, err := h.knownVersion(ctx, r)
	if err != nil {
		return nil, err
	}
	stored, err := h.jobs.PutTemplate(ctx, *t, version, r.by)
	if err != nil {
		return nil, err
	}
	a, err := jsonAnswer(http.StatusOK, viewOfTemplate(stored))
	if err == nil {
		a.header.Set("ETag", etag(a.body))
	}
	return a, err
}

func (h *handler) deleteTemplate(ctx context.Context, r *request) (*answer, error) {
	if _, err := h.template(ctx, r.templateID); err != nil {
		return nil, err
	}
	version, err := h.knownVersion(ctx, r)
	if err != nil {
		return nil, err
	}
	err = h.jobs.DeleteTemplate(ctx, r.templateID, version, r.by)
	if err != nil && !errors.Is(err, job.ErrNotFound) { // deleted by somebody else meanwhile
		return nil, err
	}
	return &answer{status: http.StatusNoContent}, nil
}

// knownVersion gives the version of a template that a request means, by its If-Match or If-None-Match.
func (h *handler) knownVersion(ctx context.Context, r *request) (int, error) {
	tag, none := strings.TrimSpace(r.Header.Get("If-Match")), strings.TrimSpace(r.Header.Get("If-None-Match"))
	if none == "*" {
		return dispatch.NewTemplate, nil
	}
	if tag == "" {
		return dispatch.AnyVersion, nil
	}
	if n, err := strconv.Atoi(strings.Trim(tag, `"`)); err == nil && n > 0 {
		return n, nil
	}
	t, err := h.store.Template(ctx, r.templateID)
	if errors.Is(err, job.ErrNotFound) {
		err = dispatch.ErrEdited
	}
	if err != nil || tag == "*" {
		return dispatch.AnyVersion, err
	}
	body, err := encode(viewOfTemplate(t))
	if err == nil && etag(body) != tag {
		err = dispatch.ErrEdited
	}
	return t.Version, err
}

type templatePage struct {
	Templates         []templateView `json:"templates"`
	ContinuationToken string         `json:"continuationToken,omitempty"`
}

// templates lists templates by id, without their jobs.
func (h *handler) templates(ctx context.Context, r *request) (*answer, error) {
	q := tablestore.TemplateQuery{
		Max: r.query.integer("pageSize", templatesPerPage, maxTemplatesPerPage), From: r.query.text("continuationToken"),
	}
	if err := r.query.err(); err != nil {
		return nil, err
	}
	found, next, err := h.store.Templates(ctx, q)
	if err != nil {
		return nil, err
	}
	page := templatePage{Templates: []templateView{}, ContinuationToken: next}
	for _, t := range found {
		v := viewOfTemplate(t)
		v.Job = nil
		page.Templates = append(page.Templates, v)
	}
	a, err := taggedJSON(page)
	if err != nil {
		return nil, err
	}
	h.linkNext(a, r, next)
	return a, nil
}

// decode reads the definition of a job, of a template if the body names one.
func (h *handler) decode(ctx context.Context, body []byte) (job.Definition, error) {
	id, err := job.TemplateOf(body)
	if err != nil {
		return job.Definition{}, err
	}
	if id == "" {
		return job.Decode(body, h.now())
	}
	t, err := h.store.Template(ctx, id)
	if errors.Is(err, job.ErrNotFound) {
		err = job.Faults{{Field: "template", Value: id, Rule: "no template has this id"}}
	}
	if err != nil {
		return job.Definition{}, err
	}
	return t.Instantiate(body, h.now())
}
