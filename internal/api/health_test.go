package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/api"
	"github.com/fleetjobs/fleetjobs/internal/iothub"
)

// backlog is a queue of which only the length and the head are known.
type backlog struct {
	depth int
	sent  time.Time
	err   error
}

func (b *backlog) Depth(context.Context) (int, error) { return b.depth, b.err }

func (b *backlog) Oldest(context.Context) (time.Time, bool, error) {
	return b.sent, !b.sent.IsZero(), b.err
}

// ticked is a timer whose last tick is known.
type ticked struct {
	at  time.Time
	err error
}

func (k *ticked) LastTick(context.Context) (time.Time, error) { return k.at, k.err }

// probed is a hub that counts how often it is asked.
type probed struct {
	asked  atomic.Int32
	answer func(ctx context.Context) error
}

func (p *probed) QueryPage(ctx context.Context, _, _ string, _ int) (iothub.Page, error) {
	p.asked.Add(1)
	if p.answer == nil {
		return iothub.Page{}, nil
	}
	return iothub.Page{}, p.answer(ctx)
}

// deployment is a healthy one until the test says otherwise.
type deployment struct {
	*world
	ticks *ticked
	queue *backlog
	hub   *probed
}

func newDeployment(t *testing.T) *deployment {
	t.Helper()
	d := &deployment{world: newWorld(t), ticks: &ticked{at: start.Add(-4 * time.Second)}, queue: &backlog{}, hub: &probed{}}
	d.serve(api.Options{Version: "v1.2.3", Health: api.Health{Ticks: d.ticks, Queue: d.queue, Hub: d.hub, Tick: 10 * time.Second}})
	return d
}

// health reads the details, which must have that status.
func (d *deployment) health(status int) map[string]any {
	d.t.Helper()
	r := d.call(http.MethodGet, "/api/health/details", "")
	require.Equal(d.t, status, r.status, "%s", r.body)
	require.Equal(d.t, "application/json", r.header.Get("Content-Type"))
	return r.json(d.t)
}

func TestHealthOfAWorkingDeployment(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.clock.moveTo(start.Add(90 * time.Second))
	*d.ticks = ticked{at: start.Add(83 * time.Second)}
	*d.queue = backlog{depth: 12, sent: start.Add(87*time.Second + 400*time.Millisecond)}
	require.Equal(t, map[string]any{
		"status": "ok", "problems": []any{}, "version": "v1.2.3", "uptimeSeconds": 90.0,
		"tables": map[string]any{"state": "ok"},
		"queue": map[string]any{
			"state": "ok", "approximateMessages": 12.0, "oldestMessageTime": "2026-11-23T10:01:27.400Z", "oldestMessageAgeSeconds": 2.0,
		},
		"hub":   map[string]any{"state": "ok", "checkedTime": "2026-11-23T10:01:30.000Z"},
		"timer": map[string]any{"lastTickTime": "2026-11-23T10:01:23.000Z", "lastTickAgeSeconds": 7.0, "overdue": false},
	}, d.health(http.StatusOK))

	*d.queue = backlog{}
	require.Equal(t, map[string]any{"state": "ok", "approximateMessages": 0.0}, d.health(http.StatusOK)["queue"])
}

// A tick of the real dispatcher on real tables is what the timer's age is taken from.
func TestHealthSeesTheTick(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.serve(api.Options{Health: api.Health{Ticks: w.store, Queue: &backlog{}, Hub: w.hub, Tick: 10 * time.Second}})
	require.Equal(t, map[string]any{"overdue": false}, w.get("/api/health/details")["timer"])
	require.NoError(t, w.jobs.Tick(t.Context()))
	require.Equal(t, map[string]any{"overdue": false, "lastTickTime": "2026-11-23T10:00:00.000Z", "lastTickAgeSeconds": 0.0},
		w.get("/api/health/details")["timer"])
}

func TestHealthProblems(t *testing.T) {
	t.Parallel()
	refused := &azcore.ResponseError{StatusCode: http.StatusForbidden, ErrorCode: "AuthorizationPermissionMismatch"}
	busy := &azcore.ResponseError{StatusCode: http.StatusServiceUnavailable}
	for name, test := range map[string]struct {
		spoil   func(d *deployment)
		problem string
		part    string
		state   string
	}{
		"tables refuse":     {func(d *deployment) { d.ticks.err = refused }, "tablesUnavailable", "tables", "refused"},
		"tables are busy":   {func(d *deployment) { d.ticks.err = busy }, "tablesUnavailable", "tables", "unreachable"},
		"tables are silent": {func(d *deployment) { d.ticks.err = context.DeadlineExceeded }, "tablesUnavailable", "tables", "unreachable"},
		"tables are odd":    {func(d *deployment) { d.ticks.err = errors.New("no JSON") }, "tablesUnavailable", "tables", "failed"},
		"queue refuses":     {func(d *deployment) { d.queue.err = refused }, "queueUnavailable", "queue", "refused"},
		"queue is busy":     {func(d *deployment) { d.queue.err = busy }, "queueUnavailable", "queue", "unreachable"},
		"nobody works":      {func(d *deployment) { d.queue.sent = start.Add(-601 * time.Second) }, "queueStalled", "queue", "ok"},
		"the timer is dead": {func(d *deployment) { d.ticks.at = start.Add(-141 * time.Second) }, "timerOverdue", "tables", "ok"},
		"role on the hub":   {hubFails(iothub.Error{Kind: iothub.HubFault, Status: 401, Code: "IotHubUnauthorizedAccess"}), "hubUnavailable", "hub", "refused"},
		"quota of the hub":  {hubFails(iothub.Error{Kind: iothub.HubFault, Status: 403, Code: "IotHubQuotaExceeded"}), "hubUnavailable", "hub", "quotaSpent"},
		"no such hub":       {hubFails(iothub.Error{Kind: iothub.HubFault}), "hubUnavailable", "hub", "unreachable"},
		"hub has a fault":   {hubFails(iothub.Error{Kind: iothub.ServerError, Status: 500}), "hubUnavailable", "hub", "unreachable"},
		"another server":    {hubFails(iothub.Error{Kind: iothub.Unreadable, Status: 200}), "hubUnavailable", "hub", "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDeployment(t)
			test.spoil(d)
			v := d.health(http.StatusServiceUnavailable)
			require.Equal(t, "unhealthy", v["status"])
			require.Equal(t, []any{test.problem}, v["problems"])
			require.Equal(t, test.state, v[test.part].(map[string]any)["state"])
			require.Contains(t, d.log.String(), test.problem, "the log has the reason")
		})
	}
}

func hubFails(e iothub.Error) func(*deployment) {
	return func(d *deployment) { d.hub.answer = func(context.Context) error { return &e } }
}

func TestHealthNamesEveryProblemAtOnceAndNoSecret(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	d.ticks.err = errors.New("secret-of-the-tables")
	d.queue.err = errors.New("secret-of-the-queue")
	hubFails(iothub.Error{Kind: iothub.HubFault, Message: "secret-of-the-hub"})(d)
	r := d.call(http.MethodGet, "/api/health/details", "")
	require.Equal(t, []any{"tablesUnavailable", "queueUnavailable", "hubUnavailable"}, r.json(t)["problems"])
	require.NotContains(t, string(r.body), "secret")
	require.NotContains(t, r.json(t), "timer", "nothing is known about it")
}

// A hub that is busy is there, and a new deployment gets time for its first tick.
func TestWhatIsNoProblem(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	hubFails(iothub.Error{Kind: iothub.Throttled, Status: 429})(d)
	*d.ticks = ticked{}
	d.queue.sent = start.Add(-10 * time.Minute)
	v := d.health(http.StatusOK)
	require.Equal(t, "throttled", v["hub"].(map[string]any)["state"])

	d.clock.moveTo(start.Add(140 * time.Second))
	d.queue.sent = start.Add(time.Hour) // by a clock that is ahead
	require.InDelta(t, 0, d.health(http.StatusOK)["queue"].(map[string]any)["oldestMessageAgeSeconds"], 0)
	d.clock.moveTo(start.Add(141 * time.Second))
	require.Equal(t, []any{"timerOverdue"}, d.health(http.StatusServiceUnavailable)["problems"])
}

// Asking for health must not use up the queries that jobs need.
func TestTheHubIsAskedOnceInThirtySeconds(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	hubFails(iothub.Error{Kind: iothub.HubFault})(d)
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() { _, _ = d.try(http.MethodGet, "/api/health/details", "") })
	}
	callers.Wait()
	d.clock.moveTo(start.Add(29 * time.Second))
	d.ticks.at = d.clock.Now()
	d.hub.answer = nil
	require.Equal(t, "2026-11-23T10:00:00.000Z", d.health(http.StatusServiceUnavailable)["hub"].(map[string]any)["checkedTime"])
	require.EqualValues(t, 1, d.hub.asked.Load())
	d.clock.moveTo(start.Add(30 * time.Second))
	d.health(http.StatusOK)
	require.EqualValues(t, 2, d.hub.asked.Load())
}

// A caller who goes away while the hub is asked leaves no verdict on the hub behind.
func TestACallerWhoLeavesSaysNothingAboutTheHub(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	asked := make(chan struct{})
	d.hub.answer = func(ctx context.Context) error {
		close(asked)
		<-ctx.Done()
		return &iothub.Error{Kind: iothub.Canceled}
	}
	ctx, leave := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+"/api/health/details", nil)
	require.NoError(t, err)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if resp, err := d.http.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}()
	<-asked
	leave()
	<-gone
	d.hub.answer = nil
	d.health(http.StatusOK)
	require.EqualValues(t, 2, d.hub.asked.Load())
}

// Liveness needs neither key nor storage nor hub, and tells strangers nothing.
func TestLivenessIsBare(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.serve(api.Options{
		Version: "v1.2.3",
		Ready:   func(context.Context) error { return fmt.Errorf("storage is away") },
	})
	r := w.call(http.MethodGet, "/api/health", "")
	require.Equal(t, http.StatusOK, r.status)
	require.JSONEq(t, `{"status":"ok"}`, string(r.body))
	require.Equal(t, http.StatusOK, w.call(http.MethodHead, "/api/health", "").status)
	require.Equal(t, http.StatusOK, w.call(http.MethodGet, "/api/health?code=a-key", "").status)

	require.Empty(t, r.header.Get("X-Fleetjobs-Version"))
}

// The host sends more spellings of the path to the function that needs no key: none of them may tell more.
func TestStrangersDoNotLearnTheVersion(t *testing.T) {
	t.Parallel()
	h := api.New(api.Options{Version: "v1.2.3"})
	for path, want := range map[string]string{
		"/api/health": "", "/api/%68ealth": "", "/api/health/": "", "/api/HEALTH": "", "/api/health?x=1": "",
		"/api/openapi.yaml": "v1.2.3", "/api/health/more": "v1.2.3",
	} {
		recorder := httptest.NewRecorder()
		h.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		require.Equal(t, want, recorder.Header().Get("X-Fleetjobs-Version"), path)
	}
}
