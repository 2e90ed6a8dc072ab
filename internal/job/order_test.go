package job_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// TestShufflingIsRepeatable: whatever order the hub lists devices in, and however often, they come in the same order, each once; and
// bucket by bucket it is the same order as all together.
func TestShufflingIsRepeatable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOfN(rapid.StringMatching(`[a-c]{1,4}`), 0, 60).Draw(t, "devices")
		jobID := rapid.StringMatching(`[a-z]{1,3}`).Draw(t, "job")
		all := job.Shuffle(jobID, ids)
		require.Equal(t, all, job.Shuffle(jobID, rapid.Permutation(ids).Draw(t, "listed")))
		once := slices.Compact(slices.Sorted(slices.Values(ids)))
		require.ElementsMatch(t, once, all)

		n := 1 << rapid.IntRange(0, 6).Draw(t, "buckets")
		buckets := make([][]string, n)
		for _, id := range ids {
			b := job.Bucket(job.Lot(jobID, id), n)
			buckets[b] = append(buckets[b], id)
		}
		inTurn := []string{}
		for _, b := range buckets {
			inTurn = append(inTurn, job.Shuffle(jobID, b)...)
		}
		require.Equal(t, all, inTurn)
	})
}

// TestLotsAreEven: a tenth of the lots falls into each tenth, and one job's first devices are not another's.
func TestLotsAreEven(t *testing.T) {
	t.Parallel()
	const devices, tenths = 20_000, 10
	var counts [tenths]int
	ids := make([]string, devices)
	for i := range ids {
		ids[i] = fmt.Sprintf("dev-%d", i)
		counts[job.Lot("reboot", ids[i])/(1<<63/tenths*2+1)]++
	}
	for tenth, n := range counts {
		require.InDelta(t, devices/tenths, n, 200, "tenth %d: five times the deviation that chance has", tenth)
	}
	first, other := job.Shuffle("reboot", ids)[:2000], job.Shuffle("update", ids)[:2000]
	slices.Sort(other)
	both := 0
	for _, id := range first {
		if _, in := slices.BinarySearch(other, id); in {
			both++
		}
	}
	require.InDelta(t, 200, both, 70, "a tenth of a tenth")
}

func TestOrdersThatAreRefused(t *testing.T) {
	t.Parallel()
	for text, fault := range map[string]string{
		`{"order":"shuffled"}`:                   `must be "random"`,
		`{"order":1}`:                            `must be "random"`,
		`{"order":"random","orderBy":"tags.a"}`:  "must not be random beside orderBy",
		`{"order":"random","spreadBy":"tags.a"}`: "must not be random beside spreadBy",
	} {
		_, err := job.Decode([]byte(plus(`"rollout":`+text)), noon)
		require.ErrorContains(t, err, fault, text)
	}
}
