package dispatch

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// TestShardsThatShareAWriteFailAlone: one that somebody else has written meanwhile keeps none of its neighbours open.
func TestShardsThatShareAWriteFailAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	store := w.observer()
	run := &job.Run{ID: "j.0", JobID: "j", Status: job.StatusRunning}
	require.NoError(t, store.CreateRun(t.Context(), run))
	run, err := store.Run(t.Context(), "j.0")
	require.NoError(t, err)
	g := tablestore.Growth{Run: run}
	const shards = 80
	for n := range shards {
		g.Shards = append(g.Shards, newShard("j.0", n, []string{fmt.Sprint("dev-", n)}))
		g.Opened = append(g.Opened, tablestore.Underway{Number: n, Devices: 1})
	}
	opened := g.Opened
	g.Opened = nil
	require.NoError(t, store.Grow(t.Context(), g))
	require.NoError(t, store.Grow(t.Context(), tablestore.Growth{Run: run, Opened: opened}))
	stolen, err := store.Shard(t.Context(), "j.0", 40)
	require.NoError(t, err)
	require.NoError(t, store.SaveShard(t.Context(), stolen))

	c := newCloser(store)
	errs := make([]error, shards)
	var all sync.WaitGroup
	for n, s := range g.Shards {
		all.Go(func() { errs[n] = c.close(t.Context(), s) })
	}
	all.Wait()
	for n, err := range errs {
		if n == 40 {
			require.ErrorIs(t, err, job.ErrConflict)
			continue
		}
		require.NoError(t, err, n)
		require.True(t, g.Shards[n].Closed)
	}
	require.Eventually(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.runs) == 0
	}, time.Minute, time.Millisecond)
}
