package localhost

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func crashApp(t *testing.T, settings ...string) *app {
	t.Helper()
	return newApp(t, map[string]string{"Job/function.json": httpFunction("x", "anonymous")}, append(settings, proxying)...)
}

// awaitNewProcess waits until instance 0 runs another process than the given one.
func awaitNewProcess(t *testing.T, h *Host, old int) {
	t.Helper()
	require.Eventually(t, func() bool { return h.Pids()[0] != old && h.Pids()[0] != 0 }, time.Minute, time.Millisecond)
	require.Equal(t, 200, get(t, h.URL()+"/x").status, "requests wait for the restarted handler")
}

func TestThirdCrashStopsTheHost(t *testing.T) {
	t.Parallel()
	a := crashApp(t)
	h := a.start(t)
	for _, code := range []string{"1", "2"} {
		old := h.Pids()[0]
		require.Equal(t, 502, get(t, h.URL()+"/x?do=exit:"+code).status)
		awaitNewProcess(t, h, old)
	}
	require.NoError(t, h.Err())
	require.NoError(t, h.KillHandler(0))
	<-h.Done()
	require.EqualError(t, h.Err(), "Exceeded http worker restart retry count. Shutting down Functions Host")
	require.Equal(t, []int{3}, h.Crashes())
	require.NoError(t, h.Close())
}

func TestCrashesMoreThanHalfAnHourApartAreForgiven(t *testing.T) {
	t.Parallel()
	a := crashApp(t)
	var offset atomic.Int64
	a.options.Now = func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	h := a.start(t)
	for range 4 {
		old := h.Pids()[0]
		require.NoError(t, h.KillHandler(0))
		awaitNewProcess(t, h, old)
		offset.Add(int64(31 * time.Minute))
	}
	require.Equal(t, []int{4}, h.Crashes())
}

func TestExitCode200RestartsWithoutCounting(t *testing.T) {
	t.Parallel()
	a := crashApp(t)
	h := a.start(t)
	for range 4 {
		old := h.Pids()[0]
		get(t, h.URL()+"/x?do=exit:200")
		awaitNewProcess(t, h, old)
	}
	require.Equal(t, []int{0}, h.Crashes())
}

// The host takes exit code 0 for a good end and leaves the handler dead.
func TestExitCode0IsNotRestarted(t *testing.T) {
	t.Parallel()
	a := newApp(t, map[string]string{"Job/function.json": httpFunction("x", "anonymous")}, forwarding)
	h := a.start(t)
	get(t, h.URL()+"/x?do=exit:0")
	require.Eventually(t, func() bool { return h.Pids()[0] == 0 }, time.Minute, time.Millisecond)
	require.Equal(t, 500, get(t, h.URL()+"/x").status)
	require.Equal(t, []int{0}, h.Pids())
	require.Equal(t, []int{0}, h.Crashes())
}

func TestHandlerThatCrashesAtStartStopsTheHost(t *testing.T) {
	t.Parallel()
	a := crashApp(t, "TEST_EXIT_AT_START=3")
	h, err := Start(t.Context(), a.options)
	require.NoError(t, err)
	require.ErrorIs(t, h.WaitReady(t.Context()), errTooManyCrashes)
}

func TestHandlerThatIsNeverReadyStopsTheHost(t *testing.T) {
	t.Parallel()
	a := crashApp(t, "AzureFunctionsJobHost__customHandler__initializationTimeout=00:00:00.1",
		"AzureFunctionsJobHost__customHandler__description__defaultExecutablePath=sleep",
		`AzureFunctionsJobHost__customHandler__description__arguments=["60"]`)
	h, err := Start(t.Context(), a.options)
	require.NoError(t, err)
	require.ErrorIs(t, h.WaitReady(t.Context()), errTooManyCrashes)
}

// A function timeout kills the handler, and with it everything else that it is doing. It is not a crash.
func TestFunctionTimeoutKillsTheNeighbours(t *testing.T) {
	t.Parallel()
	a := newApp(t, map[string]string{"Job/function.json": httpFunction("x", "anonymous")}, forwarding,
		"AzureFunctionsJobHost__functionTimeout=00:00:05")
	h := a.start(t)
	old := h.Pids()[0]
	slow := background(t.Context(), h.URL()+"/x?do=sleep:1h")
	a.await(t, 1)
	<-time.After(2500 * time.Millisecond) // so that both are not over at once
	neighbour := background(t.Context(), h.URL()+"/x?do=sleep:1h")
	require.Equal(t, 500, <-slow)
	require.Equal(t, 500, <-neighbour)
	awaitNewProcess(t, h, old)
	require.Equal(t, 1, h.Stats()["Job"].TimedOut)
	require.Equal(t, 2, h.Stats()["Job"].Failed)
	require.Equal(t, []int{0}, h.Crashes())
}

// An answer of null leaves the invocation hanging until the handler is killed.
func TestHangingAnswerKillsTheHandler(t *testing.T) {
	t.Parallel()
	a := newApp(t, map[string]string{"Work/function.json": queueTriggerFile},
		"AzureFunctionsJobHost__extensions__queues__messageEncoding=none",
		"AzureFunctionsJobHost__extensions__queues__maxDequeueCount=2")
	queue := a.withQueues()
	a.options.HangTimeout = 100 * time.Millisecond
	require.NoError(t, queue("jobs").Send(t.Context(), "do=null"))
	h := a.start(t)
	require.Eventually(t, func() bool { return len(queue("jobs-poison").texts()) == 1 }, time.Minute, 5*time.Millisecond)
	require.Equal(t, Stats{Started: 2, Failed: 2, TimedOut: 2}, h.Stats()["Work"])
	seen := a.requests(t)
	require.NotEqual(t, seen[0].Pid, seen[1].Pid)
	require.Equal(t, []int{0}, h.Crashes())
}

// A killed handler fails what it was doing; the message comes back to the next one.
func TestMessageOfAKilledHandlerIsDeliveredAgain(t *testing.T) {
	t.Parallel()
	a := newApp(t, map[string]string{"Work/function.json": queueTriggerFile},
		"AzureFunctionsJobHost__extensions__queues__messageEncoding=none")
	queue := a.withQueues()
	require.NoError(t, queue("jobs").Send(t.Context(), "do=sleep:1h"))
	h := a.start(t)
	a.await(t, 1)
	require.NoError(t, h.KillHandler(0))
	seen := a.await(t, 2)
	require.Contains(t, seen[1].Body, `"DequeueCount":"2"`)
	require.NoError(t, h.Close())
	require.Len(t, queue("jobs").texts(), 1, "stopping releases it too")
	require.False(t, queue("jobs").messages[0].nextVisible.After(time.Now()))
}

// StopTimeout lets what is in flight finish.
func TestStoppingDrains(t *testing.T) {
	t.Parallel()
	a := newApp(t, map[string]string{"Work/function.json": queueTriggerFile},
		"AzureFunctionsJobHost__extensions__queues__messageEncoding=none")
	queue := a.withQueues()
	a.options.StopTimeout = time.Minute
	require.NoError(t, queue("jobs").Send(t.Context(), "do=sleep:300ms"))
	h := a.start(t)
	a.await(t, 1)
	require.NoError(t, h.Close())
	require.Empty(t, queue("jobs").texts())
	require.Equal(t, 1, h.Stats()["Work"].Succeeded)
}
