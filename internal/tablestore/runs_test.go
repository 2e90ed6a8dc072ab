package tablestore_test

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/storagefault"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

func TestARunIsReadAsItWasStored(t *testing.T) {
	t.Parallel()
	w := setup(t)
	run, plan := w.newRun("j.0")
	require.Equal(t, &job.Plan{RunID: "j.0", Rev: plan.Rev}, plan)
	require.NoError(t, run.Become(job.StatusRunning, noon))
	require.NoError(t, run.Become(job.StatusBlocked, noon))
	run.Block = &job.Block{Reason: "quota", Code: "403002", Since: noon, ProbeAt: noon.Add(time.Second), Probes: 2, Planning: true}
	run.Closed, run.Live = job.CountsOf(job.Failed, job.Abandoned, 4), job.CountsOf(job.Queued, job.NoReason, 5)
	run.Devices, run.Generation, run.SupervisedAt, run.Resend = 9, 3, noon, true
	require.NoError(t, w.SaveRun(t.Context(), run))
	got, err := w.Run(t.Context(), "j.0")
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(run, got))

	plan.Continuation, plan.Done, plan.Restarts = `{"token":"+RID:~x#RT:1"}`, true, 2
	plan.Claim, plan.SendAt = job.Claim{}.Take("w", noon, time.Minute), noon
	require.NoError(t, w.SavePlan(t.Context(), plan))
	stored, err := w.Plan(t.Context(), "j.0")
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(plan, stored))
}

func TestStartingARunTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	w := setup(t)
	run, plan := w.newRun("j.0")
	require.NoError(t, run.Become(job.StatusRunning, noon))
	require.NoError(t, w.SaveRun(t.Context(), run))
	again, samePlan := w.newRun("j.0")
	require.Empty(t, cmp.Diff(run, again))
	require.Empty(t, cmp.Diff(plan, samePlan))
}

func TestOnlyOneOfTwoWritersWins(t *testing.T) {
	t.Parallel()
	w := setup(t)
	run, plan := w.newRun("j.0")
	w.appendShards(plan, []string{"a"})
	staleRun, stalePlan, staleShard := *run, *plan, *w.shard("j.0", 0)
	require.NoError(t, w.SaveRun(t.Context(), run))
	require.NoError(t, w.SavePlan(t.Context(), plan))
	w.enqueue(run, plan)
	current := w.shard("j.0", 0)
	require.NoError(t, w.SaveShard(t.Context(), current))

	ctx := t.Context()
	require.ErrorIs(t, w.SaveRun(ctx, &staleRun), job.ErrConflict)
	require.ErrorIs(t, w.Grow(ctx, tablestore.Growth{Run: &staleRun, Opened: []tablestore.Underway{{Number: 7}}}), job.ErrConflict)
	require.ErrorIs(t, w.RollUp(ctx, &staleRun, []tablestore.Underway{{Number: 0}}), job.ErrConflict)
	require.ErrorIs(t, w.SavePlan(ctx, &stalePlan), job.ErrConflict)
	require.ErrorIs(t, w.Grow(ctx, tablestore.Growth{Plan: &stalePlan, Shards: []*job.Shard{{RunID: "j.0", Number: 1}}}), job.ErrConflict)
	require.ErrorIs(t, w.ClaimShard(ctx, &staleShard), job.ErrConflict)
	require.ErrorIs(t, w.SaveShard(ctx, &staleShard), job.ErrConflict)
	require.ErrorIs(t, w.CloseShard(ctx, &staleShard), job.ErrConflict)
	require.False(t, staleShard.Closed, "a shard that could not be closed is not")

	require.Len(t, w.underway("j.0"), 1, "the losers' transactions left nothing")
	_, err := w.Shard(ctx, "j.0", 1)
	require.ErrorIs(t, err, job.ErrNotFound)
	require.NoError(t, w.CloseShard(ctx, current), "the winner goes on with the revision it got")
}

func TestRowsOfADeletedRunAreNotWrittenAgain(t *testing.T) {
	t.Parallel()
	w := setup(t)
	run, plan := w.newRun("j.0")
	w.appendShards(plan, []string{"a"})
	w.enqueue(run, plan)
	shard := w.shard("j.0", 0)
	empty, err := w.Purge(t.Context(), "j.0", 100)
	require.NoError(t, err)
	require.True(t, empty)
	ctx := t.Context()
	for name, err := range map[string]error{
		"SaveRun": w.SaveRun(ctx, run), "opening": w.Grow(ctx, tablestore.Growth{Run: run, Opened: []tablestore.Underway{{}}}),
		"SavePlan": w.SavePlan(ctx, plan), "planning": w.Grow(ctx, tablestore.Growth{Plan: plan, Shards: []*job.Shard{shard}}),
		"ClaimShard": w.ClaimShard(ctx, shard), "SaveShard": w.SaveShard(ctx, shard), "CloseShard": w.CloseShard(ctx, shard),
	} {
		require.ErrorIs(t, err, job.ErrNotFound, name)
	}
	require.NoError(t, w.MarkChecked(ctx, "j.0", tablestore.Underway{}))
	require.Empty(t, w.rows("fleetjobsruns"))
}

// The way of a shard from the plan to the run's counts.
func TestTheWayOfAShard(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ctx := t.Context()
	run, plan := w.newRun("j.0")
	w.appendShards(plan, []string{"a", "b"}, []string{"c"})
	require.Empty(t, w.underway("j.0"), "planned, not enqueued")
	w.enqueue(run, plan)
	require.Equal(t, []tablestore.Underway{{Number: 0, Devices: 2, CheckAt: noon}, {Number: 1, Devices: 1, CheckAt: noon}},
		w.underway("j.0"))

	shard := w.shard("j.0", 0)
	shard.Claim = shard.Claim.Take("worker", noon, 30*time.Second)
	require.NoError(t, w.ClaimShard(ctx, shard))
	require.Empty(t, cmp.Diff(shard, w.shard("j.0", 0)), "a claim changes nothing else")
	shard.Executions[0].Begin(noon)
	shard.Executions[1].End(job.Outcome{State: job.Failed, Reason: job.DeviceOffline}, noon)
	require.NoError(t, w.SaveShard(ctx, shard))
	require.NoError(t, w.MarkChecked(ctx, "j.0", tablestore.Underway{Number: 0, CheckAt: noon.Add(time.Minute), Checks: 2}))
	require.Equal(t, tablestore.Underway{
		Number: 0, Devices: 2, CheckAt: noon.Add(time.Minute), Checks: 2,
		Counts: job.CountsOf(job.InProgress, job.NoReason, 1).Plus(job.CountsOf(job.Failed, job.DeviceOffline, 1)),
	}, w.underway("j.0")[0], "progress is seen before the shard has ended")

	shard.Executions[0].End(job.Outcome{State: job.Succeeded, StatusCode: 200}, noon)
	shard.Claim = shard.Claim.Release()
	require.NoError(t, w.CloseShard(ctx, shard))
	require.Empty(t, cmp.Diff(shard, w.shard("j.0", 0)))
	require.NoError(t, w.MarkChecked(ctx, "j.0", tablestore.Underway{Number: 0}), "a shard that ended meanwhile")
	all := w.underway("j.0")
	require.Len(t, all, 2)
	require.True(t, all[0].Done, "done ones come first")
	require.Equal(t, job.Count(shard.Executions), all[0].Counts)
	require.False(t, all[1].Done)

	run.Closed = run.Closed.Plus(all[0].Counts)
	run.ClosedShards++
	require.NoError(t, w.RollUp(ctx, run, all[:1]))
	require.Equal(t, 1, w.underway("j.0")[0].Number, "what the run counts is under way no more")
	require.True(t, w.shard("j.0", 0).Closed)
}

// A worker that stores its progress late, after somebody else closed the shard, does not open it again.
func TestLateProgressDoesNotReopenAShard(t *testing.T) {
	t.Parallel()
	w := setup(t)
	run, plan := w.newRun("j.0")
	w.appendShards(plan, []string{"a"})
	w.enqueue(run, plan)
	late := w.shard("j.0", 0)
	w.finish("j.0", 0)
	require.ErrorIs(t, w.SaveShard(t.Context(), late), job.ErrConflict)
	all := w.underway("j.0")
	require.Len(t, all, 1)
	require.True(t, all[0].Done)
}

// The rows of an explicit target are no shards under way, wherever their keys lie.
func TestAListOfDevicesDoesNotDisturbItsRun(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ids := deviceNames("it's-50%#?", tablestore.ListChunk)
	for i := range ids {
		ids[i] += strings.Repeat("x", job.MaxDeviceIDLen-len(ids[i]))
	}
	require.NoError(t, w.PutList(t.Context(), "j.0", 0, ids))
	require.NoError(t, w.PutList(t.Context(), "j.0", 0, ids), "an upload can be repeated")
	require.NoError(t, w.PutList(t.Context(), "j.0", 1, ids[:1]))
	run, plan := w.newRun("j.0")
	w.appendShards(plan, []string{"a"})
	require.Empty(t, w.underway("j.0"))
	w.enqueue(run, plan)
	require.Len(t, w.underway("j.0"), 1)
	shards, err := w.Shards(t.Context(), "j.0", tablestore.ShardQuery{})
	require.NoError(t, err)
	require.Len(t, shards, 1)
	got, err := w.List(t.Context(), "j.0", 0)
	require.NoError(t, err)
	require.Equal(t, ids, got)
	_, err = w.List(t.Context(), "j.0", 2)
	require.ErrorIs(t, err, job.ErrNotFound)
}

func TestShardSizesKnowWhatIsMissing(t *testing.T) {
	t.Parallel()
	w := setup(t)
	_, plan := w.newRun("j.0")
	w.appendShards(plan, []string{"a"}, []string{"b", "c"}, []string{"d"})
	sizes, _, err := w.ShardSizes(t.Context(), "j.0", 1, 3)
	require.NoError(t, err)
	require.Equal(t, []int{2, 1}, sizes)
	_, _, err = w.ShardSizes(t.Context(), "j.0", 1, 4)
	require.ErrorContains(t, err, "run j.0: 2 of the shards 1 to 3 are there")
}

func TestListingExecutionsByState(t *testing.T) {
	t.Parallel()
	w := setup(t)
	run, plan := w.newRun("j.0")
	w.appendShards(plan, []string{"a"}, []string{"b"}, []string{"c"}, []string{"d"}, []string{"e"})
	run.Enqueued = 0
	w.enqueue(run, plan)
	w.finish("j.0", 1)
	w.finish("j.0", 3)
	numbers := func(q tablestore.ShardQuery) []int {
		shards, err := w.Shards(t.Context(), "j.0", q)
		require.NoError(t, err)
		found := []int{}
		for _, s := range shards {
			found = append(found, s.Number)
			require.Equal(t, string(rune('a'+s.Number)), s.Executions[0].DeviceID)
		}
		return found
	}
	state := func(s job.ExecutionState) *job.ExecutionState { return &s }
	for name, c := range map[string]struct {
		query tablestore.ShardQuery
		want  []int
	}{
		"all":                      {tablestore.ShardQuery{Always: -1}, []int{0, 1, 2, 3, 4}},
		"from a shard on":          {tablestore.ShardQuery{From: 3, Always: -1}, []int{3, 4}},
		"some":                     {tablestore.ShardQuery{From: 1, Max: 2, Always: -1}, []int{1, 2}},
		"beyond the last":          {tablestore.ShardQuery{From: 5, Always: -1}, []int{}},
		"one state":                {tablestore.ShardQuery{State: state(job.Succeeded), Always: -1}, []int{1, 3}},
		"one state, some":          {tablestore.ShardQuery{State: state(job.Queued), Always: -1, Max: 2}, []int{0, 2}},
		"one state, going on":      {tablestore.ShardQuery{State: state(job.Queued), Always: -1, From: 3}, []int{4}},
		"a state of none":          {tablestore.ShardQuery{State: state(job.Rejected), Always: -1}, []int{}},
		"a state, and 2 and later": {tablestore.ShardQuery{State: state(job.Rejected), Always: 2}, []int{2, 3, 4}},
		"going on after those":     {tablestore.ShardQuery{State: state(job.Rejected), Always: 2, From: 4}, []int{4}},
		"a state, and all":         {tablestore.ShardQuery{State: state(job.Rejected), Always: 0}, []int{0, 1, 2, 3, 4}},
	} {
		require.Equal(t, c.want, numbers(c.query), name)
	}
}

func TestFindingOneDevice(t *testing.T) {
	t.Parallel()
	w := setup(t)
	_, plan := w.newRun("j.0")
	odd := []string{"50%", "#1", "why?", "it's", "%27", "a'b''c", "A", "a", strings.Repeat("$", job.MaxDeviceIDLen)}
	w.appendShards(plan, deviceNames("d", 100), odd)
	for i, id := range odd {
		require.True(t, job.DeviceID(id))
		e, shard, err := w.Find(t.Context(), "j.0", id)
		require.NoError(t, err)
		require.Equal(t, 1, shard)
		require.Empty(t, cmp.Diff(job.Execution{DeviceID: odd[i]}, e))
	}
	for _, id := range []string{"d00100", "it''s", "", "B", "50%25"} {
		_, _, err := w.Find(t.Context(), "j.0", id)
		require.ErrorIs(t, err, job.ErrNotFound, id)
	}
	_, _, err := w.Find(t.Context(), "j.1", "a")
	require.ErrorIs(t, err, job.ErrNotFound, "another run")
}

func TestWhatAPlanHasSelected(t *testing.T) {
	t.Parallel()
	w := setup(t)
	_, plan := w.newRun("j.0")
	ids := deviceNames("d", 250)
	w.appendShards(plan, ids[:100], ids[100:200], ids[200:])
	seen := map[uint64]bool{}
	require.NoError(t, w.Selected(t.Context(), "j.0", func(print uint64) { seen[print] = true }))
	require.Len(t, seen, 250)
	for _, id := range ids {
		require.True(t, seen[w.Fingerprint("j.0", id)])
		require.False(t, seen[w.Fingerprint("j.1", id)], "prints of other runs differ")
	}
}

// The limits of one write: as many shards as it may take, with the ids that compress worst.
func TestTheLargestPlanWriteFitsATransaction(t *testing.T) {
	t.Parallel()
	w := setup(t)
	run, plan := w.newRun("j.0")
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-:.+%_#*?!(),=@;$'"
	random := rand.New(rand.NewPCG(1, 2))
	shards := make([][]string, tablestore.MaxPerWrite)
	for i := range shards {
		for range job.ShardSize {
			id := make([]byte, job.MaxDeviceIDLen)
			for k := range id {
				id[k] = letters[random.IntN(len(letters))]
			}
			shards[i] = append(shards[i], string(id))
		}
	}
	w.proxy.Reset()
	w.appendShards(plan, shards...)
	sent := w.proxy.Counts()[storagefault.TableBatch].Sent
	require.Less(t, sent, int64(4<<20), "https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions")
	t.Logf("%d shards of the worst ids: %d bytes", len(shards), sent)
	w.enqueue(run, plan)
	require.Len(t, w.underway("j.0"), tablestore.MaxPerWrite)
	var done []tablestore.Underway
	for n := range 3 {
		w.finish("j.0", n)
	}
	for _, u := range w.underway("j.0") {
		if u.Done {
			done = append(done, u)
		}
	}
	require.NoError(t, w.RollUp(t.Context(), run, done))
	require.Error(t, w.Grow(t.Context(), tablestore.Growth{Run: run, Opened: make([]tablestore.Underway, tablestore.MaxPerWrite+1)}))
}

// TestShardsThatEndTogetherShareATransaction: and none of them ends when one has another writer.
func TestShardsThatEndTogetherShareATransaction(t *testing.T) {
	t.Parallel()
	w := setup(t)
	run, plan := w.newRun("j.0")
	w.appendShards(plan, []string{"a"}, []string{"b"}, []string{"c"})
	w.enqueue(run, plan)
	shards := []*job.Shard{w.shard("j.0", 0), w.shard("j.0", 1), w.shard("j.0", 2)}
	require.NoError(t, w.SaveShard(t.Context(), w.shard("j.0", 1)))
	require.ErrorIs(t, w.CloseShards(t.Context(), shards), job.ErrConflict)
	require.False(t, shards[0].Closed)
	shards[1] = w.shard("j.0", 1)
	w.proxy.Reset()
	require.NoError(t, w.CloseShards(t.Context(), shards))
	require.Equal(t, 1, w.proxy.Counts()[storagefault.TableBatch].Requests)
	for _, s := range shards {
		require.True(t, s.Closed)
		require.Empty(t, cmp.Diff(s, w.shard("j.0", s.Number)))
	}
	for _, u := range w.underway("j.0") {
		require.True(t, u.Done)
	}
}

// A shard whose devices all sent the longest answer, of bytes that do not compress, fits a row and comes back.
func TestAShardOfTheWorstAnswersFitsARow(t *testing.T) {
	t.Parallel()
	w := setup(t)
	run, plan := w.newRun("j.0")
	w.appendShards(plan, deviceNames("d", job.ShardSize))
	w.enqueue(run, plan)
	shard := w.shard("j.0", 0)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range shard.Executions {
		answer := make([]byte, job.AnswerLimit+1)
		for k := range answer {
			answer[k] = byte(random.Uint32())
		}
		shard.Executions[i].Begin(noon)
		shard.Executions[i].End(job.Outcome{State: job.Failed, Reason: job.UnreadableAnswer, Answer: answer}, noon)
		require.True(t, shard.Executions[i].Truncated)
	}
	require.NoError(t, w.SaveShard(t.Context(), shard))
	require.True(t, reflect.DeepEqual(shard, w.shard("j.0", 0)))
	require.NoError(t, w.CloseShard(t.Context(), shard))
	require.True(t, reflect.DeepEqual(shard, w.shard("j.0", 0)))
}
