package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/schedule"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

const (
	runsPerPage    = 20
	maxRunsPerPage = 100
)

// runView is a run in JSON. openapi.yaml describes each member.
type runView struct {
	RunID         string         `json:"runId"`
	JobID         string         `json:"jobId"`
	RunNumber     int            `json:"runNumber"`
	Version       int            `json:"version"`
	Kind          schedule.Kind  `json:"kind"`
	ScheduledTime instant        `json:"scheduledTime"`
	LocalTime     *localTimeView `json:"localTime,omitempty"`
	Status        job.Status     `json:"status"`
	StatusMessage string         `json:"statusMessage"`
	StartTime     instant        `json:"startTime"`
	StartedTime   instant        `json:"startedTime,omitzero"`
	EndTime       instant        `json:"endTime,omitzero"`
	EndReason     job.EndReason  `json:"endReason,omitempty"`
	FailureReason string         `json:"failureReason,omitempty"`
	Statistics    job.Statistics `json:"deviceJobStatistics"`

	ExecutionStatistics map[string]int `json:"executionStatistics"`
	FailureReasons      map[string]int `json:"failureReasons,omitempty"`
	Awaiting            map[string]int `json:"awaiting,omitempty"`
	Selection           selection      `json:"selection"`
	Blocked             *blockView     `json:"blocked,omitempty"`
	Paused              *pauseView     `json:"paused,omitempty"`
	RolloutStatus       *rolloutView   `json:"rolloutStatus,omitempty"`
	Deliveries          []deliveryView `json:"deliveries,omitempty"`
	Hub                 string         `json:"hub,omitempty"`
	HubRuns             []hubRunView   `json:"hubRuns,omitempty"`
}

// runView shows a run without what it has in common with others of its job.
func (s state) runView() *runView {
	j := s.view()
	v := &runView{
		RunID: s.run.ID, JobID: j.JobID, RunNumber: 1, Version: j.Version, Kind: schedule.Scheduled, ScheduledTime: j.StartTime,
		Status: j.Status, StatusMessage: j.StatusMessage, StartTime: j.StartTime, StartedTime: j.StartedTime, EndTime: j.EndTime,
		EndReason: j.EndReason, FailureReason: j.FailureReason, Statistics: j.Statistics,
		ExecutionStatistics: j.ExecutionStatistics, FailureReasons: j.FailureReasons, Awaiting: j.Awaiting, Selection: j.Selection, RolloutStatus: j.RolloutStatus,
		Blocked: j.Blocked, Paused: j.Paused, Deliveries: j.Deliveries, Hub: s.run.Hub, HubRuns: j.HubRuns,
	}
	if o := s.rec.Occurrence; o != nil {
		v.RunNumber, v.Kind, v.ScheduledTime = o.Number, o.Start.Kind, instant(o.Start.At)
		if l := o.Local; l != nil {
			v.LocalTime = &localTimeView{l.Time, instant(o.Start.At), instant(l.Latest)}
		}
	}
	return v
}

// unknownRunOf is the problem of a run that the job does not have.
func unknownRunOf() error { return problemOf(unknownRun, "the job has no run with this id") }

// currentRun reads the run that r names.
func (h *handler) currentRun(ctx context.Context, r *request) (state, error) {
	if len(job.CheckJobID("", r.jobID)) > 0 {
		return state{}, problemOf(unknownJob, "no job has this id")
	}
	if job.OwnerOf(r.runID) != r.jobID {
		return state{}, unknownRunOf()
	}
	rec, run, err := h.jobs.GetRun(ctx, r.runID)
	if errors.Is(err, job.ErrNotFound) {
		return state{}, unknownRunOf()
	}
	if err != nil {
		return state{}, err
	}
	return stateOf(rec, run), nil
}

type runPage struct {
	Runs              []*runView `json:"runs"`
	ContinuationToken string     `json:"continuationToken,omitempty"`
}

// runs lists the runs of a job, the latest first. A job without a schedule has one.
func (h *handler) runs(ctx context.Context, r *request) (*answer, error) {
	q := tablestore.RunQuery{Max: r.query.integer("pageSize", runsPerPage, maxRunsPerPage), From: r.query.text("continuationToken")}
	if err := r.query.err(); err != nil {
		return nil, err
	}
	s, err := h.current(ctx, r)
	if err != nil {
		return nil, err
	}
	states, next := []state{s}, ""
	if s.rec.Series != nil {
		var recs []*job.Record
		q.Job = s.rec
		if recs, next, err = h.store.Runs(ctx, q); err != nil {
			return nil, err
		}
		if states, err = h.live(ctx, recs); err != nil {
			return nil, err
		}
	}
	page := runPage{Runs: make([]*runView, len(states)), ContinuationToken: next}
	for i, s := range states {
		page.Runs[i] = s.runView()
	}
	a, err := taggedJSON(page)
	if err != nil {
		return nil, err
	}
	h.linkNext(a, r, next)
	return a, nil
}

func (h *handler) run(ctx context.Context, r *request) (*answer, error) {
	s, err := h.currentRun(ctx, r)
	if err != nil {
		return nil, err
	}
	return taggedJSON(s.runView())
}

// cancelRun cancels one run; its job goes on. It answers 200 when nothing is left to wait for, else 202.
func (h *handler) cancelRun(ctx context.Context, r *request) (*answer, error) {
	if _, err := h.currentRun(ctx, r); err != nil {
		return nil, err
	}
	rec, run, err := h.jobs.CancelRun(ctx, r.runID, r.by)
	if err != nil {
		return nil, err
	}
	s := stateOf(rec, run)
	status := http.StatusAccepted
	if s.run.Status.Ended() {
		status = http.StatusOK
	}
	return jsonAnswer(status, s.runView())
}
