package dispatch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// planned gives the sites of a run's devices but those chosen first, in the order in which they were planned, and their number.
func (w *world) planned(run *job.Run, chosen ...string) (sites []any, devices int) {
	w.t.Helper()
	shards, err := w.observer().Shards(w.t.Context(), run.ID, tablestore.ShardQuery{Always: -1})
	require.NoError(w.t, err)
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	for _, s := range shards {
		for i, e := range s.Executions {
			if slices.Contains(chosen, e.DeviceID) {
				require.Zero(w.t, s.Number+s.Part, "chosen ones come first")
				require.Less(w.t, i, len(chosen))
				continue
			}
			site, _ := w.hub.twins[e.DeviceID].Lookup([]string{"tags", "site"})
			require.Equal(w.t, s.Part, min(1, len(chosen))+partOf(site), "%s in shard %d", e.DeviceID, s.Number)
			if sites = append(sites, site); len(sites) > 1 && sites[len(sites)-2] == site {
				sites = sites[:len(sites)-1]
			}
			devices++
		}
	}
	return sites, devices
}

// fourSites has devices of building 7, in the sites a and b, and without a site. partOf is their order.
func fourSites(n int) any { return []any{"b", nil, 7.0, "a"}[n%4] }

func partOf(site any) int { return slices.Index([]any{7.0, "a", "b", nil}, site) }

// TestDevicesGoByTheValuesOfATag: numbers before texts, devices without the tag last, a value after the other.
func TestDevicesGoByTheValuesOfATag(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(500)
	w.hub.tag(fourSites)
	w.hub.page = 60
	run := w.ended(w.create(careful(`{"orderBy":"tags.site"}`, "")))
	require.Equal(t, job.Statistics{DeviceCount: 500, SucceededCount: 500}, run.Counts().Statistics())
	sites, devices := w.planned(run)
	require.Equal(t, []any{7.0, "a", "b", nil}, sites)
	require.Equal(t, 500, devices)
	require.Equal(t, "SELECT tags.site AS label, COUNT() AS devices FROM devices GROUP BY tags.site", w.hub.queries[0])
	require.Equal(t, "SELECT deviceId FROM devices WHERE (tags.site = 7)", w.hub.queries[1])
	require.Equal(t, "SELECT deviceId FROM devices WHERE (NOT IS_DEFINED(tags.site))", w.hub.asked)
}

// TestValuesThatNoConditionComparesWith: devices whose tag is null or an object come last, each once.
func TestValuesThatNoConditionComparesWith(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(200)
	w.hub.tag(func(n int) any { return []any{"a", map[string]any{"name": "a"}, "b", strings.Repeat("x", 300)}[n%4] })
	run := w.ended(w.create(careful(`{"orderBy":"tags.site"}`, "")))
	require.Equal(t, job.Statistics{DeviceCount: 200, SucceededCount: 200}, run.Counts().Statistics())
	require.Len(t, w.executions(run), 200)
	require.Equal(t, "SELECT deviceId FROM devices", w.hub.asked)
}

func TestATargetOfTooManyPartsFailsTheRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(job.MaxParts + 1)
	w.hub.tag(func(n int) any { return fmt.Sprint("site-", n) })
	run := w.ended(w.create(careful(`{"orderBy":"tags.site"}`, "")))
	require.Equal(t, job.StatusFailed, run.Status)
	require.Contains(t, run.FailureReason, "the devices have more than 1000 different values of tags.site")
	require.Empty(t, w.hub.calls)
}

// TestALostTokenBeginsOnlyItsPartAgain: the hub loses the place in the third part, and each query before it was asked once.
func TestALostTokenBeginsOnlyItsPartAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(800)
	w.hub.tag(fourSites)
	lost := false
	w.hub.query = func(continuation string) error {
		if continuation == "100" && !lost && strings.Contains(w.hub.asked, "'b'") {
			lost = true
			return hubError(iothub.Rejected)
		}
		return nil
	}
	run := w.ended(w.create(careful(`{"orderBy":"tags.site"}`, "")))
	require.Len(t, w.executions(run), 800)
	asked := map[string]int{}
	for _, q := range w.hub.queries {
		_, condition, _ := strings.Cut(q, " WHERE ")
		asked[condition]++
	}
	require.Equal(t, map[string]int{
		"": 1, "(tags.site = 7)": 2, "(tags.site = 'a')": 2, "(tags.site = 'b')": 4, "(NOT IS_DEFINED(tags.site))": 2,
	}, asked)
}

// TestAPartWaitsForItsTime: its devices are not even selected before, and no message waits that long.
func TestAPartWaitsForItsTime(t *testing.T) {
	t.Parallel()
	w, clock := clocked(t, "2026-12-01T12:00:00Z", 400)
	w.hub.tag(fourSites)
	w.queue.withheld = kindPlan
	id := w.create(careful(`{"orderBy":"tags.site"}`, ""))
	store := w.observer()
	w.run(func(ctx context.Context) bool { run, err := store.Job(ctx, id); return err == nil && run.Active })
	rec, err := store.Job(t.Context(), id)
	require.NoError(t, err)
	parts, err := rec.Divide([]string{`7`, `"a"`, `"b"`})
	require.NoError(t, err)
	parts[2].At = clock.now().Add(5 * time.Hour)
	plan, err := store.Plan(t.Context(), rec.RunID)
	require.NoError(t, err)
	require.NoError(t, store.SaveParts(t.Context(), plan, job.Parts{List: parts, Done: true}))
	w.queue.mu.Lock()
	w.queue.withheld = ""
	w.queue.mu.Unlock()

	w.run(func(ctx context.Context) bool {
		plan, err := store.Plan(ctx, rec.RunID)
		return err == nil && !plan.OpensAt.IsZero() && w.status(id).Closed.Total() == 200
	})
	sites, _ := w.planned(w.status(id))
	require.Equal(t, []any{7.0, "a"}, sites)
	clock.jump(4 * time.Hour)
	require.NoError(t, w.current().d.Handle(t.Context(), Delivery{Body: []byte(`{"kind":"plan","run":"` + rec.RunID + `"}`)}), "a copy changes nothing")
	require.Equal(t, 200, w.status(id).Devices)
	clock.jump(time.Hour)
	run := w.ended(id)
	require.Equal(t, 400, run.Counts().Of(job.Succeeded))
	sites, _ = w.planned(run)
	require.Equal(t, []any{7.0, "a", "b", nil}, sites)
}

// TestAPlannerOfPartsMayDieAtAnyRequest: the run ends, and every device is done, in the order of the parts.
func TestAPlannerOfPartsMayDieAtAnyRequest(t *testing.T) {
	t.Parallel()
	const last = 45
	step := int64(1)
	if testing.Short() {
		step = 7
	}
	for n := int64(1); n <= last; n += step {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			w := newMortalWorld(t, impatient)
			w.hub.page = 3 // the values come in two pages
			w.hub.populate(24)
			w.hub.tag(fourSites)
			id := w.create(careful(`{"orderBy":"tags.site","batches":[{"deviceIds":["dev-0","dev-1"]},{}]}`, ""))
			w.current().left.Store(n)
			run := w.ended(id)
			require.Equal(t, job.Statistics{DeviceCount: 24, SucceededCount: 24}, run.Counts().Statistics())
			require.Len(t, w.executions(run), 24)
			require.Equal(t, 2, run.Rollout.Batches[0].Begun)
			sites, _ := w.planned(run, "dev-0", "dev-1")
			require.Equal(t, []any{7.0, "a", "b", nil}, sites)
		})
	}
}
