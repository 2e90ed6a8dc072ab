package dispatch

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
)

func aborting(criterion string) string {
	return fmt.Sprintf(`{"jobId":"careful","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*",
		"abort":{"criteria":[%s]}}`, criterion)
}

// However large the fleet, a run that meets its criterion makes no more calls than were on their way by then.
func TestAnAbortedRunOvershootsByTheCallsInFlightAtMost(t *testing.T) {
	t.Parallel()
	const least, inFlight, devices = 40, 20, 5000
	opts := quick
	opts.CallsInFlight = inFlight
	w := newWorld(t, opts)
	w.hub.populate(devices)
	w.hub.page = 1000
	var calls atomic.Int64
	w.hub.answer = func(string, int) (iothub.MethodResult, error) {
		calls.Add(1)
		return iothub.MethodResult{Status: 500}, nil
	}
	run := w.ended(w.create(aborting(fmt.Sprintf(`{"thresholdPercentage":20,"minNumberOfExecutedDevices":%d}`, least))))

	require.Equal(t, job.StatusCancelled, run.Status)
	require.Equal(t, job.EndAborted, run.EndReason)
	require.Contains(t, run.FailureReason, "executed devices ended without success; the abort criterion is 20% of at least 40")
	require.LessOrEqual(t, calls.Load(), int64(least+inFlight))
	c := run.Counts()
	require.Equal(t, int(calls.Load()), c.Of(job.Failed))
	require.Equal(t, run.Devices, c.Total(), "selection ends too")
	require.Equal(t, run.Devices-c.Of(job.Failed), c.ReasonMap()["jobAborted"])
	for device, e := range w.executions(run) {
		require.Equal(t, e.State == job.Failed, w.hub.called(device) == 1, device)
	}
}

// The devices of a batch that goes wrong are not outvoted by those of the batches before, and the overshoot is the same.
func TestABatchThatFailsAbortsTheRun(t *testing.T) {
	t.Parallel()
	const good, least, inFlight = 600, 40, 20
	opts := quick
	opts.CallsInFlight = inFlight
	w := newWorld(t, opts)
	w.hub.populate(3000)
	w.hub.page = 1000
	var calls atomic.Int64
	w.hub.answer = func(string, int) (iothub.MethodResult, error) {
		if calls.Add(1) <= good {
			return iothub.MethodResult{Status: 200}, nil
		}
		return iothub.MethodResult{Status: 500}, nil
	}
	run := w.ended(w.create(fmt.Sprintf(`{"jobId":"careful","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*",
		"rollout":{"batches":[{"number":%d},{}]},
		"abort":{"criteria":[{"thresholdPercentage":50,"minNumberOfExecutedDevices":%d,"over":"batch"}]}}`, good, least)))
	require.Equal(t, job.EndAborted, run.EndReason)
	require.Contains(t, run.FailureReason, "batch 2: ")
	require.Equal(t, good, run.Counts().Of(job.Succeeded))
	require.GreaterOrEqual(t, calls.Load(), int64(good+least))
	require.LessOrEqual(t, calls.Load(), int64(good+least+inFlight))
}

// A process whose own first outcomes look bad asks for a verdict; the run goes on when the criterion is not met after all.
func TestARunBelowItsThresholdCompletes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(600)
	w.hub.answer = func(id string, _ int) (iothub.MethodResult, error) {
		if len(id) == len("dev-0") { // the first ten
			return iothub.MethodResult{Status: 500}, nil
		}
		return iothub.MethodResult{Status: 200}, nil
	}
	run := w.ended(w.create(aborting(`{"failureType":"failed","thresholdPercentage":10.01,"minNumberOfExecutedDevices":100},
		{"failureType":"timedOut","thresholdPercentage":0.01}`)))
	require.Equal(t, job.EndFinished, run.EndReason)
	require.Equal(t, 10, run.Counts().Of(job.Failed))
	require.Equal(t, 590, run.Counts().Of(job.Succeeded))
}

// A criterion may pause the run instead; once somebody resumes it, it counts anew.
func TestACriterionPausesARunUntilSomebodyResumesIt(t *testing.T) {
	t.Parallel()
	opts := quick
	opts.CallsInFlight = 10
	w := newWorld(t, opts)
	w.hub.populate(400)
	var healthy atomic.Bool
	w.hub.answer = func(string, int) (iothub.MethodResult, error) {
		if healthy.Load() {
			return iothub.MethodResult{Status: 200}, nil
		}
		return iothub.MethodResult{Status: 500}, nil
	}
	id := w.create(aborting(`{"thresholdPercentage":10,"minNumberOfExecutedDevices":20,"action":"pause"}`))
	w.run(func(context.Context) bool { return w.status(id).Status == job.StatusPaused })
	require.Contains(t, w.status(id).Pause.Note, "the abort criterion is 10% of at least 20")
	healthy.Store(true)
	_, _, err := w.current().d.Resume(t.Context(), id, "", someone())
	require.NoError(t, err)
	run := w.ended(id)
	require.Equal(t, job.EndFinished, run.EndReason)
	require.Equal(t, 400, run.Counts().Of(job.Succeeded)+run.Counts().Of(job.Failed))
	require.GreaterOrEqual(t, run.Counts().Of(job.Failed), 20)
	require.LessOrEqual(t, run.Counts().Of(job.Failed), 30)
}

// Nothing is left to abort once every device has ended.
func TestARunWhoseLastDeviceFailsIsFinished(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(5)
	w.hub.answer = func(string, int) (iothub.MethodResult, error) { return iothub.MethodResult{Status: 500}, nil }
	run := w.ended(w.create(aborting(`{"thresholdPercentage":100,"minNumberOfExecutedDevices":5}`)))
	require.Equal(t, job.EndFinished, run.EndReason)
	require.Equal(t, job.StatusCompleted, run.Status)
}

func TestAHeldGuardOpensWhenASupervisionLetsTheRunGoOn(t *testing.T) {
	t.Parallel()
	policy := &job.FailurePolicy{Abort: &job.Abort{Criteria: []job.AbortCriterion{{
		FailureType: job.FailureAll, ThresholdPercentage: 50, MinNumberOfExecutedDevices: 2,
	}}}}
	g := newGuard(policy.Abort)
	require.Nil(t, newGuard(nil).holds())
	g.saw(&job.Run{Generation: 7, Failure: policy})
	g.ended(0, &job.Execution{State: job.Failed, Reason: job.DeviceError})
	require.Nil(t, g.holds(), "one is fewer than the least number")
	g.ended(0, &job.Execution{State: job.Succeeded})
	held := g.holds()
	require.NotNil(t, held)
	g.saw(&job.Run{Generation: 9, Failure: policy, Closed: job.CountsOf(job.Succeeded, job.NoReason, 50), Devices: 100})
	require.NotNil(t, g.holds(), "that pass may not have counted what was stored after the hold")
	g.saw(&job.Run{Generation: 10, Failure: policy, Closed: job.CountsOf(job.Succeeded, job.NoReason, 50), Devices: 100})
	require.Nil(t, g.holds())
	<-held
	for range 5 {
		g.ended(0, &job.Execution{State: job.Failed, Reason: job.DeviceError})
		require.Nil(t, g.holds(), "few among all that was stored")
	}

	g.saw(&job.Run{Generation: 20}) // somebody took the criteria away
	for range 100 {
		g.ended(0, &job.Execution{State: job.Failed, Reason: job.DeviceError})
	}
	require.Nil(t, g.holds())
}

func TestAGuardForgetsNoOutcomeThatIsNotStoredYet(t *testing.T) {
	t.Parallel()
	policy := &job.FailurePolicy{Abort: &job.Abort{Criteria: []job.AbortCriterion{{
		FailureType: job.FailureAll, ThresholdPercentage: 50, MinNumberOfExecutedDevices: 10,
	}}}}
	g := newGuard(policy.Abort)
	for generation := range 3 {
		g.saw(&job.Run{Generation: generation, Failure: policy, Devices: 100})
		for range 3 {
			g.ended(0, &job.Execution{State: job.Failed, Reason: job.DeviceError})
		}
	}
	require.Nil(t, g.holds())
	g.saw(&job.Run{Generation: guardPasses, Failure: policy, Devices: 100})
	g.ended(0, &job.Execution{State: job.Failed, Reason: job.DeviceError})
	require.NotNil(t, g.holds(), "ten have failed, none of which was counted by a supervision")
}
