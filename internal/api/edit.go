package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/dispatch"
)

// edit changes what a job may change while it runs.
func (h *handler) edit(ctx context.Context, r *request) (*answer, error) {
	tag := strings.TrimSpace(r.Header.Get("If-Match"))
	if tag == "" {
		return nil, problemOf(versionMissing, `If-Match is required: the job's version in quotes, its ETag, or *`)
	}
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	s, err := h.current(ctx, r)
	if err != nil {
		return nil, err
	}
	version, err := s.matched(tag)
	if err != nil {
		return nil, err
	}
	rec, run, err := h.jobs.Edit(ctx, r.jobID, dispatch.Edit{Patch: body, Version: version}, r.by)
	if err != nil {
		return nil, err
	}
	return jsonAnswer(http.StatusOK, stateOf(rec, run).view())
}

// matched gives the version that an If-Match means.
func (s state) matched(tag string) (int, error) {
	if tag == "*" {
		return dispatch.AnyVersion, nil
	}
	if n, err := strconv.Atoi(strings.Trim(tag, `"`)); err == nil && n > 0 {
		return n, nil
	}
	body, err := encode(s.view())
	if err == nil && etag(body) != tag {
		err = dispatch.ErrEdited
	}
	return s.rec.Version(s.run), err
}
