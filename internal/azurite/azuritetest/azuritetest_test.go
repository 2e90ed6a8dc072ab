package azuritetest_test

import (
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue/v2"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/azurite/azuritetest"
)

func TestMain(m *testing.M) { azuritetest.Main(m) }

func TestEveryCallGetsAnEmptyAccount(t *testing.T) {
	t.Parallel()
	first, second := azuritetest.Start(t), azuritetest.Start(t)
	require.NotEqual(t, first, second)

	for _, conn := range []string{first, second} {
		tables, err := aztables.NewServiceClientFromConnectionString(conn, nil)
		require.NoError(t, err)
		_, err = tables.CreateTable(t.Context(), "jobs", nil)
		require.NoError(t, err, "the table of one account is in the way of the other")

		queues, err := azqueue.NewServiceClientFromConnectionString(conn, nil)
		require.NoError(t, err)
		_, err = queues.NewQueueClient("work").EnqueueMessage(t.Context(), "x", nil)
		require.ErrorContains(t, err, "QueueNotFound")
		_, err = queues.CreateQueue(t.Context(), "work", nil)
		require.NoError(t, err)
	}
}
