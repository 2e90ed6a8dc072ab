package dispatch

import (
	"context"
	"math/rand/v2"
	"slices"
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
	waiting  []chan bool

	turns sync.Pool // of channels for those who wait

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
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		turn := g.turn() // not under the lock, which all calls of the process need
		g.mu.Lock()
		closed := g.until.Sub(g.now())
		switch {
		case closed > 0:
			g.mu.Unlock()
			g.turns.Put(turn)
			if closed > hold {
				return closed, nil
			}
			if err := sleep(ctx, closed+rand.N(closed/4+time.Millisecond)); err != nil {
				return 0, err
			}
			continue
		case g.inFlight < int(g.limit) && len(g.waiting) == 0:
			g.inFlight++
			g.mu.Unlock()
			g.turns.Put(turn)
			return 0, nil
		}
		g.waiting = append(g.waiting, turn)
		g.mu.Unlock()
		select {
		case mine := <-turn:
			g.turns.Put(turn)
			if mine && ctx.Err() == nil {
				return 0, nil
			}
			g.giveBack(mine)
		case <-ctx.Done():
			g.quit(turn)
		}
	}
}

// turn gives a channel that tells who waits that he may begin, or, by false, that he is to look again.
func (g *gate) turn() chan bool {
	if turn, ok := g.turns.Get().(chan bool); ok {
		return turn
	}
	return make(chan bool, 1)
}

// quit takes somebody who waited out of the line.
func (g *gate) quit(turn chan bool) {
	g.mu.Lock()
	i := slices.Index(g.waiting, turn)
	if i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
	}
	g.mu.Unlock()
	mine := i < 0 && <-turn
	g.turns.Put(turn)
	g.giveBack(mine)
}

// giveBack lets the next one begin instead of somebody who could have, and does not.
func (g *gate) giveBack(mine bool) {
	if !mine {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight--
	g.handOut()
}

// handOut lets those who wait begin as far as there is room. g.mu is held.
func (g *gate) handOut() {
	n := max(0, min(int(g.limit)-g.inFlight, len(g.waiting)))
	for _, turn := range g.waiting[:n] {
		turn <- true
	}
	g.inFlight += n
	g.waiting = g.waiting[n:]
}

const (
	rateWindow  = 500 * time.Millisecond
	mostWaiting = 10 * job.ShardSize
)

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

// leave ends a call that was not throttled.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight--
	g.roll()
	g.ended++
	g.streak = 0
	if g.limit < g.capacity {
		g.limit = min(g.capacity, g.limit+1/g.limit)
	}
	g.handOut()
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
	for _, turn := range g.waiting { // they see how long the gate is closed
		turn <- false
	}
	g.waiting = nil
}
