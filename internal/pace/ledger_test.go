package pace_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fleetjobs/fleetjobs/internal/pace"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestTheRatesAreTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		tier                    string
		units                   int
		methods, twins, queries float64 // queries a minute
	}{
		{"F1", 1, 40, 50, 20},
		{"S1", 1, 40, 50, 20},
		{"S1", 20, 800, 100, 400},
		{"S2", 1, 120, 50, 20},
		{"S2", 10, 1200, 50, 200},
		{"S3", 1, 6144, 250, 1000},
		{"S3", 2, 12288, 500, 2000},
	} {
		rates, err := pace.RatesOf(row.tier, row.units)
		require.NoError(t, err)
		require.Equal(t, pace.Rates{pace.Methods: row.methods, pace.TwinUpdates: row.twins, pace.Queries: row.queries / 60}, rates, row)
	}
	none, err := pace.RatesOf(pace.Unmetered, 1)
	require.NoError(t, err)
	require.Empty(t, none)
	_, err = pace.RatesOf("S4", 1)
	require.EqualError(t, err, `tier "S4" is none of F1, S1, S2, S3, none`)
}

// A run alone has all of the allowance, slot after slot, but no further ahead than the horizon.
func TestSlotsFollowOneAnother(t *testing.T) {
	t.Parallel()
	var l pace.Ledger
	slots, again := l.Reserve(noon, pace.Ask{Run: "a", Rate: 40, Costs: []int{100, 100, 50, 100, 100, 100, 100}})
	require.Equal(t, []pace.Slot{
		{At: noon, For: 2500 * time.Millisecond},
		{At: noon.Add(2500 * time.Millisecond), For: 2500 * time.Millisecond},
		{At: noon.Add(5 * time.Second), For: 1250 * time.Millisecond},
		{At: noon.Add(6250 * time.Millisecond), For: 2500 * time.Millisecond},
		{At: noon.Add(8750 * time.Millisecond), For: 2500 * time.Millisecond},
	}, slots)
	require.Equal(t, noon.Add(6250*time.Millisecond), again)
	slots, _ = l.Reserve(again, pace.Ask{Run: "a", Rate: 40, Costs: []int{100}})
	require.Equal(t, []pace.Slot{{At: noon.Add(11250 * time.Millisecond), For: 2500 * time.Millisecond}}, slots)
	slots, _ = l.Reserve(noon.Add(time.Minute), pace.Ask{Run: "a", Rate: 40, Costs: []int{100}})
	require.Equal(t, noon.Add(time.Minute), slots[0].At, "what nobody reserved is lost")
}

// Runs that all want more than there is get equal parts, and a newcomer waits for no more than the horizon.
func TestRunsShareAnAllowance(t *testing.T) {
	t.Parallel()
	var l pace.Ledger
	const rate = 40
	got, first := map[string]int{}, map[string]time.Time{}
	begins := map[string]time.Duration{"a": 0, "b": 20 * time.Second, "c": 40 * time.Second}
	shared := map[string]int{}
	for at := time.Duration(0); at < 5*time.Minute; at += 500 * time.Millisecond {
		for _, run := range []string{"a", "b", "c"} { // a always asks first, which must not help
			if at < begins[run] {
				continue
			}
			slots, _ := l.Reserve(noon.Add(at), pace.Ask{Run: run, Rate: rate, Costs: []int{100, 100, 100, 100, 100, 100, 100, 100}})
			got[run] += len(slots)
			if at > time.Minute {
				shared[run] += len(slots)
			}
			if len(slots) > 0 && first[run].IsZero() {
				first[run] = slots[0].At
			}
		}
	}
	require.InDelta(t, shared["a"], shared["b"], 2)
	require.InDelta(t, shared["a"], shared["c"], 2)
	all := got["a"] + got["b"] + got["c"]
	require.GreaterOrEqual(t, all, rate*5*60/100, "nothing of the allowance is lost")
	require.LessOrEqual(t, all, rate*(5*60+10)/100+2*len(got), "the horizon, and the slots that reach beyond it")
	for run, at := range first {
		require.LessOrEqual(t, at.Sub(noon.Add(begins[run])), pace.Horizon+3*2500*time.Millisecond, run)
	}
}

func TestThrottlingShrinksTheAllowanceAndQuietLetsItGrow(t *testing.T) {
	t.Parallel()
	var l pace.Ledger
	width := func(at time.Duration) time.Duration {
		slots, _ := l.Reserve(noon.Add(at), pace.Ask{Run: "a", Rate: 100, Costs: []int{100}})
		require.Len(t, slots, 1)
		return slots[0].For
	}
	require.Equal(t, time.Second, width(0))
	require.True(t, l.Throttle(noon.Add(time.Second), 5*time.Second))
	require.False(t, l.Throttle(noon.Add(1500*time.Millisecond), 5*time.Second), "one of the same burst")
	slots, _ := l.Reserve(noon.Add(time.Second), pace.Ask{Run: "a", Rate: 100, Costs: []int{100}})
	require.Equal(t, []pace.Slot{{At: noon.Add(6 * time.Second), For: 1250 * time.Millisecond}}, slots)
	require.InDelta(t, time.Second/9*10, width(6*time.Second), 1e6, "0.8 and 5 seconds' growth")
	require.Equal(t, time.Second, width(12*time.Second))
	for n := range 100 {
		l.Throttle(noon.Add(time.Hour+time.Duration(n)*time.Second), 0)
	}
	require.Less(t, width(time.Hour+100*time.Second), 10*time.Second, "never below a tenth")
}

// However runs ask, slots never overlap, never begin in the past, and never are more than the rate allows.
func TestNobodyGetsMoreThanTheRate(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 1))
		var l pace.Ledger
		rate := 1 + 1000*random.Float64()
		now, end := noon, noon
		for range 300 {
			now = now.Add(time.Duration(random.ExpFloat64() * float64(time.Second)))
			costs := make([]int, random.IntN(20))
			for i := range costs {
				costs[i] = 1 + random.IntN(200)
			}
			before := l.Next
			slots, again := l.Reserve(now, pace.Ask{Run: fmt.Sprint(random.IntN(4)), Rate: rate, Costs: costs})
			require.LessOrEqual(t, len(slots), len(costs))
			for i, s := range slots {
				require.False(t, s.At.Before(now))
				require.False(t, s.At.Before(end), "slots overlap")
				require.GreaterOrEqual(t, s.For.Seconds()+1e-9, float64(costs[i])/rate)
				end = s.End()
			}
			if len(slots) < len(costs) {
				require.True(t, again.After(now))
				require.LessOrEqual(t, again.Sub(now), 30*time.Minute)
			}
			require.False(t, l.Next.Before(before))
			text, err := json.Marshal(&l)
			require.NoError(t, err)
			l = pace.Ledger{}
			require.NoError(t, json.Unmarshal(text, &l), "a ledger survives its storage")
		}
		require.LessOrEqual(t, len(l.Runs), 4)
	}
}

// Slots that nobody uses go to the next who asks, unless others have reserved behind them.
func TestSlotsThatAreNotUsedAreGivenBack(t *testing.T) {
	t.Parallel()
	var l pace.Ledger
	ask := func(run string, n int) []pace.Slot {
		slots, _ := l.Reserve(noon, pace.Ask{Run: run, Rate: 100, Costs: slices.Repeat([]int{100}, n)})
		require.Len(t, slots, n)
		return slots
	}
	first := ask("a", 3)
	before := l.Runs["a"].Next
	second := ask("a", 2)
	require.True(t, l.Return("a", second))
	require.Equal(t, first[2].End(), l.Next)
	require.Equal(t, before, l.Runs["a"].Next, "the run may ask for its part again")
	require.True(t, l.Return("a", first[1:]))
	require.False(t, l.Return("a", first[1:]), "once")
	require.Equal(t, first[1:2], ask("b", 1))
	require.False(t, l.Return("a", first[:1]), "b's begins where it ends")
	require.False(t, l.Return("a", nil))
	require.False(t, l.Return("a", []pace.Slot{{}}), "of an allowance without limit")
	require.True(t, l.Throttle(noon.Add(time.Second), time.Minute))
	require.False(t, l.Return("b", first[1:2]), "the hub asked to stay away")
}

// However runs ask and give back, the slots that they keep never overlap.
func TestNobodyGetsWhatIsStillInUse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var l pace.Ledger
		now := noon
		var held []pace.Slot
		for range rapid.IntRange(1, 40).Draw(rt, "asks") {
			now = now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(rt, "ms")) * time.Millisecond)
			run := fmt.Sprint(rapid.IntRange(0, 2).Draw(rt, "run"))
			slots, _ := l.Reserve(now, pace.Ask{Run: run, Rate: 40, Costs: rapid.SliceOfN(rapid.IntRange(1, 200), 0, 6).Draw(rt, "costs")})
			kept := rapid.IntRange(0, len(slots)).Draw(rt, "kept")
			held = append(held, slots[:kept]...)
			require.Equal(rt, kept < len(slots), l.Return(run, slots[kept:]))
		}
		for i := 1; i < len(held); i++ {
			require.False(rt, held[i].At.Before(held[i-1].End()))
		}
	})
}

func TestARunThatLeftNoLongerShares(t *testing.T) {
	t.Parallel()
	var l pace.Ledger
	for n := range 50 {
		l.Reserve(noon, pace.Ask{Run: fmt.Sprint(n), Rate: 1000, Costs: []int{1}})
	}
	require.Len(t, l.Runs, 50)
	slots, _ := l.Reserve(noon.Add(10*time.Second), pace.Ask{Run: "a", Rate: 100, Costs: []int{100, 100, 100, 100, 100, 100, 100, 100, 100, 100}})
	require.Len(t, l.Runs, 1)
	require.Len(t, slots, 10)
}

// contend has runs with weights ask every half second for all that they can get of 40 a second, and gives how many slots of 100 each
// got in the last ten minutes of twenty, and the longest time that each went without one.
func contend(t *testing.T, weights []int) (got []int, longest []time.Duration) {
	t.Helper()
	var l pace.Ledger
	got, longest = make([]int, len(weights)), make([]time.Duration, len(weights))
	last := make([]time.Time, len(weights))
	for at := time.Duration(0); at < 20*time.Minute; at += 500 * time.Millisecond {
		for i, w := range weights {
			slots, _ := l.Reserve(noon.Add(at), pace.Ask{Run: fmt.Sprint(i), Weight: w, Rate: 40, Costs: []int{100, 100, 100, 100, 100, 100, 100, 100}})
			for _, s := range slots {
				if !last[i].IsZero() {
					longest[i] = max(longest[i], s.At.Sub(last[i]))
				}
				last[i] = s.At
				if at >= 10*time.Minute {
					got[i]++
				}
			}
		}
	}
	return got, longest
}

// What runs get follows their weights, nothing of the allowance is lost, and none waits for longer than its part makes it.
func TestSharesFollowTheWeights(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(1, 10), 1, 5).Draw(rt, "weights")
		sum := 0
		for _, w := range weights {
			sum += w
		}
		got, longest := contend(t, weights)
		all := 0
		for i, w := range weights {
			all += got[i]
			fair := 240 * float64(w) / float64(sum) // of 240 slots in ten minutes
			require.InDelta(rt, fair, got[i], 6, "weights %v got %v", weights, got)
			every := time.Duration(float64(sum) / float64(w) * float64(2500*time.Millisecond))
			require.LessOrEqual(rt, longest[i], 2*every+2*pace.Horizon, "weights %v: run %d starves", weights, i)
		}
		require.InDelta(rt, 240, all, 10, "nothing is lost")
	})
}

// Runs of one weight, whichever it is, are treated as if there were none.
func TestEqualWeightsAreAsNone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var with, without pace.Ledger
		weight := rapid.IntRange(1, 10).Draw(rt, "weight")
		now := noon
		for range rapid.IntRange(1, 60).Draw(rt, "asks") {
			now = now.Add(time.Duration(rapid.IntRange(0, 8000).Draw(rt, "ms")) * time.Millisecond)
			ask := pace.Ask{
				Run: fmt.Sprint(rapid.IntRange(0, 3).Draw(rt, "run")), Rate: 40,
				Costs: rapid.SliceOfN(rapid.IntRange(1, 200), 0, 10).Draw(rt, "costs"),
			}
			plain, again := without.Reserve(now, ask)
			ask.Weight = weight
			weighed, againToo := with.Reserve(now, ask)
			require.Equal(rt, plain, weighed)
			require.Equal(rt, again, againToo)
		}
	})
}

// A run of little weight does not go on waiting for others that have left.
func TestARunOfLittleWeightGoesOnWhenOthersLeave(t *testing.T) {
	t.Parallel()
	var l pace.Ledger
	page := []int{100, 100, 100, 100, 100}
	for at := time.Duration(0); at < time.Minute; at += 500 * time.Millisecond {
		l.Reserve(noon.Add(at), pace.Ask{Run: "low", Weight: 1, Rate: 40, Costs: page})
		for _, run := range []string{"a", "b", "c"} {
			l.Reserve(noon.Add(at), pace.Ask{Run: run, Weight: 10, Rate: 40, Costs: page})
		}
	}
	alone := noon.Add(time.Minute + 35*time.Second) // all that the others reserved is over
	slots, _ := l.Reserve(alone, pace.Ask{Run: "low", Weight: 1, Rate: 40, Costs: page})
	require.NotEmpty(t, slots)
	require.LessOrEqual(t, slots[0].At.Sub(alone), time.Second)
}
