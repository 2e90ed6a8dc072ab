package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// maxBody bounds what is read of an answer: a page of executions with the longest device answers has about a tenth.
const maxBody = 64 << 20

// unreachableTries is how often a request is tried that met no server, or lost it: a local host that restarts is back
// within a second, a wrong address never is.
const unreachableTries = 4

// request is one call of the API.
type request struct {
	method string
	path   string // from the root, escaped
	query  url.Values
	header http.Header
	body   []byte
	// repeatable says that sending the request twice is the same as sending it once.
	repeatable bool
}

// do sends r and returns the answer, whose body the caller closes. Statuses from 300 on are errors of type *Error.
func (c *Client) do(ctx context.Context, r request) (*http.Response, error) {
	var waited time.Duration
	for try := 1; ; try++ {
		response, err := c.once(ctx, r)
		if err != nil {
			err = c.unreachable(err)
		} else if response.StatusCode < 300 {
			return response, nil
		} else {
			err = readProblem(response)
		}
		wait, again := retryAfter(err, try)
		if !r.repeatable || !again || ctx.Err() != nil || waited+wait > c.maxWait {
			return nil, fmt.Errorf("%s %s: %w", r.method, r.path, err)
		}
		if err := c.sleep(ctx, wait); err != nil {
			return nil, fmt.Errorf("%s %s: %w", r.method, r.path, err)
		}
		waited += wait
	}
}

func (c *Client) once(ctx context.Context, r request) (*http.Response, error) {
	target := c.base + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, r.header)
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "application/json")
	}
	if c.key != "" {
		req.Header.Set(KeyHeader, c.key)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	req.Header.Set("User-Agent", c.userAgent)
	return c.http.Do(req)
}

// UnreachableError says that no answer came: the address is wrong, nothing listens there, or the connection broke.
type UnreachableError struct {
	Base string // the address of the deployment
	Err  error
}

func (e *UnreachableError) Error() string { return fmt.Sprintf("no answer from %s: %v", e.Base, e.Err) }

// Unwrap gives the reason.
func (e *UnreachableError) Unwrap() error { return e.Err }

// unreachable takes the URL, which may be long, off the error.
func (c *Client) unreachable(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	return &UnreachableError{Base: c.base, Err: err}
}

// retryAfter says whether a failed try is worth another one, and after which wait.
func retryAfter(err error, try int) (time.Duration, bool) {
	backoff := min(250*time.Millisecond<<min(try-1, 10), 5*time.Second)
	if answer, ok := errors.AsType[*Error](err); ok {
		busy := answer.Status == http.StatusTooManyRequests || answer.Status == http.StatusServiceUnavailable
		return max(backoff, answer.RetryAfter), busy
	}
	return backoff, try < unreachableTries
}

// parseRetryAfter reads the header of that name: seconds, or a date.
func parseRetryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(value); err == nil {
		return max(0, time.Duration(seconds)*time.Second)
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// call sends r and decodes its answer into v.
func (c *Client) call(ctx context.Context, r request, v any) error {
	response, err := c.do(ctx, r)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("reading the answer: it is not the JSON of fleetjobs (is the address that of a fleetjobs app?): %w", err)
	}
	return nil
}
