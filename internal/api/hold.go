package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// holder is Pause or Resume of the Commands.
type holder func(ctx context.Context, jobID, note string, by job.Caller) (*job.Record, *job.Run, error)

func (h *handler) pause(ctx context.Context, r *request) (*answer, error) {
	return h.hold(ctx, r, h.jobs.Pause)
}

func (h *handler) resume(ctx context.Context, r *request) (*answer, error) {
	return h.hold(ctx, r, h.jobs.Resume)
}

func (h *handler) hold(ctx context.Context, r *request, do holder) (*answer, error) {
	id, err := h.subject(ctx, r)
	if err != nil {
		return nil, err
	}
	body, err := readOptional(r)
	if err != nil {
		return nil, err
	}
	note, err := job.DecodeNote(body)
	if err != nil {
		return nil, err
	}
	rec, run, err := do(ctx, id, note, r.by)
	if err != nil {
		return nil, err
	}
	return held(r, stateOf(rec, run))
}

// subject gives the id of the job or, where the path names one, of the run.
func (h *handler) subject(ctx context.Context, r *request) (string, error) {
	if r.runID != "" {
		s, err := h.currentRun(ctx, r)
		if err != nil || s.rec.Occurrence != nil || r.runID != s.rec.RunID {
			return r.runID, err
		}
		return r.jobID, nil // the one run of a job is the job
	}
	if len(job.CheckJobID("", r.jobID)) > 0 {
		return "", problemOf(unknownJob, "no job has this id")
	}
	return r.jobID, nil
}

func held(r *request, s state) (*answer, error) {
	if r.runID != "" {
		return jsonAnswer(http.StatusOK, s.runView())
	}
	return jsonAnswer(http.StatusOK, s.view())
}

// pauseView is why a paused job rests, in JSON.
type pauseView struct {
	Since instant       `json:"since"`
	Note  string        `json:"note,omitempty"`
	By    job.Principal `json:"by,omitzero"`
	Until instant       `json:"until,omitzero"`
}

func pauseOf(p *job.Pause) *pauseView {
	if p == nil {
		return nil
	}
	return &pauseView{Since: instant(p.Since), Note: p.Note, By: p.By, Until: instant(p.Until)}
}

func (s state) pausedMessage() string {
	why := ""
	if p := s.run.Pause; p != nil && p.Note != "" {
		why = ": " + p.Note
	}
	if s.run.StartedAt.IsZero() {
		return "Paused before its start" + why + "."
	}
	st := s.counts.Statistics()
	return fmt.Sprintf("Paused; %d of %d have ended%s.", st.SucceededCount+st.FailedCount, st.DeviceCount, why)
}
