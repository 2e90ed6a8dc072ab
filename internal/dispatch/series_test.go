package dispatch

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/azurite/azuritetest"
	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/schedule"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// recurring is the body of a job with a schedule.
func recurring(schedule string) string {
	return `{"jobId":"daily","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*","schedule":` + schedule + `}`
}

// recur stores a recurring job.
func (w *world) recur(body string) {
	w.t.Helper()
	def, err := job.Decode([]byte(body), w.opts.Now())
	require.NoError(w.t, err)
	_, err = w.current().d.Create(w.t.Context(), def, "", someone())
	require.NoError(w.t, err)
}

// daily gives the job, and its runs, the first one first.
func (w *world) daily() (*job.Record, []*job.Record) {
	w.t.Helper()
	store := w.observer()
	rec, err := store.Job(w.t.Context(), "daily")
	require.NoError(w.t, err)
	runs, _, err := store.Runs(w.t.Context(), tablestore.RunQuery{Job: rec, Max: 1000})
	require.NoError(w.t, err)
	slices.Reverse(runs)
	return rec, runs
}

// rests delivers messages until the job has had so many runs and none goes on.
func (w *world) rests(runs int) (*job.Record, []*job.Record) {
	w.t.Helper()
	store := w.observer()
	w.run(func(ctx context.Context) bool {
		rec, err := store.Job(ctx, "daily")
		return err == nil && rec.Series.Runs >= runs && len(rec.Series.Running) == 0
	})
	return w.daily()
}

// starts are the times that the runs were for.
func starts(runs []*job.Record) []string {
	var all []string
	for _, r := range runs {
		all = append(all, r.Occurrence.Start.At.UTC().Format("01-02 15:04"))
	}
	return all
}

// clocked is a world whose clock stands where a test moves it.
func clocked(t *testing.T, at string, devices int) (*world, *movedClock) {
	t.Helper()
	clock := clockAt(t, at)
	opts := quick
	opts.Now = clock.now
	w := newWorld(t, opts)
	w.hub.populate(devices)
	return w, clock
}

func TestADailyJobRunsOnEachDayThatPasses(t *testing.T) {
	t.Parallel()
	w, clock := clocked(t, "2026-03-27T12:00:00Z", 3)
	w.recur(recurring(`{"cron":"30 2 * * *","timeZone":"Europe/Berlin"}`))
	rec, runs := w.daily()
	require.Equal(t, job.StatusScheduled, rec.Status)
	require.Empty(t, runs)
	for day := 1; day <= 4; day++ {
		clock.jump(24 * time.Hour)
		rec, runs = w.rests(day)
		require.Len(t, runs, day)
		require.Equal(t, job.StatusScheduled, rec.Status)
		require.Equal(t, day, w.hub.called("dev-0"))
	}
	// The clocks of Berlin go forward on 29 March: 02:30 is missing, and runs at 03:00.
	require.Equal(t, []string{"03-28 01:30", "03-29 01:00", "03-30 00:30", "03-31 00:30"}, starts(runs))
	for _, r := range runs {
		require.Equal(t, job.StatusCompleted, r.Status)
		require.Equal(t, 3, r.Counts.Of(job.Succeeded))
	}
	require.Equal(t, schedule.Counters{Occurrences: 4, Started: 4}, rec.Series.State.Counters)
	due, err := w.observer().Due(t.Context(), clock.now().Add(24*time.Hour))
	require.NoError(t, err)
	require.Equal(t, []string{"daily"}, due, "the next day is listed, once")
	active, err := w.observer().ActiveRuns(t.Context())
	require.NoError(t, err)
	require.Empty(t, active)
}

// TestARecurringJobRunsOnceForEachOccurrenceWhereverAProcessDies kills the process at its nth storage request after an occurrence
// came, for every n.
func TestARecurringJobRunsOnceForEachOccurrenceWhereverAProcessDies(t *testing.T) {
	t.Parallel()
	for n := int64(1); n <= 40; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			clock := clockAt(t, "2026-12-01T00:00:00Z")
			opts := impatient
			opts.Now = clock.now
			w := newWorld(t, opts)
			w.hurries(clock.jump)
			w.hub.populate(5)
			w.recur(recurring(`{"cron":"0 2 * * *"}`))
			clock.jump(3 * time.Hour)
			w.current().left.Store(n)
			w.rests(1)
			clock.jump(24 * time.Hour)
			rec, runs := w.rests(2)
			require.Equal(t, []string{"12-01 02:00", "12-02 02:00"}, starts(runs))
			require.Equal(t, schedule.Counters{Occurrences: 2, Started: 2}, rec.Series.State.Counters)
			for _, r := range runs {
				require.Equal(t, job.StatusCompleted, r.Status)
				require.Equal(t, 5, r.Counts.Of(job.Succeeded))
			}
			require.LessOrEqual(t, w.hub.called("dev-0"), 3, "one death repeats a call once at most")
		})
	}
}

// Between ticks, messages see to it that runs start on their second.
func TestAShortIntervalDoesNotWaitForTheTimer(t *testing.T) {
	t.Parallel()
	opts := quick
	opts.Now, opts.Tick = time.Now, 10*time.Second
	w := newWorld(t, opts)
	late := azuritetest.Late(t, w.storage)
	w.hub.populate(2)
	w.recur(recurring(`{"interval":"PT1S","remainingRuns":3}`))
	store := w.observer()
	ctx, p := t.Context(), w.current()
	deadline := time.Now().Add(time.Minute)
	for { // no ticks
		rec, err := store.Job(ctx, "daily")
		require.NoError(t, err)
		if rec.Status == job.StatusCompleted {
			break
		}
		require.True(t, time.Now().Before(deadline), "the job did not end")
		for _, m := range w.queue.receive() {
			w.calls.Go(func() { w.queue.settle(m, p.d.Handle(ctx, Delivery{Body: m.body, Owner: fmt.Sprint(m.id)})) })
		}
	}
	_, runs := w.daily()
	require.Len(t, runs, 3)
	for _, r := range runs {
		require.WithinRange(t, r.StartedAt, r.Occurrence.Start.At, r.Occurrence.Start.At.Add(5*time.Second+late()))
	}
}

func TestOverlapPolicies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		policy   schedule.OverlapPolicy
		counters schedule.Counters
		runs     []string // after three hours in which the first run did not end, and its end
		ends     []job.EndReason
	}{
		{schedule.Skip, schedule.Counters{Occurrences: 3, Started: 1, Skipped: 2}, []string{"12-01 01:00"}, []job.EndReason{job.EndFinished}},
		{
			schedule.BufferOne,
			schedule.Counters{Occurrences: 3, Started: 2, Dropped: 1},
			[]string{"12-01 01:00", "12-01 02:00"},
			[]job.EndReason{job.EndFinished, job.EndFinished},
		},
		{
			schedule.BufferAll,
			schedule.Counters{Occurrences: 3, Started: 3},
			[]string{"12-01 01:00", "12-01 02:00", "12-01 03:00"},
			[]job.EndReason{job.EndFinished, job.EndFinished, job.EndFinished},
		},
		{
			schedule.CancelOther,
			schedule.Counters{Occurrences: 3, Started: 2, Dropped: 1},
			[]string{"12-01 01:00", "12-01 03:00"},
			[]job.EndReason{job.EndSuperseded, job.EndFinished},
		},
		{
			schedule.AllowAll,
			schedule.Counters{Occurrences: 3, Started: 3},
			[]string{"12-01 01:00", "12-01 02:00", "12-01 03:00"},
			[]job.EndReason{job.EndFinished, job.EndFinished, job.EndFinished},
		},
	} {
		t.Run(string(c.policy), func(t *testing.T) {
			t.Parallel()
			w, clock := clocked(t, "2026-12-01T00:30:00Z", 2)
			release := w.hub.held(nil)
			w.recur(recurring(fmt.Sprintf(`{"cron":"0 * * * *","overlapPolicy":%q}`, c.policy)))
			for hour := range int64(3) {
				clock.jump(time.Hour)
				store := w.observer()
				w.run(func(ctx context.Context) bool {
					rec, err := store.Job(ctx, "daily")
					return err == nil && rec.Series.State.Counters.Occurrences == hour+1 && w.hub.called("dev-0") > 0
				})
			}
			close(release)
			rec, runs := w.rests(len(c.runs))
			require.Equal(t, c.counters, rec.Series.State.Counters)
			require.Equal(t, c.runs, starts(runs))
			for i, r := range runs {
				require.Equal(t, c.ends[i], r.EndReason, r.RunID)
			}
			require.Equal(t, job.StatusScheduled, rec.Status)
		})
	}
}

func TestCancellingARecurringJobEndsItsScheduleAndItsRuns(t *testing.T) {
	t.Parallel()
	w, clock := clocked(t, "2026-12-01T00:30:00Z", 2)
	started := make(chan string, 1)
	release := w.hub.held(started)
	w.recur(recurring(`{"cron":"0 * * * *","overlapPolicy":"bufferAll"}`))
	clock.jump(2 * time.Hour)
	w.run(func(context.Context) bool { return len(started) > 0 })
	rec, _, err := w.current().d.Cancel(t.Context(), "daily", someone())
	require.NoError(t, err)
	require.Equal(t, job.StatusStopping, rec.Status)
	close(release)
	w.seriesEnds()
	rec, runs := w.daily()
	require.Equal(t, job.StatusCancelled, rec.Status)
	require.Len(t, runs, 1, "what waited never runs")
	require.Equal(t, job.StatusCancelled, runs[0].Status)
	require.Equal(t, schedule.Counters{Occurrences: 2, Started: 1, Dropped: 1}, rec.Series.State.Counters)
	due, err := w.observer().Due(t.Context(), clock.now().AddDate(1, 0, 0))
	require.NoError(t, err)
	require.Empty(t, due)
	trail := w.trail("daily")
	require.Len(t, trail, 2)
	require.Equal(t, job.ActionCancelled, trail[1].Action)

	_, _, err = w.current().d.Cancel(t.Context(), "daily", someone())
	require.NoError(t, err, "again changes nothing")
	require.Len(t, w.trail("daily"), 2)
	_, _, err = w.current().d.RunNow(t.Context(), "daily", "", someone())
	require.ErrorIs(t, err, ErrEnded)

	require.NoError(t, w.current().d.Delete(t.Context(), "daily", someone()))
	store := w.observer()
	w.run(func(ctx context.Context) bool {
		gone, err := store.Gone(ctx, clock.now().Add(time.Hour), 10)
		_, runErr := store.Run(ctx, runs[0].RunID)
		return err == nil && len(gone) == 0 && runErr != nil
	})
	left, _, err := store.Runs(t.Context(), tablestore.RunQuery{Job: rec, Max: 10})
	require.NoError(t, err)
	require.Empty(t, left)
}

// seriesEnds delivers messages until the job has ended.
func (w *world) seriesEnds() {
	w.t.Helper()
	store := w.observer()
	w.run(func(ctx context.Context) bool {
		rec, err := store.Job(ctx, "daily")
		return err == nil && rec.Status.Ended()
	})
}

func TestRequestsOfPeople(t *testing.T) {
	t.Parallel()
	w, clock := clocked(t, "2026-12-10T12:00:00Z", 1)
	w.recur(recurring(`{"cron":"0 2 * * *"}`))
	ctx, d := t.Context(), w.current().d
	for range 3 {
		_, _, err := d.RunNow(ctx, "daily", "one key is one run", someone())
		require.NoError(t, err)
	}
	w.rests(1)
	_, _, err := d.RunNow(ctx, "daily", "one key is one run", someone())
	require.NoError(t, err, "also when it has ended")
	_, runs := w.rests(1)
	require.Equal(t, schedule.Manual, runs[0].Occurrence.Start.Kind)

	back := job.Range{From: clock.now().Add(-72 * time.Hour), To: clock.now()}
	_, _, err = d.Backfill(ctx, "daily", back, someone())
	require.NoError(t, err)
	_, runs = w.rests(4)
	require.Equal(t, []string{"12-08 02:00", "12-09 02:00", "12-10 02:00"}, starts(runs[1:]))
	back.To = clock.now().Add(time.Hour)
	_, _, err = d.Backfill(ctx, "daily", back, someone())
	require.NotEmpty(t, job.FaultsOf(err))

	_, _, err = d.Pause(ctx, "daily", "holidays", someone())
	require.NoError(t, err)
	clock.jump(48 * time.Hour)
	require.NoError(t, d.Tick(ctx))
	rec, _, err := d.Resume(ctx, "daily", "", someone())
	require.NoError(t, err)
	require.EqualValues(t, 2, rec.Series.State.Counters.Paused)
	clock.jump(24 * time.Hour)
	rec, runs = w.rests(5)
	require.Equal(t, []string{"12-13 02:00"}, starts(runs[4:]))
	require.Equal(t, schedule.Counters{Occurrences: 3, Requested: 4, Started: 5, Paused: 2}, rec.Series.State.Counters)

	var did []job.Action
	for _, c := range w.trail("daily") {
		did = append(did, c.Action)
	}
	require.Equal(t, []job.Action{job.ActionCreated, job.ActionRunNow, job.ActionBackfilled, job.ActionPaused, job.ActionResumed}, did)
}

func TestAFailedRunPausesTheSchedule(t *testing.T) {
	t.Parallel()
	w, clock := clocked(t, "2026-12-01T00:30:00Z", 1)
	w.hub.query = func(string) error { return &iothub.Error{Kind: iothub.Rejected, Code: "no"} }
	w.recur(recurring(`{"cron":"0 * * * *","pauseOnFailure":true}`))
	clock.jump(time.Hour)
	rec, runs := w.rests(1)
	require.Equal(t, job.StatusFailed, runs[0].Status)
	require.True(t, rec.Series.State.Paused)
	require.Contains(t, rec.Series.State.Note, runs[0].RunID)
	require.Equal(t, job.StatusPaused, rec.Status)
}

// A run that a criterion aborted pauses its schedule too.
func TestAnAbortedRunPausesTheSchedule(t *testing.T) {
	t.Parallel()
	w, clock := clocked(t, "2026-12-01T00:30:00Z", 400)
	w.opts.CallsInFlight = 5
	w.boot(0)
	w.hub.answer = func(string, int) (iothub.MethodResult, error) { return iothub.MethodResult{Status: 500}, nil }
	w.recur(strings.TrimSuffix(recurring(`{"cron":"0 * * * *","pauseOnFailure":true}`), "}") +
		`,"abort":{"criteria":[{"thresholdPercentage":50,"minNumberOfExecutedDevices":10}]}}`)
	clock.jump(time.Hour)
	rec, runs := w.rests(1)
	require.Equal(t, job.EndAborted, runs[0].EndReason)
	require.Equal(t, job.StatusPaused, rec.Status)
	require.Contains(t, rec.Series.State.Note, runs[0].RunID)
}

// An explicit list of devices is stored once, and serves every run.
func TestEachRunHasTheDevicesOfTheList(t *testing.T) {
	t.Parallel()
	w, clock := clocked(t, "2026-12-01T00:30:00Z", 0)
	w.recur(`{"jobId":"daily","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"deviceIds":["a","b"],"schedule":{"cron":"0 * * * *","remainingRuns":2}}`)
	clock.jump(time.Hour)
	w.rests(1)
	clock.jump(time.Hour)
	rec, _ := w.rests(2)
	require.Equal(t, job.StatusCompleted, rec.Status, "no runs remain")
	require.Equal(t, 2, w.hub.called("a"))
	require.Equal(t, 2, w.hub.called("b"))
}

// Each run tells of itself: an event says which, and none comes twice.
func TestEachRunIsTold(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, always(http.StatusAccepted))
	clock := clockAt(t, "2026-12-01T00:30:00Z")
	opts := notifying(t, r, true)
	opts.Now = clock.now
	w := newWorld(t, opts)
	w.hub.populate(1)
	w.recur(`{"jobId":"daily","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*",
		"schedule":{"cron":"0 * * * *"},"notifications":{"callbackUrl":"` + r.url + `/hook"}}`)
	for n := 1; n <= 2; n++ {
		clock.jump(time.Hour)
		w.rests(n)
		w.run(func(context.Context) bool {
			_, runs := w.daily()
			return len(r.count()) == 3 && runs[n-1].NextDelivery().IsZero()
		})
	}
	require.Equal(t, map[string]int{
		"/hook io.fleetjobs.job.completed": 2, "/topic io.fleetjobs.job.completed": 2, "/topic io.fleetjobs.job.started": 2,
	}, r.count())
	ids := map[string]bool{}
	for _, e := range r.events {
		ids[e.Channel+e.ID] = true
	}
	require.Len(t, ids, 6)
}
