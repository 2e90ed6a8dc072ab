package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// rerun creates a job for the devices of a run that ended in some states.
func (h *handler) rerun(ctx context.Context, r *request) (*answer, error) {
	key := r.idempotencyKey()
	if err := r.query.err(); err != nil {
		return nil, err
	}
	s, err := h.executing(ctx, r)
	if err != nil {
		return nil, err
	}
	body, err := readOptional(r)
	if err != nil {
		return nil, err
	}
	again, err := job.DecodeRerun(body, h.now())
	if err != nil {
		return nil, err
	}
	if again.JobID != "" && key != "" {
		return nil, idBesideKey(again.JobID)
	}
	again.Key = key
	rec, err := h.jobs.Rerun(ctx, s.rec, s.run, again, r.by)
	return h.stored(ctx, r, rec, err)
}

// idBesideKey is the fault of a request for a new job that would be made harmless twice.
func idBesideKey(id string) job.Faults {
	return job.Faults{{Field: "jobId", Value: shown(id), Rule: "must not stand beside an Idempotency-Key: with an id, repeating the request is harmless anyway"}}
}

// copyJob creates a job like another, with other members.
func (h *handler) copyJob(ctx context.Context, r *request) (*answer, error) {
	key := r.idempotencyKey()
	if err := r.query.err(); err != nil {
		return nil, err
	}
	body, err := readOptional(r)
	if err != nil {
		return nil, err
	}
	s, err := h.current(ctx, r)
	if err != nil {
		return nil, err
	}
	var named struct {
		JobID string `json:"jobId"`
	}
	if key != "" && json.Unmarshal(body, &named) == nil && named.JobID != "" {
		return nil, idBesideKey(named.JobID)
	}
	rec, err := h.jobs.Copy(ctx, s.rec, s.run, job.Copy{Body: body, Key: key}, r.by)
	return h.stored(ctx, r, rec, err)
}

// cancelExecution keeps one device, or with moduleId one module, from being called.
func (h *handler) cancelExecution(ctx context.Context, r *request) (*answer, error) {
	moduleParam(r)
	if err := r.query.err(); err != nil {
		return nil, err
	}
	s, err := h.executing(ctx, r)
	if err != nil {
		return nil, err
	}
	unknown := problemOf(unknownExecution, "the device is not among those that the job has selected")
	if !job.DeviceID(r.deviceID) {
		return nil, unknown
	}
	id, at := job.TargetID(r.deviceID, r.query.text("moduleId")), place{s.run.Hub, s.run.ID}
	if s.run.Hubs != nil || r.query.has(hubParam) {
		if at, _, err = h.locate(ctx, r, s, id); err != nil {
			return nil, err
		}
	}
	e, err := h.jobs.CancelExecution(ctx, at.runID, id, r.by)
	if errors.Is(err, job.ErrNotFound) {
		return nil, unknown
	}
	if err != nil {
		return nil, err
	}
	return jsonAnswer(http.StatusOK, viewAt(at.hub, &e))
}
