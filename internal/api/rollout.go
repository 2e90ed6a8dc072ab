package api

import (
	"context"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

func (h *handler) nextBatch(ctx context.Context, r *request) (*answer, error) {
	return h.hold(ctx, r, h.jobs.NextBatch)
}

func (h *handler) approve(ctx context.Context, r *request) (*answer, error) {
	id, err := h.subject(ctx, r)
	if err != nil {
		return nil, err
	}
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	batch, remark, err := job.DecodeApproval(body)
	if err != nil {
		return nil, err
	}
	rec, run, err := h.jobs.Approve(ctx, id, batch, remark, r.by)
	if err != nil {
		return nil, err
	}
	return held(r, stateOf(rec, run))
}

// rolloutView is how far a rollout has come, in JSON.
type rolloutView struct {
	BegunCount int         `json:"begunCount"`
	Batches    []batchView `json:"batches,omitempty"`
}

type batchView struct {
	Batch          int            `json:"batch"`
	State          job.BatchState `json:"state"`
	WaitsFor       []job.Wait     `json:"waitsFor,omitempty"`
	BegunCount     int            `json:"begunCount"`
	EndedCount     int            `json:"endedCount"`
	SucceededCount int            `json:"succeededCount"`
	StartedTime    instant        `json:"startedTime,omitzero"`
	EndTime        instant        `json:"endTime,omitzero"`
	Approval       *approvalView  `json:"approval,omitempty"`
}

type approvalView struct {
	By     job.Principal `json:"by"`
	Time   instant       `json:"time"`
	Remark string        `json:"remark,omitempty"`
}

// rollout gives the policy as it is now and how far it has come.
func (s state) rollout() (*job.Rollout, *rolloutView) {
	r := s.run.Rollout
	if r == nil || s.run.Rev == "" {
		return s.rec.Rollout, nil
	}
	v := &rolloutView{BegunCount: r.Begun}
	for i, b := range r.Batches {
		bv := batchView{
			Batch: i + 1, State: b.State, BegunCount: b.Begun,
			EndedCount: b.Ended + b.LiveEnded, SucceededCount: b.Succeeded + b.LiveSucceeded,
			StartedTime: instant(b.BeganAt), EndTime: instant(b.EndedAt),
		}
		if b.State == job.BatchWaiting {
			bv.WaitsFor = b.WaitsFor
		}
		if a := b.Approval; a != nil {
			bv.Approval = &approvalView{By: a.By, Time: instant(a.At), Remark: a.Remark}
		}
		v.Batches = append(v.Batches, bv)
	}
	return &r.Policy, v
}
