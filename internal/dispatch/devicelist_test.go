package dispatch

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// sharing is a job that runs each hour and may take over lists of devices that are two and a half hours old.
func sharing() string {
	return strings.TrimSuffix(recurring(`{"cron":"0 * * * *"}`), "}") + `,"deviceListMaxAge":"PT2H30M"}`
}

// queried counts queries.
func (w *world) queried() *atomic.Int64 {
	var n atomic.Int64
	w.hub.query = func(string) error {
		n.Add(1)
		return nil
	}
	return &n
}

// lists gives the number of the run that asked for each run's devices, and the devices that each had.
func (w *world) lists(runs []*job.Record) (numbers, devices []int) {
	w.t.Helper()
	for _, rec := range runs {
		run, err := w.observer().Run(w.t.Context(), rec.RunID)
		require.NoError(w.t, err)
		_, n, _ := job.NumberOf(run.List.RunID)
		numbers, devices = append(numbers, n), append(devices, run.Counts().Of(job.Succeeded))
		require.Equal(w.t, run.List.Reused(), n != rec.Occurrence.Number)
	}
	return numbers, devices
}

// TestRunsShareAListOfDevices: the second and third run ask the hub for nothing and have the devices of the first, the third by way of the
// second; for the fourth that list is too old.
func TestRunsShareAListOfDevices(t *testing.T) {
	t.Parallel()
	w, clock := clocked(t, "2026-12-01T00:30:00Z", 0)
	w.hub.page = 60
	w.matches(fleet(0, 1250)...)
	queries := w.queried()
	w.recur(sharing())
	var asked []int64
	for n := 1; n <= 4; n++ {
		clock.jump(time.Hour - time.Minute)
		if n == 4 {
			clock.jump(5 * time.Minute)
		}
		_, runs := w.rests(n)
		require.Len(t, runs, n)
		asked = append(asked, queries.Load())
		w.matches(fleet(1000, 1270)...)
	}
	require.Equal(t, []int64{21, 21, 21, 26}, asked)
	_, runs := w.daily()
	numbers, devices := w.lists(runs)
	require.Equal(t, []int{1, 1, 1, 4}, numbers)
	require.Equal(t, []int{1250, 1250, 1250, 270}, devices)
	require.Equal(t, 4, w.hub.called("dev-1249"))
	third, err := w.observer().Run(t.Context(), runs[2].RunID)
	require.NoError(t, err)
	require.InDelta(t, 2*time.Hour-2*time.Minute, third.ListAge(), float64(25*time.Minute), "as long as the machine takes")
}

// TestAListThatIsGoneIsAskedForAgain: of the first run a row of devices was deleted, or everything, or it has not come to its end.
func TestAListThatIsGoneIsAskedForAgain(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*world, string){
		"a row": func(w *world, runID string) { w.lose(runID, "shard:00000011") },
		"all": func(w *world, runID string) {
			_, err := w.observer().Purge(w.t.Context(), runID, 1000)
			require.NoError(w.t, err)
		},
		"the mark that it is complete": func(w *world, runID string) {
			plan, err := w.observer().Plan(w.t.Context(), runID)
			require.NoError(w.t, err)
			plan.List.Complete = false
			require.NoError(w.t, w.observer().SavePlan(w.t.Context(), plan))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, clock := clocked(t, "2026-12-01T00:30:00Z", 1250)
			queries := w.queried()
			w.recur(sharing())
			clock.jump(31 * time.Minute)
			_, runs := w.rests(1)
			lose(w, runs[0].RunID)
			clock.jump(time.Hour)
			_, runs = w.rests(2)
			numbers, devices := w.lists(runs[1:])
			require.Equal(t, []int{2}, numbers)
			require.Equal(t, []int{1250}, devices)
			require.EqualValues(t, 26, queries.Load())
			require.Equal(t, 2, w.hub.called("dev-3"))
			require.Equal(t, 2, w.hub.called("dev-1249"))
		})
	}
}

// lose deletes a row of a run.
func (w *world) lose(runID, row string) {
	w.t.Helper()
	client, err := aztables.NewServiceClientFromConnectionString(w.storage, nil)
	require.NoError(w.t, err)
	_, err = client.NewClient("fleetjobsruns").DeleteEntity(w.t.Context(), runID, row, nil)
	require.NoError(w.t, err)
}

// TestAProcessMayDieWhileItTakesAListOver kills the process at its nth storage request of the second run.
func TestAProcessMayDieWhileItTakesAListOver(t *testing.T) {
	t.Parallel()
	for n := int64(1); n <= 21; n += 4 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			clock := clockAt(t, "2026-12-01T00:30:00Z")
			opts := impatient
			opts.Now, opts.Slices = clock.now, 1
			w := newWorld(t, opts)
			w.hurries(clock.jump)
			w.hub.populate(250)
			queries := w.queried()
			w.recur(sharing())
			clock.jump(31 * time.Minute)
			w.rests(1)
			w.current().left.Store(n)
			clock.jump(time.Hour)
			_, runs := w.rests(2)
			numbers, devices := w.lists(runs)
			require.Equal(t, []int{1, 1}, numbers)
			require.Equal(t, []int{250, 250}, devices)
			require.EqualValues(t, 3, queries.Load())
		})
	}
}
