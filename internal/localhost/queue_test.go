package localhost

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// memoryQueue is a storage queue with visibility, pop receipts and dequeue counts.
type memoryQueue struct {
	mu       sync.Mutex
	messages []message
	receipts int
	polls    []time.Time
	missing  bool // not created yet
}

func (q *memoryQueue) Receive(_ context.Context, limit int, hide time.Duration) ([]message, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	q.polls = append(q.polls, now)
	var batch []message
	for i := range q.messages {
		if m := &q.messages[i]; len(batch) < limit && !m.nextVisible.After(now) {
			m.dequeueCount++
			q.hide(m, hide)
			batch = append(batch, *m)
		}
	}
	return batch, nil
}

func (q *memoryQueue) hide(m *message, hide time.Duration) {
	q.receipts++
	m.popReceipt = strconv.Itoa(q.receipts)
	m.nextVisible = time.Now().Add(hide)
}

func (q *memoryQueue) find(m message) int {
	return slices.IndexFunc(q.messages, func(o message) bool { return o.id == m.id && o.popReceipt == m.popReceipt })
}

func (q *memoryQueue) Update(_ context.Context, m message, hide time.Duration) (message, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := q.find(m)
	if i < 0 {
		return m, errMessageGone
	}
	q.hide(&q.messages[i], hide)
	return q.messages[i], nil
}

func (q *memoryQueue) Delete(_ context.Context, m message) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := q.find(m)
	if i < 0 {
		return errMessageGone
	}
	q.messages = slices.Delete(q.messages, i, i+1)
	return nil
}

func (q *memoryQueue) Send(_ context.Context, text string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.missing = false
	q.receipts++
	q.messages = append(q.messages, message{id: "m" + strconv.Itoa(q.receipts), text: text, inserted: time.Now()})
	return nil
}

// texts are the messages in the queue, hidden ones too.
func (q *memoryQueue) texts() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	texts := []string{}
	for _, m := range q.messages {
		texts = append(texts, m.text)
	}
	return texts
}

// queueBench is a listener between two queues in memory, to be run inside a synctest bubble.
type queueBench struct {
	queue, poison *memoryQueue
	listener      *queueListener
	mu            sync.Mutex
	seen          []string
	active, peak  int
}

// newQueueBench makes a listener whose function does what process says.
func newQueueBench(process func(m message, text string) error) *queueBench {
	b := &queueBench{queue: &memoryQueue{}, poison: &memoryQueue{missing: true}}
	b.listener = &queueListener{
		config: queueConfig{batchSize: 2, newBatchThreshold: 1, maxDequeueCount: 3, maxPolling: time.Second},
		lease:  messageLease, queue: b.queue, poison: b.poison, log: slog.New(slog.DiscardHandler),
	}
	b.listener.process = func(_ context.Context, m message, text string) error {
		b.mu.Lock()
		b.seen = append(b.seen, text)
		b.active++
		b.peak = max(b.peak, b.active)
		b.mu.Unlock()
		err := process(m, text)
		b.mu.Lock()
		b.active--
		b.mu.Unlock()
		return err
	}
	return b
}

func (b *queueBench) send(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		require.NoError(t, b.queue.Send(t.Context(), b.listener.config.encode(text)))
	}
}

func (b *queueBench) listenFor(t *testing.T, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	b.listener.listen(ctx, t.Context())
}

func TestQueueMessageIsDeletedAfterSuccess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newQueueBench(func(message, string) error { return nil })
		b.listener.config.base64 = true
		b.send(t, "a", "b", "c")
		b.listenFor(t, time.Second)
		require.ElementsMatch(t, []string{"a", "b", "c"}, b.seen)
		require.Empty(t, b.queue.texts())
		require.True(t, b.poison.missing)
	})
}

func TestQueueMessageIsRetriedThenPoisoned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newQueueBench(func(message, string) error { return errors.New("failed") })
		b.listener.config.base64 = true
		b.listener.config.visibilityTimeout = time.Minute
		b.send(t, "bad")
		start := time.Now()
		var counts []int64
		var times []time.Duration
		process := b.listener.process
		b.listener.process = func(ctx context.Context, m message, text string) error {
			counts = append(counts, m.dequeueCount)
			times = append(times, time.Since(start).Truncate(10*time.Second))
			return process(ctx, m, text)
		}
		b.listenFor(t, 5*time.Minute)
		require.Equal(t, []int64{1, 2, 3}, counts)
		require.Equal(t, []time.Duration{0, time.Minute, 2 * time.Minute}, times)
		require.Empty(t, b.queue.texts())
		require.Equal(t, []string{base64.StdEncoding.EncodeToString([]byte("bad"))}, b.poison.texts())
	})
}

// A message that killed the host each time was never settled: it is moved without another try.
func TestQueueMessageDeliveredTooOftenIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newQueueBench(func(message, string) error { return nil })
		b.send(t, "killer")
		b.queue.messages[0].dequeueCount = 3
		b.listenFor(t, time.Second)
		require.Empty(t, b.seen)
		require.Equal(t, []string{"killer"}, b.poison.texts())
	})
}

func TestUnreadableMessageIsPoisoned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newQueueBench(func(message, string) error { return nil })
		b.listener.config.base64 = true
		require.NoError(t, b.queue.Send(t.Context(), "{not base64}"))
		b.listenFor(t, time.Second)
		require.Empty(t, b.seen)
		require.Equal(t, []string{"{not base64}"}, b.poison.texts())
	})
}

func TestQueueConcurrencyIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newQueueBench(func(_ message, text string) error {
			d, err := time.ParseDuration(text)
			time.Sleep(d)
			return err
		})
		for i := range 20 {
			b.send(t, (time.Minute + time.Duration(i)*time.Second).String())
		}
		b.listenFor(t, time.Hour)
		require.Equal(t, 3, b.peak, "batchSize + newBatchThreshold")
		require.Len(t, b.seen, 20)
		require.Empty(t, b.queue.texts())
	})
}

// A message stays hidden for 10 minutes, renewed every 5, for as long as its function runs.
func TestQueueLeaseIsRenewed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newQueueBench(func(message, string) error { time.Sleep(time.Hour); return nil })
		b.send(t, "long")
		b.listenFor(t, 61*time.Minute)
		require.Equal(t, []string{"long"}, b.seen)
		require.Empty(t, b.queue.texts(), "deleted with the receipt of the last renewal")
	})
}

// An empty queue is asked ever less often, up to the maximum; a message brings the pace back.
func TestQueuePollingBacksOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newQueueBench(func(message, string) error { return nil })
		b.listenFor(t, 10*time.Second)
		require.InDelta(t, 13, len(b.queue.polls), 3)
		gap := func(i int) time.Duration { return b.queue.polls[i+1].Sub(b.queue.polls[i]) }
		require.InDelta(t, 100*time.Millisecond, gap(0), float64(20*time.Millisecond))
		require.InDelta(t, 200*time.Millisecond, gap(1), float64(40*time.Millisecond))
		require.InDelta(t, 900*time.Millisecond, gap(8), float64(100*time.Millisecond))

		b.send(t, "wake")
		b.queue.polls = nil
		b.listenFor(t, time.Second)
		require.Zero(t, gap(0), "after a message the queue is asked again at once")
	})
}

// When the host stops, what is in flight is finished or released; nothing more is received.
func TestQueueListenerStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newQueueBench(func(message, string) error { time.Sleep(time.Minute); return errors.New("killed") })
		b.send(t, "a", "b", "c", "d", "e", "f")
		b.listenFor(t, time.Second)
		require.Len(t, b.seen, 2)
		require.Len(t, b.queue.texts(), 6)
		for _, m := range b.queue.messages {
			require.False(t, m.nextVisible.After(time.Now()), "visible at once")
		}
	})
}
