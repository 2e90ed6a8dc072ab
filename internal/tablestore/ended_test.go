package tablestore_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// What has ended is listed by the time of its end from the write that ends it until it is deleted.
func TestWhatHasEndedIsListedByItsEnd(t *testing.T) {
	t.Parallel()
	w := setup(t)
	expired := func(before time.Time) []string {
		ids, err := w.Expired(t.Context(), before, 2)
		require.NoError(t, err)
		return ids
	}
	end := func(id string, at time.Time) *job.Record {
		rec := w.create(newJob(id, 0))
		rec.Status, rec.EndedAt = job.StatusCancelled, at
		require.NoError(t, w.SaveJob(t.Context(), rec, job.StatusScheduled))
		return rec
	}
	end("late", noon.Add(3*time.Hour))
	first := end("first", noon.Add(time.Hour))
	end("second", noon.Add(2*time.Hour))
	end("third", noon.Add(2*time.Hour+time.Millisecond))
	require.Empty(t, expired(noon.Add(time.Hour)), "before, not at")
	require.Equal(t, []string{"first.0"}, expired(noon.Add(time.Hour+time.Millisecond)))
	n := w.requests(func() {
		require.Equal(t, []string{"first.0", "second.0"}, expired(noon.Add(100*time.Hour)), "no more than asked for, the earliest first")
	})
	require.Equal(t, map[string]int{"table.Query": 1}, n)

	require.NoError(t, w.PutOff(t.Context(), first, noon.Add(2*time.Hour+30*time.Minute)))
	require.Equal(t, []string{"second.0", "third.0"}, expired(noon.Add(100*time.Hour)))
	stale := *first
	stale.Rev = "W/\"datetime'2000'\""
	require.ErrorIs(t, w.PutOff(t.Context(), &stale, noon), job.ErrConflict)

	for _, id := range []string{"first", "second", "third", "late"} {
		rec, err := w.Job(t.Context(), id)
		require.NoError(t, err)
		require.NoError(t, w.DeleteJob(t.Context(), rec, noon))
		w.requireNoRowsOf(id)
	}
	require.Empty(t, expired(noon.Add(100*time.Hour)))
}
