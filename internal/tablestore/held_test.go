package tablestore_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// asked is what the slice of a run's first shard asks for.
func asked(run, owner string, devices ...uint64) tablestore.Asked {
	return tablestore.Asked{RunID: run, Owner: owner, Devices: devices, Until: noon.Add(time.Minute)}
}

func kept(run string, devices ...uint64) *tablestore.Kept {
	return &tablestore.Kept{RunID: run, Devices: devices, Since: noon}
}

// held gives what runs other than one have, as others read it.
func held(t *testing.T, w *tablestore.Store, run string) []string {
	t.Helper()
	var rows []string
	require.NoError(t, w.Holders(t.Context(), run, func(h tablestore.Holder) {
		how := "keeps"
		if !h.Until.IsZero() {
			how = "asks for"
		}
		rows = append(rows, fmt.Sprintf("%s/%d %s %v", h.RunID, h.Shard, how, h.Devices))
	}))
	slices.Sort(rows)
	return rows
}

// A slice asks for devices, which others see, and what it may keep its shard keeps, from the same instant on, until it is less.
func TestWhatIsAskedForBecomesWhatIsKept(t *testing.T) {
	t.Parallel()
	w := setup(t)
	require.Empty(t, held(t, w.Store, "b.0"))
	a, k := asked("a.0", "one", 1, 2, 3), kept("a.0", 1, 2)
	require.NoError(t, w.Ask(t.Context(), a))
	require.Equal(t, []string{"a.0/0 asks for [1 2 3]"}, held(t, w.Store, "b.0"))
	require.Empty(t, held(t, w.Store, "a.0"), "not what the run itself has")
	require.NoError(t, w.Keep(t.Context(), a, k))
	require.Equal(t, []string{"a.0/0 keeps [1 2]"}, held(t, w.Store, "b.0"))
	got, err := w.Kept(t.Context(), "a.0", 0)
	require.NoError(t, err)
	require.Equal(t, k, got)

	stale := *k
	k.Devices = []uint64{2}
	require.NoError(t, w.KeepLess(t.Context(), k))
	require.Equal(t, []string{"a.0/0 keeps [2]"}, held(t, w.Store, "b.0"))
	stale.Devices = nil
	require.NoError(t, w.KeepLess(t.Context(), &stale))
	require.Equal(t, []string{"a.0/0 keeps [2]"}, held(t, w.Store, "b.0"), "who has lost the shard frees nothing of the next worker's")
	got, err = w.Kept(t.Context(), "a.0", 0)
	require.NoError(t, err)
	got.Devices = nil
	for range 2 {
		require.NoError(t, w.KeepLess(t.Context(), got), "also when it is gone")
	}
	require.Empty(t, w.rows("fleetjobsruns"))

	elsewhere := w.open("another.azure-devices.net")
	require.NoError(t, w.Ask(t.Context(), a))
	require.Empty(t, held(t, elsewhere, "b.0"), "hubs hold nothing of each other")
	require.Equal(t, w.HubPrint("d"), elsewhere.HubPrint("d"))
	require.NotEqual(t, w.HubPrint("d"), w.HubPrint("e"))
}

// What was asked for and has lapsed another may delete. Then it can not be kept any more, whatever its owner believes.
func TestWhatHasLapsedCanNotBeKept(t *testing.T) {
	t.Parallel()
	w := setup(t)
	late := asked("a.0", "late", 1)
	require.NoError(t, w.Ask(t.Context(), late))
	var lapsed tablestore.Holder
	require.NoError(t, w.Holders(t.Context(), "b.0", func(h tablestore.Holder) { lapsed = h }))
	require.Equal(t, late.Until, lapsed.Until)
	there, err := w.DropHolder(t.Context(), lapsed)
	require.NoError(t, err)
	require.True(t, there)
	require.ErrorIs(t, w.Keep(t.Context(), late, kept("a.0", 1)), job.ErrNotFound)
	require.Empty(t, held(t, w.Store, "b.0"))

	again := asked("a.0", "again", 1)
	require.NoError(t, w.Ask(t.Context(), again))
	require.NoError(t, w.Holders(t.Context(), "b.0", func(h tablestore.Holder) { lapsed = h }))
	require.NoError(t, w.Keep(t.Context(), again, kept("a.0", 1)))
	there, err = w.DropHolder(t.Context(), lapsed)
	require.NoError(t, err)
	require.False(t, there, "it has become what is kept, which whoever read it before may not have seen")
	require.Equal(t, []string{"a.0/0 keeps [1]"}, held(t, w.Store, "b.0"))
	require.NoError(t, w.Ask(t.Context(), again))
	require.ErrorIs(t, w.Keep(t.Context(), again, kept("a.0", 1)), job.ErrExists, "of a row that the caller has not read")
	require.Equal(t, []string{"a.0/0 asks for [1]", "a.0/0 keeps [1]"}, held(t, w.Store, "b.0"))
	require.NoError(t, w.Unask(t.Context(), again))
	require.NoError(t, w.Unask(t.Context(), again))
	require.Equal(t, []string{"a.0/0 keeps [1]"}, held(t, w.Store, "b.0"))
}

// A run that is over holds nothing; others keep theirs, also one whose id begins as its does.
func TestARunLetsGoOfAllItHolds(t *testing.T) {
	t.Parallel()
	w := setup(t)
	keep := func(run string, shard int) {
		a, k := asked(run, fmt.Sprint(shard), uint64(shard)), kept(run, uint64(shard))
		a.Shard, k.Shard = shard, shard
		require.NoError(t, w.Ask(t.Context(), a))
		require.NoError(t, w.Keep(t.Context(), a, k))
	}
	for shard := range 120 {
		keep("a.0", shard)
	}
	require.NoError(t, w.Ask(t.Context(), asked("a.0", "dead", 7)))
	keep("a.00", 1)
	keep("a", 2)
	require.NoError(t, w.DropHeld(t.Context(), "a.0"))
	require.Equal(t, []string{"a.00/1 keeps [1]", "a/2 keeps [2]"}, held(t, w.Store, ""))
	require.NoError(t, w.DropHeld(t.Context(), "a.0"))
}

// What a page of 100 devices costs: four requests, and some 1,100 bytes of each further page that other runs keep.
func TestWhatAnExclusivePageCosts(t *testing.T) {
	t.Parallel()
	w := setup(t)
	devices := make([]uint64, 100)
	for i := range devices {
		devices[i] = w.HubPrint(fmt.Sprint(i))
	}
	n := w.requests(func() {
		a, k := asked("a.0", "one", devices...), kept("a.0", devices...)
		require.NoError(t, w.Ask(t.Context(), a))
		require.Empty(t, held(t, w.Store, "a.0"))
		require.NoError(t, w.Keep(t.Context(), a, k))
		k.Devices = nil
		require.NoError(t, w.KeepLess(t.Context(), k))
	})
	sum := 0
	for _, k := range n {
		sum += k
	}
	require.Equal(t, 4, sum, "%v", n)
}
