package dispatch

import (
	"context"
	"sync"
	"time"
)

// testQueue delivers as a Storage queue behind the Functions host: delayed, again at once after a failure, five times at most.
type testQueue struct {
	now      func() time.Time // nil for time.Now
	mu       sync.Mutex
	next     int
	messages []*queued
	poison   []string
	fast     bool // delays are a hundredth
	withheld kind // messages that never come
	sent     map[kind]int
}

type queued struct {
	id, count int
	body      []byte
	visible   time.Time
	held      bool
}

func (q *testQueue) Send(_ context.Context, body []byte, delay time.Duration) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fast {
		delay /= 100
	}
	if m, err := parseMessage(body); err == nil {
		if q.sent == nil {
			q.sent = map[kind]int{}
		}
		q.sent[m.Kind]++
	}
	q.next++
	q.messages = append(q.messages, &queued{id: q.next, body: body, visible: q.clock().Add(delay)})
	return nil
}

func (q *testQueue) clock() time.Time {
	if q.now != nil {
		return q.now()
	}
	return time.Now()
}

// count is how many messages of a kind were sent.
func (q *testQueue) count(k kind) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.sent[k]
}

func (q *testQueue) receive() []*queued {
	q.mu.Lock()
	defer q.mu.Unlock()
	var due []*queued
	now := q.clock()
	for _, m := range q.messages {
		if !m.held && !m.visible.After(now) && !q.withholds(m) {
			m.held = true
			m.count++
			due = append(due, m)
		}
	}
	return due
}

func (q *testQueue) withholds(m *queued) bool {
	parsed, err := parseMessage(m.body)
	return err == nil && q.withheld != "" && parsed.Kind == q.withheld
}

func (q *testQueue) settle(m *queued, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	m.held = false
	if err != nil && m.count < 5 {
		return
	}
	if err != nil {
		q.poison = append(q.poison, string(m.body)+": "+err.Error())
	}
	for i, other := range q.messages {
		if other == m {
			q.messages = append(q.messages[:i], q.messages[i+1:]...)
			return
		}
	}
}

// deliverAll ends the withholding of messages.
func (q *testQueue) deliverAll() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.withheld = ""
}
