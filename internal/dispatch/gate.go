package dispatch

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// gate lets device calls of one process through: never more than its capacity at once, fewer while the hub throttles, and
// none until the wait that the hub asked for is over. The limit halves when the hub throttles and grows by one per
// round of successes, as TCP's congestion window does.
type gate struct {
	now      func() time.Time
	capacity float64

	mu       sync.Mutex
	limit    float64
	inFlight int
	until    time.Time // closed until then
	streak   int       // throttled rounds in a row
	lowered  time.Time // when the limit was last lowered
	waiting  []chan struct{}

	window      time.Time // since when ended counts
	ended, last int       // calls of this window, and of the one before
}

func newGate(capacity int, now func() time.Time) *gate {
	return &gate{now: now, capacity: float64(capacity), limit: float64(capacity)}
}

const (
	firstThrottleWait = 200 * time.Millisecond
	maxThrottleWait   = 30 * time.Second
)

// enter waits for its turn and returns when the call may begin. When the gate stays closed for longer than hold, it does not
// wait but returns how long.
func (g *gate) enter(ctx context.Context, hold time.Duration) (time.Duration, error) {
	for {
		g.mu.Lock()
		if err := ctx.Err(); err != nil {
			g.wake(1)
			g.mu.Unlock()
			return 0, err
		}
		closed := g.until.Sub(g.now())
		if closed <= 0 && g.inFlight < int(g.limit) {
			g.inFlight++
			g.mu.Unlock()
			return 0, nil
		}
		if closed > hold {
			g.mu.Unlock()
			return closed, nil
		}
		turn := make(chan struct{})
		var opens <-chan time.Time
		if closed > 0 {
			opens = time.After(closed + rand.N(closed/4+time.Millisecond))
		} else {
			g.waiting = append(g.waiting, turn)
		}
		g.mu.Unlock()
		select {
		case <-turn:
		case <-opens:
		case <-ctx.Done():
			g.pass(turn)
			return 0, ctx.Err()
		}
	}
}

const (
	rateWindow  = 500 * time.Millisecond
	mostWaiting = 10 * job.ShardSize
)

// count counts a call that ended. g.mu is held.
func (g *gate) count() {
	g.roll()
	g.ended++
}

// roll begins a new window when it is time. g.mu is held.
func (g *gate) roll() {
	now := g.now()
	if past := now.Sub(g.window); past >= rateWindow {
		g.last = g.ended
		if past >= 2*rateWindow {
			g.last = 0
		}
		g.window, g.ended = now, 0
	}
}

// rate is about how many calls end in a second.
func (g *gate) rate() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.perSecond()
}

func (g *gate) perSecond() int {
	g.roll()
	return max(g.last, g.ended) * int(time.Second/rateWindow)
}

// most is how many callers are to wait at most: as many as the gate ever lets through at once, or as come through in a second if
// that is more. Others would be held for nothing, where another process may have room for them. g.mu is held.
func (g *gate) most() int { return max(int(g.capacity), min(g.perSecond(), mostWaiting)) }

// room is how many more callers may come.
func (g *gate) room() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.most() - len(g.waiting)
}

// drained reports whether half of those who may wait have come through.
func (g *gate) drained() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return 2*len(g.waiting) <= g.most()
}

// closed is how long no call may begin, 0 or less when calls may.
func (g *gate) closed() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.until.Sub(g.now())
}

// pass gives a turn that was granted but not used to the next.
func (g *gate) pass(turn chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, w := range g.waiting {
		if w == turn {
			g.waiting = append(g.waiting[:i], g.waiting[i+1:]...)
			return
		}
	}
	g.wake(1)
}

// wake lets up to n waiting callers try again. g.mu is held.
func (g *gate) wake(n int) {
	n = max(0, min(n, len(g.waiting)))
	for _, turn := range g.waiting[:n] {
		close(turn)
	}
	g.waiting = g.waiting[n:]
}

// leave ends a call that was not throttled.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight--
	g.count()
	g.streak = 0
	if g.limit < g.capacity {
		g.limit = min(g.capacity, g.limit+1/g.limit)
	}
	g.wake(int(g.limit) - g.inFlight)
}

// throttled ends a call, begun at started, that the hub throttled and asked to wait for wait (0 when it did not say).
func (g *gate) throttled(started time.Time, wait time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight--
	now := g.now()
	if started.After(g.lowered) {
		g.lowered = now
		g.limit = max(1, g.limit/2)
		g.streak++
	}
	backoff := min(maxThrottleWait, firstThrottleWait<<min(max(g.streak-1, 0), 10))
	if until := now.Add(max(wait, backoff)); until.After(g.until) {
		g.until = until
	}
	g.wake(len(g.waiting))
}
