package tablestore_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/azurecred"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/storagefault"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// lossy is a write whose reply gets lost: the client repeats it, and storage refuses the repetition.
type lossy struct {
	operation string
	write     func(ctx context.Context, w *world) error
}

// lossyWrites are all writes. Each begins with a job "waiting", and a job "j", ended, whose run "j.0" has shard 0 open and
// shard 1 done.
func lossyWrites() map[string]lossy {
	return map[string]lossy{
		"CreateJob": {storagefault.TableBatch, func(ctx context.Context, w *world) error {
			return w.CreateJob(ctx, newJob("new", 0))
		}},
		"SaveJob": {storagefault.TableBatch, func(ctx context.Context, w *world) error {
			rec, err := w.Job(ctx, "waiting")
			require.NoError(w.t, err)
			rec.Status = job.StatusCancelled
			return w.SaveJob(ctx, rec, job.StatusScheduled)
		}},
		"Activate": {storagefault.TableBatch, func(ctx context.Context, w *world) error {
			rec, err := w.Job(ctx, "waiting")
			require.NoError(w.t, err)
			return w.Activate(ctx, rec)
		}},
		"DeleteJob": {storagefault.TableBatch, func(ctx context.Context, w *world) error {
			rec, err := w.Job(ctx, "j")
			require.NoError(w.t, err)
			return w.DeleteJob(ctx, rec, noon)
		}},
		"CreateRun": {storagefault.TableBatch, func(ctx context.Context, w *world) error {
			return w.CreateRun(ctx, &job.Run{ID: "new.0"})
		}},
		"SaveRun": {storagefault.TableUpdate, func(ctx context.Context, w *world) error {
			run, err := w.Run(ctx, "j.0")
			require.NoError(w.t, err)
			return w.SaveRun(ctx, run)
		}},
		"Grow by shards": {storagefault.TableBatch, func(ctx context.Context, w *world) error {
			plan, err := w.Plan(ctx, "j.0")
			require.NoError(w.t, err)
			return w.Grow(ctx, tablestore.Growth{Plan: plan, Shards: []*job.Shard{{RunID: "j.0", Number: 2}}})
		}},
		"Grow by opened shards": {storagefault.TableBatch, func(ctx context.Context, w *world) error {
			run, err := w.Run(ctx, "j.0")
			require.NoError(w.t, err)
			return w.Grow(ctx, tablestore.Growth{Run: run, Opened: []tablestore.Underway{{Number: 2}}})
		}},
		"RollUp": {storagefault.TableBatch, func(ctx context.Context, w *world) error {
			run, err := w.Run(ctx, "j.0")
			require.NoError(w.t, err)
			return w.RollUp(ctx, run, []tablestore.Underway{{Number: 1}})
		}},
		"ClaimShard": {storagefault.TableUpdate, func(ctx context.Context, w *world) error {
			shard := w.shard("j.0", 0)
			shard.Claim = shard.Claim.Take("me", noon, time.Minute)
			return w.ClaimShard(ctx, shard)
		}},
		"SaveShard": {storagefault.TableUpdate, func(ctx context.Context, w *world) error {
			return w.SaveShard(ctx, w.shard("j.0", 0))
		}},
		"CloseShard": {storagefault.TableBatch, func(ctx context.Context, w *world) error {
			return w.CloseShard(ctx, w.shard("j.0", 0))
		}},
		"MarkChecked": {storagefault.TableUpdate, func(ctx context.Context, w *world) error {
			return w.MarkChecked(ctx, "j.0", tablestore.Underway{Number: 0})
		}},
		"PutList": {storagefault.TableUpsert, func(ctx context.Context, w *world) error {
			return w.PutList(ctx, "j.0", 0, []string{"a"})
		}},
		"BeginUpload": {storagefault.TableUpsert, func(ctx context.Context, w *world) error {
			return w.BeginUpload(ctx, "new.0", noon)
		}},
		"Purged": {storagefault.TableBatch, func(ctx context.Context, w *world) error {
			require.NoError(w.t, w.BeginUpload(ctx, "new.0", noon))
			return w.Purged(ctx, "new.0")
		}},
		"Ensure": {storagefault.TableCreateTable, func(ctx context.Context, w *world) error {
			return w.openTables("other").Ensure(ctx)
		}},
	}
}

// prepare makes what lossyWrites begin with.
func (w *world) prepare() {
	w.t.Helper()
	w.create(newJob("waiting", -100))
	w.create(newJob("j", 0))
	w.become("j", job.StatusCancelled)
	run, plan := w.newRun("j.0")
	w.appendShards(plan, []string{"a"}, []string{"b"})
	w.enqueue(run, plan)
	w.finish("j.0", 1)
}

// openTables gives a store with tables of other names.
func (w *world) openTables(prefix string) *tablestore.Store {
	w.t.Helper()
	tables, err := azurecred.Tables(azurecred.Config{ConnectionString: w.conn})
	require.NoError(w.t, err)
	return tablestore.New(tables, "hub.azure-devices.net", &tablestore.Options{Prefix: prefix})
}

func TestAWriteWhoseReplyWasLostIsOurs(t *testing.T) {
	t.Parallel()
	for name, c := range lossyWrites() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.prepare()
			w.proxy.Reset()
			w.loseReply(c.operation)
			require.NoError(t, c.write(t.Context(), w))
			seen := w.proxy.Counts()[c.operation]
			require.Equal(t, 1, seen.Faults, "a reply was lost")
			require.GreaterOrEqual(t, seen.Executed, 2, "and the request repeated")
		})
	}
}

// After a lost reply a caller holds the revision of its own write, so that it can go on.
func TestAWriterGoesOnAfterALostReply(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.prepare()
	ctx := t.Context()
	shard := w.shard("j.0", 0)
	shard.Claim = shard.Claim.Take("me", noon, time.Minute)
	w.loseReply(storagefault.TableUpdate)
	require.NoError(t, w.ClaimShard(ctx, shard))
	w.loseReply(storagefault.TableUpdate)
	require.NoError(t, w.SaveShard(ctx, shard))
	w.loseReply(storagefault.TableBatch)
	shard.EndRest(job.Outcome{State: job.Canceled, Reason: job.JobCanceled}, noon)
	require.NoError(t, w.CloseShard(ctx, shard))
	require.Empty(t, cmp.Diff(shard, w.shard("j.0", 0)))

	rec := newJob("new", 0)
	w.loseReply(storagefault.TableBatch)
	require.NoError(t, w.CreateJob(ctx, rec))
	w.loseReply(storagefault.TableBatch)
	require.NoError(t, w.Activate(ctx, rec))
	rec.Status = job.StatusRunning
	require.NoError(t, w.SaveJob(ctx, rec, job.StatusScheduled))
	require.Equal(t, []string{"new"}, w.active())
}

// A refusal after a lost request is the work of somebody else, and stays a refusal.
func TestTheWriteOfAnotherIsNotOurs(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.prepare()
	ctx := t.Context()
	mine, theirs := w.shard("j.0", 0), w.shard("j.0", 0)
	mine.Claim = mine.Claim.Take("me", noon, time.Minute)
	theirs.Claim = theirs.Claim.Take("them", noon, time.Minute)
	require.NoError(t, w.ClaimShard(ctx, theirs))
	w.faults(storagefault.Rule{Operation: storagefault.TableUpdate, Nth: 1, Fault: storagefault.LostRequest})
	require.ErrorIs(t, w.ClaimShard(ctx, mine), job.ErrConflict)
	require.Equal(t, "them", w.shard("j.0", 0).Claim.Owner)
	w.faults(storagefault.Rule{Operation: storagefault.TableBatch, Nth: 1, Fault: storagefault.OperationTimedOut})
	require.ErrorIs(t, w.CreateJob(ctx, newJob("j", 5)), job.ErrExists)
}

// Deleting many rows survives the loss of a reply: what is gone already is no fault.
func TestPurgeSurvivesALostReply(t *testing.T) {
	t.Parallel()
	w := setup(t)
	_, plan := w.newRun("j.0")
	for range 2 {
		w.appendShards(plan, make([][]string, tablestore.MaxPerWrite)...)
	}
	w.loseReply(storagefault.TableBatch)
	empty, err := w.Purge(t.Context(), "j.0", 1000)
	require.NoError(t, err)
	require.False(t, empty, "the rest is left to the next call")
	empty, err = w.Purge(t.Context(), "j.0", 1000)
	require.NoError(t, err)
	require.True(t, empty)
	require.Empty(t, w.rows("fleetjobsruns"))
}

// Real storage ends pages early, and sends empty ones, as it likes.
func TestReadersAcceptShortAndEmptyPages(t *testing.T) {
	t.Parallel()
	for name, rules := range map[string][]storagefault.Rule{
		"short":          {{Fault: storagefault.ShortPage}},
		"empty":          {{Fault: storagefault.EmptyPage}},
		"empty or short": {{Fault: storagefault.EmptyPage, Share: 0.5}, {Fault: storagefault.ShortPage, PageSize: 2}},
		"busy":           {{Operation: storagefault.TableQuery, Fault: storagefault.ServerBusy, Share: 0.3}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.prepare()
			ids := []string{"a", "b", "c", "d", "e"}
			for i, id := range ids {
				rec := w.create(newJob(id, -i-1))
				if i%2 == 0 {
					require.NoError(t, w.Activate(t.Context(), rec))
				}
			}
			w.deleteNow("e")
			_, plan := w.newRun("k.0")
			w.appendShards(plan, deviceNames("x", 10), deviceNames("y", 10), deviceNames("z", 10))
			w.proxy.Reset()
			w.faults(rules...)

			require.Equal(t, []string{"j", "a", "b", "c", "d", "waiting"}, w.listed(tablestore.JobQuery{Max: 10}))
			for limit := 1; limit <= 4; limit++ {
				require.Equal(t, []string{"a", "b", "c", "d", "waiting"}, w.listed(tablestore.JobQuery{Status: job.StatusScheduled, Type: job.TypeMethod, Max: limit}))
			}
			require.Equal(t, []string{"b", "d", "waiting"}, w.due(noon.Add(time.Second)))
			require.ElementsMatch(t, []string{"a", "c"}, w.active())
			require.Len(t, w.underway("j.0"), 2)
			shards, err := w.Shards(t.Context(), "k.0", tablestore.ShardQuery{Max: 2, Always: -1})
			require.NoError(t, err)
			require.Len(t, shards, 2)
			sizes, _, err := w.ShardSizes(t.Context(), "k.0", 0, 3)
			require.NoError(t, err)
			require.Equal(t, []int{10, 10, 10}, sizes)
			_, n, err := w.Find(t.Context(), "k.0", "z00007")
			require.NoError(t, err)
			require.Equal(t, 2, n)
			gone, err := w.Gone(t.Context(), noon, 10)
			require.NoError(t, err)
			require.Equal(t, []string{"e.0"}, gone)
			require.Positive(t, w.proxy.Counts()[storagefault.TableQuery].Faults)
			for empty := false; !empty; {
				empty, err = w.Purge(t.Context(), "k.0", 3)
				require.NoError(t, err)
			}
		})
	}
}

// A throttled or slow service is asked again, and no write is done twice.
func TestWritesSurviveABusyService(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.faults(
		storagefault.Rule{Fault: storagefault.ServerBusy, Share: 0.15},
		storagefault.Rule{Fault: storagefault.OperationTimedOutLate, Share: 0.15},
	)
	run, plan := w.newRun("j.0")
	devices := make([][]string, 8)
	for i := range devices {
		devices[i] = deviceNames(string(rune('a'+i)), 3)
	}
	w.appendShards(plan, devices...)
	w.enqueue(run, plan)
	for n := range devices {
		w.finish("j.0", n)
	}
	all := w.underway("j.0")
	for _, u := range all {
		require.True(t, u.Done)
		run.Closed = run.Closed.Plus(u.Counts)
	}
	require.NoError(t, w.RollUp(t.Context(), run, all))
	require.Equal(t, 24, run.Closed.Of(job.Succeeded))
	require.Empty(t, w.underway("j.0"))
}

// Tables that are not there are no lost race: the message must not be dropped as somebody else's work.
func TestMissingTablesAreAFault(t *testing.T) {
	t.Parallel()
	w := setup(t)
	missing := w.openTables("missing")
	ctx := t.Context()
	_, readErr := missing.Run(ctx, "j.0")
	_, listErr := missing.Due(ctx, noon)
	for name, err := range map[string]error{
		"read": readErr, "list": listErr,
		"write": missing.SaveRun(ctx, &job.Run{ID: "j.0", Rev: `W/"x"`}), "transaction": missing.CreateJob(ctx, newJob("j", 0)),
		"upsert": missing.PutList(ctx, "j.0", 0, nil),
	} {
		require.Error(t, err, name)
		for _, expected := range []error{job.ErrNotFound, job.ErrExists, job.ErrConflict} {
			require.NotErrorIs(t, err, expected, name)
		}
		require.ErrorContains(t, err, "TableNotFound", name)
	}
	require.NoError(t, missing.Ensure(ctx))
	require.NoError(t, missing.Ensure(ctx))
	require.NoError(t, missing.CreateJob(ctx, newJob("j", 0)))
}

func TestErrorsShowNoSecrets(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.faults(storagefault.Rule{Fault: storagefault.LostRequest})
	_, err := w.Job(t.Context(), "j")
	require.ErrorContains(t, err, "reading row job:j")
	_, key, _ := strings.Cut(w.conn, "AccountKey=")
	key, _, _ = strings.Cut(key, ";")
	require.NotEmpty(t, key)
	require.NotContains(t, err.Error(), key)
}

// What storage costs: the numbers that the design promises.
func TestStorageRequests(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.proxy.Reset()
	require.Equal(t, map[string]int{}, w.requests(func() { require.NoError(t, w.Ensure(t.Context())) }), "tables are made once")

	rec := newJob("j", 0)
	require.Equal(t, map[string]int{storagefault.TableBatch: 1}, w.requests(func() { w.create(rec) }))
	require.Equal(t, map[string]int{storagefault.TableBatch: 1}, w.requests(func() { require.NoError(t, w.Activate(t.Context(), rec)) }))
	run, plan := w.newRun("j.0")
	pages := make([][]string, 48)
	for i := range pages {
		pages[i] = deviceNames("d", job.ShardSize)
	}
	require.Equal(t, map[string]int{storagefault.TableBatch: 1}, w.requests(func() { w.appendShards(plan, pages...) }))
	require.Equal(t, map[string]int{storagefault.TableQuery: 1, storagefault.TableBatch: 1}, w.requests(func() { w.enqueue(run, plan) }))

	// A hundred devices from claim to end: read, claim, close.
	require.Equal(t, map[string]int{storagefault.TableGet: 1, storagefault.TableUpdate: 1, storagefault.TableBatch: 1},
		w.requests(func() { w.finish("j.0", 0) }))
	require.Equal(t, map[string]int{storagefault.TableQuery: 1, storagefault.TableBatch: 1}, w.requests(func() {
		require.NoError(t, w.RollUp(t.Context(), run, w.underway("j.0")[:1]))
	}), "a supervision of 48 shards")
	require.Equal(t, map[string]int{storagefault.TableQuery: 1, storagefault.TableGet: 1}, w.requests(func() {
		_, _, err := w.Find(t.Context(), "j.0", "d00042")
		require.NoError(t, err)
	}))
}
