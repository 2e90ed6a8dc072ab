package dispatch

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
)

func TestACallThatTakesTooLongTimesOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(3)
	w.hub.slow = func(ctx context.Context, id string) error {
		if id != "dev-1" {
			return nil
		}
		<-ctx.Done()
		return &iothub.Error{Kind: iothub.Canceled, Sent: true}
	}
	run := w.ended(w.create(`{"jobId":"brisk","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*",
		"timeout":{"inProgress":"PT1S"}}`))
	e := w.executions(run)["dev-1"]
	require.Equal(t, job.TimedOut, e.State)
	require.Equal(t, job.ProgressTimedOut, e.Reason)
	require.Equal(t, 1, e.Attempts)
	require.Equal(t, 2, run.Counts().Of(job.Succeeded))
}

// Devices that were not called in time are not called at all, whether their shard was opened by then or not; the run goes on
// with the others to its proper end.
func TestADeviceThatIsNotCalledInTimeTimesOut(t *testing.T) {
	t.Parallel()
	opts := quick
	clock := beforeTheEnd()
	opts.CallsInFlight, opts.Slices, opts.OpenShards, opts.Now = 10, 2, 3, clock.now
	w := newWorld(t, opts)
	w.hub.populate(900)
	slow(w, 50*time.Millisecond)
	id := w.create(`{"jobId":"prompt","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*",
		"timeout":{"notStarted":"PT2S"}}`)
	w.run(func(context.Context) bool { return w.total() > 0 })
	clock.goOn()
	run := w.ended(id)
	require.Equal(t, job.EndFinished, run.EndReason)
	c := run.Counts()
	require.Equal(t, 900, c.Of(job.Succeeded)+c.ReasonMap()["startTimedOut"])
	require.Positive(t, c.Of(job.Succeeded))
	require.Positive(t, c.ReasonMap()["startTimedOut"])
	for device, e := range w.executions(run) {
		require.Equal(t, e.State == job.Succeeded, w.hub.called(device) == 1, device)
		if e.State == job.TimedOut {
			require.Zero(t, e.Attempts)
		}
	}
}
