package tablestore_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// What a slice works on is one row, which others read, which lapses, and which a reader deletes then.
func TestWhatSlicesHold(t *testing.T) {
	t.Parallel()
	w := setup(t)
	held := func(run string, now time.Time) []uint64 {
		var prints []uint64
		require.NoError(t, w.HeldByOthers(t.Context(), run, now, func(p uint64) { prints = append(prints, p) }))
		slices.Sort(prints)
		return prints
	}
	hold := func(run string, shard int, until time.Time, devices ...uint64) {
		require.NoError(t, w.Hold(t.Context(), tablestore.Held{RunID: run, Shard: shard, Devices: devices, Until: until}))
	}
	require.Empty(t, held("a.0", noon))
	hold("a.0", 0, noon.Add(time.Minute), 1, 2)
	hold("a.0", 1, noon.Add(time.Minute), 3)
	hold("b.0", 0, noon.Add(2*time.Minute), 4)
	require.Equal(t, []uint64{4}, held("a.0", noon), "not what the run itself holds")
	require.Equal(t, []uint64{1, 2, 3}, held("b.0", noon))
	hold("a.0", 0, noon.Add(2*time.Minute), 1)
	require.Equal(t, []uint64{1, 3}, held("b.0", noon), "less, and for longer")
	require.Equal(t, []uint64{1}, held("b.0", noon.Add(time.Minute)), "the other has lapsed")
	require.Len(t, w.rows("fleetjobsruns"), 2)
	require.NoError(t, w.LetGo(t.Context(), tablestore.Held{RunID: "a.0", Owner: "who lost the claim"}))
	require.Equal(t, []uint64{1}, held("b.0", noon))
	for range 2 {
		require.NoError(t, w.LetGo(t.Context(), tablestore.Held{RunID: "a.0"}), "also when it is gone")
	}
	require.Empty(t, held("b.0", noon))
	require.Equal(t, []uint64{4}, held("", noon), "of another run at all")

	elsewhere := w.open("another.azure-devices.net")
	require.NoError(t, elsewhere.HeldByOthers(t.Context(), "", noon, func(uint64) { require.Fail(t, "hubs hold nothing of each other") }))
	require.Equal(t, w.HubPrint("d"), elsewhere.HubPrint("d"))
	require.NotEqual(t, w.HubPrint("d"), w.HubPrint("e"))
	n := w.requests(func() {
		hold("c.0", 0, noon.Add(time.Minute), 5)
		held("c.0", noon)
		require.NoError(t, w.LetGo(t.Context(), tablestore.Held{RunID: "c.0"}))
	})
	sum := 0
	for _, k := range n {
		sum += k
	}
	require.Equal(t, 3, sum, "what a page costs: %v", n)
}
