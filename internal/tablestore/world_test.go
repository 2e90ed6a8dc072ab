package tablestore_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/azurecred"
	"github.com/fleetjobs/fleetjobs/internal/azurite/azuritetest"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/storagefault"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

func TestMain(m *testing.M) { azuritetest.Main(m) }

// world is a store on Azurite behind a proxy that injects faults and counts requests.
type world struct {
	*tablestore.Store
	t     *testing.T
	proxy *storagefault.Proxy
	conn  string
}

// setup gives an empty store whose tables are there.
func setup(t *testing.T) *world {
	t.Helper()
	original := azuritetest.Start(t)
	proxy, err := storagefault.Start(original, storagefault.Plan{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, proxy.Close()) })
	w := &world{t: t, proxy: proxy, conn: proxy.ConnectionString(original)}
	w.Store = w.open("hub.azure-devices.net")
	require.NoError(t, w.Ensure(t.Context()))
	proxy.Reset()
	return w
}

// open gives another process's store of a hub.
func (w *world) open(hub string) *tablestore.Store {
	w.t.Helper()
	tables, err := azurecred.Tables(azurecred.Config{ConnectionString: w.conn})
	require.NoError(w.t, err)
	return tablestore.New(tables, hub, nil)
}

// faults makes storage misbehave from now on; none makes it well again.
func (w *world) faults(rules ...storagefault.Rule) {
	w.t.Helper()
	require.NoError(w.t, w.proxy.SetPlan(storagefault.Plan{Rules: rules}))
}

// loseReply loses the reply of the next request of an operation, after it was executed.
func (w *world) loseReply(operation string) {
	w.t.Helper()
	w.faults(storagefault.Rule{Operation: operation, Nth: 1, Fault: storagefault.LostReply})
}

// requests runs work and gives how many requests of each operation reached the service.
func (w *world) requests(work func()) map[string]int {
	w.t.Helper()
	w.proxy.Reset()
	work()
	n := map[string]int{}
	for operation, count := range w.proxy.Counts() {
		n[operation] = count.Executed
	}
	return n
}

// noon is when the tests' jobs are created and start, unless they say otherwise.
var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// newJob gives a job that is due at noon, created that many seconds after noon.
func newJob(id string, createdAfter int) *job.Record {
	return &job.Record{
		Definition: job.Definition{
			JobID: id, Type: job.TypeMethod, QueryCondition: "tags.site='Köln'", StartTime: noon,
			Method: &job.Method{Name: "reboot", ResponseTimeoutInSeconds: 30},
		},
		RunID: id + ".0", Status: job.StatusScheduled, Hash: "hash of " + id,
		CreatedAt: noon.Add(time.Duration(createdAfter) * time.Second),
	}
}

func (w *world) create(rec *job.Record) *job.Record {
	w.t.Helper()
	require.NoError(w.t, w.CreateJob(w.t.Context(), rec))
	return rec
}

// become gives a job another status, as the dispatcher does.
func (w *world) become(id string, next job.Status) *job.Record {
	w.t.Helper()
	rec, err := w.Job(w.t.Context(), id)
	require.NoError(w.t, err)
	from := rec.Status
	rec.Status = next
	require.NoError(w.t, w.SaveJob(w.t.Context(), rec, from))
	return rec
}

// listed gives the ids of all jobs of a listing, read in pages of max.
func (w *world) listed(q tablestore.JobQuery) []string {
	w.t.Helper()
	var ids []string
	for {
		page, next, err := w.Jobs(w.t.Context(), q)
		require.NoError(w.t, err)
		require.LessOrEqual(w.t, len(page), q.Max)
		for _, rec := range page {
			ids = append(ids, rec.JobID)
		}
		if next == "" {
			return ids
		}
		require.Len(w.t, page, q.Max, "only the last page is short")
		q.From = next
	}
}

func (w *world) due(until time.Time) []string {
	w.t.Helper()
	ids, err := w.Due(w.t.Context(), until)
	require.NoError(w.t, err)
	return ids
}

func (w *world) active() []string {
	w.t.Helper()
	ids, err := w.ActiveRuns(w.t.Context())
	require.NoError(w.t, err)
	for i, id := range ids {
		ids[i] = job.OwnerOf(id)
	}
	return ids
}

// newRun stores a run with its empty plan and reads both.
func (w *world) newRun(id string) (*job.Run, *job.Plan) {
	w.t.Helper()
	ctx := w.t.Context()
	require.NoError(w.t, w.CreateRun(ctx, &job.Run{ID: id, JobID: "j", Status: job.StatusScheduled, StartAt: noon}))
	run, err := w.Run(ctx, id)
	require.NoError(w.t, err)
	plan, err := w.Plan(ctx, id)
	require.NoError(w.t, err)
	return run, plan
}

// appendShards plans shards of queued devices; each argument is the devices of one.
func (w *world) appendShards(plan *job.Plan, devices ...[]string) {
	w.t.Helper()
	var shards []*job.Shard
	for _, ids := range devices {
		s := &job.Shard{RunID: plan.RunID, Number: plan.Shards}
		for _, id := range ids {
			s.Executions = append(s.Executions, job.Execution{DeviceID: id})
		}
		shards = append(shards, s)
		plan.Shards++
		plan.Devices += len(ids)
	}
	require.NoError(w.t, w.Grow(w.t.Context(), tablestore.Growth{Plan: plan, Shards: shards}))
}

// enqueue opens all shards of a plan.
func (w *world) enqueue(run *job.Run, plan *job.Plan) {
	w.t.Helper()
	sizes, _, err := w.ShardSizes(w.t.Context(), run.ID, run.Enqueued, plan.Shards)
	require.NoError(w.t, err)
	var opened []tablestore.Underway
	for i, size := range sizes {
		opened = append(opened, tablestore.Underway{Number: run.Enqueued + i, Devices: size, CheckAt: noon})
	}
	run.Enqueued = plan.Shards
	require.NoError(w.t, w.Grow(w.t.Context(), tablestore.Growth{Run: run, Opened: opened}))
}

func (w *world) shard(run string, n int) *job.Shard {
	w.t.Helper()
	s, err := w.Shard(w.t.Context(), run, n)
	require.NoError(w.t, err)
	return s
}

func (w *world) underway(run string) []tablestore.Underway {
	w.t.Helper()
	all, err := w.Underway(w.t.Context(), run)
	require.NoError(w.t, err)
	return all
}

// finish claims a shard, ends its devices with success, and closes it.
func (w *world) finish(run string, n int) *job.Shard {
	w.t.Helper()
	s := w.shard(run, n)
	s.Claim = s.Claim.Take("worker", noon, 30*time.Second)
	require.NoError(w.t, w.ClaimShard(w.t.Context(), s))
	for i := range s.Executions {
		s.Executions[i].Begin(noon)
		s.Executions[i].End(job.Outcome{State: job.Succeeded, StatusCode: 200, Answer: []byte(`{"ok":true}`)}, noon.Add(time.Second))
	}
	s.Claim = s.Claim.Release()
	require.NoError(w.t, w.CloseShard(w.t.Context(), s))
	return s
}

func deviceNames(prefix string, n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%s%05d", prefix, i)
	}
	return ids
}

func requireFault(t *testing.T, err error, field, value string) {
	t.Helper()
	faults := job.FaultsOf(err)
	require.Len(t, faults, 1, "%v", err)
	require.Equal(t, field, faults[0].Field)
	require.True(t, strings.HasPrefix(value, strings.TrimSuffix(faults[0].Value, "…")))
}

// deleteNow ends a job and deletes it.
func (w *world) deleteNow(id string) {
	w.t.Helper()
	require.NoError(w.t, w.DeleteJob(w.t.Context(), w.become(id, job.StatusCancelled), noon))
}

// rows gives the keys of all rows of a table, "partition/row".
func (w *world) rows(table string) []string {
	w.t.Helper()
	tables, err := azurecred.Tables(azurecred.Config{ConnectionString: w.conn})
	require.NoError(w.t, err)
	var keys []string
	for pager := tables.NewClient(table).NewListEntitiesPager(nil); pager.More(); {
		page, err := pager.NextPage(w.t.Context())
		require.NoError(w.t, err)
		for _, raw := range page.Entities {
			var e struct{ PartitionKey, RowKey string }
			require.NoError(w.t, json.Unmarshal(raw, &e))
			keys = append(keys, e.PartitionKey+"/"+e.RowKey)
		}
	}
	return keys
}

// requireNoRowsOf says that a job, deleted at noon, left nothing in the table of jobs but the notes that its run is to be
// deleted, and its audit trail later.
func (w *world) requireNoRowsOf(jobID string) {
	w.t.Helper()
	var left []string
	for _, key := range w.rows("fleetjobsjobs") {
		if strings.Contains(key, ":"+jobID) {
			left = append(left, key)
		}
	}
	require.Equal(w.t, []string{
		"hub.azure-devices.net/forget:" + noon.Add(tablestore.AuditRetention).Format("20060102T150405.000Z") + ":" + jobID + ".0",
		"hub.azure-devices.net/gone:" + jobID + ".0",
	}, left)
}
