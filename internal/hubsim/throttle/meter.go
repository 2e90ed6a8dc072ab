package throttle

import (
	"math"
	"sync"
	"time"
)

// Limit is the allowance of a meter.
type Limit struct {
	// PerMinute is how many units are allowed in a minute; at least 1.
	PerMinute int64
	// Burst is how long the allowance may pile up.
	Burst time.Duration
	// Queue is the greatest delay; a request that would have to wait for longer is refused.
	Queue time.Duration
}

// Forever is a queue without end.
const Forever = time.Duration(math.MaxInt64)

// Meter measures out an allowance (the generic cell rate algorithm). It is safe for concurrent use.
type Meter struct {
	limit Limit

	mu    sync.Mutex
	began bool      // epoch is set
	epoch time.Time // of the first request since the start or the last reset
	// paid is until when the allowance has been spent, as nanoseconds since epoch.
	paid  int64
	usage Usage
	peaks [2]window
}

// Usage is what became of the requests for an operation.
type Usage struct {
	// UnitsPerMinute is the allowance.
	UnitsPerMinute int64 `json:"unitsPerMinute"`
	// Requests counts all, Delayed those that had to wait, Refused those that were answered 429.
	Requests int64 `json:"requests"`
	Delayed  int64 `json:"delayed"`
	Refused  int64 `json:"refused"`
	// Units is what the requests that were let through took.
	Units int64 `json:"units"`
	// PeakSecond and PeakMinute are the most units carried out in a second and in a minute of the hub's clock.
	PeakSecond int64 `json:"peakSecond"`
	PeakMinute int64 `json:"peakMinute"`
	// Seconds is the time, by the hub's clock, from the first request to the last one carried out.
	Seconds float64 `json:"seconds"`
}

// window counts the units of one stretch of time after the other.
type window struct {
	at, count, peak int64
}

// NewMeter returns a meter with its whole burst available.
func NewMeter(l Limit) *Meter {
	return &Meter{limit: l, usage: Usage{UnitsPerMinute: l.PerMinute}}
}

// price is how long the allowance needs to earn units.
func (m *Meter) price(units int64) int64 { return units * int64(time.Minute) / m.limit.PerMinute }

// Take asks for units at an instant. If ok, they are taken and the request is to be carried out after wait; otherwise nothing
// is taken, and wait is how long until the same request would be queued.
func (m *Meter) Take(now time.Time, units int64) (wait time.Duration, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.began {
		m.paid -= int64(now.Sub(m.epoch))
		m.began, m.epoch = true, now
	}
	at := int64(now.Sub(m.epoch))
	price := m.price(units)
	paid := max(m.paid, at) + price
	// Even without a burst a request may take what it costs, however much that is.
	wait = max(0, time.Duration(paid-at-max(int64(m.limit.Burst), price)))
	m.usage.Requests++
	if wait > m.limit.Queue {
		m.usage.Refused++
		return wait - m.limit.Queue, false
	}
	m.paid = paid
	if wait > 0 {
		m.usage.Delayed++
	}
	m.count(at+int64(wait), units)
	return wait, true
}

// count enters units that are carried out at an instant.
func (m *Meter) count(at, units int64) {
	m.usage.Units += units
	m.usage.Seconds = max(m.usage.Seconds, time.Duration(at).Seconds())
	for i, size := range [...]int64{int64(time.Second), int64(time.Minute)} {
		w := &m.peaks[i]
		if n := at / size; n > w.at {
			w.at, w.count = n, 0
		}
		w.count += units
		w.peak = max(w.peak, w.count)
	}
}

// Usage returns the counters.
func (m *Meter) Usage() Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	usage := m.usage
	usage.PeakSecond, usage.PeakMinute = m.peaks[0].peak, m.peaks[1].peak
	return usage
}

// Reset clears the counters, whose time begins anew with the next request. What has been spent stays spent.
func (m *Meter) Reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.usage = Usage{UnitsPerMinute: m.limit.PerMinute}
	m.peaks = [2]window{}
	m.began = false
}
