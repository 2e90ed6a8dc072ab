package client

import (
	"context"
	"encoding/json"
	"time"
)

// Principal is who made a request, as far as the service can tell.
type Principal struct {
	Kind     string `json:"kind"`     // identity, key, policy, anonymous or retention
	ID       string `json:"id"`       // of the identity, or a short hash of the key
	Name     string `json:"name"`     // of the identity
	Provider string `json:"provider"` // that vouches for the identity
}

// Change is an entry of the audit trail: who did what to which job.
type Change struct {
	Time         time.Time `json:"time"`
	Action       string    `json:"action"` // created, paused, resumed, runNow, backfilled, approved, advanced, cancelled, deleted, expired
	JobID        string    `json:"jobId"`
	TemplateID   string    `json:"templateId"`   // instead of JobID
	RunID        string    `json:"runId"`        // tells jobs apart that had the same id one after the other
	StatusBefore string    `json:"statusBefore"` // "" when the job did not exist
	StatusAfter  string    `json:"statusAfter"`  // "" when it does not exist any more
	By           Principal `json:"by"`
	UserAgent    string    `json:"userAgent"`
	Note         string    `json:"note"` // that was given with the request

	// Raw is the JSON that the service sent.
	Raw json.RawMessage `json:"-"`
}

// UnmarshalJSON implements [json.Unmarshaler]; it keeps the text as Raw.
func (c *Change) UnmarshalJSON(text []byte) error {
	type plain Change
	if err := json.Unmarshal(text, (*plain)(c)); err != nil {
		return err
	}
	c.Raw = append(json.RawMessage(nil), text...)
	return nil
}

// ChangePage is one page of the audit trail, newest first. Continuation asks for the next page, "" on the last.
type ChangePage struct {
	Changes      []Change `json:"changes"`
	Continuation string   `json:"continuationToken"`
}

// Audit reads one page of the audit trail of a job, also of one that was deleted; id "" reads that of all jobs. Of options
// only PageSize and Continuation count.
func (c *Client) Audit(ctx context.Context, id string, options ListOptions) (*ChangePage, error) {
	r := get("/api/audit")
	if id != "" {
		r = get(jobPath(id, "audit"))
	}
	r.query = ListOptions{PageSize: options.PageSize, Continuation: options.Continuation}.query()
	var page ChangePage
	if err := c.call(ctx, r, &page); err != nil {
		return nil, err
	}
	return &page, nil
}
