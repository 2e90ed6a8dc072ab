package customhandler_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fleetjobs/fleetjobs/internal/customhandler"
	"github.com/fleetjobs/fleetjobs/internal/telemetry/logline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// app is a handler behind a real socket, and what reached its functions.
type app struct {
	url      string
	log      *syncBuffer
	timers   chan customhandler.Timer
	messages chan customhandler.Message
	ids      chan string // customhandler.InvocationID of each call
}

func setup(t *testing.T, change func(*customhandler.Options)) *app {
	t.Helper()
	a := &app{
		log:      &syncBuffer{},
		timers:   make(chan customhandler.Timer, 8),
		messages: make(chan customhandler.Message, 8),
		ids:      make(chan string, 8),
	}
	o := customhandler.Options{
		Logger: slog.New(slog.NewJSONHandler(a.log, nil)),
		Timers: map[string]customhandler.TimerFunc{
			"TimerDispatch": func(ctx context.Context, tick customhandler.Timer) error {
				a.timers <- tick
				a.ids <- customhandler.InvocationID(ctx)
				return nil
			},
		},
		Queues: map[string]customhandler.QueueFunc{
			"RunShard": func(ctx context.Context, m customhandler.Message) error {
				a.messages <- m
				a.ids <- customhandler.InvocationID(ctx)
				return nil
			},
		},
	}
	if change != nil {
		change(&o)
	}
	h, err := customhandler.New(o)
	require.NoError(t, err)
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	a.url = srv.URL
	return a
}

// answer is a response with its body read.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request as the host does: chunked, without following redirects.
func (a *app) do(t *testing.T, method, path, body string, header http.Header) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, a.url+path, io.MultiReader(strings.NewReader(body)))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", "Azure-Functions-Host/4.1037.0.0")
	maps.Copy(req.Header, header)
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answer{resp.StatusCode, resp.Header, string(b)}
}

func requireSuccess(t *testing.T, got answer) {
	t.Helper()
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, "application/json", got.header.Get("Content-Type"))
	require.Equal(t, "2", got.header.Get("Content-Length"))
	require.Equal(t, "{}", got.body)
}

func TestReadinessProbeIsAnsweredAndNotLogged(t *testing.T) {
	t.Parallel()
	a := setup(t, nil)
	require.Equal(t, http.StatusOK, a.do(t, http.MethodGet, "/", "", nil).status)
	require.Empty(t, a.log.String())
}

// A 204, an empty body or null would leave the invocation hanging until the
// host's function timeout, and text/plain would fail it.
func TestSuccessIsAlwaysAnEmptyJSONObject(t *testing.T) {
	t.Parallel()
	a := setup(t, nil)
	requireSuccess(t, a.do(t, http.MethodPost, "/TimerDispatch", timerEnvelope, nil))
	requireSuccess(t, a.do(t, http.MethodPost, "/RunShard", queueEnvelope, nil))
	require.Empty(t, a.log.String())
}

// The host follows redirects of invocations unless it forwards HTTP requests:
// a redirected POST would come back as a GET without its body.
func TestOnlyExactPathsAndNeverARedirect(t *testing.T) {
	t.Parallel()
	a := setup(t, func(o *customhandler.Options) { o.HTTP = http.NotFoundHandler() })
	for _, path := range []string{
		"/RunShard/", "//RunShard", "/./RunShard", "/x/../RunShard", "/runshard", "/RunShard/extra",
		"/TimerDispatch/", "/ScheduleJob", "/Unknown", "/api", "/apix/jobs", "//api/jobs", "/x/../api/jobs",
	} {
		got := a.do(t, http.MethodPost, path, queueEnvelope, nil)
		require.Equal(t, http.StatusNotFound, got.status, path)
		require.Empty(t, got.header.Get("Location"), path)
	}
	require.Empty(t, a.messages)
	require.Equal(t, http.StatusMethodNotAllowed, a.do(t, http.MethodGet, "/RunShard", "", nil).status)
	require.Equal(t, http.StatusNotFound, a.do(t, http.MethodPost, "/", "{}", nil).status)
}

func TestFailedInvocationsAreFiveHundredWithOneLogLine(t *testing.T) {
	t.Parallel()
	a := setup(t, func(o *customhandler.Options) {
		o.Timers["TimerDispatch"] = func(context.Context, customhandler.Timer) error { return errors.New("storage is gone") }
		o.Queues["RunShard"] = func(context.Context, customhandler.Message) error { panic("index out of luck") }
	})
	id := http.Header{"X-Azure-Functions-Invocationid": {"5d9b2f4e-0000-0000-0000-000000000000"}}

	require.Equal(t, http.StatusInternalServerError, a.do(t, http.MethodPost, "/TimerDispatch", timerEnvelope, id).status)
	lines := a.log.lines(t)
	require.Len(t, lines, 1)
	require.Equal(t, "ERROR", lines[0]["level"])
	require.Equal(t, "TimerDispatch", lines[0]["function"])
	require.Equal(t, "storage is gone", lines[0]["error"])
	require.Equal(t, "5d9b2f4e-0000-0000-0000-000000000000", lines[0]["invocation"])
	require.Equal(t, "invocation.failed", lines[0]["event"])
	require.EqualValues(t, 0, lines[0]["dequeueCount"], "a tick has none")

	require.Equal(t, http.StatusInternalServerError, a.do(t, http.MethodPost, "/RunShard", queueEnvelope, id).status)
	lines = a.log.lines(t)
	require.Len(t, lines, 2)
	require.Equal(t, "panic: index out of luck", lines[1]["error"])
	require.Contains(t, lines[1]["stack"], "handler_test.go")
	require.EqualValues(t, 1, lines[1]["dequeueCount"])

	requireSuccess(t, setup(t, nil).do(t, http.MethodPost, "/RunShard", queueEnvelope, id))
}

func TestBodiesThatAreNoEnvelopeFail(t *testing.T) {
	t.Parallel()
	a := setup(t, func(o *customhandler.Options) { o.MaxEnvelopeBytes = 2048 })
	for body, status := range map[string]int{
		"":                               http.StatusBadRequest,
		"null":                           http.StatusBadRequest,
		"[]":                             http.StatusBadRequest,
		`{"Data":`:                       http.StatusBadRequest,
		`{}`:                             http.StatusInternalServerError, // nothing in it for a queue function
		strings.Repeat(" ", 2049) + `{}`: http.StatusRequestEntityTooLarge,
	} {
		require.Equal(t, status, a.do(t, http.MethodPost, "/RunShard", body, nil).status, "%.20q", body)
	}
	require.Empty(t, a.messages)
	require.Len(t, a.log.lines(t), 6)
}

func TestEnvelopesOfFullMessagesFit(t *testing.T) {
	t.Parallel()
	a := setup(t, nil)
	body := strings.Repeat("\x01", 64<<10) // the worst to escape
	encoded := mustJSON(t, mustJSON(t, body))
	requireSuccess(t, a.do(t, http.MethodPost, "/RunShard",
		`{"Data":{"message":`+encoded+`},"Metadata":{"field":`+encoded+`}}`, nil))
	require.Equal(t, body, string((<-a.messages).Body))
}

func TestHTTPRequestsPassUnchanged(t *testing.T) {
	t.Parallel()
	a := setup(t, func(o *customhandler.Options) {
		o.HTTPPrefixes = []string{"/api/", "/jobs/v2/"}
		o.HTTP = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			w.Header().Set("Content-Type", "text/csv")
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(w, r.Method+" "+r.URL.RequestURI()+" "+string(b)+" "+customhandler.InvocationID(r.Context()))
		})
	})
	// Behind a forwarding host a caller's own id comes first, the host's last.
	for _, ids := range [][]string{{"forged", "abc-1"}, {"forged, abc-1"}, {"abc-1"}} {
		got := a.do(t, http.MethodDelete, "/api/jobs/42?a=1&a=2", "body", http.Header{"X-Azure-Functions-Invocationid": ids})
		require.Equal(t, answer{http.StatusTeapot, got.header, "DELETE /api/jobs/42?a=1&a=2 body abc-1"}, got)
		require.Equal(t, "text/csv", got.header.Get("Content-Type"))
	}
	require.Equal(t, "GET /jobs/v2/x  ", a.do(t, http.MethodGet, "/jobs/v2/x", "", nil).body)
	require.Equal(t, http.StatusNotFound, a.do(t, http.MethodGet, "/jobs/v3/x", "", nil).status)
}

func TestUnusableInvocationIDsAreDropped(t *testing.T) {
	t.Parallel()
	a := setup(t, nil)
	for _, id := range []string{strings.Repeat("a", 65), "a b", `a"b`, ""} {
		a.do(t, http.MethodPost, "/RunShard", queueEnvelope, http.Header{"X-Azure-Functions-Invocationid": {id}})
		require.Empty(t, <-a.ids, "%q", id)
	}
}

func TestPanicsInHTTP(t *testing.T) {
	t.Parallel()
	a := setup(t, func(o *customhandler.Options) {
		o.HTTP = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"1"`)
			if r.URL.Path == "/api/late" {
				_, _ = io.WriteString(w, "half an ans")
				_ = http.NewResponseController(w).Flush() // what was written is looked at below
			}
			panic("boom")
		})
	})
	got := a.do(t, http.MethodGet, "/api/early?code=secret", "", nil)
	require.Equal(t, http.StatusInternalServerError, got.status)
	require.Equal(t, "application/problem+json", got.header.Get("Content-Type"))
	require.Empty(t, got.header.Get("ETag"))
	require.JSONEq(t, `{"type":"about:blank","title":"Internal Server Error","status":500}`, got.body)

	resp, err := http.Get(a.url + "/api/late") //nolint:noctx // the connection is cut
	require.NoError(t, err)
	_, err = io.ReadAll(resp.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.NoError(t, resp.Body.Close())

	lines := a.log.lines(t)
	require.Len(t, lines, 2)
	require.Equal(t, "panic: boom", lines[0]["error"])
	require.NotContains(t, a.log.String(), "secret")
}

func TestNewRefusesWhatTheHostCouldNotCall(t *testing.T) {
	t.Parallel()
	ok := func(context.Context, customhandler.Message) error { return nil }
	tick := func(context.Context, customhandler.Timer) error { return nil }
	for name, tt := range map[string]struct {
		options customhandler.Options
		want    string
	}{
		"bad name":     {customhandler.Options{Queues: map[string]customhandler.QueueFunc{"1x": ok}}, `"1x" is no valid function name`},
		"host":         {customhandler.Options{Queues: map[string]customhandler.QueueFunc{"Host": ok}}, `"Host" is no valid function name`},
		"nil queue":    {customhandler.Options{Queues: map[string]customhandler.QueueFunc{"A": nil}}, "function A is nil"},
		"nil timer":    {customhandler.Options{Timers: map[string]customhandler.TimerFunc{"A": nil}}, "function A is nil"},
		"route prefix": {customhandler.Options{Queues: map[string]customhandler.QueueFunc{"Api": ok}}, "function Api is also the first segment of the http prefix /api/"},
		"bad prefix":   {customhandler.Options{HTTPPrefixes: []string{"/"}}, `http prefix "/" must start and end with a slash`},
		"twice": {customhandler.Options{
			Queues: map[string]customhandler.QueueFunc{"A": ok}, Timers: map[string]customhandler.TimerFunc{"A": tick},
		}, "function A is given twice"},
	} {
		_, err := customhandler.New(tt.options)
		require.ErrorContains(t, err, tt.want, name)
	}
}

func TestLinesOfAnInvocationCarryItsIDAndTheHostsTrace(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slog.New(logline.NewHandler(slog.NewJSONHandler(&out, nil)))
	say := func(ctx context.Context) { log.InfoContext(ctx, "hello") }
	h, err := customhandler.New(customhandler.Options{
		Logger: log,
		HTTP:   http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { say(r.Context()) }),
		Timers: map[string]customhandler.TimerFunc{"T": func(ctx context.Context, _ customhandler.Timer) error { say(ctx); return nil }},
		Queues: map[string]customhandler.QueueFunc{"Q": func(ctx context.Context, _ customhandler.Message) error { say(ctx); return nil }},
	})
	require.NoError(t, err)
	for path, body := range map[string]string{"/api/x": "", "/T": timerEnvelope, "/Q": queueEnvelope} {
		out.Reset()
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("X-Azure-Functions-InvocationId", "abc")
		r.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")
		h.ServeHTTP(httptest.NewRecorder(), r)
		require.Contains(t, out.String(), `"invocation":"abc","traceId":"4bf92f3577b34da6a3ce929d0e0e4736"`, path)
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return string(b)
}

// A prefix's own path belongs to it: the host's catch-all parameters may be empty.
func TestPrefixesWithoutTheirLastSlash(t *testing.T) {
	t.Parallel()
	a := setup(t, func(o *customhandler.Options) {
		o.HTTPPrefixes = []string{"/devices/"}
		o.HTTP = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	})
	for path, want := range map[string]int{
		"/devices": http.StatusTeapot, "/devices/": http.StatusTeapot, "/devices/d": http.StatusTeapot,
		"/devicesx": http.StatusNotFound, "/api/jobs": http.StatusNotFound,
	} {
		require.Equal(t, want, a.do(t, http.MethodGet, path, "", nil).status, path)
	}
}
