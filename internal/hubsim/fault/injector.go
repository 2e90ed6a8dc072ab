package fault

import (
	"net/http"
	"sync/atomic"
	"time"
)

// Kind is what befalls a request.
type Kind uint8

// The kinds of faults.
const (
	Nothing     Kind = iota
	Throttle         // answer 429, do not carry out
	ErrorBefore      // answer Status, do not carry out
	ErrorAfter       // carry out, then answer Status
	DropBefore       // close the connection, do not carry out
	DropAfter        // carry out, then close the connection
)

// Decision is what befalls one request.
type Decision struct {
	Kind Kind
	// Latency is to be waited before anything else.
	Latency time.Duration
	// Status is the HTTP status of ErrorBefore and ErrorAfter.
	Status int
	// WaitSeconds and RetryAfterSeconds belong to Throttle; no header if RetryAfterSeconds is 0.
	WaitSeconds, RetryAfterSeconds int
}

// Injector decides by a plan that can be replaced at any time. It is safe for concurrent use.
type Injector struct {
	current atomic.Pointer[compiled]
}

type compiled struct {
	plan    Plan
	dice    Dice
	offline map[string]bool
	rules   map[Operation]*rule
	tokens  atomic.Uint64
	pages   atomic.Uint64
}

type rule struct {
	Rule
	devices  map[string]bool
	requests atomic.Uint64
	faults   atomic.Int64
}

// NewInjector returns an injector with a plan. Its error is that of [Plan.Validate].
func NewInjector(plan Plan) (*Injector, error) {
	in := &Injector{}
	return in, in.Replace(plan)
}

// Replace sets another plan; counts begin again. An invalid plan changes nothing; the error is that of [Plan.Validate].
func (in *Injector) Replace(plan Plan) error {
	if err := plan.Validate(); err != nil {
		return err
	}
	c := &compiled{plan: plan, dice: NewDice(plan.Seed), offline: set(plan.Offline.IDs), rules: map[Operation]*rule{}}
	for op, r := range plan.Operations {
		c.rules[op] = &rule{Rule: r, devices: set(r.Devices)}
	}
	in.current.Store(c)
	return nil
}

// Plan returns the current plan, which must not be changed.
func (in *Injector) Plan() Plan { return in.current.Load().plan }

// Offline reports whether the plan keeps the device offline.
func (in *Injector) Offline(deviceID string) bool {
	c := in.current.Load()
	if c.offline[deviceID] {
		return true
	}
	return c.plan.Offline.Share > 0 && c.dice.Of("offline/"+deviceID) < c.plan.Offline.Share
}

// Next decides about the next request of an operation. deviceID is empty for requests that are not for one device.
func (in *Injector) Next(op Operation, deviceID string) Decision {
	c := in.current.Load()
	r := c.rules[op]
	if r == nil {
		return Decision{}
	}
	n := r.requests.Add(1)
	d := Decision{Latency: r.Latency.At(c.dice.At("latency/"+string(op), n))}
	if len(r.devices) > 0 && !r.devices[deviceID] {
		return d
	}
	d.Kind = r.kind(c.dice.At("fault/"+string(op), n))
	if d.Kind != Nothing && r.Limit > 0 && r.faults.Add(1) > r.Limit {
		d.Kind = Nothing
	}
	switch d.Kind {
	case Throttle:
		d.WaitSeconds, d.RetryAfterSeconds = r.WaitSeconds, r.RetryAfterSeconds
		if d.WaitSeconds == 0 {
			d.WaitSeconds = 10
		}
	case ErrorBefore, ErrorAfter:
		if d.Status = r.ErrorStatus; d.Status == 0 {
			d.Status = http.StatusInternalServerError
		}
	}
	return d
}

func (r *rule) kind(u float64) Kind {
	errorKind := ErrorBefore
	if r.ErrorAfter {
		errorKind = ErrorAfter
	}
	for _, part := range [...]struct {
		share float64
		kind  Kind
	}{
		{r.ThrottleShare, Throttle}, {r.ErrorShare, errorKind}, {r.DropBeforeShare, DropBefore}, {r.DropAfterShare, DropAfter},
	} {
		if u < part.share {
			return part.kind
		}
		u -= part.share
	}
	return Nothing
}

// LoseToken decides whether the next continuation token is refused.
func (in *Injector) LoseToken() bool {
	c := in.current.Load()
	share := c.plan.Paging.LostTokenShare
	return share > 0 && c.dice.At("token", c.tokens.Add(1)) < share
}

// Page decides about the next query page: how many of the size rows it may hold, and whether the page after it begins with
// the last device of this one.
func (in *Injector) Page(size int) (rows int, repeat bool) {
	c := in.current.Load()
	p := c.plan.Paging
	if p == (Paging{}) {
		return size, false
	}
	n := c.pages.Add(1)
	repeat = c.dice.At("repeat", n) < p.RepeatShare
	switch u := c.dice.At("short", n); {
	case u < p.EmptyShare:
		return 0, false
	case u < p.EmptyShare+p.ShortShare:
		return 1 + int(c.dice.At("rows", n)*float64(size-1)), repeat
	}
	return size, repeat
}

func set(ids []string) map[string]bool {
	m := make(map[string]bool, len(ids))
	for _, id := range ids {
		m[id] = true
	}
	return m
}
