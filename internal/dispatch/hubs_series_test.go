package dispatch

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// TestEachRunOfARecurringJobTakesTheHubsOfItsTime: "all" is what the settings name when a run begins. A deleted job leaves no rows at any hub.
func TestEachRunOfARecurringJobTakesTheHubsOfItsTime(t *testing.T) {
	t.Parallel()
	clock := clockAt(t, "2026-12-01T00:00:00Z")
	opts := quick
	opts.Now = clock.now
	w := newWorld(t, opts, hubOf(20))
	w.hub.populate(10)
	w.recur(strings.Replace(recurring(`{"cron":"0 2 * * *","remainingRuns":2}`), "{", `{"hubs":"all",`, 1))
	clock.jump(3 * time.Hour)
	_, runs := w.rests(1)
	require.Len(t, runs, 1)
	require.Len(t, runs[0].AtHubs, 2)
	require.Equal(t, 30, runs[0].Counts.Of(job.Succeeded))

	w.others = append(w.others, hubOf(5))
	w.boot(0)
	clock.jump(24 * time.Hour)
	rec, runs := w.rests(2)
	require.Equal(t, job.StatusCompleted, rec.Status)
	require.Len(t, runs[1].AtHubs, 3)
	require.Equal(t, 35, runs[1].Counts.Of(job.Succeeded))
	require.Equal(t, 35, rec.Counts.Of(job.Succeeded), "the job shows its latest run")

	require.NoError(t, w.current().d.Delete(t.Context(), "daily", someone()))
	store := w.observer()
	w.run(func(ctx context.Context) bool {
		for _, run := range runs {
			for _, h := range run.AtHubs {
				if _, err := store.Run(ctx, job.HubRunID(run.RunID, h.Hub)); !errors.Is(err, job.ErrNotFound) {
					return false
				}
			}
		}
		gone, err := store.Gone(ctx, clock.now(), 100)
		return err == nil && len(gone) == 0
	})
}
