package tablestore_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestUploadAndPurge(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ctx := t.Context()
	gone := func(now time.Time) []string {
		runs, err := w.Gone(ctx, now, 10)
		require.NoError(t, err)
		return runs
	}
	require.NoError(t, w.BeginUpload(ctx, "j.0", noon.Add(time.Hour)))
	require.NoError(t, w.BeginUpload(ctx, "abandoned.0", noon.Add(time.Hour)))
	require.NoError(t, w.PutList(ctx, "abandoned.0", 0, []string{"a"}))
	rec := newJob("j", 0)
	rec.ListChunks = 1
	w.create(rec)
	require.Empty(t, gone(noon), "an upload has its time")
	require.Equal(t, []string{"abandoned.0"}, gone(noon.Add(time.Hour)), "the job's creation ended the other upload")
	is, err := w.IsGone(ctx, "j.0")
	require.NoError(t, err)
	require.False(t, is)

	w.deleteNow("j")
	require.Equal(t, []string{"j.0"}, gone(noon))
	is, err = w.IsGone(ctx, "j.0")
	require.NoError(t, err)
	require.True(t, is)
	runs, err := w.Gone(ctx, noon.Add(time.Hour), 1)
	require.NoError(t, err)
	require.Len(t, runs, 1, "no more than asked for")
	for range 2 {
		require.NoError(t, w.Purged(ctx, "j.0"), "also when somebody else was faster")
	}
	require.Empty(t, gone(noon))
}

func TestPurgeDeletesAllRowsOfOneRun(t *testing.T) {
	t.Parallel()
	w := setup(t)
	_, plan := w.newRun("j.0")
	w.newRun("k.0")
	require.NoError(t, w.PutList(t.Context(), "j.0", 0, []string{"a"}))
	for range 3 {
		one := make([][]string, 80)
		for i := range one {
			one[i] = []string{"a"}
		}
		w.appendShards(plan, one...)
	}
	steps := 0
	for empty := false; !empty; steps++ {
		var err error
		empty, err = w.Purge(t.Context(), "j.0", 150)
		require.NoError(t, err)
		require.Less(t, steps, 5)
	}
	require.Equal(t, 2, steps, "243 rows")
	require.ElementsMatch(t, []string{"k.0/run", "k.0/plan"}, w.rows("fleetjobsruns"))
	empty, err := w.Purge(t.Context(), "j.0", 150)
	require.NoError(t, err)
	require.True(t, empty, "a run that is gone")
}
