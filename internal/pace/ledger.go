package pace

import (
	"math"
	"slices"
	"time"
)

const (
	// Horizon is how far ahead of now a run reserves. It covers the way of a message through the queue, and is short so that
	// a pause, a cancel or another job bites soon.
	Horizon = 10 * time.Second
	// forget is how long a run that asks no more counts among those that share an allowance.
	forget = 5 * time.Second

	lowest   = 0.1  // share of the allowance that throttling never goes below
	cut      = 0.8  // what throttling leaves of the share in use
	growth   = 0.02 // share that comes back per quiet second
	cutEvery = time.Second
)

// Slot is when operations may begin: spread evenly from At over For. The zero Slot is now, without spreading.
type Slot struct {
	At  time.Time
	For time.Duration
}

// End is when the next slot may begin.
func (s Slot) End() time.Time { return s.At.Add(s.For) }

// Ledger is what is reserved of one operation's allowance: the generic cell rate algorithm (ITU-T I.371), once for the hub
// and once per run, so that runs that want it at the same time have parts by their weights. The zero Ledger is a fresh one.
type Ledger struct {
	// Next is the first instant that nobody reserved.
	Next time.Time `json:"next"`
	// Factor is the share of the allowance in use at Throttled, from where it grows again; 0 stands for 1.
	Factor    float64         `json:"factor,omitempty"`
	Throttled time.Time       `json:"throttled,omitzero"`
	Runs      map[string]Part `json:"runs,omitempty"`
}

// Part is one run's use of an allowance.
type Part struct {
	Next time.Time `json:"next"` // first instant that the run's part leaves it
	Seen time.Time `json:"seen"`
	// Weight is the run's, 0 for DefaultWeight; Share is the inverse of its part when it last got a slot, 0 where all had the same weight.
	Weight int     `json:"weight,omitempty"`
	Share  float64 `json:"share,omitempty"`
}

// DefaultWeight is that of an Ask without one.
const DefaultWeight = 5

func (p Part) weight() int {
	if p.Weight == 0 {
		return DefaultWeight
	}
	return p.Weight
}

// Ask is what a run wants of an allowance.
type Ask struct {
	Run string
	// Weight is how much the run gets beside others that want the allowance at the same time: one of 10 twice as much as one of 5.
	// 0 is what the run has said before, DefaultWeight at first.
	Weight int
	Rate   float64 // operations per second that the hub allows
	Costs  []int   // of the run's next operations, in their order
	// Lead is the least time before the first slot: what the operations take to reach a worker.
	Lead time.Duration
}

// Reserve gives slots for the first operations of an Ask, as many as the run's part of the rate leaves within the Horizon. Where
// that is not all, again says when to ask again.
func (l *Ledger) Reserve(now time.Time, ask Ask) (slots []Slot, again time.Time) {
	rate := ask.Rate * l.share(now)
	part := l.part(now, ask)
	runs := l.inverse(part)
	l.Next = latest(l.Next, now.Add(ask.Lead))
	if part.Share > runs { // others have left: what the run would still wait for them is over
		part.Next = now.Add(seconds(part.Next.Sub(now).Seconds() * runs / part.Share))
	}
	part.Next = latest(part.Next, now)
	if part.Share = runs; runs == float64(len(l.Runs)) {
		part.Share = 0
	}
	for _, cost := range ask.Costs {
		if !part.Next.Before(now.Add(Horizon)) {
			again = part.Next.Add(-Horizon / 2)
			break
		}
		slot := Slot{At: l.Next, For: seconds(float64(cost) / rate)}
		slots = append(slots, slot)
		l.Next = slot.End()
		part.Next = part.Next.Add(seconds(float64(cost) * runs / rate))
	}
	l.Runs[ask.Run] = part
	return slots, again
}

// Return gives back slots that a run got last and does not use, and reports whether that changed anything. What others reserved after them
// stands between: such slots are lost.
func (l *Ledger) Return(run string, slots []Slot) bool {
	part, changed := l.Runs[run], false
	for _, slot := range slices.Backward(slots) {
		if slot.For == 0 || !slot.End().Equal(l.Next) {
			break
		}
		l.Next = slot.At
		part.Next = part.Next.Add(-seconds(slot.For.Seconds() * l.inverse(part)))
		changed = true
	}
	if _, known := l.Runs[run]; known && changed {
		l.Runs[run] = part
	}
	return changed
}

// inverse is what the weights of all runs are together, in weights of part: the number of runs, where all have the same.
func (l *Ledger) inverse(part Part) float64 {
	sum := 0
	for _, p := range l.Runs {
		sum += p.weight()
	}
	return float64(sum) / float64(part.weight())
}

// Knows reports whether the ledger counts runID among those that share the allowance, and will for a while.
func (l *Ledger) Knows(now time.Time, runID string) bool {
	return now.Sub(l.Runs[runID].Seen) < forget/2
}

// part gives the run's part, and forgets runs that ask no more.
func (l *Ledger) part(now time.Time, ask Ask) Part {
	for id, p := range l.Runs {
		if id != ask.Run && now.Sub(p.Seen) > forget && now.After(p.Next) {
			delete(l.Runs, id)
		}
	}
	if l.Runs == nil {
		l.Runs = map[string]Part{}
	}
	p := l.Runs[ask.Run]
	p.Seen = now
	switch ask.Weight {
	case 0: // as it was
	case DefaultWeight:
		p.Weight = 0
	default:
		p.Weight = ask.Weight
	}
	l.Runs[ask.Run] = p
	return p
}

// share is how much of the allowance is in use at now.
func (l *Ledger) share(now time.Time) float64 {
	if l.Factor == 0 {
		return 1
	}
	return min(1, l.Factor+growth*max(0, now.Sub(l.Throttled).Seconds()))
}

// Throttle takes note that the hub refused an operation at now and asked to stay away for wait. It reports whether that
// changed anything: refusals that come together count once.
func (l *Ledger) Throttle(now time.Time, wait time.Duration) bool {
	if now.Sub(l.Throttled) < cutEvery {
		return false
	}
	l.Factor = max(lowest, cut*l.share(now))
	l.Throttled = now
	l.Next = latest(l.Next, now.Add(wait))
	return true
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func seconds(s float64) time.Duration {
	return time.Duration(math.Round(s * float64(time.Second)))
}
