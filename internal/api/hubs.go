package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// hubParam asks for the executions at one hub.
const hubParam = "hub"

// hubRunView is what a job with hubs does at one of them. openapi.yaml describes each member.
type hubRunView struct {
	Hub                 string         `json:"hub"`
	RunID               string         `json:"runId"`
	Status              job.Status     `json:"status"`
	StartedTime         instant        `json:"startedTime,omitzero"`
	EndTime             instant        `json:"endTime,omitzero"`
	EndReason           job.EndReason  `json:"endReason,omitempty"`
	FailureReason       string         `json:"failureReason,omitempty"`
	Statistics          job.Statistics `json:"deviceJobStatistics"`
	ExecutionStatistics map[string]int `json:"executionStatistics"`
	FailureReasons      map[string]int `json:"failureReasons,omitempty"`
	Awaiting            map[string]int `json:"awaiting,omitempty"`
	Blocked             *blockView     `json:"blocked,omitempty"`
	Paused              *pauseView     `json:"paused,omitempty"`

	WaitingBatch *job.WaitingBatch `json:"waitingBatch,omitempty"`
}

// hubRuns gives the state of a job with hubs at each of them, nil before it begins.
func (s state) hubRuns() []hubRunView {
	hubs := s.run.Hubs
	if hubs == nil {
		hubs = s.rec.AtHubs // where the run has no row
	}
	if hub := s.run.Hub; hub != "" && !s.run.StartedAt.IsZero() {
		one := job.HubRun{Hub: hub}
		one.Saw(s.run)
		one.Counts = s.counts
		hubs = []job.HubRun{one}
	}
	var views []hubRunView
	for _, h := range hubs {
		v := hubRunView{
			Hub: h.Hub, RunID: job.HubRunID(s.run.ID, h.Hub), Status: h.Status, StartedTime: instant(h.StartedAt), EndTime: instant(h.EndedAt),
			EndReason: h.EndReason, FailureReason: h.FailureReason, Statistics: h.Counts.Statistics(),
			ExecutionStatistics: h.Counts.StateMap(), FailureReasons: h.Counts.ReasonMap(), Awaiting: h.Counts.AwaitingMap(), Paused: pauseOf(h.Pause),
			WaitingBatch: h.Waiting,
		}
		if s.run.Hub != "" {
			v.RunID = s.run.ID
		}
		if b := h.Block; b != nil {
			v.Blocked = &blockView{Reason: b.Reason, Code: b.Code, Since: instant(b.Since), ProbeAt: instant(b.ProbeAt)}
		}
		views = append(views, v)
	}
	return views
}

// place is a run that has executions of its own: that of a job, or that of a job with several hubs at one of them.
type place struct{ hub, runID string }

// places gives where the executions are that r asks for.
func (s state) places(r *request) ([]place, error) {
	all := []place{{s.run.Hub, s.run.ID}}
	if s.rec.Hubs.Several() && s.run.Hub == "" {
		all = nil
		for _, h := range s.run.Hubs {
			all = append(all, place{h.Hub, job.HubRunID(s.run.ID, h.Hub)})
		}
	}
	if !r.query.has(hubParam) {
		return all, nil
	}
	want := r.query.text(hubParam)
	i := slices.IndexFunc(all, func(p place) bool { return p.hub == want })
	if i >= 0 && want != "" {
		return all[i : i+1], nil
	}
	rule := "must be one of the hubs where the job has begun"
	if s.rec.Hubs == nil {
		rule = "is for jobs with hubs"
	}
	r.query.fault(hubParam, want, rule)
	return nil, r.query.err()
}

// runAt reads the run of a place, nil when it has no row.
func (h *handler) runAt(ctx context.Context, s state, p place) (*job.Run, error) {
	if p.runID == s.run.ID {
		return s.run, nil
	}
	run, err := h.store.Run(ctx, p.runID)
	if errors.Is(err, job.ErrNotFound) {
		return nil, nil
	}
	return run, err
}

// pages reads a page that may go over several hubs, in their order, and gives the token of the next one, "" after the last.
func (h *handler) pages(ctx context.Context, r *request, s state, want wanted) ([]executionView, string, error) {
	places, err := s.places(r)
	if err != nil {
		return nil, "", err
	}
	first, token := 0, r.query.text("continuationToken")
	if number, rest, ok := strings.Cut(token, "."); ok && len(places) > 1 {
		if first, err = strconv.Atoi(number); err != nil || first < 0 || first >= len(places) {
			return nil, "", job.Faults{{Field: "continuationToken", Value: shown(token), Rule: "must be a token that this service gave"}}
		}
		token = rest
	}
	if len(places) == 0 && token != "" {
		return nil, "", job.Faults{{Field: "continuationToken", Value: shown(token), Rule: "must be a token that this service gave"}}
	}
	views := []executionView{}
	for i := first; i < len(places); i++ {
		p := places[i]
		if i > first {
			token = ""
		}
		if want.from, err = parseToken(token, p.runID, want.filter()); err != nil {
			return nil, "", err
		}
		next := &want.from
		if want.size > 0 {
			run, err := h.runAt(ctx, s, p)
			if err != nil {
				return nil, "", err
			}
			if run == nil {
				continue
			}
			var found []job.Execution
			if found, next, err = h.page(ctx, run, want); err != nil {
				return nil, "", err
			}
			for j := range found {
				views = append(views, viewAt(p.hub, &found[j]))
			}
			want.size -= len(found)
		}
		if next != nil {
			token = next.token(p.runID, want.filter())
			if len(places) > 1 {
				token = fmt.Sprintf("%d.%s", i, token)
			}
			return views, token, nil
		}
	}
	return views, "", nil
}

func viewAt(hub string, e *job.Execution) executionView {
	v := viewOf(e)
	v.Hub = hub
	return v
}

// locate finds a device or module among the executions that r asks for. A device that several hubs have needs the parameter hub.
func (h *handler) locate(ctx context.Context, r *request, s state, id string) (place, job.Execution, error) {
	places, err := s.places(r)
	if err != nil {
		return place{}, job.Execution{}, err
	}
	var at place
	var found job.Execution
	var hubs []string
	for _, p := range places {
		run, err := h.runAt(ctx, s, p)
		if err != nil {
			return place{}, job.Execution{}, err
		}
		if run == nil {
			continue
		}
		e, shard, err := h.store.Find(ctx, p.runID, id)
		if errors.Is(err, job.ErrNotFound) {
			continue
		}
		if err != nil {
			return place{}, job.Execution{}, err
		}
		at, found = p, asEnded(run, shard, e)
		hubs = append(hubs, p.hub)
	}
	switch {
	case len(hubs) == 0:
		return at, found, problemOf(unknownExecution, "the device is not among those that the job has selected")
	case len(hubs) > 1:
		return at, found, job.Faults{{Field: hubParam, Rule: "is required: several hubs have this device: " + strings.Join(hubs, ", ")}}
	}
	return at, found, nil
}
