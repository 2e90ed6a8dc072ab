package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
)

// quick keeps waits short where a test needs them to pass.
var quick = Options{RetryDelay: time.Millisecond, ProbeDelay: 50 * time.Millisecond, Flush: 100 * time.Millisecond}

func hubError(k iothub.Kind) error { return &iothub.Error{Kind: k, Message: "as the test wants"} }

func TestWhatAnAttemptComesTo(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name     string
		answer   func(call int) (iothub.MethodResult, error)
		state    job.ExecutionState
		reason   job.Reason
		attempts int
	}{
		{"2xx", status(204), job.Succeeded, job.NoReason, 1},
		{"outside 2xx", status(500), job.Failed, job.DeviceError, 1},
		{"status 0", status(0), job.Failed, job.DeviceError, 1},
		{"offline", failing(iothub.Offline), job.Failed, job.DeviceOffline, 1},
		{"not known", failing(iothub.NotFound), job.Failed, job.DeviceNotFound, 1},
		{"no answer is not tried again", failing(iothub.TimedOut), job.TimedOut, job.DeviceNoAnswer, 1},
		{"unreadable answer is not tried again", failing(iothub.Unreadable), job.Failed, job.UnreadableAnswer, 1},
		{"request refused", failing(iothub.Rejected), job.Failed, job.RequestRejected, 1},
		{"hub fails always", failing(iothub.ServerError), job.Failed, job.HubError, 5},
		{"connection breaks always", failing(iothub.Lost), job.Failed, job.ConnectionLost, 5},
		{"hub fails twice", failingFirst(2, iothub.ServerError), job.Succeeded, job.NoReason, 3},
		{"throttled calls are no attempts", failingFirst(1, iothub.Throttled), job.Succeeded, job.NoReason, 1},
	}
	w := newWorld(t, quick)
	for i := range cases {
		w.hub.devices = append(w.hub.devices, fmt.Sprintf("dev-%d", i))
	}
	w.hub.answer = func(id string, call int) (iothub.MethodResult, error) {
		var i int
		_, err := fmt.Sscanf(id, "dev-%d", &i)
		if err != nil {
			return iothub.MethodResult{}, err
		}
		return cases[i].answer(call)
	}
	run := w.ended(w.create(lockDoor))
	executions := w.executions(run)
	for i, c := range cases {
		e := executions[fmt.Sprintf("dev-%d", i)]
		require.Equal(t, c.state, e.State, c.name)
		require.Equal(t, c.reason, e.Reason, c.name)
		require.Equal(t, c.attempts, e.Attempts, c.name)
	}
	require.Equal(t, len(cases), run.Counts().Total())
	require.Equal(t, map[string]int{
		"deviceError": 2, "deviceOffline": 1, "deviceNotFound": 1, "deviceNoAnswer": 1, "unreadableAnswer": 1,
		"requestRejected": 1, "hubError": 1, "connectionLost": 1,
	}, run.Counts().ReasonMap())
}

func status(code int) func(int) (iothub.MethodResult, error) {
	return func(int) (iothub.MethodResult, error) { return iothub.MethodResult{Status: code}, nil }
}

func failing(k iothub.Kind) func(int) (iothub.MethodResult, error) { return failingFirst(1<<30, k) }

func failingFirst(n int, k iothub.Kind) func(int) (iothub.MethodResult, error) {
	return func(call int) (iothub.MethodResult, error) {
		if call <= n {
			return iothub.MethodResult{}, hubError(k)
		}
		return iothub.MethodResult{Status: 200}, nil
	}
}

func TestAThrottledHubFailsNoDevice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(300)
	var served atomic.Int64
	w.hub.answer = func(string, int) (iothub.MethodResult, error) {
		if n := served.Add(1); n%3 == 0 && n < 60 {
			return iothub.MethodResult{}, hubError(iothub.Throttled)
		}
		return iothub.MethodResult{Status: 200}, nil
	}
	run := w.ended(w.create(lockDoor))
	require.Equal(t, 300, run.Counts().Of(job.Succeeded))
	for _, e := range w.executions(run) {
		require.Equal(t, 1, e.Attempts)
	}
	require.Empty(t, w.queue.poison, "throttling is to be expected and fails no invocation")
}

func TestAFaultOfTheHubBlocksTheRunAndCostsNoDevice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(500)
	var revoked atomic.Bool
	var served atomic.Int64
	w.hub.answer = func(string, int) (iothub.MethodResult, error) {
		if served.Add(1) == 150 {
			revoked.Store(true)
		}
		if revoked.Load() {
			return iothub.MethodResult{}, hubError(iothub.HubFault)
		}
		return iothub.MethodResult{Status: 200}, nil
	}
	id := w.create(lockDoor)
	w.run(func(context.Context) bool { return revoked.Load() && w.status(id).Status == job.StatusBlocked })
	block := w.status(id).Block
	require.Contains(t, block.Reason, "as the test wants")
	w.run(func(context.Context) bool {
		run := w.status(id)
		return run.Block != nil && run.Block.Probes >= 3 // it keeps asking, and stays blocked
	})
	asked := served.Load()
	revoked.Store(false)
	run := w.ended(id)
	require.Equal(t, job.StatusCompleted, run.Status)
	require.Equal(t, 500, run.Counts().Of(job.Succeeded))
	for _, e := range w.executions(run) {
		require.Equal(t, 1, e.Attempts, "a fault of the hub uses up no attempt")
	}
	require.Less(t, asked, int64(500+32*100), "a blocked run asks with single calls")
}

func TestAFaultOfTheHubBlocksTheSelection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(250)
	var failures atomic.Int64
	w.hub.query = func(continuation string) error {
		if continuation == "100" && failures.Add(1) <= 3 {
			return hubError(iothub.HubFault)
		}
		return nil
	}
	run := w.ended(w.create(lockDoor))
	require.Equal(t, 250, run.Counts().Of(job.Succeeded))
	require.Equal(t, int64(4), failures.Load(), "each probe asks once, and goes on where the selection stood")
}

func TestALostContinuationTokenRepeatsNoDevice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(450)
	var lost atomic.Bool
	w.hub.query = func(continuation string) error {
		if continuation == "300" && lost.CompareAndSwap(false, true) {
			return hubError(iothub.Rejected)
		}
		return nil
	}
	run := w.ended(w.create(lockDoor))
	require.Equal(t, 450, run.Counts().Of(job.Succeeded))
	require.Len(t, w.executions(run), 450)
	for i := range 450 {
		require.Equal(t, 1, w.hub.called(fmt.Sprintf("dev-%d", i)))
	}
}

func TestADeviceThatTheQueryListsTwiceIsDoneOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(150)
	w.hub.devices = append(w.hub.devices, "dev-3", "dev-149", "dev-3", "other")
	run := w.ended(w.create(lockDoor))
	require.Equal(t, 151, run.Counts().Total())
	require.Equal(t, 1, w.hub.called("dev-3"))
}

func TestARefusedQueryFailsTheJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.query = func(string) error { return hubError(iothub.Rejected) }
	run := w.ended(w.create(lockDoor))
	require.Equal(t, job.StatusFailed, run.Status)
	require.Contains(t, run.FailureReason, "the hub refused the target")
}

func TestATargetWithoutDevicesCompletes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	run := w.ended(w.create(lockDoor))
	require.Equal(t, job.StatusCompleted, run.Status)
	require.Zero(t, run.Counts().Total())
}

func TestAListOfDevicesNeedsNoQuery(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.query = func(string) error { return errors.New("no query was expected") }
	ids := ""
	for i := range 2345 {
		ids += fmt.Sprintf(`,"dev-%d"`, i)
	}
	run := w.ended(w.create(`{"jobId":"tags","type":"scheduleUpdateTwin","updateTwin":{"tags":{"a":null}},"deviceIds":[` + ids[1:] + `]}`))
	require.Equal(t, 2345, run.Counts().Of(job.Succeeded))
}
