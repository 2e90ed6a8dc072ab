package dispatch

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

func (w *world) edit(patch string, version int) (*job.Record, error) {
	rec, _, err := w.current().d.Edit(w.t.Context(), "daily", Edit{Patch: []byte(patch), Version: version}, someone())
	return rec, err
}

// The run under way keeps the target that it began with; the next one has the new one, at the new time.
func TestARecurringJobIsEditedFromItsNextRunOn(t *testing.T) {
	t.Parallel()
	w, clock := clocked(t, "2026-12-01T01:59:00Z", 20)
	started := make(chan string, 100)
	release := w.hub.held(started)
	goOn := sync.OnceFunc(func() { close(release) })
	t.Cleanup(goOn)
	w.recur(recurring(`{"cron":"0 2 * * *"}`))
	clock.jump(2 * time.Minute)
	w.run(func(context.Context) bool { return len(started) > 0 })

	rec, err := w.edit(`{"schedule":{"cron":"0 5 * * *"},"deviceIds":["dev-3","dev-4"],"maxExecutionTimeInSeconds":600}`, 1)
	require.NoError(t, err)
	require.Equal(t, 2, rec.Version(nil))
	require.Equal(t, "2026-12-01T05:00:00Z", rec.Series.Next.UTC().Format(time.RFC3339))
	_, err = w.edit(`{"maxDevices":1}`, 1)
	require.ErrorIs(t, err, ErrEdited)
	_, runs := w.daily()
	require.Equal(t, "*", runs[0].QueryCondition, "the run under way keeps to what it began with")
	require.Zero(t, runs[0].MaxExecutionTimeInSeconds)
	goOn()
	_, runs = w.rests(1)
	require.Equal(t, 20, runs[0].Counts.Of(job.Succeeded))

	clock.jump(3 * time.Hour)
	_, runs = w.rests(2)
	require.Equal(t, []string{"12-01 02:00", "12-01 05:00"}, starts(runs))
	require.Equal(t, 2, runs[1].Counts.Of(job.Succeeded), "the new list")
	require.Equal(t, []int{1, 2}, []int{runs[0].Version(nil), runs[1].Version(nil)})
	require.Equal(t, 1, w.hub.called("dev-0"))
	require.Equal(t, 2, w.hub.called("dev-3"))

	rec, err = w.edit(`{"queryCondition":"*","maxDevices":3}`, AnyVersion)
	require.NoError(t, err)
	require.Zero(t, rec.ListChunks)
	clock.jump(24 * time.Hour)
	_, runs = w.rests(3)
	require.Equal(t, 3, runs[2].Counts.Of(job.Succeeded))
	require.Equal(t, 2, runs[1].DeviceCount, "a run of before still knows its list")

	var notes []string
	for _, c := range w.trail("daily") {
		if c.Action == job.ActionEdited {
			notes = append(notes, c.Note)
		}
	}
	require.Equal(t, []string{
		"deviceIds, maxExecutionTimeInSeconds, schedule; version 2, from the next run on",
		"maxDevices, queryCondition; version 3, from the next run on",
	}, notes)
	_, err = w.edit(`{"queryCondition":"tags. ="}`, AnyVersion)
	require.NotEmpty(t, job.FaultsOf(err))

	_, _, err = w.current().d.Cancel(t.Context(), "daily", someone())
	require.NoError(t, err)
	_, err = w.edit(`{"maxDevices":3}`, AnyVersion)
	require.ErrorIs(t, err, ErrEnded)
	require.NoError(t, w.current().d.Delete(t.Context(), "daily", someone()))
	w.run(func(context.Context) bool {
		gone, err := w.observer().IsGone(t.Context(), rec.RunID)
		return err == nil && !gone
	})
}

// A process that dies at any request of an edit leaves the job as it was, or edited once; what runs is not touched.
func TestAnEditOfARecurringJobWhereverAProcessDies(t *testing.T) {
	t.Parallel()
	for n := int64(1); n <= 8; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			w, clock := clocked(t, "2026-12-01T01:59:00Z", 5)
			w.recur(recurring(`{"cron":"0 2 * * *"}`))
			clock.jump(2 * time.Minute)
			_, runs := w.rests(1)
			before, err := json.Marshal(runs[0].Definition)
			require.NoError(t, err)
			w.current().left.Store(n)
			if _, err := w.edit(`{"deviceIds":["dev-3"],"schedule":{"cron":"0 5 * * *"}}`, 1); err != nil {
				_, err = w.edit(`{"deviceIds":["dev-3"],"schedule":{"cron":"0 5 * * *"}}`, 1)
				if err != nil {
					require.ErrorIs(t, err, ErrEdited, "the reply was lost, and not the edit")
				}
			}
			clock.jump(3 * time.Hour)
			rec, runs := w.rests(2)
			require.Equal(t, 1, rec.Edits)
			after, err := json.Marshal(runs[0].Definition)
			require.NoError(t, err)
			require.JSONEq(t, string(before), string(after))
			require.Equal(t, []string{"12-01 02:00", "12-01 05:00"}, starts(runs))
			require.Equal(t, 1, runs[1].Counts.Of(job.Succeeded))
		})
	}
}
