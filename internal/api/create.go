package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

const (
	maxKeyLen = 255
	keyHeader = "Idempotency-Key"
)

// create makes a job under an id of ours, or, with validateOnly, says what it would target.
func (h *handler) create(ctx context.Context, r *request) (*answer, error) {
	validateOnly := choice(r.query, "validateOnly", []string{"true", "false"}) == "true"
	key := r.idempotencyKey()
	if err := r.query.err(); err != nil {
		return nil, err
	}
	rule := "must be absent: the service makes the id; PUT /api/jobs/{jobId} takes one of yours"
	if validateOnly {
		rule = ""
	}
	def, err := h.definition(ctx, r, func(id string) string {
		if id == "" {
			return ""
		}
		return rule
	})
	if err != nil {
		return nil, err
	}
	if validateOnly {
		return h.preview(ctx, def)
	}
	return h.store202(ctx, r, def, key)
}

// put makes a job under the caller's id.
func (h *handler) put(ctx context.Context, r *request) (*answer, error) {
	def, err := h.definition(ctx, r, func(id string) string {
		if id == "" || id == r.jobID {
			return ""
		}
		return fmt.Sprintf("must be %q, as in the path, or absent", shown(r.jobID))
	})
	faults := job.CheckJobID("jobId", r.jobID)
	if err != nil {
		bodyFaults := job.FaultsOf(err)
		if bodyFaults == nil {
			return nil, err
		}
		faults = append(faults, bodyFaults...)
	}
	if len(faults) > 0 {
		return nil, faults
	}
	def.JobID = r.jobID
	return h.store202(ctx, r, def, "")
}

// idempotencyKey reads the header; a malformed one is a fault of the query's list.
func (r *request) idempotencyKey() string {
	values := r.Header.Values(keyHeader)
	if len(values) == 0 {
		return ""
	}
	key := values[0]
	invisible := strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c > '~' })
	if len(values) > 1 || key == "" || len(key) > maxKeyLen || invisible {
		r.query.fault(keyHeader, strings.Join(values, ", "),
			fmt.Sprintf("must be one header of 1 to %d visible ASCII characters without space", maxKeyLen))
	}
	return key
}

// definition reads the body. idRule gives the rule that the body's jobId breaks, "" when it breaks none.
func (h *handler) definition(ctx context.Context, r *request, idRule func(id string) string) (job.Definition, error) {
	body, err := readBody(r)
	if err != nil {
		return job.Definition{}, err
	}
	def, err := h.decode(ctx, body)
	if err == nil {
		if rule := idRule(def.JobID); rule != "" {
			return def, job.Faults{{Field: "jobId", Value: def.JobID, Rule: rule}}
		}
		return def, nil
	}
	faults := job.FaultsOf(err)
	if faults == nil {
		return def, err
	}
	// Decode gave nothing but faults: look for the id by itself, so that the caller learns of everything at once.
	var members map[string]json.RawMessage
	var id string
	if json.Unmarshal(body, &members) == nil && json.Unmarshal(members["jobId"], &id) == nil && !hasField(faults, "jobId") {
		if rule := idRule(id); rule != "" {
			faults = append(faults, job.Fault{Field: "jobId", Value: shown(id), Rule: rule})
		}
	}
	return def, faults
}

func hasField(faults job.Faults, field string) bool {
	for _, f := range faults {
		if f.Field == field {
			return true
		}
	}
	return false
}

func readBody(r *request) ([]byte, error) {
	body, err := readOptional(r)
	if err == nil && len(body) == 0 {
		err = job.Faults{{Field: "body", Rule: "must be a JSON object; it is empty"}}
	}
	return body, err
}

// readOptional reads a body that may be absent.
func readOptional(r *request) ([]byte, error) {
	if kind := r.Header.Get("Content-Type"); kind != "" {
		media, _, err := mime.ParseMediaType(kind)
		if err != nil || media != jsonType {
			return nil, problemOf(unsupportedMedia, "the Content-Type must be "+jsonType+", not "+shown(kind))
		}
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, problemOf(unsupportedMedia, "the body must not be encoded; it has Content-Encoding "+shown(coding))
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, job.MaxBodyBytes))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, err
	case err != nil:
		return nil, problemOf(invalidRequest, "the body ended early")
	}
	return body, nil
}

// store202 stores the job and says where its end can be waited for. A repeated request gets the same answer, with the job
// as it is by then.
func (h *handler) store202(ctx context.Context, r *request, def job.Definition, key string) (*answer, error) {
	rec, err := h.jobs.Create(ctx, def, key, r.by)
	return h.stored(ctx, r, rec, err)
}

// stored answers with a job that was created, or with what the creation met.
func (h *handler) stored(ctx context.Context, r *request, rec *job.Record, err error) (*answer, error) {
	switch {
	case errors.Is(err, job.ErrNotFound):
		return nil, fmt.Errorf("creating a job: %v", err) //nolint:errorlint // a missing table must not read as a missing job
	case err != nil:
		return nil, err
	case rec == nil: // the one with the same id or key was deleted while we looked at it
		return nil, job.ErrConflict
	}
	s := stateOf(rec, nil)
	if rec.LastRun() != "" {
		rec, run, err := h.jobs.Get(ctx, rec.JobID)
		if err != nil {
			return nil, err
		}
		s = stateOf(rec, run)
	}
	return h.accepted(r, s)
}

// accepted is the 202 of the asynchronous pattern: the Location answers 202 until the job has ended, then 200.
func (h *handler) accepted(r *request, s state) (*answer, error) {
	a, err := jsonAnswer(http.StatusAccepted, s.view())
	if err != nil {
		return nil, err
	}
	a.header.Set("Location", h.link(r, prefix+"jobs/"+url.PathEscape(s.rec.JobID)+"/result", nil))
	retryAfter(a.header, s.wait(h.now()))
	return a, nil
}

const (
	shortestWait = 2 * time.Second
	longestWait  = time.Minute
)

// wait is when it is worth asking again: at the start, at the probe of a blocked run, else after a tenth of the time that
// the run has taken so far.
func (s state) wait(now time.Time) time.Duration {
	var d time.Duration
	switch {
	case s.status() == job.StatusScheduled:
		d = s.rec.StartTime.Sub(now)
	case s.run.Status == job.StatusPaused:
		d = longestWait
	case s.run.Block != nil:
		d = s.run.Block.ProbeAt.Sub(now)
	case s.run.Status != job.StatusStopping && !s.run.StartedAt.IsZero():
		d = now.Sub(s.run.StartedAt) / 10
	}
	return min(max(d, shortestWait), longestWait)
}

type previewView struct {
	DeviceCount    int          `json:"deviceCount"`
	FirstDeviceIDs []string     `json:"firstDeviceIds"`
	Warnings       []string     `json:"warnings"`
	Hubs           []hubPreview `json:"hubs,omitempty"`
	// NextRunTimes are those of a schedule.
	NextRunTimes  []instant       `json:"nextRunTimes,omitempty"`
	LocalRunTimes []localTimeView `json:"localRunTimes,omitempty"`
}

type hubPreview struct {
	Hub         string `json:"hub"`
	DeviceCount int    `json:"deviceCount"`
}

func (h *handler) preview(ctx context.Context, def job.Definition) (*answer, error) {
	p, err := h.jobs.Preview(ctx, def)
	if err != nil {
		return nil, err
	}
	times, err := unsavedTimes(def, h.now())
	if err != nil {
		return nil, err
	}
	var hubs []hubPreview
	for _, at := range p.Hubs {
		hubs = append(hubs, hubPreview(at))
	}
	return jsonAnswer(http.StatusOK, previewView{
		Hubs: hubs, NextRunTimes: times.NextRunTimes, LocalRunTimes: times.LocalRunTimes,
		DeviceCount: p.DeviceCount, FirstDeviceIDs: append([]string{}, p.FirstIDs...), Warnings: append([]string{}, p.Warnings...),
	})
}
