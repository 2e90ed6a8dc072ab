package dispatch

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/schedule"
	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

// home gives device n the n-th of the zones, over and over; "" is none.
func (w *world) home(zones ...string) (of func(device string) string) {
	at := map[string]string{}
	w.hub.twins = map[string]twinquery.Map{}
	for i, id := range w.hub.devices {
		tags := map[string]any{}
		if at[id] = zones[i%len(zones)]; at[id] != "" {
			tags["timeZone"] = at[id]
		}
		w.hub.twins[id] = twinquery.Map{"deviceId": id, "tags": tags}
	}
	return func(device string) string { return at[device] }
}

// called reports whether every device that a clock makes due has been called so often.
func (w *world) calledAll(due func(device string) bool, times int) bool {
	for _, id := range w.hub.devices {
		if due(id) && w.hub.called(id) < times {
			return false
		}
	}
	return true
}

// Through two days on a clock that the test moves: each device is called once for each of its own days, at its own two o'clock, from
// Kiritimati to the far side of the date line, the clocks of Berlin going forward in between; the second run begins while the first goes on.
func TestEachDeviceRunsAtItsOwnLocalTime(t *testing.T) {
	t.Parallel()
	w, clock := clocked(t, "2026-03-28T11:00:00Z", 40)
	zoneOf := w.home("Pacific/Kiritimati", "Asia/Tokyo", "Europe/Berlin", "Europe/Paris", "America/New_York", "Etc/GMT+12", "", "Mars/Olympus")
	calls := w.timed(clock)
	w.recur(recurring(`{"cron":"0 2 * * *","timeZone":"device","remainingRuns":2}`))
	due := func(day int) func(string) bool {
		return func(device string) bool {
			loc, err := schedule.LoadZone(zoneOf(device))
			return err == nil && zoneOf(device) != "" && !clock.now().Before(time.Date(2026, 3, 29+day, 2, 0, 0, 0, loc))
		}
	}
	for range 27 { // two hours each, to 2026-03-30T17:00Z
		clock.jump(2 * time.Hour)
		for day := range 2 {
			w.run(func(context.Context) bool { return w.calledAll(due(day), 1+day) })
		}
	}
	rec, runs := w.rests(2)
	require.Equal(t, job.StatusCompleted, rec.Status)
	require.Equal(t, []string{"03-28 12:00", "03-29 12:00"}, starts(runs))
	require.True(t, runs[1].StartedAt.Before(runs[0].EndedAt), "they overlap by nature")
	for device, at := range calls() {
		loc, err := schedule.LoadZone(zoneOf(device))
		require.NoError(t, err)
		require.Len(t, at, 2, device)
		for day, when := range at {
			turn := time.Date(2026, 3, 29+day, 2, 0, 0, 0, loc) // Go, too, gives 03:00 for 02:00 on the 29th in Berlin
			require.False(t, when.Before(turn), "%s: %s before %s", zoneOf(device), when, turn)
			require.Less(t, when.Sub(turn), 4*time.Hour, zoneOf(device))
		}
	}
	for _, r := range runs {
		require.Equal(t, 30, r.Counts.Of(job.Succeeded))
		require.Equal(t, map[string]int{"noTimeZone": 5, "invalidTimeZone": 5}, r.Counts.ReasonMap())
	}
	require.Zero(t, w.hub.called("dev-6"), "who has no zone is not called")
}

// TestARunByLocalTimeSurvivesAnyDeath kills the process at its nth storage request while zones have their turns.
func TestARunByLocalTimeSurvivesAnyDeath(t *testing.T) {
	t.Parallel()
	for n := int64(1); n <= 60; n += 4 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			clock := clockAt(t, "2026-12-01T11:00:00Z")
			opts := impatient
			opts.Now = clock.now
			w := newWorld(t, opts)
			w.hurries(clock.jump)
			w.hub.populate(6)
			zoneOf := w.home("Asia/Tokyo", "Europe/Berlin", "")
			w.recur(recurring(`{"cron":"0 2 * * *","timeZone":"device","remainingRuns":1}`))
			clock.jump(7 * time.Hour) // Tokyo's turn has come
			w.current().left.Store(n)
			w.run(func(context.Context) bool {
				return w.calledAll(func(id string) bool { return zoneOf(id) == "Asia/Tokyo" }, 1)
			})
			clock.jump(6 * time.Hour)
			require.Zero(t, w.hub.called("dev-1"), "not Berlin's yet")
			clock.jump(20 * time.Hour)
			_, runs := w.rests(1)
			require.Equal(t, job.StatusCompleted, runs[0].Status)
			require.Equal(t, 4, runs[0].Counts.Of(job.Succeeded))
			require.Equal(t, map[string]int{"noTimeZone": 2}, runs[0].Counts.ReasonMap())
			require.LessOrEqual(t, w.total(), 8, "one death repeats a call once at most")
		})
	}
}

// Each zone has its own window: what it did not get through in one goes on in the next, while others work.
func TestWindowsOpenAndCloseByLocalTime(t *testing.T) {
	t.Parallel()
	w, clock := clocked(t, "2026-12-01T02:30:00Z", 4) // half past three in Berlin
	zoneOf := w.home("Europe/Berlin", "Asia/Tokyo")
	offline := map[string]bool{"dev-0": true, "dev-1": true}
	calls := w.timed(clock)
	inner := w.hub.answer
	w.hub.answer = func(id string, call int) (r iothub.MethodResult, err error) {
		if r, err = inner(id, call); offline[id] && call == 1 {
			return r, hubError(iothub.Offline)
		}
		return r, err
	}
	w.recur(`{"jobId":"daily","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*",
		"maintenanceWindow":{"cron":"0 2 * * *","duration":"PT2H","timeZone":"device"},
		"retry":{"criteria":[{"failureType":"deviceOffline","until":"P7D","delay":"PT45M","factor":1,"jitter":0}]}}`)
	w.run(func(context.Context) bool {
		return w.calledAll(func(id string) bool { return zoneOf(id) == "Europe/Berlin" }, 1)
	})
	require.Zero(t, w.hub.called("dev-1"), "it is noon in Tokyo")
	waits := func(id string, until string) {
		w.run(func(context.Context) bool {
			e := w.executions(w.status("daily"))[id]
			return e.NextAttemptAt.Format(time.RFC3339) == until
		})
	}
	clock.jump(time.Hour) // the retry of dev-0 is due, and the window of Berlin has closed
	waits("dev-0", "2026-12-02T01:00:00Z")
	require.Equal(t, 1, w.hub.called("dev-0"))
	clock.jump(13*time.Hour + 35*time.Minute) // five past two in Tokyo
	w.run(func(context.Context) bool {
		return w.calledAll(func(id string) bool { return zoneOf(id) == "Asia/Tokyo" }, 1)
	})
	clock.jump(time.Hour)
	w.run(func(context.Context) bool { return w.hub.called("dev-1") == 2 })
	require.Equal(t, 1, w.hub.called("dev-0"))
	clock.jump(7 * time.Hour)
	run := w.ended("daily")
	require.Equal(t, job.EndFinished, run.EndReason)
	require.Equal(t, 4, run.Counts().Of(job.Succeeded))
	for device, at := range calls() {
		loc, err := schedule.LoadZone(zoneOf(device))
		require.NoError(t, err)
		for _, when := range at {
			hour := when.Add(2 * time.Second).In(loc).Hour() // a device may begin a second early
			require.True(t, hour == 2 || hour == 3, "%s in %s", when, loc)
		}
	}
}

// With endBehavior cancel a zone's devices end when its window closes, and others go on.
func TestAWindowByLocalTimeMayEndItsDevices(t *testing.T) {
	t.Parallel()
	w, clock := clocked(t, "2026-12-01T02:30:00Z", 4)
	w.home("Europe/Berlin", "Asia/Tokyo")
	w.hub.answer = func(id string, _ int) (iothub.MethodResult, error) {
		if id == "dev-0" {
			return iothub.MethodResult{}, hubError(iothub.Offline)
		}
		return iothub.MethodResult{Status: 200}, nil
	}
	w.recur(`{"jobId":"daily","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*",
		"maintenanceWindow":{"cron":"0 2 * * *","duration":"PT2H","timeZone":"device","endBehavior":"cancel"},
		"retry":{"criteria":[{"failureType":"deviceOffline","until":"P7D","delay":"PT45M","factor":1,"jitter":0}]}}`)
	w.run(func(context.Context) bool { return w.hub.called("dev-0") == 1 && w.hub.called("dev-2") == 1 })
	clock.jump(time.Hour)
	w.run(func(context.Context) bool { return w.executions(w.status("daily"))["dev-0"].State.Final() })
	e := w.executions(w.status("daily"))["dev-0"]
	require.Equal(t, job.DeviceOffline, e.Reason, "it ends as its last call did")
	clock.jump(14 * time.Hour)
	run := w.ended("daily")
	require.Equal(t, job.EndFinished, run.EndReason)
	require.Equal(t, 3, run.Counts().Of(job.Succeeded))
	require.Equal(t, 1, w.hub.called("dev-0"))
}
