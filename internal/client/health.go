package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Health is how a deployment is.
type Health struct {
	Status string `json:"status"` // ok or unhealthy
	// Problems are words for what keeps jobs from going on, such as hubUnavailable; docs/health.md explains them.
	Problems      []string         `json:"problems"`
	Version       string           `json:"version"`
	UptimeSeconds int64            `json:"uptimeSeconds"` // of the instance that answered
	Tables        PartHealth       `json:"tables"`
	Queue         QueueHealth      `json:"queue"`
	Hub           HubHealth        `json:"hub"`
	Hubs          []NamedHubHealth `json:"hubs"`  // every hub, where there are several
	Timer         TimerHealth      `json:"timer"` // zero when the tables cannot be read

	// Raw is the JSON that the service sent.
	Raw json.RawMessage `json:"-"`
}

// PartHealth says whether something that the deployment needs answers: ok, refused, unreachable, throttled, quotaSpent, failed.
type PartHealth struct {
	State string `json:"state"`
}

// QueueHealth is the state of the queue of work.
type QueueHealth struct {
	PartHealth
	Messages int `json:"approximateMessages"`
	// Oldest is when the message was sent that is to be taken next, zero when none waits.
	Oldest        time.Time `json:"oldestMessageTime"`
	OldestSeconds int64     `json:"oldestMessageAgeSeconds"`
}

// HubHealth is the state of the hub when it was last asked.
type HubHealth struct {
	PartHealth
	Checked time.Time `json:"checkedTime"`
}

// TimerHealth says when TimerDispatch last came to its end, zero when it never did.
type TimerHealth struct {
	LastTick   time.Time `json:"lastTickTime"`
	AgeSeconds int64     `json:"lastTickAgeSeconds"`
	Overdue    bool      `json:"overdue"`
}

// OK reports whether there is no problem.
func (h *Health) OK() bool { return h.Status == "ok" }

// Health asks how the deployment is. It asks once: that there is no answer is an answer too. A deployment that is not well is
// no error.
func (c *Client) Health(ctx context.Context) (*Health, error) {
	r := get("/api/health/details")
	response, err := c.once(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.method, r.path, c.unreachable(err))
	}
	// The Functions host answers 503, too, while it starts: as text.
	unwell := response.StatusCode == http.StatusServiceUnavailable && strings.HasPrefix(response.Header.Get("Content-Type"), "application/json")
	if response.StatusCode >= 300 && !unwell {
		return nil, fmt.Errorf("%s %s: %w", r.method, r.path, readProblem(response))
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	h := &Health{Raw: text}
	if err := json.Unmarshal(text, h); err != nil || h.Status == "" {
		return nil, fmt.Errorf("reading the answer: it is not the health of a fleetjobs app (is the address that of one?)")
	}
	return h, nil
}
