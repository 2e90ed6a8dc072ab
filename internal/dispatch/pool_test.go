package dispatch

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// order gives the devices of a run in the order in which they were planned.
func (w *world) order(run *job.Run) (ids []string) {
	w.t.Helper()
	shards, err := w.observer().Shards(w.t.Context(), run.ID, tablestore.ShardQuery{Always: -1})
	require.NoError(w.t, err)
	for _, s := range shards {
		for _, e := range s.Executions {
			ids = append(ids, e.DeviceID)
		}
	}
	return ids
}

// TestDevicesInAnOrderByChance: the same for the same job, of a query as of a list, and the first batch has the first of them.
func TestDevicesInAnOrderByChance(t *testing.T) {
	t.Parallel()
	for name, target := range map[string]string{"query": `"queryCondition":"*"`, "list": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, quick)
			w.hub.populate(300)
			if target == "" {
				target = `"deviceIds":["` + strings.Join(w.hub.devices, `","`) + `"]`
			}
			called := w.called()
			run := w.ended(w.create(fmt.Sprintf(`{"jobId":"lock","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"lockDoor"},%s,
				"rollout":{"order":"random","batches":[{"number":30},{"percentage":10},{}]}}`, target)))
			require.Equal(t, 300, run.Counts().Of(job.Succeeded))
			want := job.Shuffle("lock", w.hub.devices)
			require.Equal(t, want, w.order(run))
			require.ElementsMatch(t, want[:30], called()[:30])
			require.ElementsMatch(t, want[30:60], called()[30:60])
		})
	}
}

// TestALargeTargetIsOrderedBucketByBucket: a job with a limit takes the first in the order by chance of all devices.
func TestALargeTargetIsOrderedBucketByBucket(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.page = 1500
	for i := range 18_000 {
		w.hub.devices = append(w.hub.devices, fmt.Sprintf("dev-%d-%s", i, strings.Repeat("x", 117)))
	}
	run := w.ended(w.create(careful(`{"order":"random"}`, `,"maxDevices":700`)))
	require.Equal(t, 700, run.Counts().Of(job.Succeeded))
	require.Equal(t, job.Shuffle("lock", w.hub.devices)[:700], w.order(run))
	plan, err := w.observer().Plan(t.Context(), run.ID)
	require.NoError(t, err)
	require.Equal(t, job.Pool{Buckets: job.PoolBuckets, Writes: 2, Done: true}, *plan.Pool)
}

// TestAnOrderByChanceOutlivesDeathsAndLostTokens: canaries go first, the others follow in the same order as ever.
func TestAnOrderByChanceOutlivesDeathsAndLostTokens(t *testing.T) {
	t.Parallel()
	step := int64(3) // what differs from other jobs with parts is a few requests
	if testing.Short() {
		step = 7
	}
	for n := int64(1); n <= 45; n += step {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			w := newMortalWorld(t, impatient)
			w.hub.page = 20
			w.hub.populate(150)
			w.hub.tag(func(i int) any { return float64(i % 50) })
			lost := false
			w.hub.query = func(continuation string) error {
				if continuation == "60" && !lost {
					lost = true
					return hubError(iothub.Rejected)
				}
				return nil
			}
			id := w.create(careful(`{"order":"random","batches":[{"queryCondition":"tags.site = 7"},{"number":20,"gate":{"successThresholdPercentage":100}},{}]}`, ""))
			w.current().left.Store(n)
			run := w.ended(id)
			require.Equal(t, job.Statistics{DeviceCount: 150, SucceededCount: 150}, run.Counts().Statistics())
			order := w.order(run)
			require.ElementsMatch(t, []string{"dev-7", "dev-57", "dev-107"}, order[:3])
			var others []string
			for _, id := range job.Shuffle("lock", w.hub.devices) {
				if id != "dev-7" && id != "dev-57" && id != "dev-107" {
					others = append(others, id)
				}
			}
			require.Equal(t, others, order[3:])
			require.Equal(t, 20, run.Rollout.Batches[1].Begun)
			require.True(t, lost)
		})
	}
}
