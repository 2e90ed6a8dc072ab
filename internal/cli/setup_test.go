package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/cli"
)

// world is the program between a terminal that only remembers and an API that answers as it is told.
type world struct {
	*cli.Main
	url         string
	out, errors bytes.Buffer
	env         map[string]string
	now         time.Time
	width       int

	mu       sync.Mutex
	requests []string // "METHOD /path?query", then " body"
	keys     []string
	headers  []http.Header
	answers  map[string][]reply // by "METHOD /path"
	asleep   func()
}

// reply is an answer of the API.
type reply struct {
	status int
	body   string
	header http.Header
}

func ok(body string) reply { return reply{status: http.StatusOK, body: body} }

// setup gives a world in which FLEETJOBS_URL and FLEETJOBS_KEY are set. Sleeping moves the clock.
func setup(t *testing.T) *world {
	t.Helper()
	w := &world{answers: map[string][]reply{}, now: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)}
	server := httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(server.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	w.url = server.URL
	w.env = map[string]string{"FLEETJOBS_URL": server.URL, "FLEETJOBS_KEY": "the-key"}
	w.Main = &cli.Main{
		Stdin: strings.NewReader(""), Stdout: &w.out, Stderr: &w.errors, Dir: t.TempDir(), Version: "test",
		Getenv: func(name string) string { return w.env[name] },
		Width:  func() int { return w.width },
		Now:    func() time.Time { return w.now },
		Sleep: func(ctx context.Context, d time.Duration) error {
			w.now = w.now.Add(d)
			if w.asleep != nil {
				w.asleep()
			}
			return ctx.Err()
		},
		HTTP: &http.Client{Transport: transport},
	}
	return w
}

// on makes the API answer requests to "METHOD /path" with replies, one after the other; the last one stays.
func (w *world) on(request string, replies ...reply) { w.answers[request] = replies }

func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests = append(w.requests, strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Method, r.RequestURI, body)))
	w.keys = append(w.keys, r.Header.Get("x-functions-key"))
	w.headers = append(w.headers, r.Header)
	name := r.Method + " " + r.URL.EscapedPath()
	replies := w.answers[name]
	if len(replies) == 0 {
		rw.WriteHeader(http.StatusTeapot)
		return
	}
	if len(replies) > 1 {
		w.answers[name] = replies[1:]
	}
	rw.Header().Set("Content-Type", "application/json")
	maps.Copy(rw.Header(), replies[0].header)
	rw.WriteHeader(replies[0].status)
	_, _ = io.WriteString(rw, replies[0].body)
}

// jobJSON gives a job as the API shows it.
func jobJSON(id, status string, total, succeeded, failed int) string {
	return fmt.Sprintf(`{"jobId":%q,"type":"scheduleDeviceMethod","status":%q,"statusMessage":"So it goes.",`+
		`"queryCondition":"tags.x = 1","cloudToDeviceMethod":{"methodName":"reboot","payload":{"a":1}},`+
		`"createdTime":"2026-11-23T09:59:50.000Z","createdBy":{"kind":"key","id":"0badcafe"},"startTime":"2026-11-23T10:00:00.000Z","startedTime":"2026-11-23T10:00:00.000Z",`+
		`"endTime":"2026-11-23T10:00:12.500Z","selection":{"state":"complete","deviceCount":%d},`+
		`"deviceJobStatistics":{"deviceCount":%d,"pendingCount":%d,"runningCount":0,"succeededCount":%d,"failedCount":%d},`+
		`"executionStatistics":{"queued":%d,"succeeded":%d,"failed":%d,"timedOut":0},"failureReasons":{"deviceOffline":%d}}`,
		id, status, total, total, total-succeeded-failed, succeeded, failed, total-succeeded-failed, succeeded, failed, failed)
}

func (w *world) run(t *testing.T, args ...string) int {
	t.Helper()
	return w.Run(t.Context(), args)
}
