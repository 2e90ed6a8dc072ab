package dispatch

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/azurite/azuritetest"
	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
)

// windowed is a job that may work for two hours from one o'clock on.
func windowed(members string) string {
	return `{"jobId":"daily","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*",
		"maintenanceWindow":{"cron":"0 1 * * *","duration":"PT2H"` + members
}

// beforeTheEnd is a clock that stands, five seconds before the window closes, until a test lets it go on: when the first device was called.
func beforeTheEnd() *movedClock {
	return &movedClock{base: time.Date(2026, 12, 1, 2, 59, 55, 0, time.UTC)}
}

// slow makes calls take a while, and gives when, by the clock, the last one began.
func (w *world) slow(clock *movedClock) (last func() time.Time) {
	var at time.Time
	w.hub.answer = func(string, int) (iothub.MethodResult, error) {
		w.hub.mu.Lock()
		at = clock.now()
		w.hub.mu.Unlock()
		<-time.After(20 * time.Millisecond)
		return iothub.MethodResult{Status: 200}, nil
	}
	return func() time.Time {
		w.hub.mu.Lock()
		defer w.hub.mu.Unlock()
		return at
	}
}

func (w *world) total() int {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	n := 0
	for _, c := range w.hub.calls {
		n += c
	}
	return n
}

func TestARunRestsBetweenWindows(t *testing.T) {
	t.Parallel()
	clock := beforeTheEnd()
	opts := quick
	opts.Now, opts.CallsInFlight = clock.now, 2
	w := newWorld(t, opts)
	const devices = 1000
	w.hub.populate(devices)
	last, late := w.slow(clock), azuritetest.Late(t, w.storage)
	w.recur(windowed(`}}`))
	w.run(func(context.Context) bool { return w.total() > 0 })
	clock.goOn()
	var rec *job.Record
	w.run(func(context.Context) bool {
		var err error
		rec, err = w.observer().Job(t.Context(), "daily")
		return err == nil && rec.Status == job.StatusPaused
	})
	closed := time.Date(2026, 12, 1, 3, 0, 0, 0, time.UTC)
	require.False(t, last().After(closed.Add(time.Second+late())), "no call began after the window closed, but one at %s", last())
	require.Equal(t, closed.Add(22*time.Hour), rec.Pause.Until)
	require.Zero(t, rec.Pause.By)
	called := w.total()
	require.Less(t, called, devices)
	clock.jump(12 * time.Hour)
	require.NoError(t, w.current().d.Tick(t.Context()))
	require.Equal(t, called, w.total())

	clock.jump(10 * time.Hour)
	run := w.ended("daily")
	require.Equal(t, job.EndFinished, run.EndReason)
	require.Equal(t, devices, run.Counts().Of(job.Succeeded))
	require.LessOrEqual(t, w.total(), devices+opts.CallsInFlight, "what was called stays called")
}

func TestAWindowThatClosesMayEndTheRun(t *testing.T) {
	t.Parallel()
	clock := beforeTheEnd()
	opts := quick
	opts.Now, opts.CallsInFlight = clock.now, 2
	w := newWorld(t, opts)
	w.hub.populate(1000)
	w.slow(clock)
	w.recur(windowed(`,"endBehavior":"cancel"}}`))
	w.run(func(context.Context) bool { return w.total() > 0 })
	clock.goOn()
	run := w.ended("daily")
	require.Equal(t, job.StatusCancelled, run.Status)
	require.Equal(t, job.EndWindowClosed, run.EndReason)
	require.Positive(t, run.Counts().Of(job.Canceled))
}

func TestAJobBeginsInItsFirstWindow(t *testing.T) {
	t.Parallel()
	w, _ := clocked(t, "2026-12-01T03:30:00Z", 0)
	w.recur(windowed(`}}`))
	rec, err := w.observer().Job(t.Context(), "daily")
	require.NoError(t, err)
	require.Equal(t, time.Date(2026, 12, 2, 1, 0, 0, 0, time.UTC), rec.StartTime)
}

// Runs of a recurring job that are due while the window is closed wait for it.
func TestARunThatIsDueBeforeTheWindowWaitsForIt(t *testing.T) {
	t.Parallel()
	w, clock := clocked(t, "2026-12-01T10:00:00Z", 2)
	w.recur(windowed(`},"schedule":{"cron":"0 12 * * *"}}`))
	clock.jump(3 * time.Hour)
	require.NoError(t, w.current().d.Tick(t.Context()))
	store := w.observer()
	w.run(func(ctx context.Context) bool {
		rec, err := store.Job(ctx, "daily")
		if err != nil || rec.LastRun() == "" {
			return false
		}
		run, err := store.Run(ctx, rec.LastRun())
		return err == nil && run.StartAt.Format(time.RFC3339) == "2026-12-02T01:00:00Z"
	})
	require.Zero(t, w.total())
	clock.jump(13 * time.Hour)
	_, runs := w.rests(1)
	require.Equal(t, []string{"12-01 12:00"}, starts(runs))
	require.Equal(t, 2, w.total())
}

// With endBehavior finish a run that began in the window goes on to its end, its retries too; the next one waits for a window.
func TestARunThatBeganMayFinishAfterItsWindow(t *testing.T) {
	t.Parallel()
	w, clock := clocked(t, "2026-12-01T01:59:00Z", 300)
	offline := true
	w.hub.answer = func(id string, _ int) (iothub.MethodResult, error) {
		w.hub.mu.Lock()
		defer w.hub.mu.Unlock()
		if offline && id == "dev-7" {
			return iothub.MethodResult{}, hubError(iothub.Offline)
		}
		return iothub.MethodResult{Status: 200}, nil
	}
	w.recur(windowed(`,"endBehavior":"finish"},"schedule":{"cron":"0 2,4 * * *","overlapPolicy":"bufferOne"},
		"retry":{"criteria":[{"failureType":"deviceOffline","until":"P1D","delay":"PT10M","factor":1}]}}`))
	clock.jump(2 * time.Minute)
	w.run(func(context.Context) bool { return w.total() == 300 })
	clock.jump(2 * time.Hour) // the window has closed, and the retry of one device is due
	w.run(func(context.Context) bool { return w.hub.called("dev-7") > 1 })
	w.hub.mu.Lock()
	offline = false
	w.hub.mu.Unlock()
	clock.jump(time.Hour)
	store := w.observer()
	w.run(func(ctx context.Context) bool {
		rec, err := store.Job(ctx, "daily")
		if err != nil || rec.Series.Runs < 2 {
			return false
		}
		first, err := store.Run(ctx, rec.RunNumber(1))
		second, other := store.Run(ctx, rec.RunNumber(2))
		return err == nil && other == nil && first.Status.Ended() && second.StartAt.Format(time.RFC3339) == "2026-12-02T01:00:00Z"
	})
	_, runs := w.daily()
	require.Equal(t, job.EndFinished, runs[0].EndReason)
	require.Equal(t, 300, runs[0].Counts.Of(job.Succeeded))
	require.Equal(t, 1, w.hub.called("dev-0"), "the run of 4 o'clock waits for the next window")
}

// A run that works outside an edited window pauses until it opens; one that rests goes on when an edit takes the window away.
func TestAWindowIsEditedWhileTheRunWorks(t *testing.T) {
	t.Parallel()
	w, clock := clocked(t, "2026-12-01T02:00:00Z", 1000)
	w.opts.CallsInFlight = 2
	w.boot(0)
	w.slow(clock)
	w.recur(windowed(`}}`))
	w.run(func(context.Context) bool { return w.total() > 0 })
	edit := func(patch string) {
		_, _, err := w.current().d.Edit(t.Context(), "daily", Edit{Patch: []byte(patch)}, someone())
		require.NoError(t, err)
	}
	edit(`{"maintenanceWindow":{"cron":"0 5 * * *"}}`)
	w.run(func(context.Context) bool { return w.status("daily").Status == job.StatusPaused })
	pause := w.status("daily").Pause
	require.Equal(t, "the maintenance window is closed until 2026-12-01T05:00:00Z", pause.Note)
	require.Equal(t, "2026-12-01T05:00:00Z", pause.Until.UTC().Format(time.RFC3339))

	edit(`{"maintenanceWindow":null}`)
	clock.jump(time.Minute) // the timer finds it
	run := w.ended("daily")
	require.Equal(t, job.EndFinished, run.EndReason)
	require.Equal(t, 1000, run.Counts().Of(job.Succeeded))
	require.Zero(t, run.OpenUntil)
}
