package workqueue_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/azurite/azuritetest"
	"github.com/fleetjobs/fleetjobs/internal/storagefault"
	"github.com/fleetjobs/fleetjobs/internal/workqueue"
)

// setupFaults starts a proxy whose plan begins once the queue exists.
func setupFaults(t *testing.T, rules ...storagefault.Rule) (*workqueue.Queue, *storagefault.Proxy, func() int) {
	t.Helper()
	original := azuritetest.Start(t)
	proxy, err := storagefault.Start(original, storagefault.Plan{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, proxy.Close()) })
	queue, _ := setup(t, proxy.ConnectionString(original))
	require.NoError(t, queue.Ensure(t.Context()))
	require.NoError(t, proxy.SetPlan(storagefault.Plan{Rules: rules}))
	proxy.Reset()

	direct, _ := setup(t, original)
	return queue, proxy, func() int {
		depth, err := direct.Depth(t.Context())
		require.NoError(t, err)
		return depth
	}
}

func TestSendCostsOneTransaction(t *testing.T) {
	t.Parallel()
	queue, proxy, depth := setupFaults(t)
	require.NoError(t, queue.Send(t.Context(), []byte("x"), 0))
	require.Equal(t, 1, depth())
	counts := proxy.Counts()
	require.Len(t, counts, 1)
	require.Equal(t, 1, counts[storagefault.QueuePut].Executed)
}

func TestSendGetsOverABusyService(t *testing.T) {
	t.Parallel()
	queue, proxy, depth := setupFaults(t, storagefault.Rule{Fault: storagefault.ServerBusy, Times: 2})
	require.NoError(t, queue.Send(t.Context(), []byte("x"), 0))
	require.Equal(t, 1, depth())
	require.Equal(t, 3, proxy.Counts()[storagefault.QueuePut].Requests)
}

// Receivers must bear copies: the queue has no way to tell a repeated send from a new one.
func TestALostReplyMakesACopy(t *testing.T) {
	t.Parallel()
	queue, _, depth := setupFaults(t, storagefault.Rule{Fault: storagefault.LostReply, Times: 1})
	require.NoError(t, queue.Send(t.Context(), []byte("x"), 0))
	require.Equal(t, 2, depth())
}

func TestAnErrorOfSendMayMeanThatItWasSent(t *testing.T) {
	t.Parallel()
	queue, _, depth := setupFaults(t, storagefault.Rule{Fault: storagefault.OperationTimedOutLate})
	require.ErrorContains(t, queue.Send(t.Context(), []byte("x"), 0), "sending to queue run-shard")
	require.Positive(t, depth())
}

func TestErrorsOfTheOtherCallsNameTheQueue(t *testing.T) {
	t.Parallel()
	queue, _, _ := setupFaults(t, storagefault.Rule{Fault: storagefault.LostRequest})
	require.ErrorContains(t, queue.Ensure(t.Context()), "making queue run-shard")
	_, err := queue.Depth(t.Context())
	require.ErrorContains(t, err, "reading the depth of queue run-shard")
	_, _, err = queue.Oldest(t.Context())
	require.ErrorContains(t, err, "peeking into queue run-shard")
}
