package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// Rollout is how carefully a job begins devices. A job's JSON may have more members, such as gates between batches.
type Rollout struct {
	MaximumPerMinute int     `json:"maximumPerMinute,omitempty"`
	MaxConcurrency   int     `json:"maxConcurrency,omitempty"`
	Batches          []Batch `json:"batches,omitempty"`
	Order            string  `json:"order,omitempty"`
	OrderBy          string  `json:"orderBy,omitempty"`
	SpreadBy         string  `json:"spreadBy,omitempty"`
}

// Batch is the devices that match a condition too, a number of devices, a percentage of them, or, without any of these, the rest.
type Batch struct {
	QueryCondition string  `json:"queryCondition,omitempty"`
	Number         int     `json:"number,omitempty"`
	Percentage     float64 `json:"percentage,omitempty"`
}

// RolloutStatus is how far a job's rollout has come.
type RolloutStatus struct {
	BegunCount int           `json:"begunCount"`
	Batches    []BatchStatus `json:"batches"`
}

// BatchStatus is how far one batch has come.
type BatchStatus struct {
	Batch          int      `json:"batch"` // from 1 on
	State          string   `json:"state"` // pending, waiting, running, completed
	WaitsFor       []string `json:"waitsFor"`
	BegunCount     int      `json:"begunCount"`
	EndedCount     int      `json:"endedCount"`
	SucceededCount int      `json:"succeededCount"`
	// Approval is nil unless somebody has approved the batch.
	Approval *Approval `json:"approval"`
}

// Approval is who approved a batch.
type Approval struct {
	By     Principal `json:"by"`
	Time   time.Time `json:"time"`
	Remark string    `json:"remark"`
}

// Approve lets a batch, from 1 on, begin as far as its approval goes.
func (c *Client) Approve(ctx context.Context, id string, batch int, remark string) (*Job, error) {
	body, err := json.Marshal(struct {
		Batch  int    `json:"batch"`
		Remark string `json:"remark,omitempty"`
	}{batch, remark})
	if err != nil {
		return nil, fmt.Errorf("encoding an approval: %w", err)
	}
	var job Job
	r := request{method: http.MethodPost, path: jobPath(id, "approve"), body: body, repeatable: true}
	if err := c.call(ctx, r, &job); err != nil {
		return nil, err
	}
	return &job, nil
}

// NextBatch has the next batch begin now; note says why, for people, and may be "". It is sent once only: a second try might
// begin one more.
func (c *Client) NextBatch(ctx context.Context, id, note string) (*Job, error) {
	return c.hold(ctx, request{method: http.MethodPost, path: jobPath(id, "next-batch")}, note)
}

// Edit changes what a merge patch (RFC 7396) of maxExecutionTimeInSeconds, rollout, abort, maintenanceWindow and
// priority says, if the job's version is still the given one.
func (c *Client) Edit(ctx context.Context, id string, version int, patch []byte) (*Job, error) {
	r := request{method: http.MethodPatch, path: jobPath(id), body: patch, header: http.Header{"If-Match": {fmt.Sprintf("%q", fmt.Sprint(version))}}}
	var job Job
	if err := c.call(ctx, r, &job); err != nil {
		return nil, err
	}
	return &job, nil
}
