package dispatch

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/pace"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// fed gives a planner of a running run whose plan is done and whose shards, of two devices each, are stored and not opened.
func (w *world) fed(shards int) *planner {
	w.t.Helper()
	store, ctx := w.observer(), w.t.Context()
	run := &job.Run{ID: "lock.0", JobID: "lock", Status: job.StatusRunning, StartedAt: time.Now()}
	require.NoError(w.t, store.CreateRun(ctx, run))
	run, err := store.Run(ctx, run.ID)
	require.NoError(w.t, err)
	plan, err := store.Plan(ctx, run.ID)
	require.NoError(w.t, err)
	g := tablestore.Growth{Plan: plan}
	for n := range shards {
		g.Shards = append(g.Shards, newShard(run.ID, n, []string{"a", "b"}))
	}
	plan.Shards, plan.Devices, plan.Done = shards, 2*shards, true
	require.NoError(w.t, store.Grow(ctx, g))
	d := w.current().d
	op := &operation{lane: d.lanes[0], kind: pace.Methods, cost: 1, do: func(context.Context, string) (job.Outcome, error) {
		return job.Outcome{State: job.Succeeded}, nil
	}}
	return &planner{plan: plan, feeder: feeder{d: d, run: run, stored: shards, local: &local{
		d: d, op: op, owner: "planner", until: d.now().Add(time.Minute), freed: make(chan struct{}, 1),
	}}}
}

// TestAPlannerWithoutAllowanceLeavesShardsAlone: while it asked for room in the hub's allowance, which others took, they opened
// its shards and called the devices. What they stored stands.
func TestAPlannerWithoutAllowanceLeavesShardsAlone(t *testing.T) {
	t.Parallel()
	opts := quick
	opts.Rates = pace.Rates{pace.Methods: 1}
	w := newWorld(t, opts)
	var once sync.Once
	w.through(meddler{after: func(r *http.Request, _ string) {
		if !strings.Contains(r.URL.Query().Get("$filter"), "'shard:") {
			return
		}
		once.Do(func() {
			store := w.observer()
			run, err := store.Run(t.Context(), "lock.0")
			require.NoError(t, err)
			run.Enqueued = 2
			require.NoError(t, store.Grow(t.Context(), tablestore.Growth{Run: run, Opened: []tablestore.Underway{{Number: 0, Devices: 2}, {Number: 1, Devices: 2}}}))
			shard, err := store.Shard(t.Context(), run.ID, 0)
			require.NoError(t, err)
			shard.EndRest(job.Outcome{State: job.Failed, Reason: job.DeviceOffline}, time.Now())
			require.NoError(t, store.CloseShard(t.Context(), shard))
		})
	}})
	p := w.fed(2)
	_, err := p.d.lanes[0].pacer.reserve(t.Context(), pace.Methods, pace.Ask{Run: p.run.ID, Costs: []int{100}}) // far more than the horizon
	require.NoError(t, err)
	require.NoError(t, p.takeNext(t.Context()))
	shard, err := w.observer().Shard(t.Context(), p.run.ID, 0)
	require.NoError(t, err)
	require.True(t, shard.Closed)
	require.Equal(t, job.Failed, shard.Executions[0].State)
	require.Empty(t, p.d.slots)
}

// TestAPlannerKeepsItsSlotsOverAConflict: a supervision writes the run each second. What a planner has reserved of the hub's
// allowance meanwhile is not lost.
func TestAPlannerKeepsItsSlotsOverAConflict(t *testing.T) {
	t.Parallel()
	opts := quick
	opts.Rates = pace.Rates{pace.Methods: 10}
	w := newWorld(t, opts)
	var once sync.Once
	w.through(meddler{after: func(r *http.Request, body string) {
		if strings.Contains(r.URL.Path+body, "pace:methods") && r.Method != http.MethodGet {
			once.Do(func() {
				store := w.observer()
				run, err := store.Run(t.Context(), "lock.0")
				require.NoError(t, err)
				run.Generation++
				require.NoError(t, store.SaveRun(t.Context(), run))
			})
		}
	}})
	p := w.fed(4)
	require.NoError(t, p.takeNext(t.Context()))
	require.NoError(t, p.local.wait())
	run := w.stored(p)
	require.Equal(t, 4, run.Enqueued)
	require.Equal(t, 1, run.Generation)
	require.Equal(t, 8, run.Live.Total())
	require.Empty(t, p.d.slots)
}

// TestAPlannerFeedsNoClosedGate: while the hub refuses calls, shards are neither claimed nor opened only to be handed back.
func TestAPlannerFeedsNoClosedGate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	p := w.fed(8)
	p.d.lanes[0].gate.throttled(time.Now(), 10*hold)
	require.False(t, p.local.free())
	require.Zero(t, p.local.reserve(4))
	require.NoError(t, p.takeNext(t.Context()))
	require.NoError(t, p.local.wait())
	require.Zero(t, p.run.Enqueued)
	require.Zero(t, w.queue.count(kindShard))
	require.Empty(t, p.d.slots)
}

// TestAPlannerFeedsNothingPastTheEndOfARun: shards that nobody may call any more stay unopened, and end with the run.
func TestAPlannerFeedsNothingPastTheEndOfARun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	p := w.fed(2)
	p.run.Deadline = time.Now().Add(-time.Second)
	require.NoError(t, w.observer().SaveRun(t.Context(), p.run))
	require.NoError(t, p.takeNext(t.Context()))
	require.NoError(t, p.local.wait())
	require.Zero(t, w.stored(p).Enqueued)
	require.True(t, p.feedAt.After(time.Now()), "it does not ask again at once")
	require.Empty(t, p.d.slots)
}

// TestAPlannersShardsKnowTheWindow: a window that was prolonged while the planner was at work holds no call back.
func TestAPlannersShardsKnowTheWindow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	p := w.fed(2)
	prolonged := *p.run
	p.run.OpenUntil, prolonged.OpenUntil = time.Now(), time.Now().Add(time.Hour)
	require.NoError(t, w.observer().SaveRun(t.Context(), &prolonged))
	require.NoError(t, p.takeNext(t.Context()))
	require.NoError(t, p.local.wait())
	shard, err := w.observer().Shard(t.Context(), p.run.ID, 1)
	require.NoError(t, err)
	require.True(t, shard.Closed)
}

// stored gives the run of a planner as the store knows it.
func (w *world) stored(p *planner) *job.Run {
	w.t.Helper()
	run, err := w.observer().Run(w.t.Context(), p.run.ID)
	require.NoError(w.t, err)
	return run
}
