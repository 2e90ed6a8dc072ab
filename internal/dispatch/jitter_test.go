package dispatch

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

// spreadOut is a daily job whose devices begin spread over an hour.
const spreadOut = `{"cron":"0 2 * * *","jitter":"PT1H"}`

func delayOf(device string) time.Duration {
	return schedule.Jitter("daily", device, schedule.Duration(time.Hour))
}

// timed notes when, by the clock, each device was called.
func (w *world) timed(clock *movedClock) func() map[string][]time.Time {
	at := map[string][]time.Time{}
	w.hub.answer = func(id string, _ int) (iothub.MethodResult, error) {
		w.hub.mu.Lock()
		defer w.hub.mu.Unlock()
		at[id] = append(at[id], clock.now())
		return iothub.MethodResult{Status: 200}, nil
	}
	return func() map[string][]time.Time {
		w.hub.mu.Lock()
		defer w.hub.mu.Unlock()
		all := map[string][]time.Time{}
		for id, times := range at {
			all[id] = slices.Clone(times)
		}
		return all
	}
}

// Every device begins after its own delay, the same in each run, and what waits holds no slot and no message.
func TestDevicesBeginSpreadOverTheJitter(t *testing.T) {
	t.Parallel()
	const devices = 450
	w, clock := clocked(t, "2026-12-01T01:50:00Z", devices)
	calls := w.timed(clock)
	w.recur(recurring(spreadOut))
	for day := 1; day <= 2; day++ {
		for range 4 { // the first begins the run
			clock.jump(20 * time.Minute)
			w.run(func(context.Context) bool {
				_, runs := w.daily()
				if len(runs) < day {
					return false
				}
				run, err := w.observer().Run(t.Context(), runs[day-1].RunID)
				if err != nil || !run.PlanDone {
					return false
				}
				passed, due := clock.now().Sub(run.StartedAt), 0
				for n := range devices {
					if delayOf(fmt.Sprint("dev-", n)) <= passed {
						due++
					}
				}
				return run.Counts().Of(job.Succeeded) >= due
			})
		}
		_, runs := w.rests(day)
		require.Equal(t, devices, runs[day-1].Counts.Of(job.Succeeded))
		for device, times := range calls() {
			require.Len(t, times, day, device)
			early := runs[day-1].StartedAt.Add(delayOf(device)).Sub(times[day-1])
			require.LessOrEqual(t, early, 1100*time.Millisecond, "%s on day %d", device, day)
		}
		clock.jump(22*time.Hour + 30*time.Minute)
	}
}

// What waits for its delay is a row: no message, no slot, no claim. A cancel ends it as never called.
func TestWhatWaitsForItsDelayIsARow(t *testing.T) {
	t.Parallel()
	w, clock := clocked(t, "2026-12-01T01:59:00Z", 1000)
	w.recur(recurring(spreadOut))
	clock.jump(2 * time.Minute)
	var run *job.Run
	w.run(func(context.Context) bool {
		_, runs := w.daily()
		if len(runs) == 0 {
			return false
		}
		var err error
		run, err = w.observer().Run(t.Context(), runs[0].RunID)
		return err == nil && run.PlanDone && run.Counts().Of(job.Succeeded) >= 1
	})
	w.calls.Wait()
	require.Empty(t, w.current().d.slots)
	open, err := w.observer().Underway(t.Context(), run.ID)
	require.NoError(t, err)
	require.Len(t, open, 10, "full shards")
	waiting := 0
	for _, u := range open {
		shard, err := w.observer().Shard(t.Context(), run.ID, u.Number)
		require.NoError(t, err)
		require.False(t, shard.Claim.Live(clock.now()))
		if u.WakeAt.After(clock.now()) {
			waiting++
		}
		delays := map[time.Duration]bool{}
		for _, e := range shard.Executions {
			delays[delayOf(e.DeviceID)] = true
		}
		require.LessOrEqual(t, len(delays), 20, "devices of a shard wait together")
	}
	require.GreaterOrEqual(t, waiting, 9)
	before := w.total()
	_, _, err = w.current().d.Cancel(t.Context(), "daily", someone())
	require.NoError(t, err)
	_, runs := w.rests(1)
	require.Equal(t, job.StatusCancelled, runs[0].Status)
	require.Equal(t, before, w.total())
	require.Equal(t, 1000-before, runs[0].Counts.ReasonMap()["jobCanceled"], "never called, so no last attempt to end as")
}

// TestAJitterSurvivesAnyDeath kills the process at its nth storage request, for many n: each device is called, and only those
// again whose outcome was not stored.
func TestAJitterSurvivesAnyDeath(t *testing.T) {
	t.Parallel()
	const devices = 150
	for n := int64(1); n <= 60; n += 4 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			clock := clockAt(t, "2026-12-01T00:00:00Z")
			opts := impatient
			opts.Now = clock.now
			w := newWorld(t, opts)
			w.hurries(clock.jump)
			w.hub.page = 60
			w.hub.populate(devices)
			w.recur(recurring(`{"cron":"0 2 * * *","jitter":"PT2S"}`))
			clock.jump(3 * time.Hour)
			w.current().left.Store(n)
			_, runs := w.rests(1)
			require.Equal(t, job.StatusCompleted, runs[0].Status)
			require.Equal(t, job.Statistics{DeviceCount: devices, SucceededCount: devices}, runs[0].Counts.Statistics())
			require.LessOrEqual(t, w.total(), 2*devices, "one death repeats a call once at most")
		})
	}
}
