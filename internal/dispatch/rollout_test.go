package dispatch

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/azurite/azuritetest"
	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
)

// careful is lockDoor with a rollout, and more members.
func careful(rollout, more string) string {
	return `{"jobId":"lock","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"lockDoor"},"queryCondition":"*","rollout":` + rollout + more + `}`
}

// clocked notes when each call began.
func (h *testHub) clocked() func() []time.Time {
	var mu sync.Mutex
	var begun []time.Time
	h.answer = func(string, int) (iothub.MethodResult, error) {
		mu.Lock()
		defer mu.Unlock()
		begun = append(begun, time.Now())
		return iothub.MethodResult{Status: 200}, nil
	}
	return func() []time.Time {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(begun)
	}
}

// TestARolloutKeepsItsRate: 600 a minute are ten a second, spread evenly, whatever free slots there are.
func TestARolloutKeepsItsRate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(80)
	begun, late := w.hub.clocked(), azuritetest.Late(t, w.storage)
	created := time.Now()
	run := w.ended(w.create(careful(`{"maximumPerMinute":600}`, "")))
	require.Equal(t, 80, run.Counts().Of(job.Succeeded))
	calls := begun()
	require.GreaterOrEqual(t, calls[len(calls)-1].Sub(created), 7*time.Second)
	for i := range calls[:len(calls)-30] { // a call may be late, and those after it in time
		require.GreaterOrEqual(t, calls[i+30].Sub(calls[i])+late(), 2*time.Second, "thirty take three seconds, more or less")
	}
}

func TestARolloutKeepsDevicesInFlightBelowItsLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(120)
	var inFlight, most atomic.Int64
	w.hub.answer = func(string, int) (iothub.MethodResult, error) {
		n := inFlight.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			continue
		}
		time.Sleep(20 * time.Millisecond) // a device that takes its time
		inFlight.Add(-1)
		return iothub.MethodResult{Status: 200}, nil
	}
	run := w.ended(w.create(careful(`{"maxConcurrency":20}`, "")))
	require.Equal(t, 120, run.Counts().Of(job.Succeeded))
	require.LessOrEqual(t, most.Load(), int64(20))
	require.Greater(t, most.Load(), int64(4), "several shards at once")
}

// TestBatchesBeginOneAfterTheOther: ten first, then a fifth, then the rest, each when the one before has ended.
func TestBatchesBeginOneAfterTheOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(100)
	var mu sync.Mutex
	var called []string
	w.hub.answer = func(id string, _ int) (iothub.MethodResult, error) {
		mu.Lock()
		called = append(called, id)
		mu.Unlock()
		return iothub.MethodResult{Status: 200}, nil
	}
	run := w.ended(w.create(careful(`{"batches":[{"number":10},{"percentage":20},{}]}`, "")))
	require.Equal(t, 100, run.Counts().Of(job.Succeeded))
	require.Equal(t, []int{10, 20, 70}, []int{run.Rollout.Batches[0].Begun, run.Rollout.Batches[1].Begun, run.Rollout.Batches[2].Begun})
	for _, b := range run.Rollout.Batches {
		require.Equal(t, job.BatchCompleted, b.State)
		require.Equal(t, b.Begun, b.Succeeded)
	}
	for i := range 10 {
		require.Contains(t, called[:10], fmt.Sprintf("dev-%d", i), "in the order of the query")
	}
}

// TestAMissedGatePausesTheRun: no device of the next batch is called; a resume alone does not help.
func TestAMissedGatePausesTheRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(50)
	w.hub.answer = func(id string, _ int) (iothub.MethodResult, error) {
		if id < "dev-2" { // dev-0, dev-1 and dev-10 to dev-19
			return iothub.MethodResult{Status: 500}, nil
		}
		return iothub.MethodResult{Status: 200}, nil
	}
	id := w.create(careful(`{"batches":[{"number":10},{"gate":{"successThresholdPercentage":90}}]}`, ""))
	w.run(func(context.Context) bool { return w.status(id).Status == job.StatusPaused })
	run := w.status(id)
	require.Equal(t, "8 of the 10 devices of batch 1 succeeded, and batch 2 needs 90 %", run.Pause.Note)
	require.Empty(t, run.Pause.By)
	_, _, err := w.current().d.Resume(t.Context(), id, "", someone())
	require.NoError(t, err)
	w.run(func(context.Context) bool { return w.status(id).Status == job.StatusPaused })
	require.Zero(t, w.hub.called("dev-10"))
}

func TestMaxDevicesAreThoseThatAreListedFirst(t *testing.T) {
	t.Parallel()
	for _, rollout := range []string{"null", `{"maxConcurrency":100}`} {
		w := newWorld(t, quick)
		w.hub.populate(500)
		run := w.ended(w.create(careful(rollout, `,"maxDevices":250`)))
		require.Equal(t, 250, run.Counts().Of(job.Succeeded))
		require.Equal(t, 1, w.hub.called("dev-249"))
		require.Zero(t, w.hub.called("dev-250"))
	}
}

// TestAProcessMayDieInARollout kills the process at its nth storage request: every device is called, and the
// batches' counts add up.
func TestAProcessMayDieInARollout(t *testing.T) {
	t.Parallel()
	const devices = 60
	for n := int64(3); n <= 83; n += 10 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			w := newMortalWorld(t, impatient)
			w.hub.populate(devices)
			id := w.create(careful(`{"maxConcurrency":40,"batches":[{"number":7},{"percentage":20},{}]}`, ""))
			w.current().left.Store(n)
			run := w.ended(id)
			require.Equal(t, job.Statistics{DeviceCount: devices, SucceededCount: devices}, run.Counts().Statistics())
			require.Len(t, w.executions(run), devices)
			sum := 0
			for i, b := range run.Rollout.Batches {
				require.Equal(t, job.BatchCompleted, b.State, i)
				require.Equal(t, []int{b.Begun, b.Begun}, []int{b.Ended, b.Succeeded}, "batch %d", i)
				sum += b.Begun
			}
			require.Equal(t, devices, sum)
			require.Equal(t, 7, run.Rollout.Batches[0].Begun)
		})
	}
}

func TestARateIsEditedWhileItIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(100)
	begun := w.hub.clocked()
	id := w.create(careful(`{"maximumPerMinute":60}`, ""))
	w.run(func(context.Context) bool { return len(begun()) > 2 })
	_, run, err := w.current().d.Edit(t.Context(), id, Edit{Patch: []byte(`{"rollout":{"maximumPerMinute":60000}}`), Version: 1}, someone())
	require.NoError(t, err)
	require.Equal(t, 60000, run.Rollout.Policy.MaximumPerMinute)
	_, _, err = w.current().d.Edit(t.Context(), id, Edit{Patch: []byte(`{"rollout":{"maximumPerMinute":1}}`), Version: 1}, someone())
	require.ErrorIs(t, err, ErrEdited)
	require.Equal(t, 100, w.ended(id).Counts().Of(job.Succeeded), "at the old rate that takes 100 s")
}
