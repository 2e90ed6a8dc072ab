package workqueue_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue/v2"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/azurecred"
	"github.com/fleetjobs/fleetjobs/internal/azurite/azuritetest"
	"github.com/fleetjobs/fleetjobs/internal/workqueue"
)

func TestMain(m *testing.M) { azuritetest.Main(m) }

// setup returns a queue that does not exist yet, and a plain client of it to look at what arrives.
func setup(t *testing.T, conn string) (*workqueue.Queue, *azqueue.QueueClient) {
	t.Helper()
	service, err := azurecred.Queues(azurecred.Config{ConnectionString: conn})
	require.NoError(t, err)
	queue, err := workqueue.New(service, "run-shard")
	require.NoError(t, err)
	return queue, service.NewQueueClient("run-shard")
}

// receive takes up to 32 visible messages.
func receive(t *testing.T, client *azqueue.QueueClient) []*azqueue.DequeuedMessage {
	t.Helper()
	reply, err := client.DequeueMessages(t.Context(), &azqueue.DequeueMessagesOptions{NumberOfMessages: to.Ptr[int32](32)})
	require.NoError(t, err)
	return reply.Messages
}

func TestSendMakesTheQueueAndEncodesTheBody(t *testing.T) {
	t.Parallel()
	queue, client := setup(t, azuritetest.Start(t))
	body := []byte("{\"run\":\"<é\x00>\"}")
	require.NoError(t, queue.Send(t.Context(), body, 0))

	messages := receive(t, client)
	require.Len(t, messages, 1)
	got, err := base64.StdEncoding.DecodeString(*messages[0].MessageText)
	require.NoError(t, err)
	require.Equal(t, body, got)
	require.Equal(t, 9999, messages[0].ExpirationTime.Year(), "the message must not expire")
}

func TestSendTakesBodiesUpToTheLimit(t *testing.T) {
	t.Parallel()
	queue, client := setup(t, azuritetest.Start(t))
	largest := bytes.Repeat([]byte{0xff}, workqueue.MaxBody)
	require.NoError(t, queue.Send(t.Context(), largest, 0))
	require.Len(t, *receive(t, client)[0].MessageText, 64<<10)

	require.ErrorIs(t, queue.Send(t.Context(), append(largest, 0), 0), workqueue.ErrTooLarge)
	require.Empty(t, receive(t, client))
}

func TestADelayedMessageIsHiddenUntilItIsDue(t *testing.T) {
	t.Parallel()
	queue, client := setup(t, azuritetest.Start(t))
	begin := time.Now()
	require.NoError(t, queue.Send(t.Context(), []byte("x"), 1500*time.Millisecond))
	depth, err := queue.Depth(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, depth, "the depth counts hidden messages")

	require.Eventually(t, func() bool { return len(receive(t, client)) == 1 }, time.Minute, 20*time.Millisecond)
	require.GreaterOrEqual(t, time.Since(begin), 1500*time.Millisecond, "delays are rounded up")
}

func TestLimitsOfDelays(t *testing.T) {
	t.Parallel()
	queue, client := setup(t, azuritetest.Start(t))
	require.ErrorIs(t, queue.Send(t.Context(), nil, workqueue.MaxDelay+1), workqueue.ErrDelay)
	require.NoError(t, queue.Send(t.Context(), nil, workqueue.MaxDelay))
	require.Empty(t, receive(t, client))
	require.NoError(t, queue.Send(t.Context(), nil, -time.Hour))
	require.Len(t, receive(t, client), 1, "a negative delay is none")
}

func TestEnsureBearsAQueueThatIsThere(t *testing.T) {
	t.Parallel()
	queue, client := setup(t, azuritetest.Start(t))
	_, err := client.Create(t.Context(), &azqueue.CreateOptions{Metadata: map[string]*string{"owner": new("other")}})
	require.NoError(t, err)
	require.NoError(t, queue.Ensure(t.Context()))
	require.NoError(t, queue.Ensure(t.Context()))
}

func TestDepthAndOldest(t *testing.T) {
	t.Parallel()
	queue, client := setup(t, azuritetest.Start(t))
	requireEmpty := func() {
		depth, err := queue.Depth(t.Context())
		require.NoError(t, err)
		require.Zero(t, depth)
		_, found, err := queue.Oldest(t.Context())
		require.NoError(t, err)
		require.False(t, found)
	}
	requireEmpty() // missing
	require.NoError(t, queue.Ensure(t.Context()))
	requireEmpty()

	for range 3 {
		require.NoError(t, queue.Send(t.Context(), []byte("x"), 0))
	}
	depth, err := queue.Depth(t.Context())
	require.NoError(t, err)
	require.Equal(t, 3, depth)
	sent, found, err := queue.Oldest(t.Context())
	require.NoError(t, err)
	require.True(t, found)
	require.WithinDuration(t, time.Now(), sent, time.Minute)
	require.EqualValues(t, 1, *receive(t, client)[0].DequeueCount, "looking must not count as a delivery")
}

func TestNewRefusesNamesThatAzureRefuses(t *testing.T) {
	t.Parallel()
	service, err := azurecred.Queues(azurecred.Config{ConnectionString: "UseDevelopmentStorage=true"})
	require.NoError(t, err)
	for _, name := range []string{"", "ab", "Work", "a--b", "-ab", "ab-", "a_b", "a/b", strings.Repeat("a", 64)} {
		_, err := workqueue.New(service, name)
		require.ErrorContains(t, err, "queue name", name)
	}
	for _, name := range []string{"abc", "0-a", strings.Repeat("a", 63)} {
		queue, err := workqueue.New(service, name)
		require.NoError(t, err)
		require.Equal(t, name, queue.Name())
	}
}
