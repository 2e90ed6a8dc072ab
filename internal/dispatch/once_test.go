package dispatch

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
)

const onceOnlyJob = `{"jobId":"once","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*","deliveryGuarantee":"atMostOnce"}`

// TestNoDeviceIsEverCalledTwice kills the process at its nth storage request, for every n that a run needs: what was called
// and not stored is in doubt, and nothing is called again.
func TestNoDeviceIsEverCalledTwice(t *testing.T) {
	t.Parallel()
	const devices, last = 250, 50
	step := int64(1)
	if testing.Short() {
		step = 7
	}
	for n := int64(1); n <= last; n += step {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			opts := impatient
			opts.CallsInFlight, opts.Slices = 30, 1 // so that some shards run where they are selected, and others by messages
			w := newMortalWorld(t, opts)
			w.hub.page = 60
			w.hub.populate(devices)
			w.hub.answer = func(string, int) (iothub.MethodResult, error) {
				time.Sleep(5 * time.Millisecond) // a device that takes its time, so that some calls are made after a write
				return iothub.MethodResult{Status: 200}, nil
			}
			id := w.create(onceOnlyJob)
			w.current().left.Store(n)
			run := w.ended(id)
			require.Equal(t, job.StatusCompleted, run.Status)
			c := run.Counts()
			require.Equal(t, devices, c.Total())
			require.Equal(t, devices, c.Of(job.Succeeded)+c.Of(job.InDoubt))
			require.LessOrEqual(t, c.Of(job.InDoubt), 2*job.ShardSize, "what one process had claimed")
			for device, e := range w.executions(run) {
				require.LessOrEqual(t, w.hub.called(device), 1, device)
				if e.State == job.Succeeded {
					require.Equal(t, 1, w.hub.called(device), device)
				}
			}
		})
	}
}

func TestWhatMayHaveExecutedIsNotCalledAgainAtMostOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind     iothub.Kind
		state    job.ExecutionState
		reason   job.Reason
		calls    int
		attempts int
	}{
		"the connection broke":           {iothub.Lost, job.InDoubt, job.OutcomeUnknown, 1, 1},
		"the hub failed":                 {iothub.ServerError, job.Failed, job.HubError, 1, 1},
		"the hub refused for its load":   {iothub.Throttled, job.Succeeded, job.NoReason, 2, 1},
		"the device was not connected":   {iothub.Offline, job.Failed, job.DeviceOffline, 1, 1},
		"the hub was out of reach first": {iothub.HubFault, job.Succeeded, job.NoReason, 2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, quick)
			w.hub.populate(1)
			w.hub.answer = func(_ string, call int) (iothub.MethodResult, error) { return failingFirst(1, c.kind)(call) }
			run := w.ended(w.create(onceOnlyJob))
			e := w.executions(run)["dev-0"]
			require.Equal(t, c.state, e.State)
			require.Equal(t, c.reason, e.Reason)
			require.Equal(t, c.attempts, e.Attempts)
			require.Equal(t, c.calls, w.hub.called("dev-0"))
		})
	}
}
