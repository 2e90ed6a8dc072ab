package dispatch

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/azurite/azuritetest"
	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// isRollUp says that a transaction counts done shards in their run.
func isRollUp(body string) bool {
	return strings.Contains(body, "RowKey='run'") && strings.Contains(body, "RowKey='done:")
}

// meddler carries out storage requests and lets a test meddle after each.
type meddler struct {
	fail   func(r *http.Request, body string) bool // refuse the request as a throttled service does
	empty  func(r *http.Request) bool              // answer a listing with no rows
	after  func(r *http.Request, body string)
	before func(r *http.Request)
}

func (m meddler) Do(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	if m.fail != nil && m.fail(r, string(body)) {
		return &http.Response{
			StatusCode: http.StatusServiceUnavailable, Header: http.Header{}, Body: http.NoBody, Request: r,
		}, nil
	}
	if m.empty != nil && m.empty(r) {
		return &http.Response{
			StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
			Body: io.NopCloser(strings.NewReader(`{"value":[]}`)), Request: r,
		}, nil
	}
	if m.before != nil {
		m.before(r)
	}
	resp, err := http.DefaultClient.Do(r)
	if m.after != nil {
		m.after(r, string(body))
	}
	return resp, err
}

// through makes the world's process send its storage requests through m.
func (w *world) through(m meddler) {
	w.t.Helper()
	client, err := aztables.NewServiceClientFromConnectionString(w.storage, &aztables.ClientOptions{
		ClientOptions: azcore.ClientOptions{Transport: m, Retry: policy.RetryOptions{MaxRetries: -1}},
	})
	require.NoError(w.t, err)
	w.proc.d = New(tablestore.New(client, "testhub", nil), w.queue, w.hub, w.opts)
}

// touch writes a run's row as it is, so that whoever had read it before meets a conflict.
func (w *world) touch(id string) {
	store := w.observer()
	rec, err := store.Job(context.Background(), id)
	if err != nil {
		return
	}
	if run, err := store.Run(context.Background(), rec.RunID); err == nil {
		_ = store.SaveRun(context.Background(), run)
	}
}

// TestASupervisionThatMeetsAConflictGoesOn: a pass that has stored its generation with the roll-up and then loses the
// race for the run's row still sends the next message. The timer, which would repair it, is out of play.
func TestASupervisionThatMeetsAConflictGoesOn(t *testing.T) {
	t.Parallel()
	opts := quick
	opts.Silence = time.Hour
	w := newWorld(t, opts)
	w.hub.populate(50)
	var rolled atomic.Int64
	w.through(meddler{after: func(_ *http.Request, body string) {
		if isRollUp(body) && rolled.Add(1) == 1 {
			w.touch("lock")
		}
	}})
	run := w.ended(w.create(lockDoor))
	require.Equal(t, job.StatusCompleted, run.Status)
	require.Positive(t, rolled.Load())
}

// TestARunEndsOnlyWithEveryShardCounted: a shard that ends while its rows are listed page by page shows in neither
// list. Such a pass must not end the run.
func TestARunEndsOnlyWithEveryShardCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(150)
	started := make(chan string, 1)
	release := w.hub.held(started)
	var missed atomic.Int64
	w.through(meddler{empty: func(r *http.Request) bool {
		return len(started) > 0 && strings.Contains(r.URL.Query().Get("$filter"), "'done:'") && missed.Add(1) <= 1
	}})
	id := w.create(lockDoor)
	w.run(func(context.Context) bool { return missed.Load() > 2 })
	require.Equal(t, job.StatusRunning, w.status(id).Status)
	close(release)
	require.Equal(t, 150, w.ended(id).Counts().Of(job.Succeeded))
}

func TestATakenIDUnderANewKeyIsAConflict(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.create(lockDoor)
	def, err := job.Decode([]byte(lockDoor), time.Now())
	require.NoError(t, err)
	rec, err := w.current().d.Create(t.Context(), def, "a key that nobody used", someone())
	require.Nil(t, rec)
	require.ErrorIs(t, err, job.ErrConflict)
}

func TestAPanicInACallEndsThatDeviceOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(20)
	w.hub.answer = func(id string, _ int) (iothub.MethodResult, error) {
		if id == "dev-7" {
			panic("an answer that nobody foresaw")
		}
		return iothub.MethodResult{Status: 200}, nil
	}
	run := w.ended(w.create(lockDoor))
	require.Equal(t, 19, run.Counts().Of(job.Succeeded))
	e := w.executions(run)["dev-7"]
	require.Equal(t, job.HubError, e.Reason)
	require.Contains(t, e.ErrorText(), "nobody foresaw")
}

// TestAProbeDoesNotWaitForASlowCall: the hub is asked again through a shard that nobody holds.
func TestAProbeDoesNotWaitForASlowCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(200)
	slow, release := make(chan struct{}), make(chan struct{})
	letGo := sync.OnceFunc(func() { close(release) })
	t.Cleanup(letGo) // also when the test fails: the world waits for its calls
	var revoked atomic.Bool
	w.hub.answer = func(id string, _ int) (iothub.MethodResult, error) {
		if id == "dev-0" {
			revoked.Store(true)
			close(slow)
			<-release
			return iothub.MethodResult{Status: 200}, nil
		}
		<-slow // nobody is called before the slow device
		if revoked.Load() {
			return iothub.MethodResult{}, hubError(iothub.HubFault)
		}
		return iothub.MethodResult{Status: 200}, nil
	}
	id := w.create(lockDoor)
	w.run(func(context.Context) bool { return w.status(id).Status == job.StatusBlocked })
	revoked.Store(false)
	w.run(func(context.Context) bool { return w.status(id).Counts().Of(job.Succeeded) >= 100 })
	letGo()
	require.Equal(t, 200, w.ended(id).Counts().Of(job.Succeeded))
}

func TestATargetThatNobodyCanReadFailsTheRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.devices = []string{"good", "not an id"}
	run := w.ended(w.create(lockDoor))
	require.Equal(t, job.StatusFailed, run.Status)
	require.Contains(t, run.FailureReason, "not an id")
}

// TestAThrottledSelectionGoesOnWhereItIs: a short wait does not end the stretch, which would read back all that was
// selected.
func TestAThrottledSelectionGoesOnWhereItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(250)
	var throttled, recalled atomic.Int64
	w.hub.query = func(continuation string) error {
		if continuation == "100" && throttled.Add(1) == 1 {
			return hubError(iothub.Throttled)
		}
		return nil
	}
	w.through(meddler{before: func(r *http.Request) {
		if strings.Contains(r.URL.Query().Get("$select"), "Prints") {
			recalled.Add(1)
		}
	}})
	require.Equal(t, 250, w.ended(w.create(lockDoor)).Counts().Of(job.Succeeded))
	require.Equal(t, int64(2), throttled.Load())
	require.Zero(t, recalled.Load())
}

func TestAClosedGateCostsNoClaim(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(100)
	var claims, closed atomic.Int64
	w.hub.answer = func(string, int) (iothub.MethodResult, error) {
		if closed.CompareAndSwap(0, time.Now().UnixNano()) {
			return iothub.MethodResult{}, &iothub.Error{Kind: iothub.Throttled, Wait: 4 * time.Second}
		}
		return iothub.MethodResult{Status: 200}, nil
	}
	w.through(meddler{after: func(_ *http.Request, body string) {
		early := time.Since(time.Unix(0, closed.Load())) < 1800*time.Millisecond
		if early && strings.Contains(body, `"Owner":"0x`) && !strings.Contains(body, "Data") {
			claims.Add(1)
		}
	}})
	id := w.create(lockDoor)
	w.run(func(context.Context) bool { return closed.Load() > 0 })
	rec, err := w.observer().Job(t.Context(), id)
	require.NoError(t, err)
	for range 5 {
		require.NoError(t, w.queue.Send(t.Context(), fmt.Appendf(nil, `{"kind":"shard","run":%q}`, rec.RunID), time.Second))
	}
	require.Equal(t, 100, w.ended(id).Counts().Of(job.Succeeded))
	require.Zero(t, claims.Load())
}

// TestAFinishedRunIsReportedAtOnce: the worker of the last shard moves the run on itself.
func TestAFinishedRunIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(10)
	calls, late := slow(w, 1200*time.Millisecond), azuritetest.Late(t, w.storage)
	run := w.ended(w.create(lockDoor))
	require.Equal(t, int64(10), calls.Load())
	last := run.StartedAt
	for _, e := range w.executions(run) {
		if e.EndedAt.After(last) {
			last = e.EndedAt
		}
	}
	require.Less(t, run.EndedAt.Sub(last), 2*time.Second+late(), "what the API promises")
}

// hangingHub answers no query until it is healed, as long as their context lives, which takes half a lease of its clock.
type hangingHub struct {
	Hub
	clock  *movedClock
	lease  time.Duration
	healed atomic.Bool
	under  atomic.Int64
	most   atomic.Int64
}

func (h *hangingHub) QueryPage(ctx context.Context, q, c string, n int) (iothub.Page, error) {
	if h.healed.Load() {
		return h.Hub.QueryPage(ctx, q, c, n)
	}
	h.most.Store(max(h.most.Load(), h.under.Add(1)))
	defer h.under.Add(-1)
	<-ctx.Done()
	h.clock.jump(h.lease / 2)
	return iothub.Page{}, &iothub.Error{Kind: iothub.Canceled}
}

// TestASlowQueryKeepsItsClaim: however long the hub takes, one planner asks, and goes on or blocks the run.
func TestASlowQueryKeepsItsClaim(t *testing.T) {
	t.Parallel()
	opts := quick
	clock := beforeTheEnd() // it stands but for the queries: a busy machine takes no claim away
	opts.Lease, opts.Silence, opts.Attempts, opts.Now = 600*time.Millisecond, 200*time.Millisecond, 4, clock.now
	w := newWorld(t, opts)
	w.hub.populate(10)
	hub := &hangingHub{Hub: w.hub, clock: clock, lease: opts.Lease}
	w.proc.d = New(w.observer(), w.queue, hub, w.opts)
	id := w.create(lockDoor)
	w.run(func(context.Context) bool { return w.status(id).Status == job.StatusBlocked })
	hub.healed.Store(true)
	clock.goOn()
	require.Equal(t, 10, w.ended(id).Counts().Of(job.Succeeded))
	require.Equal(t, int64(1), hub.most.Load())
}

// TestClocksMayDiffer: processes whose clocks differ by ten seconds call no device twice.
func TestClocksMayDiffer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(500)
	calls := slow(w, 300*time.Millisecond)
	first := w.current()
	w.opts.Now = func() time.Time { return time.Now().Add(10 * time.Second) }
	second := w.boot(0)
	id := w.create(strings.Replace(lockDoor, `{`, `{"startTime":"2020-01-01T00:00:00Z",`, 1))
	n := 0
	w.run(func(ctx context.Context) bool {
		n++
		w.mu.Lock()
		w.proc = []*process{first, second}[n%2]
		w.mu.Unlock()
		rec, err := w.observer().Job(ctx, id)
		return err == nil && rec.Status.Ended()
	})
	require.Equal(t, 500, w.status(id).Counts().Of(job.Succeeded))
	require.Equal(t, int64(500), calls.Load())
}

// TestACancelTellsWhoMayHaveBeenReached: a device that a dead worker was calling is not told as never called.
func TestACancelTellsWhoMayHaveBeenReached(t *testing.T) {
	t.Parallel()
	opts := quick
	clock := clockAt(t, "2026-12-01T00:00:00Z")
	opts.CallsInFlight, opts.Now = 4, clock.now
	w := newWorld(t, opts)
	w.hub.populate(100)
	started := make(chan string, 100)
	release := w.hub.held(started)
	id := w.create(lockDoor)
	w.run(func(context.Context) bool { return w.status(id).Counts().Of(job.InProgress) == 4 })
	w.current().dead(errKilled)
	_, _, err := w.current().d.Cancel(t.Context(), id, someone())
	require.NoError(t, err)
	clock.jump(time.Minute) // the lease of the dead worker's claim is over
	run := w.status(id)
	w.run(func(context.Context) bool { run = w.status(id); return run.Status.Ended() })
	require.Equal(t, 4, run.Counts().ReasonMap()["abandoned"])
	require.Equal(t, 96, run.Counts().Of(job.Canceled))
	close(release)
}
