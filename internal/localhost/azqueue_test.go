package localhost

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/azurite/azuritetest"
)

// storageQueueForTest is a queue of a fresh account on Azurite, not created yet.
func storageQueueForTest(t *testing.T, connection, name string) messageQueue {
	t.Helper()
	transport := storageTransport()
	t.Cleanup(transport.CloseIdleConnections)
	queue, err := openStorageQueue(transport, connection, name)
	require.NoError(t, err)
	return queue
}

func TestStorageQueue(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	queue := storageQueueForTest(t, azuritetest.Start(t), "jobs")

	none, err := queue.Receive(ctx, 16, time.Minute)
	require.NoError(t, err, "a missing queue is empty")
	require.Empty(t, none)
	require.NoError(t, queue.Send(ctx, `<a & "b">`), "and is created by the first message")

	batch, err := queue.Receive(ctx, 16, time.Minute)
	require.NoError(t, err)
	require.Len(t, batch, 1)
	first := batch[0]
	require.Equal(t, `<a & "b">`, first.text)
	require.Equal(t, int64(1), first.dequeueCount)
	require.WithinDuration(t, time.Now().Add(time.Minute), first.nextVisible, 10*time.Second)
	require.WithinDuration(t, time.Now().AddDate(0, 0, 7), first.expires, time.Minute)

	renewed, err := queue.Update(ctx, first, 2*time.Minute)
	require.NoError(t, err)
	require.NotEqual(t, first.popReceipt, renewed.popReceipt)
	require.ErrorIs(t, queue.Delete(ctx, first), errMessageGone, "the old receipt is void")
	released, err := queue.Update(ctx, renewed, 0)
	require.NoError(t, err)
	again, err := queue.Receive(ctx, 1, time.Minute)
	require.NoError(t, err)
	require.Len(t, again, 1)
	require.Equal(t, int64(2), again[0].dequeueCount)
	require.Equal(t, first.text, again[0].text, "an update keeps the text")
	_, err = queue.Update(ctx, released, 0)
	require.ErrorIs(t, err, errMessageGone)
	require.NoError(t, queue.Delete(ctx, again[0]))
	require.ErrorIs(t, queue.Delete(ctx, again[0]), errMessageGone)
}

// The whole way: a message in Azurite, a handler process per instance, an output queue, a poison queue.
func TestQueueFunctionsOnAzurite(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	connection := azuritetest.Start(t)
	a := newApp(t, map[string]string{"Work/function.json": queueTriggerFile},
		`TEST_OUTPUTS={"Outputs":{"out":["next"]}}`, "AzureWebJobsStorage="+connection,
		"AzureFunctionsJobHost__extensions__queues__messageEncoding=none",
		"AzureFunctionsJobHost__extensions__queues__maxPollingInterval=00:00:00.2")
	a.options.Instances = 2
	jobs := storageQueueForTest(t, connection, "jobs")
	h := a.start(t)
	const good = 40
	for range good {
		require.NoError(t, jobs.Send(ctx, "do=outputs"))
	}
	require.NoError(t, jobs.Send(ctx, "do=fail"))

	count := func(name string) int {
		queue := storageQueueForTest(t, connection, name)
		total := 0
		for {
			batch, err := queue.Receive(ctx, maxBatchSize, time.Hour)
			require.NoError(t, err)
			if len(batch) == 0 {
				return total
			}
			total += len(batch)
		}
	}
	require.Eventually(t, func() bool {
		stats := h.Stats()["Work"]
		return stats.Succeeded == good && stats.Failed == 5 && stats.InFlight == 0
	}, time.Minute, 20*time.Millisecond)
	require.Eventually(t, func() bool { return count("jobs-poison") == 1 }, time.Minute, 20*time.Millisecond)
	require.Equal(t, good, count("next"))
	pids := map[int]bool{}
	for _, r := range a.requests(t) {
		pids[r.Pid] = true
	}
	require.Len(t, pids, 2, "both instances listen")
}

func TestConnectionStringsStayOutOfErrors(t *testing.T) {
	t.Parallel()
	_, err := openStorageQueue(storageTransport(), "AccountKey=c2VjcmV0", "jobs")
	require.Error(t, err)
	require.NotContains(t, err.Error(), "c2VjcmV0")
	_, err = openStorageQueue(storageTransport(), "UseDevelopmentStorage=true", "jobs")
	require.NoError(t, err)
	a := newApp(t, map[string]string{"Work/function.json": queueTriggerFile}, "AzureWebJobsStorage=")
	_, err = Start(t.Context(), a.options)
	require.ErrorContains(t, err, "the setting AzureWebJobsStorage holds no connection string")
}
