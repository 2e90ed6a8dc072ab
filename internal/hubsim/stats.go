package hubsim

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/throttle"
)

// Stats are the simulator's counters since its start or the last reset.
type Stats struct {
	// Requests counts service requests by operation, refused ones included.
	Requests map[fault.Operation]int64 `json:"requests"`
	// Statuses counts the answers by HTTP status.
	Statuses map[int]int64 `json:"statuses"`
	// Dropped counts connections closed by the fault plan.
	Dropped int64 `json:"dropped"`
	// MethodsDelivered counts direct methods that reached a device.
	MethodsDelivered int64 `json:"methodsDelivered"`
	// TwinsUpdated counts successful PATCH and PUT of twins.
	TwinsUpdated int64 `json:"twinsUpdated"`
	// QueryPages and QueryRows count what queries returned.
	QueryPages int64 `json:"queryPages"`
	QueryRows  int64 `json:"queryRows"`
	// MethodsInFlight is the number of direct methods being carried out now, MaxMethodsInFlight the greatest it has been.
	MethodsInFlight    int64 `json:"methodsInFlight"`
	MaxMethodsInFlight int64 `json:"maxMethodsInFlight"`
	// MQTTConnections is the number of devices connected over MQTT now.
	MQTTConnections int64 `json:"mqttConnections"`
	// DeviceMessages counts device-to-cloud messages.
	DeviceMessages int64 `json:"deviceMessages"`
	// Throttle is what the meters saw, by operation; absent unless Options.Throttle names a tier.
	Throttle map[throttle.Operation]throttle.Usage `json:"throttle,omitempty"`
	// MessagesToday is how many messages of the daily quota have been used, as far as back ends cause them.
	MessagesToday int64 `json:"messagesToday,omitempty"`
}

// Methods returns the number of direct method requests, refused ones included.
func (s Stats) Methods() int64 { return s.Requests[fault.Methods] }

// Throttled returns the number of 429 answers.
func (s Stats) Throttled() int64 { return s.Statuses[429] }

// counters are the live Stats.
type counters struct {
	requests  map[fault.Operation]*atomic.Int64 // fixed keys
	dropped   atomic.Int64
	delivered atomic.Int64
	updated   atomic.Int64
	pages     atomic.Int64
	rows      atomic.Int64
	inFlight  atomic.Int64
	peak      atomic.Int64
	messages  atomic.Int64
	statuses  [600]atomic.Int64
}

func newCounters() *counters {
	c := &counters{requests: map[fault.Operation]*atomic.Int64{}}
	for _, op := range fault.Operations() {
		c.requests[op] = &atomic.Int64{}
	}
	return c
}

func (c *counters) status(code int) {
	if code >= 0 && code < len(c.statuses) {
		c.statuses[code].Add(1)
	}
}

// enter counts a method in flight; the returned function ends it.
func (c *counters) enter() func() {
	n := c.inFlight.Add(1)
	for {
		peak := c.peak.Load()
		if n <= peak || c.peak.CompareAndSwap(peak, n) {
			break
		}
	}
	return func() { c.inFlight.Add(-1) }
}

func (c *counters) reset() {
	for _, n := range c.requests {
		n.Store(0)
	}
	for i := range c.statuses {
		c.statuses[i].Store(0)
	}
	for _, n := range []*atomic.Int64{&c.dropped, &c.delivered, &c.updated, &c.pages, &c.rows, &c.messages} {
		n.Store(0)
	}
	c.peak.Store(c.inFlight.Load())
}

func (c *counters) stats() Stats {
	s := Stats{
		Requests: map[fault.Operation]int64{}, Statuses: map[int]int64{}, Dropped: c.dropped.Load(),
		MethodsDelivered: c.delivered.Load(), TwinsUpdated: c.updated.Load(), QueryPages: c.pages.Load(), QueryRows: c.rows.Load(),
		MethodsInFlight: c.inFlight.Load(), MaxMethodsInFlight: c.peak.Load(), DeviceMessages: c.messages.Load(),
	}
	for op, n := range c.requests {
		s.Requests[op] = n.Load()
	}
	for code := range c.statuses {
		if n := c.statuses[code].Load(); n > 0 {
			s.Statuses[code] = n
		}
	}
	return s
}

// Call is one entry of the journal: something that reached a device.
type Call struct {
	DeviceID string `json:"deviceId"`
	// Operation is fault.Methods or fault.TwinUpdate.
	Operation fault.Operation `json:"operation"`
	// Method is the name of the direct method.
	Method string    `json:"method,omitempty"`
	Time   time.Time `json:"time"`
}

// journal records calls if it is enabled.
type journal struct {
	enabled bool

	mu    sync.Mutex
	calls []Call
	count map[fault.Operation]map[string]int
}

func (j *journal) add(op fault.Operation, deviceID, method string) {
	if !j.enabled {
		return
	}
	now := time.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.calls = append(j.calls, Call{DeviceID: deviceID, Operation: op, Method: method, Time: now})
	if j.count == nil {
		j.count = map[fault.Operation]map[string]int{fault.Methods: {}, fault.TwinUpdate: {}}
	}
	j.count[op][deviceID]++
}

func (j *journal) reset() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.calls, j.count = nil, nil
}

// Calls returns the journal, oldest first; nil unless Options.Journal is set.
func (s *Server) Calls() []Call {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	return append([]Call(nil), s.journal.calls...)
}

// CallCounts returns how often an operation (fault.Methods or fault.TwinUpdate) reached each device; empty unless
// Options.Journal is set. Devices that were not reached are absent.
func (s *Server) CallCounts(op fault.Operation) map[string]int {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	counts := maps.Clone(s.journal.count[op])
	if counts == nil {
		counts = map[string]int{}
	}
	return counts
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	stats := s.counters.stats()
	stats.MQTTConnections = s.mqttConnections()
	stats.Throttle, stats.MessagesToday = s.meters.Usage(), s.meters.Messages()
	return stats
}
