package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Schedule makes a job recur. Zero fields are left out; docs/schedules.md describes each.
type Schedule struct {
	Cron          string `json:"cron,omitempty"`
	Interval      string `json:"interval,omitempty"` // ISO 8601
	TimeZone      string `json:"timeZone,omitempty"`
	OverlapPolicy string `json:"overlapPolicy,omitempty"`
	RemainingRuns int    `json:"remainingRuns,omitempty"`
	Jitter        string `json:"jitter,omitempty"` // ISO 8601
}

// Window is when runs may work.
type Window struct {
	Cron        string `json:"cron,omitempty"`
	TimeZone    string `json:"timeZone,omitempty"`
	Duration    string `json:"duration"` // ISO 8601
	EndBehavior string `json:"endBehavior,omitempty"`
}

// Recurrence is where a recurring job stands.
type Recurrence struct {
	RunCount      int            `json:"runCount"`
	RunningCount  int            `json:"runningCount"`
	WaitingCount  int            `json:"waitingCount"`
	RemainingRuns *int           `json:"remainingRuns"` // nil without a limit
	Counters      map[string]int `json:"counters"`      // what became of each occurrence
	NextRuns
}

// NextRuns are the next times of a schedule, ten at most.
type NextRuns struct {
	NextRunTimes []time.Time `json:"nextRunTimes"`
	// LocalRunTimes are the same at the devices' own local time, where that counts.
	LocalRunTimes []LocalTime `json:"localRunTimes"`
}

// LocalTime is a wall time, and when the first and the last zone on Earth have it.
type LocalTime struct {
	LocalTime string    `json:"localTime"` // 2026-11-25T02:00:00
	Earliest  time.Time `json:"earliest"`
	Latest    time.Time `json:"latest"`
}

// Run is one run of a job.
type Run struct {
	ID            string     `json:"runId"`
	Number        int        `json:"runNumber"`
	Kind          string     `json:"kind"` // scheduled, manual, backfill
	ScheduledTime time.Time  `json:"scheduledTime"`
	Status        string     `json:"status"` // as of a job
	StatusMessage string     `json:"statusMessage"`
	EndReason     string     `json:"endReason"`     // as of a job
	FailureReason string     `json:"failureReason"` // as of a job
	EndTime       time.Time  `json:"endTime"`
	Statistics    Statistics `json:"deviceJobStatistics"`

	// Raw is the JSON that the service sent.
	Raw json.RawMessage `json:"-"`
}

// UnmarshalJSON implements [json.Unmarshaler]; it keeps the text as Raw.
func (r *Run) UnmarshalJSON(text []byte) error {
	type plain Run
	if err := json.Unmarshal(text, (*plain)(r)); err != nil {
		return err
	}
	r.Raw = append(json.RawMessage(nil), text...)
	return nil
}

// RunPage is one page of runs, the latest first. Continuation asks for the next page, "" on the last.
type RunPage struct {
	Runs         []Run  `json:"runs"`
	Continuation string `json:"continuationToken"`
}

// Runs reads one page of a job's runs. Of options only PageSize and Continuation count.
func (c *Client) Runs(ctx context.Context, id string, options ListOptions) (*RunPage, error) {
	r := get(jobPath(id, "runs"))
	r.query = ListOptions{PageSize: options.PageSize, Continuation: options.Continuation}.query()
	var page RunPage
	if err := c.call(ctx, r, &page); err != nil {
		return nil, err
	}
	return &page, nil
}

// RunNow has a recurring job run once more. The service takes requests with the same key for one; without a key a request is sent
// once only.
func (c *Client) RunNow(ctx context.Context, id, key string) (*Job, error) {
	r := request{method: http.MethodPost, path: jobPath(id, "run"), body: []byte{}, repeatable: key != ""}
	if key != "" {
		r.header = http.Header{"Idempotency-Key": {key}}
	}
	var job Job
	if err := c.call(ctx, r, &job); err != nil {
		return nil, err
	}
	return &job, nil
}

// Backfill has a recurring job run for each of its occurrences from one time to before another. It is sent once only.
func (c *Client) Backfill(ctx context.Context, id string, from, to time.Time) (*Job, error) {
	body, err := json.Marshal(struct {
		From time.Time `json:"from"`
		To   time.Time `json:"to"`
	}{from, to})
	if err != nil {
		return nil, fmt.Errorf("encoding a range: %w", err)
	}
	var job Job
	if err := c.call(ctx, request{method: http.MethodPost, path: jobPath(id, "backfill"), body: body}, &job); err != nil {
		return nil, err
	}
	return &job, nil
}

// PauseRun keeps one run of a recurring job from starting calls; note is as for Pause.
func (c *Client) PauseRun(ctx context.Context, id, runID, note string) (*Run, error) {
	return c.holdRun(ctx, jobPath(id, "runs", url.PathEscape(runID), "pause"), note)
}

// ResumeRun lets a paused run go on.
func (c *Client) ResumeRun(ctx context.Context, id, runID, note string) (*Run, error) {
	return c.holdRun(ctx, jobPath(id, "runs", url.PathEscape(runID), "resume"), note)
}

func (c *Client) holdRun(ctx context.Context, path, note string) (*Run, error) {
	body, err := noteBody(note)
	if err != nil {
		return nil, err
	}
	var run Run
	if err := c.call(ctx, request{method: http.MethodPost, path: path, body: body, repeatable: true}, &run); err != nil {
		return nil, err
	}
	return &run, nil
}
