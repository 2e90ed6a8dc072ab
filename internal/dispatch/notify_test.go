package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/notify"
)

// receiver takes callbacks and, below /topic, what is published. answer gives the status of its n-th request, from 1 on.
type receiver struct {
	url    string
	answer func(n int) int

	mu       sync.Mutex
	requests int
	events   []told
}

// told is an event that the receiver accepted.
type told struct {
	Channel string
	ID      string
	Type    string
	Subject string
	Time    time.Time
	Data    struct {
		Status string
		Ended  int
	}
}

func newReceiver(t *testing.T, answer func(n int) int) *receiver {
	t.Helper()
	r := &receiver{answer: answer}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func always(status int) func(int) int { return func(int) int { return status } }

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	status := r.answer(r.requests)
	w.WriteHeader(status)
	if err != nil || status >= 300 {
		return
	}
	var batch []told
	if req.URL.Path == "/topic" {
		err = json.Unmarshal(body, &batch)
	} else {
		batch = make([]told, 1)
		err = json.Unmarshal(body, &batch[0])
	}
	for i := range batch {
		batch[i].Channel = req.URL.Path
	}
	if err == nil {
		r.events = append(r.events, batch...)
	}
}

// count gives how often each event was accepted.
func (r *receiver) count() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := map[string]int{}
	for _, e := range r.events {
		all[e.Channel+" "+e.Type]++
	}
	return all
}

func (r *receiver) asked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}

// notifying gives options that tell r.
func notifying(t *testing.T, r *receiver, topic bool) Options {
	t.Helper()
	allow, err := notify.ParseAllow("127.0.0.1")
	require.NoError(t, err)
	o := notify.Options{Source: "https://app.example.com/api/jobs", Allow: allow}
	if topic {
		o.Topic = notify.Topic{Endpoint: r.url + "/topic", Key: "key"}
	}
	return Options{
		Flush: 100 * time.Millisecond, Silence: 400 * time.Millisecond,
		Tick: 200 * time.Millisecond, RetryDelay: time.Millisecond,
		Notify: Notify{Sender: notify.New(o), JobJSON: func(_ *job.Record, run *job.Run) ([]byte, error) {
			return json.Marshal(map[string]any{"status": run.Status, "ended": run.Counts().Of(job.Succeeded)})
		}},
	}
}

// calling is a job that calls back.
func (r *receiver) calling(members string) string {
	return fmt.Sprintf(`{"jobId":"lock","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*",
		"notifications":{"callbackUrl":"%s/hook?sig=s3cr3t"%s}}`, r.url, members)
}

// told delivers messages until nothing of the job is pending, and gives the job.
func (w *world) told(id string) *job.Record {
	w.t.Helper()
	store := w.observer()
	var rec *job.Record
	w.run(func(ctx context.Context) bool {
		var err error
		rec, err = store.Job(ctx, id)
		return err == nil && rec.Status.Ended() && rec.NextDelivery().IsZero()
	})
	return rec
}

func TestTheEndOfAJobIsTold(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, always(http.StatusAccepted))
	w := newWorld(t, notifying(t, r, true))
	w.hub.populate(3)
	rec := w.told(w.create(r.calling("")))
	require.Equal(t, map[string]int{
		"/hook io.fleetjobs.job.completed": 1, "/topic io.fleetjobs.job.completed": 1, "/topic io.fleetjobs.job.started": 1,
	}, r.count(), "the callback hears of the end, the topic of everything")
	for _, e := range r.events {
		if e.Type != "io.fleetjobs.job.completed" {
			continue
		}
		require.Equal(t, eventID(rec.RunID, job.EventCompleted), e.ID)
		require.Equal(t, "lock", e.Subject)
		require.Equal(t, rec.EndedAt.Truncate(time.Millisecond), e.Time)
		require.Equal(t, "completed", e.Data.Status)
		require.Equal(t, 3, e.Data.Ended)
	}
	for _, d := range rec.Deliveries {
		require.Equal(t, job.DeliveryDelivered, d.State)
		require.Equal(t, 1, d.Attempts)
		require.Empty(t, d.LastError)
	}
}

func TestOnlyTheEventsAskedForAreTold(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, always(http.StatusOK))
	w := newWorld(t, notifying(t, r, false))
	w.hub.populate(1)
	w.told(w.create(r.calling(`,"events":["started","failed"]`)))
	require.Equal(t, map[string]int{"/hook io.fleetjobs.job.started": 1}, r.count())
}

// A job that is cancelled before it began has no run; its end is told all the same.
func TestACancelledJobIsToldWithoutEverRunning(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, always(http.StatusOK))
	w := newWorld(t, notifying(t, r, true))
	id := w.create(fmt.Sprintf(`{"startTime":%q,%s`, time.Now().Add(time.Hour).Format(time.RFC3339), r.calling("")[1:]))
	w.cancel(id)
	w.told(id)
	require.Equal(t, map[string]int{"/hook io.fleetjobs.job.cancelled": 1, "/topic io.fleetjobs.job.cancelled": 1}, r.count())
}

func (w *world) cancel(id string) {
	w.t.Helper()
	_, _, err := w.current().d.Cancel(w.t.Context(), id, someone())
	require.NoError(w.t, err)
}

func TestAReceiverInTroubleIsAskedAgainAndOneThatRefusesIsNot(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer   func(n int) int
		state    job.DeliveryState
		attempts int
		last     int
	}{
		"comes back": {func(n int) int {
			return []int{http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusOK}[min(n, 3)-1]
		}, job.DeliveryDelivered, 3, 0},
		"refuses":   {always(http.StatusGone), job.DeliveryFailed, 1, http.StatusGone},
		"redirects": {always(http.StatusFound), job.DeliveryFailed, 1, http.StatusFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t, c.answer)
			opts := notifying(t, r, false)
			var ahead atomic.Int64
			opts.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
			w := newWorld(t, opts)
			w.hub.populate(1)
			id := w.create(r.calling(""))
			asked := 0
			store := w.observer()
			w.run(func(ctx context.Context) bool {
				rec, err := store.Job(ctx, id)
				if err != nil || !rec.Status.Ended() || len(rec.Deliveries) == 0 {
					return false
				}
				if d := rec.Deliveries[0]; d.State == job.DeliveryPending && d.LastError != "" && d.Attempts > asked {
					asked = d.Attempts
					ahead.Add(int64(time.Minute)) // all the time that the next try may wait
				}
				return rec.NextDelivery().IsZero()
			})
			rec := w.told(id)
			require.Equal(t, c.state, rec.Deliveries[0].State)
			require.Equal(t, c.attempts, rec.Deliveries[0].Attempts)
			require.Equal(t, c.last, rec.Deliveries[0].LastStatus)
			require.Equal(t, c.attempts, r.asked())
		})
	}
}

func TestCopiesOfAMessageTellNothingTwice(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, always(http.StatusOK))
	w := newWorld(t, notifying(t, r, true))
	w.hub.populate(1)
	rec := w.told(w.create(r.calling("")))
	for range 20 {
		require.NoError(t, w.queue.Send(t.Context(), fmt.Appendf(nil, `{"kind":"notify","run":%q}`, rec.RunID), 0))
	}
	require.NoError(t, w.queue.Send(t.Context(), []byte(`{"kind":"notify","run":"never.was"}`), 0))
	w.run(func(context.Context) bool {
		w.queue.mu.Lock()
		defer w.queue.mu.Unlock()
		return len(w.queue.messages) == 0
	})
	require.Empty(t, w.queue.poison)
	require.Equal(t, 3, r.asked())
}

// Slow receivers hold every place; the timer sends a message for what is owed each tick. Copies must not pile up meanwhile.
func TestACopyThatHasNothingToDeliverNeedsNoPlace(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, always(http.StatusOK))
	w := newWorld(t, notifying(t, r, false))
	w.hub.populate(1)
	rec := w.told(w.create(r.calling("")))
	w.calls.Wait()
	d := w.current().d
	for range deliveriesAtOnce {
		d.deliveries <- struct{}{}
	}
	w.queue.mu.Lock()
	w.queue.messages = nil
	w.queue.mu.Unlock()
	require.NoError(t, d.Handle(t.Context(), Delivery{Body: fmt.Appendf(nil, `{"kind":"notify","run":%q}`, rec.RunID)}))
	w.queue.mu.Lock()
	defer w.queue.mu.Unlock()
	require.Empty(t, w.queue.messages)
}

// Who is called when a job has ended may delete it at once, while the outcome of that very call is stored.
func TestAJobMayBeDeletedByWhoHearsOfItsEnd(t *testing.T) {
	t.Parallel()
	const jobs = 20
	r := newReceiver(t, always(http.StatusOK))
	opts := notifying(t, r, false)
	w := newWorld(t, opts)
	w.hub.populate(1)
	deleted := make(chan error, jobs)
	var ending atomic.Int64
	r.answer = func(int) int {
		id := fmt.Sprintf("j%d", ending.Load())
		go func() {
			err := w.current().d.Delete(context.WithoutCancel(t.Context()), id, someone())
			if !errors.Is(err, job.ErrNotFound) { // who hears twice deletes twice
				deleted <- err
			}
		}()
		return http.StatusOK
	}
	for n := range jobs {
		ending.Store(int64(n))
		id := w.create(strings.Replace(r.calling(""), "lock", fmt.Sprintf("j%d", n), 1))
		w.run(func(ctx context.Context) bool {
			_, err := w.observer().Job(ctx, id)
			return errors.Is(err, job.ErrNotFound)
		})
		require.NoError(t, <-deleted)
	}
	require.Empty(t, w.queue.poison)
	owed, err := w.observer().Owed(t.Context(), time.Now().Add(time.Hour), 10)
	require.NoError(t, err)
	require.Empty(t, owed)
}

func TestAnAddressThatMustNotBeCalledIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, always(http.StatusOK))
	for name, sender := range map[string]Sender{"by the rules": notify.New(notify.Options{}), "without a sender": nil} {
		opts := notifying(t, r, false)
		opts.Notify.Sender = sender
		d := New(nil, nil, nil, opts)
		def, err := job.Decode([]byte(r.calling("")), time.Now())
		require.NoError(t, err)
		err = d.checkCallback(def)
		require.Equal(t, "notifications.callbackUrl", job.FaultsOf(err)[0].Field, name)
		require.NotContains(t, err.Error(), "s3cr3t")
		_, err = d.Preview(t.Context(), def)
		require.NotEmpty(t, job.FaultsOf(err))
	}
}

// TestAProcessMayDieBetweenTheEndAndItsTelling kills the process at its nth storage request, for every n that a run needs:
// everybody hears of the end, and only a delivery that the process died in may come twice, under one id.
func TestAProcessMayDieBetweenTheEndAndItsTelling(t *testing.T) {
	t.Parallel()
	const last = 48
	step := int64(1)
	if testing.Short() {
		step = 7
	}
	for n := int64(1); n <= last; n += step {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t, always(http.StatusOK))
			w := newMortalWorld(t, notifying(t, r, true))
			w.hub.populate(2)
			id := w.create(r.calling(""))
			w.current().left.Store(n)
			rec := w.told(id)
			for _, d := range rec.Deliveries {
				require.Equal(t, job.DeliveryDelivered, d.State)
			}
			seen := r.count()
			require.Len(t, seen, 3, "%v", seen)
			total := 0
			for _, count := range seen {
				total += count
			}
			require.LessOrEqual(t, total, 4, "one death repeats one delivery at most")
			ids := map[string]bool{}
			for _, e := range r.events {
				ids[e.ID] = true
			}
			require.Len(t, ids, 2)
		})
	}
}
