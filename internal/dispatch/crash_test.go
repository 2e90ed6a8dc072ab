package dispatch

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// impatient looks for what died within a second. What that held is free when its lease is over.
var impatient = Options{
	Flush: 100 * time.Millisecond, Silence: 400 * time.Millisecond, Tick: 200 * time.Millisecond, RetryDelay: time.Millisecond,
}

// TestAProcessMayDieAtAnyRequest kills the process at its nth storage request, for every n that a run needs, and lets the
// next one continue: the run ends, no device is lost, and only devices whose outcome was not stored are called again.
func TestAProcessMayDieAtAnyRequest(t *testing.T) {
	t.Parallel()
	opts := impatient
	opts.Slices = 1 // so that some shards run where they are selected, and others by messages
	t.Run("planning", func(t *testing.T) {
		t.Parallel()
		dieAtEach(t, opts, 1, nil)
	})
	t.Run("feeding", func(t *testing.T) {
		t.Parallel()
		opts := opts
		opts.Slice, opts.CallsInFlight = 200*time.Millisecond, 5 // so that several invocations open shards one after the other
		dieAtEach(t, opts, 3, func(w *world) { slow(w, 5*time.Millisecond) })
	})
}

func dieAtEach(t *testing.T, opts Options, step int64, prepare func(*world)) {
	t.Helper()
	const devices, last = 250, 50
	if testing.Short() {
		step *= 7
	}
	for n := int64(1); n <= last; n += step {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			w := newMortalWorld(t, opts)
			w.hub.page = 60
			w.hub.populate(devices)
			if prepare != nil {
				prepare(w)
			}
			id := w.create(lockDoor)
			w.current().left.Store(n)
			run := w.ended(id)
			require.Equal(t, job.StatusCompleted, run.Status)
			require.Equal(t, job.Statistics{DeviceCount: devices, SucceededCount: devices}, run.Counts().Statistics())
			executions := w.executions(run)
			require.Len(t, executions, devices)
			again := 0
			for device, e := range executions {
				require.Equal(t, job.Succeeded, e.State)
				require.Positive(t, w.hub.called(device), device)
				again += w.hub.called(device) - 1
			}
			require.LessOrEqual(t, again, devices, "one death repeats a call once at most")
		})
	}
}
