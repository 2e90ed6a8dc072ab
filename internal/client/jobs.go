package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

func jobPath(id string, parts ...string) string {
	return "/" + strings.Join(append([]string{"api", "jobs", url.PathEscape(id)}, parts...), "/")
}

func executionsPath(id, runID string) string {
	if runID == "" {
		return jobPath(id, "executions")
	}
	return jobPath(id, "runs", url.PathEscape(runID), "executions")
}

// Create stores the job whose JSON is definition under id. Sending the same twice is harmless.
func (c *Client) Create(ctx context.Context, id string, definition []byte) (*Job, error) {
	var job Job
	r := request{method: http.MethodPut, path: jobPath(id), body: definition, repeatable: true}
	if err := c.call(ctx, r, &job); err != nil {
		return nil, err
	}
	return &job, nil
}

// CreateNew stores the job under an id that the service makes. The service takes requests with the same idempotencyKey for
// one; without a key a request is sent once only.
func (c *Client) CreateNew(ctx context.Context, idempotencyKey string, definition []byte) (*Job, error) {
	r := request{method: http.MethodPost, path: "/api/jobs", body: definition, repeatable: idempotencyKey != ""}
	if idempotencyKey != "" {
		r.header = http.Header{"Idempotency-Key": {idempotencyKey}}
	}
	var job Job
	if err := c.call(ctx, r, &job); err != nil {
		return nil, err
	}
	return &job, nil
}

// Validate checks the definition and asks which devices it would reach now; nothing is stored.
func (c *Client) Validate(ctx context.Context, definition []byte) (*Preview, error) {
	r := request{
		method: http.MethodPost, path: "/api/jobs", query: url.Values{"validateOnly": {"true"}},
		body: definition, repeatable: true,
	}
	var preview Preview
	if err := c.call(ctx, r, &preview); err != nil {
		return nil, err
	}
	return &preview, nil
}

// Job reads a job with its progress.
func (c *Client) Job(ctx context.Context, id string) (*Job, error) {
	var job Job
	if err := c.call(ctx, get(jobPath(id)), &job); err != nil {
		return nil, err
	}
	return &job, nil
}

// ListOptions filters a list of jobs or executions; zero fields do not filter.
type ListOptions struct {
	Status       string
	Type         string // of jobs only
	Run          string // of executions only: the run that they belong to, "" for the latest
	Hub          string // of executions only: where they are, "" for all
	PageSize     int    // 0 is the service's choice
	Continuation string // of the page before
}

func (o ListOptions) query() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{"status": o.Status, "type": o.Type, "hub": o.Hub, "continuationToken": o.Continuation} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if o.PageSize > 0 {
		q.Set("pageSize", strconv.Itoa(o.PageSize))
	}
	return q
}

// Jobs reads one page of the jobs.
func (c *Client) Jobs(ctx context.Context, options ListOptions) (*JobPage, error) {
	r := get("/api/jobs")
	r.query = options.query()
	var page JobPage
	if err := c.call(ctx, r, &page); err != nil {
		return nil, err
	}
	return &page, nil
}

// Executions reads one page of a job's executions.
func (c *Client) Executions(ctx context.Context, id string, options ListOptions) (*ExecutionPage, error) {
	r := get(executionsPath(id, options.Run))
	r.query = options.query()
	var page ExecutionPage
	if err := c.call(ctx, r, &page); err != nil {
		return nil, err
	}
	return &page, nil
}

// ExecutionsCSV reads one page of a job's executions as CSV (RFC 4180, with a header line on every page) into w and
// returns the continuation of the next page, "" after the last.
func (c *Client) ExecutionsCSV(ctx context.Context, id string, options ListOptions, w io.Writer) (string, error) {
	r := get(executionsPath(id, options.Run))
	r.query = options.query()
	r.header = http.Header{"Accept": {"text/csv"}}
	response, err := c.do(ctx, r)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(w, io.LimitReader(response.Body, maxBody)); err != nil {
		return "", fmt.Errorf("reading the CSV: %w", err)
	}
	return response.Header.Get("X-Continuation-Token"), nil
}

// Execution reads what became of one device, or of the module "device/module", in the run and at the hub of of. Its id travels as a parameter: ids may hold %, # and ?, which a path does
// not survive behind the Functions host.
func (c *Client) Execution(ctx context.Context, id, deviceID string, of ListOptions) (*Execution, error) {
	r := get(executionsPath(id, of.Run))
	device, module, isModule := strings.Cut(deviceID, "/")
	r.query = url.Values{"deviceId": {device}}
	if of.Hub != "" {
		r.query.Set("hub", of.Hub)
	}
	if isModule {
		r.query.Set("moduleId", module)
	}
	var execution Execution
	if err := c.call(ctx, r, &execution); err != nil {
		return nil, err
	}
	return &execution, nil
}

// Cancel stops a job, also while it runs. The answer may still say that it is stopping.
func (c *Client) Cancel(ctx context.Context, id string) (*Job, error) {
	r := request{method: http.MethodPost, path: jobPath(id, "cancel"), body: []byte{}, repeatable: true}
	var job Job
	if err := c.call(ctx, r, &job); err != nil {
		return nil, err
	}
	return &job, nil
}

// Rerun says which devices of an ended job are done again.
type Rerun struct {
	JobID    string   `json:"jobId,omitempty"`    // of the new job; the service makes one unless given
	Statuses []string `json:"statuses,omitempty"` // in which the devices ended; failed and timedOut unless given
	Run      string   `json:"-"`                  // of a recurring job; the latest unless given
	Hub      string   `json:"hub,omitempty"`      // whose devices, of a job over several hubs
	Key      string   `json:"-"`                  // the service takes requests with the same key for one
}

// Rerun creates a job that does devices of an ended job again.
func (c *Client) Rerun(ctx context.Context, id string, rerun Rerun) (*Job, error) {
	body, err := json.Marshal(rerun)
	if err != nil {
		return nil, fmt.Errorf("encoding the request for a rerun: %w", err)
	}
	r := request{method: http.MethodPost, path: jobPath(id, "rerun"), body: body, repeatable: rerun.JobID != "" || rerun.Key != ""}
	if rerun.Run != "" {
		r.path = jobPath(id, "runs", url.PathEscape(rerun.Run), "rerun")
	}
	if rerun.Key != "" {
		r.header = http.Header{"Idempotency-Key": {rerun.Key}}
	}
	var job Job
	if err := c.call(ctx, r, &job); err != nil {
		return nil, err
	}
	return &job, nil
}

// Pause keeps a job from starting calls; note says why, for people, and may be "".
func (c *Client) Pause(ctx context.Context, id, note string) (*Job, error) {
	return c.hold(ctx, request{method: http.MethodPost, path: jobPath(id, "pause"), repeatable: true}, note)
}

// Resume lets a paused job go on; note is as for Pause.
func (c *Client) Resume(ctx context.Context, id, note string) (*Job, error) {
	return c.hold(ctx, request{method: http.MethodPost, path: jobPath(id, "resume"), repeatable: true}, note)
}

func (c *Client) hold(ctx context.Context, r request, note string) (*Job, error) {
	var err error
	if r.body, err = noteBody(note); err != nil {
		return nil, err
	}
	var job Job
	if err := c.call(ctx, r, &job); err != nil {
		return nil, err
	}
	return &job, nil
}

func noteBody(note string) ([]byte, error) {
	if note == "" {
		return []byte{}, nil
	}
	body, err := json.Marshal(map[string]string{"note": note})
	if err != nil {
		return nil, fmt.Errorf("encoding a note: %w", err)
	}
	return body, nil
}

// Delete removes a job that has ended, with its results. It is sent once only: a second try would not find what the
// first one deleted.
func (c *Client) Delete(ctx context.Context, id string) error {
	response, err := c.do(ctx, request{method: http.MethodDelete, path: jobPath(id)})
	if err != nil {
		return err
	}
	return response.Body.Close()
}

func get(path string) request { return request{method: http.MethodGet, path: path, repeatable: true} }
