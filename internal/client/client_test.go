package client_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a service that answers as it is told, and a client of it whose waits are recorded instead of waited.
type bench struct {
	*client.Client
	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
	waits    []time.Duration
}

const key = "the-secret-key"

func setup(t *testing.T, answers ...http.HandlerFunc) *bench {
	t.Helper()
	b := &bench{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		b.mu.Lock()
		n := len(b.requests)
		b.requests, b.bodies = append(b.requests, r), append(b.bodies, string(body))
		b.mu.Unlock()
		answers[min(n, len(answers)-1)](w, r)
	}))
	t.Cleanup(server.Close)
	c, err := client.New(server.URL, key, &client.Options{
		Sleep: func(_ context.Context, d time.Duration) error {
			b.waits = append(b.waits, d)
			return nil
		},
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	b.Client = c
	return b
}

func answer(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// hangUp breaks the connection without an answer.
func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

const jobJSON = `{"jobId":"a b","status":"running","deviceJobStatistics":{"deviceCount":3,"succeededCount":1,"failedCount":1}}`

func TestRequests(t *testing.T) {
	t.Parallel()
	definition := []byte(`{"type":"scheduleDeviceMethod"}`)
	options := client.ListOptions{Status: "failed", Type: client.TypeTwin, PageSize: 7, Continuation: "t=1"}
	for name, test := range map[string]struct {
		call    func(context.Context, *client.Client) error
		answer  string
		request string
		body    string
	}{
		"create": {
			func(ctx context.Context, c *client.Client) error {
				_, err := c.Create(ctx, "a b", definition)
				return err
			},
			jobJSON, "PUT /api/jobs/a%20b", string(definition),
		},
		"create new": {
			func(ctx context.Context, c *client.Client) error {
				_, err := c.CreateNew(ctx, "k", definition)
				return err
			},
			jobJSON, "POST /api/jobs", string(definition),
		},
		"validate": {
			func(ctx context.Context, c *client.Client) error { _, err := c.Validate(ctx, definition); return err },
			`{"deviceCount":1}`, "POST /api/jobs?validateOnly=true", string(definition),
		},
		"job": {
			func(ctx context.Context, c *client.Client) error { _, err := c.Job(ctx, "j"); return err },
			jobJSON, "GET /api/jobs/j", "",
		},
		"jobs": {
			func(ctx context.Context, c *client.Client) error { _, err := c.Jobs(ctx, options); return err },
			`{"jobs":[]}`, "GET /api/jobs?continuationToken=t%3D1&pageSize=7&status=failed&type=scheduleUpdateTwin", "",
		},
		"executions": {func(ctx context.Context, c *client.Client) error {
			_, err := c.Executions(ctx, "j", client.ListOptions{})
			return err
		}, `{"executions":[]}`, "GET /api/jobs/j/executions", ""},
		"execution": {
			func(ctx context.Context, c *client.Client) error {
				_, err := c.Execution(ctx, "j", "a%?#", client.ListOptions{})
				return err
			},
			`{"deviceId":"a%?#"}`, "GET /api/jobs/j/executions?deviceId=a%25%3F%23", "",
		},
		"execution of a module": {
			func(ctx context.Context, c *client.Client) error {
				e, err := c.Execution(ctx, "j", "a?/m#", client.ListOptions{Run: ""})
				require.Equal(t, "a?/m#", e.Target())
				return err
			},
			`{"deviceId":"a?","moduleId":"m#"}`, "GET /api/jobs/j/executions?deviceId=a%3F&moduleId=m%23", "",
		},
		"cancel": {
			func(ctx context.Context, c *client.Client) error { _, err := c.Cancel(ctx, "j"); return err },
			jobJSON, "POST /api/jobs/j/cancel", "",
		},
		"audit of a job": {
			func(ctx context.Context, c *client.Client) error { _, err := c.Audit(ctx, "j", options); return err },
			`{"changes":[]}`, "GET /api/jobs/j/audit?continuationToken=t%3D1&pageSize=7", "",
		},
		"audit": {
			func(ctx context.Context, c *client.Client) error {
				_, err := c.Audit(ctx, "", client.ListOptions{})
				return err
			},
			`{"changes":[]}`, "GET /api/audit", "",
		},
		"delete": {
			func(ctx context.Context, c *client.Client) error { return c.Delete(ctx, "j") },
			"", "DELETE /api/jobs/j", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, answer(200, test.answer))
			require.NoError(t, test.call(t.Context(), b.Client))
			require.Equal(t, test.request, b.requests[0].Method+" "+b.requests[0].RequestURI)
			require.Equal(t, test.body, b.bodies[0])
			require.Equal(t, key, b.requests[0].Header.Get("x-functions-key"))
		})
	}
}

func TestJobKeepsWhatTheServiceSent(t *testing.T) {
	t.Parallel()
	b := setup(t, answer(200, jobJSON))
	job, err := b.Job(t.Context(), "a b")
	require.NoError(t, err)
	require.True(t, bytes.Equal([]byte(jobJSON), job.Raw), "byte by byte")
	require.Equal(t, 2, job.Done())
	require.False(t, job.Ended())
}

func TestProblemsAreReadable(t *testing.T) {
	t.Parallel()
	b := setup(t, answer(400, `{"title":"The request is not valid","detail":"2 faults","errors":[
		{"field":"queryCondition","value":"tags.","rule":"1:6: expected a name"},{"field":"startTime","rule":"is too late"}]}`,
		"Content-Type", "application/problem+json"))
	_, err := b.CreateNew(t.Context(), "k", []byte(`{}`))
	require.EqualError(t, err, "POST /api/jobs: The request is not valid (HTTP 400)"+
		"\n  queryCondition: tags.: 1:6: expected a name\n  startTime: is too late")
	require.Len(t, b.requests, 1)
}

func TestOtherErrorAnswers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		text   string
	}{
		"detail":   {answer(404, `{"title":"There is no such job","detail":"no job has this id"}`), "There is no such job: no job has this id (HTTP 404)"},
		"no body":  {answer(403, ""), "Forbidden (HTTP 403)"},
		"host":     {answer(401, ""), "Unauthorized: the platform refuses the key, or behind Entra ID the token: it ends after an hour or so (HTTP 401)"},
		"platform": {answer(401, "<html>", "Content-Type", "text/html"), "behind Entra ID the token"},
		"app":      {answer(401, `{"title":"Not signed in","detail":"no principal"}`), "Not signed in: no principal (HTTP 401)"},
		"html":     {answer(502, "<html>", "Content-Type", "text/html"), "Bad Gateway (HTTP 502)"},
		"text":     {answer(500, "boom\nstack", "Content-Type", "text/plain"), "Internal Server Error: boom (HTTP 500)"},
		"redirect": {answer(302, "", "Location", "http://example.com/"), "Found: the address answers with a redirect, which is not followed: it would carry the key along (HTTP 302)"},
		"not ours": {answer(200, "<html>"), "it is not the JSON of fleetjobs"},
		"no job":   {answer(200, "{}"), "a job without jobId"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, test.answer)
			_, err := b.Job(t.Context(), "j")
			require.ErrorContains(t, err, test.text)
			require.NotContains(t, err.Error(), key)
			require.Len(t, b.requests, 1)
		})
	}
}

func TestRetries(t *testing.T) {
	t.Parallel()
	ok := answer(200, jobJSON)
	for name, test := range map[string]struct {
		answers []http.HandlerFunc
		call    func(context.Context, *client.Client) error
		waits   []time.Duration
		status  int // of the error, 0 for success
	}{
		"throttled, then fine": {
			[]http.HandlerFunc{answer(429, "", "Retry-After", "7"), answer(503, ""), ok},
			getJob,
			[]time.Duration{7 * time.Second, 500 * time.Millisecond},
			0,
		},
		"gives up before a long wait": {[]http.HandlerFunc{answer(503, "", "Retry-After", "31")}, getJob, nil, 503},
		"lost connection":             {[]http.HandlerFunc{hangUp, ok}, getJob, []time.Duration{250 * time.Millisecond}, 0},
		"other failures are final":    {[]http.HandlerFunc{answer(500, ""), ok}, getJob, nil, 500},
		"creation with a key": {
			[]http.HandlerFunc{answer(503, ""), ok},
			func(ctx context.Context, c *client.Client) error { _, err := c.CreateNew(ctx, "k", nil); return err },
			[]time.Duration{250 * time.Millisecond},
			0,
		},
		"creation without a key": {
			[]http.HandlerFunc{answer(503, ""), ok},
			func(ctx context.Context, c *client.Client) error { _, err := c.CreateNew(ctx, "", nil); return err }, nil, 503,
		},
		"deletion": {
			[]http.HandlerFunc{answer(503, ""), ok},
			func(ctx context.Context, c *client.Client) error { return c.Delete(ctx, "j") }, nil, 503,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, test.answers...)
			err := test.call(t.Context(), b.Client)
			require.Equal(t, test.waits, b.waits)
			if test.status == 0 {
				require.NoError(t, err)
				return
			}
			var problem *client.Error
			require.ErrorAs(t, err, &problem)
			require.Equal(t, test.status, problem.Status)
		})
	}
}

func getJob(ctx context.Context, c *client.Client) error { _, err := c.Job(ctx, "j"); return err }

func TestRetryAfterDate(t *testing.T) {
	t.Parallel()
	b := setup(t, answer(429, "", "Retry-After", time.Now().Add(20*time.Second).UTC().Format(http.TimeFormat)), answer(200, jobJSON))
	require.NoError(t, getJob(t.Context(), b.Client))
	require.Len(t, b.waits, 1)
	require.InDelta(t, 20*time.Second, b.waits[0], float64(15*time.Second))
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(nil)
	server.Close()
	tries := 1
	c, err := client.New(server.URL, key, &client.Options{
		Sleep: func(context.Context, time.Duration) error { tries++; return nil },
	})
	require.NoError(t, err)
	err = getJob(t.Context(), c)
	var unreachable *client.UnreachableError
	require.ErrorAs(t, err, &unreachable)
	require.Equal(t, 4, tries)
	require.ErrorContains(t, err, "no answer from "+server.URL)
	require.NotContains(t, err.Error(), key)
}

func TestCancelledWhileWaiting(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(answer(503, ""))
	t.Cleanup(server.Close)
	ctx, cancel := context.WithCancel(t.Context())
	c, err := client.New(server.URL, "", &client.Options{
		Sleep: func(ctx context.Context, _ time.Duration) error { cancel(); return ctx.Err() },
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	require.ErrorIs(t, getJob(ctx, c), context.Canceled)
}

func TestCSV(t *testing.T) {
	t.Parallel()
	b := setup(t, answer(200, "deviceId\r\na\r\n", "Content-Type", "text/csv", "X-Continuation-Token", "next"))
	var text bytes.Buffer
	next, err := b.ExecutionsCSV(t.Context(), "j", client.ListOptions{}, &text)
	require.NoError(t, err)
	require.Equal(t, "next", next)
	require.Equal(t, "deviceId\r\na\r\n", text.String())
	require.Equal(t, "text/csv", b.requests[0].Header.Get("Accept"))
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for address, fault := range map[string]string{
		"https://fleet.example.com":         "",
		"https://fleet.example.com/base/":   "",
		"http://localhost:7071":             "",
		"http://[::1]:7071":                 "",
		"fleet.example.com":                 "must be an absolute URL",
		"http://fleet.example.com":          "in the clear",
		"https://user:pw@fleet.example.com": "without user",
		"https://fleet.example.com?code=x":  "without user, query",
		"https://pw@%":                      "is not a URL",
	} {
		_, err := client.New(address, key, nil)
		if fault == "" {
			require.NoError(t, err, address)
			continue
		}
		require.ErrorContains(t, err, fault, address)
		require.NotContains(t, err.Error(), "pw")
	}
	_, err := client.New("https://fleet.example.com", "two\nlines", nil)
	require.Error(t, err)
	_, err = client.New("https://fleet.example.com", key, &client.Options{Token: "to ken"})
	require.ErrorContains(t, err, "the token holds")
	require.NotContains(t, err.Error(), "to ken")
}

// Behind App Service authentication a request carries both, and a redirect neither.
func TestTokenGoesWithTheKey(t *testing.T) {
	t.Parallel()
	var followed atomic.Bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Store(true) }))
	t.Cleanup(elsewhere.Close)
	var headers []http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers = append(headers, r.Header)
		answer(302, "", "Location", elsewhere.URL)(w, r)
	}))
	t.Cleanup(server.Close)
	c, err := client.New(server.URL, key, &client.Options{Token: "the-token"})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	err = getJob(t.Context(), c)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "the-token")
	require.Len(t, headers, 1)
	require.Equal(t, []string{"Bearer the-token"}, headers[0].Values("Authorization"))
	require.Equal(t, []string{key}, headers[0].Values(client.KeyHeader))
	require.False(t, followed.Load())
}
