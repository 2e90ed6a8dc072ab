package throttle_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/throttle"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// bucket is the naive form of a meter: credit that grows with time up to the burst, and is owed by those who wait. Its unit is
// a nanosecond of allowance.
type bucket struct {
	limit  throttle.Limit
	at     time.Time
	credit time.Duration
}

func (b *bucket) take(now time.Time, units int64) (time.Duration, bool) {
	price := time.Duration(units) * time.Minute / time.Duration(b.limit.PerMinute)
	b.credit = min(b.credit+now.Sub(b.at), b.limit.Burst)
	b.at = now
	// Who costs more than the burst may go when all of the burst is there: the surplus is lent.
	lent := max(0, price-b.limit.Burst)
	wait := max(0, price-lent-b.credit)
	if wait > b.limit.Queue {
		return wait - b.limit.Queue, false
	}
	b.credit -= price
	return wait, true
}

func TestAMeterIsABucket(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit := throttle.Limit{
			PerMinute: rapid.SampledFrom([]int64{20, 100, 600, 1000, 2400, 5000, 15000}).Draw(t, "perMinute"),
			Burst:     time.Duration(rapid.IntRange(0, 60_000).Draw(t, "burst")) * time.Millisecond,
			Queue:     time.Duration(rapid.IntRange(0, 20_000).Draw(t, "queue")) * time.Millisecond,
		}
		meter, naive := throttle.NewMeter(limit), &bucket{limit: limit, at: start, credit: limit.Burst}
		now := start
		var last time.Time
		for range rapid.IntRange(1, 200).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "pause")) * time.Millisecond)
			units := int64(rapid.IntRange(1, 32).Draw(t, "units"))
			wait, ok := meter.Take(now, units)
			wantWait, wantOK := naive.take(now, units)
			require.Equal(t, wantOK, ok)
			require.Equal(t, wantWait, wait)
			if !ok {
				continue
			}
			require.LessOrEqual(t, wait, limit.Queue)
			require.False(t, now.Add(wait).Before(last), "nobody overtakes")
			last = now.Add(wait)
		}
	})
}

// TestNoMinuteGivesMoreThanBurstAndRate counts what is carried out in every minute of a greedy client.
func TestNoMinuteGivesMoreThanBurstAndRate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.SampledFrom([]int64{20, 100, 600, 2400}).Draw(t, "perMinute")
		burst := time.Duration(rapid.IntRange(0, 60).Draw(t, "burst")) * time.Second
		meter := throttle.NewMeter(throttle.Limit{PerMinute: rate, Burst: burst, Queue: 10 * time.Second})
		var done []time.Time
		for now := start; now.Before(start.Add(4 * time.Minute)); {
			wait, ok := meter.Take(now, 1)
			if ok {
				done = append(done, now.Add(wait))
			}
			now = now.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "pause")) * time.Millisecond)
		}
		allowed := int(rate) + int(int64(burst)*rate/int64(time.Minute)) + 1
		for i, at := range done {
			n := 0
			for _, other := range done[i:] {
				if other.Sub(at) < time.Minute {
					n++
				}
			}
			require.LessOrEqual(t, n, allowed)
		}
	})
}

func TestABurstPassesThenWaitsThenIsRefused(t *testing.T) {
	t.Parallel()
	meter := throttle.NewMeter(throttle.Limit{PerMinute: 60, Burst: 5 * time.Second, Queue: 2 * time.Second})
	var waits []time.Duration
	for {
		wait, ok := meter.Take(start, 1)
		if !ok {
			require.Equal(t, time.Second, wait, "until there is room in the queue")
			break
		}
		waits = append(waits, wait)
	}
	require.Equal(t, []time.Duration{0, 0, 0, 0, 0, time.Second, 2 * time.Second}, waits)
	_, ok := meter.Take(start.Add(time.Second), 1)
	require.True(t, ok)
	require.Equal(t, throttle.Usage{
		UnitsPerMinute: 60, Requests: 9, Delayed: 3, Refused: 1, Units: 8, PeakSecond: 5, PeakMinute: 8, Seconds: 3,
	}, meter.Usage())
}

func TestResetClearsCountersAndForgivesNothing(t *testing.T) {
	t.Parallel()
	meter := throttle.NewMeter(throttle.Limit{PerMinute: 60, Burst: 10 * time.Second, Queue: time.Minute})
	for range 10 {
		meter.Take(start, 1)
	}
	meter.Reset()
	require.Equal(t, throttle.Usage{UnitsPerMinute: 60}, meter.Usage())
	wait, ok := meter.Take(start.Add(4*time.Second), 6)
	require.True(t, ok)
	require.Equal(t, 2*time.Second, wait)
	require.Equal(t, throttle.Usage{
		UnitsPerMinute: 60, Requests: 1, Delayed: 1, Units: 6, PeakSecond: 6, PeakMinute: 6, Seconds: 2,
	}, meter.Usage())
}

func BenchmarkTake(b *testing.B) {
	meter := throttle.NewMeter(throttle.Limit{PerMinute: 6144 * 60, Burst: time.Minute, Queue: throttle.Forever})
	now := time.Now()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			meter.Take(now, 1)
		}
	})
}
