package throttle

import (
	"math"
	"sync"
	"time"
)

// Hub holds the meters of a hub. It is safe for concurrent use; a nil Hub meters nothing.
type Hub struct {
	options Options
	meters  map[Operation]*Meter // fixed; without the operations that the tier does not have
	quota   quota
}

// New returns the meters of a hub, nil if the options name no tier. The error is that of [Options.Validate].
func New(o Options) (*Hub, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Tier == "" {
		return nil, nil
	}
	o = o.withDefaults()
	h := &Hub{options: o, meters: map[Operation]*Meter{}}
	for _, op := range Operations() {
		limit := Limit{PerMinute: o.Tier.PerMinute(op, o.Units), Burst: o.Burst, Queue: o.Queue}
		if limit.PerMinute == 0 {
			continue
		}
		if op == JobDevices {
			// The hub paces its jobs itself: without a burst, and nothing is ever refused.
			limit.Burst, limit.Queue = 0, Forever
		}
		h.meters[op] = NewMeter(limit)
	}
	h.quota.limit = math.MaxInt64
	if o.Quota {
		h.quota.limit = o.Tier.DailyMessages(o.Units)
	}
	return h, nil
}

// Verdict is what becomes of a request.
type Verdict struct {
	// Wait is the delay of a request that is carried out, and how long one that is refused should stay away.
	Wait time.Duration
	// Refused requests are answered 429, Missing ones ask for what the tier does not have, Spent ones find the day's messages used up.
	Refused, Missing, Spent bool
}

// Take asks for units of an operation.
func (h *Hub) Take(op Operation, now time.Time, units int64) Verdict {
	if h == nil {
		return Verdict{}
	}
	m := h.meters[op]
	switch {
	case m == nil:
		return Verdict{Missing: true}
	case op.costsMessages() && h.quota.spent(now):
		return Verdict{Spent: true}
	}
	wait, ok := m.Take(now, units)
	return Verdict{Wait: wait, Refused: !ok}
}

// costsMessages reports whether an operation counts for the quota: the registry and the calls that manage jobs do not.
func (op Operation) costsMessages() bool {
	switch op {
	case Methods, TwinReads, TwinUpdates, Queries:
		return true
	default:
		return false
	}
}

// Charge adds what a request has cost, by the bytes of its request and of its answer; negative if one does not count.
func (h *Hub) Charge(op Operation, now time.Time, request, answer int64) {
	if h == nil || !op.costsMessages() {
		return
	}
	var messages int64
	for _, n := range [...]int64{request, answer} {
		if n >= 0 {
			messages += Chunks(n, h.options.Tier.MessageSize())
		}
	}
	h.quota.charge(now, messages)
}

// Options returns the options with their defaults; those of a nil Hub are zero.
func (h *Hub) Options() Options {
	if h == nil {
		return Options{}
	}
	return h.options
}

// MaxJobs returns how many jobs may be active at once; 0 is any number.
func (h *Hub) MaxJobs() int {
	if h == nil {
		return 0
	}
	return h.options.Tier.MaxJobs()
}

// Usage returns the counters of all operations, nil of a nil Hub.
func (h *Hub) Usage() map[Operation]Usage {
	if h == nil {
		return nil
	}
	all := make(map[Operation]Usage, len(h.meters))
	for op, m := range h.meters {
		all[op] = m.Usage()
	}
	return all
}

// Messages returns how many messages of the quota the day has used, which are counted with and without a limit.
func (h *Hub) Messages() int64 {
	if h == nil {
		return 0
	}
	h.quota.mu.Lock()
	defer h.quota.mu.Unlock()
	return h.quota.used
}

// Reset clears the counters. What has been spent of allowances and quota stays spent.
func (h *Hub) Reset() {
	if h == nil {
		return
	}
	for _, m := range h.meters {
		m.Reset()
	}
}

// quota counts the messages of a day.
type quota struct {
	limit int64

	mu   sync.Mutex
	day  int64 // since 1970
	used int64
}

func (q *quota) turn(now time.Time) {
	if day := now.Unix() / (24 * 60 * 60); day > q.day {
		q.day, q.used = day, 0
	}
}

func (q *quota) spent(now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.turn(now)
	return q.used >= q.limit
}

func (q *quota) charge(now time.Time, messages int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.turn(now)
	q.used += messages
}
