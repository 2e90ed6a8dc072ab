package dispatch

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
)

// called notes the devices in the order of their calls, all of which succeed but those of failing.
func (w *world) called(failing ...string) func() []string {
	var all []string
	w.hub.answer = func(id string, _ int) (iothub.MethodResult, error) {
		w.hub.mu.Lock()
		defer w.hub.mu.Unlock()
		all = append(all, id)
		if slices.Contains(failing, id) {
			return iothub.MethodResult{Status: 500}, nil
		}
		return iothub.MethodResult{Status: 200}, nil
	}
	return func() []string {
		w.hub.mu.Lock()
		defer w.hub.mu.Unlock()
		return slices.Clone(all)
	}
}

// canaries are every hundredth device.
func canaries(n int) any {
	if n%100 == 50 {
		return "canary"
	}
	return "other"
}

const canaryFirst = `{"batches":[{"queryCondition":"tags.site = 'canary'"},{"number":20,"gate":{"successThresholdPercentage":100}},{}]}`

// TestCanariesGoFirst: those of the target that match the batch's condition, then twenty others, then the rest, each device once.
func TestCanariesGoFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(600)
	w.hub.tag(canaries)
	called := w.called()
	run := w.ended(w.create(careful(canaryFirst, "")))
	require.Equal(t, job.Statistics{DeviceCount: 600, SucceededCount: 600}, run.Counts().Statistics())
	require.Len(t, called(), 600)
	require.ElementsMatch(t, []string{"dev-50", "dev-150", "dev-250", "dev-350", "dev-450", "dev-550"}, called()[:6])
	begun := []int{run.Rollout.Batches[0].Begun, run.Rollout.Batches[1].Begun, run.Rollout.Batches[2].Begun}
	require.Equal(t, []int{6, 20, 574}, begun)
}

// TestAFailedCanaryKeepsTheOthersFromBeingCalled and pauses the run.
func TestAFailedCanaryKeepsTheOthersFromBeingCalled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(600)
	w.hub.tag(canaries)
	called := w.called("dev-250")
	id := w.create(careful(canaryFirst, ""))
	w.run(func(context.Context) bool { return w.status(id).Status == job.StatusPaused })
	require.Equal(t, "5 of the 6 devices of batch 1 succeeded, and batch 2 needs 100 %", w.status(id).Pause.Note)
	require.Len(t, called(), 6)
}

// TestNoCanariesNoOthers: a batch that selects nothing proves nothing.
func TestNoCanariesNoOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(20)
	w.hub.tag(func(int) any { return "other" })
	id := w.create(careful(canaryFirst, ""))
	w.run(func(context.Context) bool { return w.status(id).Status == job.StatusPaused })
	require.Equal(t, "batch 1 has no devices, and batch 2 needs that 100 % of them succeed", w.status(id).Pause.Note)
	require.Empty(t, w.hub.calls)
	_, _, err := w.current().d.NextBatch(t.Context(), id, "we know", someone())
	require.NoError(t, err)
	require.Equal(t, 20, w.ended(id).Counts().Of(job.Succeeded), "by hand it goes on")
}

// TestNamedCanaries of a query's target and of a list's: devices that are no part of the target are not called.
func TestNamedCanaries(t *testing.T) {
	t.Parallel()
	const batches = `"rollout":{"batches":[{"deviceIds":["dev-7","dev-5"]},{}]}`
	for name, target := range map[string]string{
		"query": `"queryCondition":"tags.site = 'a'"`, "list": `"deviceIds":["dev-1","dev-3","dev-5","dev-7","dev-9"]`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, quick)
			w.hub.populate(10)
			w.hub.tag(func(n int) any { return []any{"b", "a"}[n%2] })
			called := w.called()
			run := w.ended(w.create(fmt.Sprintf(
				`{"jobId":"lock","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"lockDoor"},%s,%s}`, target, batches)))
			require.Equal(t, 5, run.Counts().Of(job.Succeeded))
			require.ElementsMatch(t, []string{"dev-5", "dev-7"}, called()[:2])
			require.ElementsMatch(t, []string{"dev-1", "dev-3", "dev-9"}, called()[2:])
		})
	}
}

// TestRingsGoOneAfterTheOther: a device that two rings match belongs to the first.
func TestRingsGoOneAfterTheOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(300)
	w.hub.tag(func(n int) any { return float64(n % 3) })
	run := w.ended(w.create(careful(`{"batches":[{"queryCondition":"tags.site < 1"},{"queryCondition":"tags.site < 2"},{"percentage":10},{}],
		"orderBy":"tags.site"}`, "")))
	require.Equal(t, 300, run.Counts().Of(job.Succeeded))
	var begun []int
	for _, b := range run.Rollout.Batches {
		begun = append(begun, b.Begun)
	}
	require.Equal(t, 100, begun[0])
	require.Equal(t, 100, begun[1])
	require.Equal(t, 300, sum(begun))
	require.Len(t, w.executions(run), 300)
}
