package job_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

func rollout(t require.TestingT, text string) *job.Rollout {
	def, err := job.Decode([]byte(plus(`"rollout":`+text)), noon)
	require.NoError(t, err, text)
	return def.Rollout
}

// The example of AWS: 50, 100, 200 and 400 a minute at 1000, 2000 and 3000 devices.
func TestTheRateGrowsAsAWSSaysIt(t *testing.T) {
	t.Parallel()
	text := `{"exponentialRate":{"baseRatePerMinute":50,"incrementFactor":2,"rateIncreaseCriteria":{"CRITERION":1000}}}`
	notified := rollout(t, strings.Replace(text, "CRITERION", "numberOfNotifiedDevices", 1))
	succeeded := rollout(t, strings.Replace(text, "CRITERION", "numberOfSucceededDevices", 1))
	for n, want := range map[int]float64{0: 50, 999: 50, 1000: 100, 1999: 100, 2000: 200, 3000: 400, 1_000_000: job.MaxRatePerMinute} {
		require.InDelta(t, want, notified.Rate(n, 0), 0, n)
		require.InDelta(t, want, succeeded.Rate(7, n), 0, n)
	}
	notified.MaximumPerMinute = 150
	require.InDelta(t, 150, notified.Rate(2000, 0), 0, "maximumPerMinute caps it")
	require.Zero(t, (&job.Rollout{}).Rate(5, 5))
}

func TestRolloutsThatAreRefused(t *testing.T) {
	t.Parallel()
	for text, fault := range map[string]string{
		`{"maximumPerMin":1}`:                     `did you mean "maximumPerMinute"?`,
		`{"maximumPerMinute":0}`:                  "must be a whole number from 1 to 1000000",
		`{"orderBy":"site"}`:                      "a path below tags, properties.desired or properties.reported",
		`{"orderBy":"tags"}`:                      "a path below tags, properties.desired or properties.reported",
		`{"orderBy":"tags.group.name"}`:           "group is a keyword; as a name it is written [[group]]",
		`{"orderBy":"tags.site DESC"}`:            "rollout.orderBy: \"tags.site DESC\": ",
		`{"maxConcurrency":1.5}`:                  "rollout.maxConcurrency: 1.5: must be a whole number",
		`{"exponentialRate":{}}`:                  "rollout.exponentialRate.baseRatePerMinute: is required",
		`{"batches":[]}`:                          "must be an array of 1 to 50 batches",
		`{"batches":[{"queryCondition":"*"},{}]}`: "must be a condition without FROM",
		`{"batches":[{"queryCondition":"FROM devices.modules WHERE tags.a = 1"},{}]}`: "must be a condition without FROM",
		`{"batches":[{"queryCondition":"tags.a ="},{}]}`:                              "rollout.batches[0].queryCondition",
		`{"batches":[{"queryCondition":"LOWER(tags.a) = 'x'"},{}]}`:                   "unknown function LOWER",
		`{"batches":[{"deviceIds":[]},{}]}`:                                           "has 0 ids",
		`{"batches":[{"deviceIds":["a","a"]},{}]}`:                                    "repeats deviceIds[0]",
		`{"batches":[{"deviceIds":["a"],"number":1},{}]}`:                             "must have one of queryCondition",
		`{"batches":[{"number":1},{"deviceIds":["a"]},{}]}`:                           "must stand before the batches with number or percentage",
		`{"batches":[{"number":1},{"deviceIds":["a"]}]}`:                              "the last batch takes the rest",
		`{"batches":[{},{}]}`:                                                         "must have one of queryCondition, deviceIds, number and percentage",
		`{"batches":[{"number":1,"percentage":2},{}]}`:                                "must have one of queryCondition, deviceIds, number and percentage",
		`{"batches":[{"number":1},{"number":2}]}`:                                     "the last batch takes the rest",
		`{"batches":[{"percentage":50},{"percentage":50},{}]}`:                        "must leave devices to the last batch",
		`{"batches":[{"percentage":0.001},{}]}`:                                       "must be a number above 0 and up to 100",
		`{"batches":[{"number":1,"gate":{"successThresholdPercentage":1}},{}]}`:       "the first batch has none",
		`{"batches":[{"number":1},{"gate":{"minimumObservationTime":"5m"}}]}`:         "must be an ISO 8601 duration",
		`{"batches":[{"number":1},{"gate":{"minimumObservationTime":"P400D"}}]}`:      "must be from PT1S to P366D",
		`{"batches":[{"number":1},{"gate":{"approval":"yes"}}]}`:                      "rollout.batches[1].gate.approval: \"yes\": must be true or false",
		`{"batches":[{"number":1},{"gate":{"successThresholdPercentage":99.999}}]}`:   "at most two decimals",
		`{"maximumPerMinute":10,"exponentialRate":{"baseRatePerMinute":11,"incrementFactor":1.1,"rateIncreaseCriteria":{"numberOfNotifiedDevices":1}}}`: "must not begin with more",
		`{"exponentialRate":{"baseRatePerMinute":11,"incrementFactor":1.15,"rateIncreaseCriteria":{}}}`:                                                 "at most one decimal",
	} {
		_, err := job.Decode([]byte(plus(`"rollout":`+text)), noon)
		require.ErrorContains(t, err, fault, text)
	}
	_, err := job.Decode([]byte(plus(`"maxDevices":0`)), noon)
	require.ErrorContains(t, err, "maxDevices: 0: must be a whole number")
}

// shardsOf cuts a fleet as a planner does, with so many devices in each chosen batch.
func shardsOf(r *job.Rolling, devices int, chosen []int) (sizes []int) {
	n, before := 0, 0
	for _, c := range chosen {
		for before += c; n < before; n += sizes[len(sizes)-1] {
			sizes = append(sizes, min(r.ShardSize(n, -1), before-n))
		}
	}
	for ; n < devices; n += sizes[len(sizes)-1] {
		sizes = append(sizes, min(r.ShardSize(n, before), devices-n))
	}
	return sizes
}

func drawRollout(t *rapid.T) *job.Rollout {
	p := &job.Rollout{
		MaximumPerMinute: rapid.SampledFrom([]int{0, 1, 7, 60, 600, 6000}).Draw(t, "rate"),
		MaxConcurrency:   rapid.SampledFrom([]int{0, 1, 3, 50, 1000}).Draw(t, "concurrency"),
	}
	chosen := rapid.IntRange(0, 2).Draw(t, "chosen batches")
	for i := range chosen + rapid.IntRange(0, 4).Draw(t, "batches") {
		b := job.BatchPolicy{Number: rapid.IntRange(1, 300).Draw(t, "number")}
		if i < chosen {
			b = job.BatchPolicy{QueryCondition: "tags.ring = 1"}
		} else if rapid.Bool().Draw(t, "by percentage") {
			b = job.BatchPolicy{Percentage: float64(rapid.IntRange(1, 24).Draw(t, "percentage"))}
		}
		if rapid.Bool().Draw(t, "gate") && len(p.Batches) > 0 {
			b.Gate = &job.Gate{
				SuccessThresholdPercentage: float64(rapid.IntRange(0, 100).Draw(t, "threshold")),
				MinimumObservationTime:     schedule.Duration(time.Duration(rapid.IntRange(0, 600).Draw(t, "observation")) * time.Second),
			}
		}
		p.Batches = append(p.Batches, b)
	}
	if len(p.Batches) > 0 {
		p.Batches = append(p.Batches, job.BatchPolicy{})
	}
	return p
}

// fleetRun carries a rollout out on a clock, each pass a second.
type fleetRun struct {
	r        *job.Rolling
	sizes    []int
	total    int
	chosen   []int // devices of the chosen batches
	shard    int   // next
	begun    []time.Time
	counts   map[int]job.Counts // of shards under way
	inFlight int
	done     job.Counts
}

func (f *fleetRun) sight() job.Sight {
	return job.Sight{Selected: f.total, Complete: true, Chosen: f.chosen, InFlight: f.inFlight, Succeeded: f.done.Of(job.Succeeded)}
}

// pass is a supervision at now; ends says which shards under way end, and how.
func (f *fleetRun) pass(now time.Time, ends func(shard int) (job.ExecutionState, bool)) (missed string) {
	f.r.Live()
	for n, c := range f.counts {
		state, ended := ends(n)
		if !ended {
			f.r.Under(n, c)
			continue
		}
		c = job.CountsOf(state, job.NoReason, c.Total())
		f.r.RolledUp(n, c)
		f.done = f.done.Plus(c)
		f.inFlight -= c.Total()
		delete(f.counts, n)
	}
	if missed := f.r.Step(now, f.shard, f.sight()); missed != "" {
		return missed
	}
	fits := f.r.Fits(now, f.sizes[f.shard:], f.sight())
	for range fits {
		size := f.sizes[f.shard]
		at, over := f.r.Begin(now, time.Time{}, size, f.sight())
		for i := range size {
			f.begun = append(f.begun, at.Add(over/time.Duration(size)*time.Duration(i)))
		}
		f.counts[f.shard] = job.CountsOf(job.Queued, job.NoReason, size)
		f.inFlight += size
		f.shard++
	}
	return ""
}

// Whatever the policy: no more devices in flight than it allows, no more begun in any minute than its rate, batches that have
// their devices and begin in order, and every device begun at last unless a gate is missed.
func TestARolloutKeepsItsPolicy(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawRollout(t)
		f := &fleetRun{r: job.NewRolling(p), total: rapid.IntRange(0, 700).Draw(t, "devices"), counts: map[int]job.Counts{}}
		for left := f.total; len(f.chosen) < p.Chosen(); left -= f.chosen[len(f.chosen)-1] {
			f.chosen = append(f.chosen, rapid.IntRange(0, min(left, 150)).Draw(t, "devices of a chosen batch"))
		}
		f.sizes = shardsOf(f.r, f.total, f.chosen)
		failures := rapid.IntRange(0, 50).Draw(t, "failures in a hundred")
		dice := rapid.IntRange(0, 99)
		now, missed := noon, ""
		for pass := 0; missed == "" && (f.shard < len(f.sizes) || f.inFlight > 0); pass++ {
			if pass > 100_000 {
				t.Fatalf("it does not end: %+v", f.r)
			}
			missed = f.pass(now, func(int) (job.ExecutionState, bool) {
				if dice.Draw(t, "failed") < failures {
					return job.Failed, true
				}
				return job.Succeeded, dice.Draw(t, "ended") < 80
			})
			if most := p.MaxConcurrency; most > 0 {
				require.LessOrEqual(t, f.inFlight, most)
			}
			step := time.Second
			if f.inFlight == 0 { // nothing but time is waited for
				step = 10 * time.Second
			}
			now = now.Add(step)
		}
		f.r.Step(now, f.shard, f.sight())
		checkRate(t, f.begun, p.MaximumPerMinute)
		checkBatches(t, f, missed)
	})
}

// checkRate: no 60 seconds hold more begun devices than the rate, and one for the fence.
func checkRate(t *rapid.T, begun []time.Time, perMinute int) {
	if perMinute == 0 {
		return
	}
	for i := range begun {
		if j := i + perMinute + 1; j < len(begun) && begun[j].Sub(begun[i]) < time.Minute-time.Millisecond {
			t.Fatalf("devices %d to %d began within %s", i, j, begun[j].Sub(begun[i]))
		}
	}
}

func checkBatches(t *rapid.T, f *fleetRun, missed string) {
	if missed == "" {
		require.Len(t, f.begun, f.total)
	}
	begun, exact := 0, true
	for i, b := range f.r.Batches {
		begun += b.Begun
		if i+1 < len(f.r.Batches) && b.State == job.BatchCompleted && begun < f.total {
			exact = exact && f.r.Policy.Batches[i].Percentage == 0
			require.GreaterOrEqual(t, b.Begun, b.Size)
			if i < len(f.chosen) {
				require.Equal(t, f.chosen[i], b.Begun, "chosen batches are exact")
			} else if exact {
				require.Equal(t, f.r.Policy.Batches[i].Number, b.Begun, "batches by number are exact")
			}
			require.LessOrEqual(t, b.Begun-b.Size, max(0, begun/50), "others end with a shard")
		}
		if i > 0 && !b.BeganAt.IsZero() {
			require.False(t, f.r.Batches[i-1].BeganAt.IsZero())
			require.False(t, b.BeganAt.Before(f.r.Batches[i-1].BeganAt))
		}
		require.LessOrEqual(t, b.Succeeded, b.Ended)
		require.LessOrEqual(t, b.Ended, b.Begun)
	}
	if len(f.r.Batches) > 0 {
		require.Equal(t, f.r.Begun, begun, "every device belongs to a batch")
	}
}

// two gives a rollout of a first batch of ten whose devices ended, and a second one behind gate.
func two(gate string, succeeded int) (*job.Rolling, job.Sight) {
	r := job.NewRolling(rollout(requirePanics{}, `{"batches":[{"number":10},{"gate":`+gate+`}]}`))
	s := job.Sight{Selected: 100, Complete: true}
	r.Step(noon, 0, s)
	r.Begin(noon, noon, 10, s)
	r.RolledUp(0, job.CountsOf(job.Succeeded, job.NoReason, succeeded).Plus(job.CountsOf(job.Failed, job.NoReason, 10-succeeded)))
	return r, s
}

type requirePanics struct{}

func (requirePanics) Errorf(format string, _ ...any) { panic(format) }
func (requirePanics) FailNow()                       { panic("failed") }

// TestChosenBatchesAtTheirBoundaries: a chosen batch waits for its own selection alone, and one without devices opens no gate that asks
// for success.
func TestChosenBatchesAtTheirBoundaries(t *testing.T) {
	t.Parallel()
	gates := func(gate string) *job.Rolling {
		return job.NewRolling(rollout(t, `{"batches":[{"queryCondition":"tags.ring = 0"},{"gate":`+gate+`}]}`))
	}
	r, s := gates(`{"successThresholdPercentage":100}`), job.Sight{Selected: 3}
	require.Empty(t, r.Step(noon, 0, s))
	require.Equal(t, []job.Wait{job.WaitSelection}, r.Batches[0].WaitsFor)
	require.Zero(t, r.Fits(noon, []int{3}, s))
	s.Chosen, s.Selected = []int{3}, 50
	require.Empty(t, r.Step(noon, 0, s))
	require.Equal(t, 1, r.Fits(noon, []int{3, 47}, s), "its devices and no other")
	r.Begin(noon, noon, 3, s)
	r.RolledUp(0, job.CountsOf(job.Succeeded, job.NoReason, 3))
	require.Empty(t, r.Step(noon, 1, s))
	require.Equal(t, job.BatchRunning, r.Batches[1].State)

	r, s = gates(`{"successThresholdPercentage":1}`), job.Sight{Selected: 50, Chosen: []int{0}}
	require.Empty(t, r.Step(noon, 0, s))
	require.Zero(t, r.Fits(noon, []int{50}, s), "nobody slips through a batch without devices")
	require.Empty(t, r.Step(noon, 0, s), "the target may turn out to be empty too")
	s.Complete = true
	require.Equal(t, "batch 1 has no devices, and batch 2 needs that 1 % of them succeed", r.Step(noon, 0, s))
	require.Zero(t, r.Fits(noon, []int{50}, s))

	r = gates(`{}`)
	r.Step(noon, 0, s)
	r.Step(noon, 0, s)
	require.Equal(t, job.BatchRunning, r.Batches[1].State, "a gate that asks for the end alone opens")
	require.Equal(t, 1, r.Fits(noon, []int{50}, s))
}

func TestGatesHoldAtTheirBoundaries(t *testing.T) {
	t.Parallel()
	r, s := two(`{"successThresholdPercentage":90}`, 9)
	require.Empty(t, r.Step(noon, 1, s))
	require.Equal(t, job.BatchCompleted, r.Batches[0].State)
	require.Equal(t, job.BatchRunning, r.Batches[1].State, "nine of ten are 90 %")

	r, s = two(`{"successThresholdPercentage":90.01}`, 9)
	require.Equal(t, "9 of the 10 devices of batch 1 succeeded, and batch 2 needs 90.01 %", r.Step(noon, 1, s))
	require.Equal(t, []job.Wait{job.WaitThreshold}, r.Batches[1].WaitsFor)
	r.Batches[1].Forced = true
	require.Empty(t, r.Step(noon, 1, s), "somebody wants it now")
	require.Equal(t, job.BatchRunning, r.Batches[1].State)

	r, s = two(`{"minimumObservationTime":"PT1H","startTime":"2026-12-01T13:30:00Z","approval":true}`, 0)
	r.Step(noon, 1, s)
	require.Equal(t, []job.Wait{job.WaitObservation, job.WaitStartTime, job.WaitApproval}, r.Batches[1].WaitsFor)
	r.Step(noon.Add(time.Hour-1), 1, s)
	require.Contains(t, r.Batches[1].WaitsFor, job.WaitObservation)
	r.Step(noon.Add(time.Hour), 1, s)
	require.Equal(t, []job.Wait{job.WaitStartTime, job.WaitApproval}, r.Batches[1].WaitsFor)
	r.Batches[1].Forced = true
	r.Step(noon.Add(time.Hour), 1, s)
	require.Equal(t, []job.Wait{job.WaitApproval}, r.Batches[1].WaitsFor, "nobody goes round an approval")
	r.Batches[1].Approval = &job.Approval{At: noon}
	r.Step(noon.Add(time.Hour), 1, s)
	require.Equal(t, job.BatchRunning, r.Batches[1].State)
	require.Zero(t, r.Fits(noon, nil, s))
	require.Equal(t, 2, r.Fits(noon.Add(time.Hour), []int{50, 40}, s))
}

// A threshold may open the gate while slow devices of the batch are still under way; without one all of them must have ended.
func TestAThresholdDoesNotWaitForTheSlow(t *testing.T) {
	t.Parallel()
	for gate, want := range map[string]job.BatchState{`{"successThresholdPercentage":90}`: job.BatchRunning, `{}`: job.BatchWaiting} {
		r := job.NewRolling(rollout(t, `{"batches":[{"number":10},{"gate":`+gate+`}]}`))
		s := job.Sight{Selected: 100, Complete: true}
		r.Step(noon, 0, s)
		r.Begin(noon, noon, 10, s)
		r.Under(0, job.CountsOf(job.Succeeded, job.NoReason, 9).Plus(job.CountsOf(job.InProgress, job.NoReason, 1)))
		require.Empty(t, r.Step(noon, 1, s))
		require.Equal(t, want, r.Batches[1].State, gate)
	}
}
