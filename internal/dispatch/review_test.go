package dispatch

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/stretchr/testify/require"

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

// TestReviewASupervisionThatMeetsAConflictGoesOn: a pass that has stored its generation with the roll-up and then loses the
// race for the run's row still sends the next message. The timer, which would repair it, is out of play.
func TestReviewASupervisionThatMeetsAConflictGoesOn(t *testing.T) {
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
	began := time.Now()
	run := w.ended(w.create(lockDoor))
	require.Equal(t, job.StatusCompleted, run.Status)
	require.Positive(t, rolled.Load())
	require.Less(t, time.Since(began), 8*time.Second)
}

// TestReviewARunEndsOnlyWithEveryShardCounted: a shard that ends while its rows are listed page by page shows in neither
// list. Such a pass must not end the run.
func TestReviewARunEndsOnlyWithEveryShardCounted(t *testing.T) {
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

// storesShard says that a request stores a shard that goes on.
func storesShard(r *http.Request) bool {
	return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "RowKey='shard:")
}

// slow gives a hub whose devices take their time, and counts its calls.
func slow(w *world, d time.Duration) *atomic.Int64 {
	var calls atomic.Int64
	w.hub.answer = func(string, int) (iothub.MethodResult, error) {
		calls.Add(1)
		time.Sleep(d)
		return iothub.MethodResult{Status: 200}, nil
	}
	return &calls
}

// TestReviewNoCallStartsAfterTheClaimWhileStorageHangs: a worker that waits for storage does not go on calling devices that
// others may claim meanwhile.
func TestReviewNoCallStartsAfterTheClaimWhileStorageHangs(t *testing.T) {
	t.Parallel()
	opts := quick
	opts.Lease, opts.CallsInFlight = time.Second, 2
	w := newWorld(t, opts)
	w.hub.populate(100)
	calls := slow(w, 50*time.Millisecond)
	hangs, heals := make(chan struct{}, 100), make(chan struct{})
	w.through(meddler{before: func(r *http.Request) {
		if storesShard(r) {
			hangs <- struct{}{}
			<-heals
		}
	}})
	id := w.create(lockDoor)
	w.run(func(context.Context) bool { return len(hangs) > 0 }) // and from here on nothing is delivered
	time.Sleep(opts.Lease)
	called := calls.Load()
	time.Sleep(opts.Lease / 2)
	require.Equal(t, called, calls.Load())
	require.Less(t, called, int64(100))
	close(heals)
	require.Equal(t, 100, w.ended(id).Counts().Of(job.Succeeded))
	require.Equal(t, int64(100), calls.Load())
}

// TestReviewOutcomesSurviveAStorageThatFailsForAWhile: what a slice came to is not given up, so that no device is called
// again.
func TestReviewOutcomesSurviveAStorageThatFailsForAWhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(100)
	calls := slow(w, time.Millisecond)
	var since atomic.Int64
	w.through(meddler{fail: func(_ *http.Request, body string) bool {
		if calls.Load() == 0 {
			return false
		}
		since.CompareAndSwap(0, time.Now().UnixNano())
		return time.Since(time.Unix(0, since.Load())) < 4*time.Second
	}})
	run := w.ended(w.create(lockDoor))
	require.Equal(t, 100, run.Counts().Of(job.Succeeded))
	require.Equal(t, int64(100), calls.Load())
}

// TestReviewTheTimeLimitHoldsWithoutASupervisor: messages that come after the time limit start nothing, even when nobody has
// stopped the run yet.
func TestReviewTheTimeLimitHoldsWithoutASupervisor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(100)
	calls := slow(w, time.Millisecond)
	id := w.create(`{"jobId":"short","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*","maxExecutionTimeInSeconds":1}`)
	rec, err := w.observer().Job(t.Context(), id)
	require.NoError(t, err)
	d := w.current().d
	require.NoError(t, d.Handle(t.Context(), Delivery{Body: fmt.Appendf(nil, `{"kind":"plan","run":%q}`, rec.RunID), Owner: "a"}))
	time.Sleep(1100 * time.Millisecond)
	require.NoError(t, d.Handle(t.Context(), Delivery{Body: fmt.Appendf(nil, `{"kind":"shard","run":%q}`, rec.RunID), Owner: "b"}))
	require.Zero(t, calls.Load())
	require.Equal(t, 100, w.ended(id).Counts().ReasonMap()["notStarted"])
}
