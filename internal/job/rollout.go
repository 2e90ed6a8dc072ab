package job

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

// Rollout is how carefully a run begins devices: how many a minute, how many at once, and in which batches. The names are those
// of AWS IoT Jobs where it has the member
// (https://docs.aws.amazon.com/iot/latest/developerguide/jobs-configurations-details.html).
type Rollout struct {
	MaximumPerMinute int              `json:"maximumPerMinute,omitempty"` // 0 is no limit
	ExponentialRate  *ExponentialRate `json:"exponentialRate,omitempty"`
	MaxConcurrency   int              `json:"maxConcurrency,omitempty"` // devices in flight; 0 is no limit
	Batches          []BatchPolicy    `json:"batches,omitempty"`
	Order            Order            `json:"order,omitempty"`
	// OrderBy is the path of a tag or property by whose values the devices are ordered; "" is the order of the query or list.
	OrderBy string `json:"orderBy,omitempty"`
	// SpreadBy is the path of a tag or property: of the devices with one value of it MaxPerValue are called at once, 1 unless given.
	SpreadBy    string `json:"spreadBy,omitempty"`
	MaxPerValue int    `json:"maxConcurrencyPerValue,omitempty"`
}

// ExponentialRate begins slowly and multiplies the rate by IncrementFactor each time so many more devices were begun, or succeeded.
type ExponentialRate struct {
	BaseRatePerMinute    int          `json:"baseRatePerMinute"`
	IncrementFactor      float64      `json:"incrementFactor"`
	RateIncreaseCriteria RateIncrease `json:"rateIncreaseCriteria"`
}

// RateIncrease is what the rate grows with: one of both is not 0.
type RateIncrease struct {
	NumberOfNotifiedDevices  int `json:"numberOfNotifiedDevices,omitempty"`
	NumberOfSucceededDevices int `json:"numberOfSucceededDevices,omitempty"`
}

// BatchPolicy is one batch: the devices of the target that match a condition or are named, a number of devices, a percentage of the
// target, or, for the last one, the rest. Gate is what its begin waits for; nil is the end of the batch before.
type BatchPolicy struct {
	QueryCondition string   `json:"queryCondition,omitempty"`
	DeviceIDs      []string `json:"deviceIds,omitempty"`
	Number         int      `json:"number,omitempty"`
	Percentage     float64  `json:"percentage,omitempty"`
	Gate           *Gate    `json:"gate,omitempty"`
}

// Gate is what has to hold, all together, before a batch begins.
type Gate struct {
	// SuccessThresholdPercentage of the devices of the batch before must have succeeded; the others may still be under way.
	// 0 asks that all its devices have ended, however.
	SuccessThresholdPercentage float64 `json:"successThresholdPercentage,omitempty"`
	// MinimumObservationTime counts from when that held.
	MinimumObservationTime schedule.Duration `json:"minimumObservationTime,omitzero"`
	StartTime              time.Time         `json:"startTime,omitzero"`
	Approval               bool              `json:"approval,omitempty"` // by another principal than the job's creator
}

// Rate is how many devices a minute may begin after so many were begun and so many succeeded, 0 for no limit.
func (p *Rollout) Rate(begun, succeeded int) float64 {
	rate := float64(p.MaximumPerMinute)
	e := p.ExponentialRate
	if e == nil {
		return rate
	}
	n, step := begun, e.RateIncreaseCriteria.NumberOfNotifiedDevices
	if step == 0 {
		n, step = succeeded, e.RateIncreaseCriteria.NumberOfSucceededDevices
	}
	grown := float64(e.BaseRatePerMinute) * math.Pow(e.IncrementFactor, float64(n/max(1, step)))
	if rate == 0 {
		rate = MaxRatePerMinute
	}
	return min(rate, grown)
}

const (
	shardsAMinute      = 6  // of a rate: a shard is begun over 10 s
	shardsInFlight     = 5  // of maxConcurrency at least, so that ended devices make room for others soon
	percentageRounding = 50 // a batch by percentage ends with a shard: its end is off by a 50th of the devices up to there at most
)

// ShardSize is how many devices the next shard of a run takes when so many were stored before, chosen of them for chosen batches. It
// is negative while those are stored.
func (p *Rollout) ShardSize(before, chosen int) int {
	size := ShardSize
	if p.MaxConcurrency > 0 {
		size = min(size, max(1, p.MaxConcurrency/shardsInFlight))
	}
	if rate := p.Rate(before, before); rate > 0 {
		size = min(size, max(1, int(rate/shardsAMinute)))
	}
	if chosen < 0 {
		return size
	}
	end := chosen
	for _, b := range p.Batches[p.Chosen():] {
		if b.Percentage > 0 {
			return min(size, max(1, before/percentageRounding)) // where this and later batches end is not known yet
		}
		if end += b.Number; before < end {
			return min(size, end-before)
		}
	}
	return size
}

// rollout reads how devices are begun, nil when absent.
func (o *object) rollout() *Rollout {
	r := o.nested("rollout")
	if r == nil {
		return nil
	}
	r.only("maximumPerMinute", "exponentialRate", "maxConcurrency", "batches", "order", "orderBy", "spreadBy", "maxConcurrencyPerValue")
	p := &Rollout{
		MaximumPerMinute: int(r.integer("maximumPerMinute", 0, 1, MaxRatePerMinute)),
		ExponentialRate:  r.exponentialRate(),
		MaxConcurrency:   int(r.integer("maxConcurrency", 0, 1, MaxConcurrency)),
		Batches:          r.batches(),
		Order:            r.order(),
		OrderBy:          r.twinPath("orderBy"),
		SpreadBy:         r.twinPath("spreadBy"),
		MaxPerValue:      int(r.integer("maxConcurrencyPerValue", 0, 1, MaxPerValue)),
	}
	if e := p.ExponentialRate; e != nil && p.MaximumPerMinute > 0 && e.BaseRatePerMinute > p.MaximumPerMinute {
		r.fault("exponentialRate", r.members["exponentialRate"], "must not begin with more than maximumPerMinute")
	}
	return p
}

func (o *object) exponentialRate() *ExponentialRate {
	e := o.nested("exponentialRate")
	if e == nil {
		return nil
	}
	e.only("baseRatePerMinute", "incrementFactor", "rateIncreaseCriteria")
	rate := &ExponentialRate{
		BaseRatePerMinute: int(e.integer("baseRatePerMinute", 0, 1, MaxRatePerMinute)),
		IncrementFactor:   e.factor("incrementFactor", MinIncrementFactor, MaxIncrementFactor),
	}
	for _, name := range []string{"baseRatePerMinute", "incrementFactor", "rateIncreaseCriteria"} {
		if !e.has(name) {
			e.fault(name, nil, "is required")
		}
	}
	c := e.nested("rateIncreaseCriteria")
	if c == nil {
		return rate
	}
	c.only("numberOfNotifiedDevices", "numberOfSucceededDevices")
	rate.RateIncreaseCriteria = RateIncrease{
		NumberOfNotifiedDevices:  int(c.integer("numberOfNotifiedDevices", 0, 1, MaxIncreaseDevices)),
		NumberOfSucceededDevices: int(c.integer("numberOfSucceededDevices", 0, 1, MaxIncreaseDevices)),
	}
	if c.has("numberOfNotifiedDevices") == c.has("numberOfSucceededDevices") {
		c.fault("", nil, "must have one of numberOfNotifiedDevices and numberOfSucceededDevices")
	}
	return rate
}

func (o *object) batches() []BatchPolicy {
	if !o.has("batches") {
		return nil
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(o.members["batches"], &raw); err != nil || len(raw) < MinBatches || len(raw) > MaxBatches {
		o.fault("batches", nil, fmt.Sprintf("must be an array of %d to %d batches", MinBatches, MaxBatches))
		return nil
	}
	all := make([]BatchPolicy, len(raw))
	percent := 0.0
	for i := range raw {
		b := newObject(fmt.Sprintf("%s[%d]", o.field("batches"), i), raw[i], o.faults)
		if b == nil {
			continue
		}
		all[i] = b.batch(i == 0, i == len(raw)-1)
		percent += all[i].Percentage
	}
	if percent >= 100 {
		o.fault("batches", nil, "must leave devices to the last batch: the percentages before it add up to 100 or more")
	}
	return all
}

func (o *object) batch(first, last bool) BatchPolicy {
	o.only("queryCondition", "deviceIds", "number", "percentage", "gate")
	b := BatchPolicy{
		Number:     int(o.integer("number", 0, 1, MaxBatchNumber)),
		Percentage: o.decimal("percentage", 0, 0, MaxPercentage),
		Gate:       o.gate(first),
	}
	o.chosenBy(&b)
	sizes := 0
	for _, name := range []string{"queryCondition", "deviceIds", "number", "percentage"} {
		if o.has(name) {
			sizes++
		}
	}
	switch {
	case last && sizes > 0:
		o.fault("", nil, "must have none of queryCondition, deviceIds, number and percentage: the last batch takes the rest; put {} behind this one")
	case !last && sizes != 1:
		o.fault("", nil, "must have one of queryCondition, deviceIds, number and percentage; only the last batch, which takes the rest, has none")
	}
	return b
}

func (o *object) gate(first bool) *Gate {
	g := o.nested("gate")
	if g == nil {
		return nil
	}
	g.only("successThresholdPercentage", "minimumObservationTime", "startTime", "approval")
	gate := &Gate{
		SuccessThresholdPercentage: g.decimal("successThresholdPercentage", 0, 0, MaxPercentage),
		MinimumObservationTime:     g.duration("minimumObservationTime", MaxObservation),
		StartTime:                  g.instant("startTime"),
		Approval:                   g.boolean("approval"),
	}
	if first {
		for _, name := range []string{"successThresholdPercentage", "minimumObservationTime"} {
			if g.has(name) {
				g.fault(name, g.members[name], "looks at the batch before, and the first batch has none")
			}
		}
	}
	return gate
}

// factor reads a number with one decimal at most, 0 when absent.
func (o *object) factor(name string, least, most float64) float64 {
	if !o.has(name) {
		return 0
	}
	f, err := strconv.ParseFloat(string(o.members[name]), 64)
	if err != nil || f < least || f > most || math.Abs(math.Round(f*10)-f*10) > 1e-6 {
		o.fault(name, o.members[name], fmt.Sprintf("must be a number from %v to %v with at most one decimal", least, most))
		return 0
	}
	return f
}

// duration reads an ISO 8601 duration of at least a second, 0 when absent.
func (o *object) duration(name string, most time.Duration) schedule.Duration {
	if !o.has(name) {
		return 0
	}
	d, err := schedule.ParseDuration(o.text(name))
	switch {
	case err != nil:
		o.fault(name, o.members[name], err.Error())
	case d <= 0 || time.Duration(d) > most:
		o.fault(name, o.members[name], fmt.Sprintf("must be from PT1S to %s", schedule.Duration(most)))
	}
	return d
}

// boolean reads true or false, false when absent.
func (o *object) boolean(name string) bool {
	if !o.has(name) {
		return false
	}
	if text := string(o.members[name]); !boolText.MatchString(text) {
		o.fault(name, o.members[name], "must be true or false")
	}
	return string(o.members[name]) == "true"
}

var boolText = regexp.MustCompile(`^(true|false)$`)

// Clone copies the policy, so that it can be edited.
func (p *Rollout) Clone() *Rollout {
	if p == nil {
		return nil
	}
	c := *p
	if p.ExponentialRate != nil {
		e := *p.ExponentialRate
		c.ExponentialRate = &e
	}
	c.Batches = slices.Clone(p.Batches)
	for i, b := range c.Batches {
		if b.Gate != nil {
			g := *b.Gate
			c.Batches[i].Gate = &g
		}
	}
	return &c
}
