package api

import (
	"context"
	"errors"
	"net/http"

	"golang.org/x/sync/errgroup"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

const (
	jobsPerPage    = 20
	maxJobsPerPage = 100
	readsAtOnce    = 10
)

// current reads the job that r names.
func (h *handler) current(ctx context.Context, r *request) (state, error) {
	if len(job.CheckJobID("", r.jobID)) > 0 {
		return state{}, problemOf(unknownJob, "no job has this id")
	}
	rec, run, err := h.jobs.Get(ctx, r.jobID)
	if err != nil {
		return state{}, err
	}
	return stateOf(rec, run), nil
}

func (h *handler) get(ctx context.Context, r *request) (*answer, error) {
	s, err := h.current(ctx, r)
	if err != nil {
		return nil, err
	}
	return taggedJSON(s.view())
}

// result answers 202 until the job has ended, then 200.
func (h *handler) result(ctx context.Context, r *request) (*answer, error) {
	s, err := h.current(ctx, r)
	if err != nil {
		return nil, err
	}
	if s.status().Ended() {
		return taggedJSON(s.view())
	}
	return h.accepted(r, s)
}

// cancel answers 200 when nothing is left to wait for, else 202.
func (h *handler) cancel(ctx context.Context, r *request) (*answer, error) {
	if len(job.CheckJobID("", r.jobID)) > 0 {
		return nil, problemOf(unknownJob, "no job has this id")
	}
	rec, run, err := h.jobs.Cancel(ctx, r.jobID, r.by)
	if err != nil {
		return nil, err
	}
	s := stateOf(rec, run)
	if s.status().Ended() {
		return jsonAnswer(http.StatusOK, s.view())
	}
	return h.accepted(r, s)
}

func (h *handler) remove(ctx context.Context, r *request) (*answer, error) {
	if len(job.CheckJobID("", r.jobID)) > 0 {
		return nil, problemOf(unknownJob, "no job has this id")
	}
	if err := h.jobs.Delete(ctx, r.jobID, r.by); err != nil {
		return nil, err
	}
	return &answer{status: http.StatusNoContent}, nil
}

type jobPage struct {
	Jobs              []*jobView `json:"jobs"`
	ContinuationToken string     `json:"continuationToken,omitempty"`
}

// list gives jobs newest first. Those that run are shown with their progress of now.
func (h *handler) list(ctx context.Context, r *request) (*answer, error) {
	q := tablestore.JobQuery{
		Status: choice(r.query, "status", job.Statuses()),
		Type:   choice(r.query, "type", job.Types()),
		Max:    r.query.integer("pageSize", jobsPerPage, maxJobsPerPage),
		From:   r.query.text("continuationToken"),
	}
	if err := r.query.err(); err != nil {
		return nil, err
	}
	recs, next, err := h.store.Jobs(ctx, q)
	if err != nil {
		return nil, err
	}
	states, err := h.live(ctx, recs)
	if err != nil {
		return nil, err
	}
	page := jobPage{Jobs: []*jobView{}, ContinuationToken: next}
	for _, s := range states {
		if q.Status != "" && s.status() != q.Status {
			continue // went on since the list was written; the list of its new status has it within moments
		}
		page.Jobs = append(page.Jobs, s.view())
	}
	a, err := taggedJSON(page)
	if err != nil {
		return nil, err
	}
	h.linkNext(a, r, next)
	return a, nil
}

// live reads the runs of the jobs that are under way: their rows in a list are as of their last change of status.
func (h *handler) live(ctx context.Context, recs []*job.Record) ([]state, error) {
	states := make([]state, len(recs))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readsAtOnce)
	for i, rec := range recs {
		states[i] = stateOf(rec, nil)
		id := rec.LastRun()
		if id == "" || rec.Status.Ended() {
			continue
		}
		g.Go(func() error {
			run, err := h.store.Run(ctx, id)
			if errors.Is(err, job.ErrNotFound) {
				return nil // about to be created, or deleted meanwhile
			}
			if err == nil {
				states[i] = stateOf(rec, run)
			}
			return err
		})
	}
	return states, g.Wait()
}
