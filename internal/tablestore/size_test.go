package tablestore_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/storagefault"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// place is where a row is.
type place struct{ table, partition, row string }

// copies stores n copies of a row under the keys that key gives. Those that nobody is to read are empty, which is quicker.
func (w *world) copies(of place, n, full int, key func(int) string) {
	w.t.Helper()
	service, err := aztables.NewServiceClientFromConnectionString(w.conn, nil)
	require.NoError(w.t, err)
	client := service.NewClient(of.table)
	original, err := client.GetEntity(w.t.Context(), of.partition, of.row, nil)
	require.NoError(w.t, err)
	var e map[string]any
	require.NoError(w.t, json.Unmarshal(original.Value, &e))
	const most = 100 // of a transaction
	var g errgroup.Group
	g.SetLimit(4)
	for from := 0; from < n; from += most {
		var actions []aztables.TransactionAction
		for i := from; i < min(n, from+most); i++ {
			if i == full {
				e = map[string]any{"PartitionKey": of.partition}
			}
			e["RowKey"] = key(i)
			raw, err := json.Marshal(e)
			require.NoError(w.t, err)
			actions = append(actions, aztables.TransactionAction{ActionType: aztables.TransactionTypeInsertReplace, Entity: raw})
		}
		g.Go(func() error {
			_, err := client.SubmitTransaction(w.t.Context(), actions, nil)
			return err
		})
	}
	require.NoError(w.t, g.Wait())
}

// newestRow is the key under which the list of all jobs has one that was created at a millisecond.
func newestRow(ms int64, id string) string {
	return fmt.Sprintf("new:%013d:%s", 9_999_999_999_999-ms, id)
}

// TestAPageOfJobsAmongManyOldOnesIsOneRead: 100,000 jobs came before the newest ones.
func TestAPageOfJobsAmongManyOldOnesIsOneRead(t *testing.T) {
	t.Parallel()
	w := setup(t)
	old := w.create(newJob("old", 0))
	before := old.CreatedAt.UnixMilli()
	w.copies(place{"fleetjobsjobs", "hub.azure-devices.net", newestRow(before, "old")}, 100_000, 100, func(i int) string {
		return newestRow(before-1-int64(i), fmt.Sprintf("old-%d", i))
	})
	for i := 1; i <= 30; i++ {
		w.create(newJob(fmt.Sprintf("new-%d", i), i))
	}
	w.become("new-7", job.StatusRunning)
	for name, q := range map[string]tablestore.JobQuery{"all": {Max: 50}, "of a status": {Max: 50, Status: job.StatusRunning}} {
		var page []*job.Record
		var next string
		require.Equal(t, map[string]int{storagefault.TableQuery: 1}, w.requests(func() {
			var err error
			page, next, err = w.Jobs(t.Context(), q)
			require.NoError(t, err)
		}), name)
		if q.Status != "" {
			require.Len(t, page, 1)
			continue
		}
		require.Equal(t, "new-30", page[0].JobID)
		require.Len(t, page, 50)
		q.From = next
		require.Equal(t, map[string]int{storagefault.TableQuery: 1}, w.requests(func() {
			page, _, err := w.Jobs(t.Context(), q)
			require.NoError(t, err)
			require.Len(t, page, 50)
		}), "%s, the page after it", name)
	}
}

// TestProgressOfAMillionDevicesTakesThreeReads at most: 128 shards are under way among 10,000.
func TestProgressOfAMillionDevicesTakesThreeReads(t *testing.T) {
	t.Parallel()
	w := setup(t)
	const shards, open = 10_000, 128
	w.create(newJob("big", 0))
	run, plan := w.newRun("big.0")
	ids := make([]string, job.ShardSize)
	for i := range ids {
		ids[i] = fmt.Sprintf("truck-%06d", i)
	}
	w.appendShards(plan, ids)
	w.copies(place{"fleetjobsruns", "big.0", "shard:00000000"}, shards, shards, func(i int) string { return fmt.Sprintf("shard:%08d", i) })
	plan.Shards, plan.Devices, plan.Done = shards, shards*job.ShardSize, true
	require.NoError(t, w.SavePlan(t.Context(), plan))
	done := shards / 2
	run.Enqueued, run.ClosedShards, run.Closed = done, done, job.CountsOf(job.Succeeded, job.NoReason, done*job.ShardSize)
	run.Planned, run.Devices, run.PlanDone = plan.Shards, plan.Devices, true
	var opened []tablestore.Underway
	for i := range open {
		opened = append(opened, tablestore.Underway{Number: done + i, Devices: job.ShardSize, CheckAt: noon})
	}
	run.Enqueued += open
	for from := 0; from < open; from += 64 {
		require.NoError(t, w.Grow(t.Context(), tablestore.Growth{Run: run, Opened: opened[from : from+64]}))
	}

	var counts job.Counts
	reads := w.requests(func() {
		_, err := w.Job(t.Context(), "big")
		require.NoError(t, err)
		run, err := w.Run(t.Context(), "big.0")
		require.NoError(t, err)
		counts = run.Counts()
	})
	require.Equal(t, map[string]int{storagefault.TableGet: 2}, reads, "what a GET of the job reads")
	require.Equal(t, 1_000_000, counts.Total())
	require.Equal(t, 500_000, counts.Of(job.Succeeded))
	reads = w.requests(func() {
		_, err := w.Run(t.Context(), "big.0")
		require.NoError(t, err)
		_, err = w.Plan(t.Context(), "big.0")
		require.NoError(t, err)
		all, err := w.Underway(t.Context(), "big.0")
		require.NoError(t, err)
		require.Len(t, all, open)
	})
	require.Equal(t, map[string]int{storagefault.TableGet: 2, storagefault.TableQuery: 1}, reads, "what a supervision reads, each second")
}

// TestAListingOfShardsReadsNoFingerprints: large runs are stored first and read again by whoever carries them out, at ten bytes a
// device and not at the eight of a fingerprint, in base64, more.
func TestAListingOfShardsReadsNoFingerprints(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.create(newJob("wide", 0))
	_, plan := w.newRun("wide.0")
	for range 10 {
		w.appendShards(plan, deviceNames("truck", job.ShardSize))
	}
	w.proxy.Reset()
	shards, err := w.Shards(t.Context(), "wide.0", tablestore.ShardQuery{Always: -1})
	require.NoError(t, err)
	require.Len(t, shards, 10)
	require.Less(t, w.proxy.Counts()[storagefault.TableQuery].Received, int64(10*10*job.ShardSize))
}
