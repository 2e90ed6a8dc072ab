package dispatch

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// The sleeps of this file pass on the fake clock of testing/synctest: they take no time.

func TestTheGateHoldsItsCapacity(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(10, time.Now)
		var inside, most atomic.Int64
		var calls sync.WaitGroup
		for range 500 {
			calls.Go(func() {
				wait, err := g.enter(t.Context(), time.Minute)
				if err != nil || wait > 0 {
					t.Errorf("entered with %v, %v", wait, err)
				}
				most.Store(max(most.Load(), inside.Add(1)))
				time.Sleep(10 * time.Millisecond) // of synctest's clock, here and below: no real time passes
				inside.Add(-1)
				g.leave()
			})
		}
		began := time.Now()
		calls.Wait()
		require.Equal(t, int64(10), most.Load())
		require.Equal(t, 500*time.Millisecond, time.Since(began), "the capacity is used")
	})
}

// TestTheGateFindsAHubsRate: a hub that takes 40 calls a second and throttles the rest is never asked much faster for long, and
// every call gets through.
func TestTheGateFindsAHubsRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(512, time.Now)
		var mu sync.Mutex
		tokens, last, refused := 40.0, time.Now(), 0
		allowed := func() bool {
			mu.Lock()
			defer mu.Unlock()
			now := time.Now()
			tokens = min(40, tokens+40*now.Sub(last).Seconds())
			last = now
			if tokens < 1 {
				refused++
				return false
			}
			tokens--
			return true
		}
		var calls sync.WaitGroup
		for range 2000 {
			calls.Go(func() {
				for {
					wait, err := g.enter(t.Context(), time.Hour)
					if err != nil || wait > 0 {
						t.Errorf("entered with %v, %v", wait, err)
						return
					}
					started := time.Now()
					time.Sleep(20 * time.Millisecond)
					if allowed() {
						g.leave()
						return
					}
					g.throttled(started, 0)
				}
			})
		}
		began := time.Now()
		calls.Wait()
		took := time.Since(began)
		require.Less(t, took, 150*time.Second, "2,000 calls at 40 a second take 49 s at best")
		require.Less(t, refused, 2000, "throttled calls stay fewer than served ones")
	})
}

func TestALongWaitIsHandedBackAndAnEndedOneLeavesNoTrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, time.Now)
		_, err := g.enter(t.Context(), time.Second)
		require.NoError(t, err)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = g.enter(ended, time.Second)
		require.ErrorIs(t, err, context.Canceled)
		g.throttled(time.Now(), 10*time.Second)
		wait, err := g.enter(t.Context(), time.Second)
		require.NoError(t, err)
		require.Equal(t, 10*time.Second, wait)
		time.Sleep(10 * time.Second)
		wait, err = g.enter(t.Context(), time.Second)
		require.NoError(t, err)
		require.Zero(t, wait)
		g.leave()
		require.Zero(t, g.inFlight)
		require.Empty(t, g.waiting)
	})
}

// TestTheGateSurvivesAnything: whatever ends in whatever way, nothing is lost and nobody waits for ever.
func TestTheGateSurvivesAnything(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(20, time.Now)
		var calls sync.WaitGroup
		for range 1000 {
			calls.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), rand.N(20*time.Second)+time.Millisecond)
				defer cancel()
				wait, err := g.enter(ctx, rand.N(2*time.Second))
				if err != nil || wait > 0 {
					return
				}
				started := time.Now()
				time.Sleep(rand.N(50 * time.Millisecond))
				if rand.IntN(5) == 0 {
					g.throttled(started, rand.N(time.Second))
				} else {
					g.leave()
				}
			})
		}
		calls.Wait()
		require.Zero(t, g.inFlight)
		require.Empty(t, g.waiting)
	})
}

// TestAGateLetsNobodyInWhoWasStopped: a slice whose time is over starts no call, also when there is room.
func TestAGateLetsNobodyInWhoWasStopped(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	_, err := newGate(1, time.Now).enter(ctx, hold)
	require.ErrorIs(t, err, context.Canceled)
}
