package job

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

// Part is a piece of a run's target. Its devices are selected after those of the parts before it; a device that an earlier part has
// selected too is done there.
type Part struct {
	// Filter narrows the job's condition, "" for none. A job with a list of devices has no filter.
	Filter string `json:",omitempty"`
	// DeviceIDs are the part, instead of condition or list of the job.
	DeviceIDs []string `json:",omitempty"`
	// Label is the value that the part's devices have in common, as JSON; "" for none.
	Label string `json:",omitempty"`
	// AtOnce is how many of the part's devices may be called at once, 0 for any number.
	AtOnce int `json:",omitempty"`
	// Shuffled has the part's devices in the job's order by chance.
	Shuffled bool `json:",omitempty"`
	// At is when the part may be selected; zero is at once.
	At time.Time `json:",omitzero"`
	// Zone is the IANA zone by which the devices have their maintenance window, "" where that is the run's.
	Zone string `json:",omitempty"`
	// Reason is why the devices end without being called, NoReason of others.
	Reason Reason `json:",omitempty"`
}

// Parts are those of one run, made when its selection begins and the same until its end.
type Parts struct {
	List []Part
	Done bool // List is made
	// Values are the different values of the path that the target is divided by, each once, as far as they are known before Done; Next
	// is the continuation of the query for them.
	Values []string `json:",omitempty"`
	Next   string   `json:",omitempty"`
}

// Limits of what a target is divided by.
const (
	MaxParts       = 1000 // different values of a path among the devices of a run
	MaxPathChars   = 256
	MaxBatchIDs    = 100  // device ids that a batch may name
	MaxPerValue    = 100  // maxConcurrencyPerValue
	MaxLabelBytes  = 256  // of a value, as JSON
	MaxParted      = 4000 // characters of a condition that is divided
	MaxFilterChars = 4000 // both fit the longest condition, with brackets
)

// Divided reports whether runs of the job have parts: one for each chosen batch and for each value of a path, or one in an order of its own.
func (d *Definition) Divided() bool { return d.narrowed() || d.Rollout != nil && d.Rollout.Order != "" }

// narrowed reports whether parts narrow the job's condition.
func (d *Definition) narrowed() bool { return d.GroupPath() != "" || d.Rollout.Chosen() > 0 }

// GroupPath is the path whose values divide the target, "" for none.
func (d *Definition) GroupPath() string {
	if d.Rollout == nil {
		return d.zonePath()
	}
	return cmp.Or(d.Rollout.OrderBy, d.Rollout.SpreadBy, d.zonePath())
}

// Divide makes the parts of a run: those of the chosen batches, and what is left, by the values of GroupPath that its devices have, as
// JSON; "" stands for none. The error says that they are too many.
func (r *Record) Divide(values []string) ([]Part, error) {
	var parts []Part
	atOnce := r.Rollout.PerValue()
	for i := range r.Rollout.Chosen() {
		part := r.Rollout.Batches[i].part(r.ListChunks > 0)
		part.AtOnce = atOnce
		parts = append(parts, part)
	}
	text := r.GroupPath()
	if text == "" {
		return append(parts, Part{Shuffled: r.Rollout.Order == OrderRandom}), nil
	}
	path, err := twinquery.ParsePath(text)
	if err != nil {
		return nil, fmt.Errorf("reading the path %s: %w", text, err)
	}
	values = slices.Clone(values)
	slices.SortFunc(values, compareValues)
	values = slices.Compact(values)
	if len(values) > MaxParts {
		return nil, fmt.Errorf("the devices have more than %d different values of %s", MaxParts, text)
	}
	last := Part{Filter: path.Missing()}
	for _, v := range values {
		if v == "" {
			continue
		}
		filter, ok := path.Is(json.RawMessage(v))
		if !ok || len(v) > MaxLabelBytes {
			last = Part{AtOnce: atOnce} // null, an object, an array or a long text, with which no condition compares: all that no other part has
			continue
		}
		parts = append(parts, Part{Filter: filter, Label: v, AtOnce: atOnce})
	}
	return append(parts, last), nil
}

// compareValues orders JSON values: booleans, then numbers, then strings, then others.
func compareValues(a, b string) int {
	x, y := kindOf(a), kindOf(b)
	return cmp.Or(cmp.Compare(x.rank, y.rank), cmp.Compare(x.number, y.number), cmp.Compare(x.text, y.text))
}

type valueKind struct {
	rank   int
	number float64
	text   string
}

func kindOf(raw string) valueKind {
	var v any
	if err := json.Unmarshal([]byte(raw), &v); err != nil {
		return valueKind{rank: 4}
	}
	switch v := v.(type) {
	case bool:
		return valueKind{rank: 0, text: raw}
	case float64:
		return valueKind{rank: 1, number: v, text: raw}
	case string:
		return valueKind{rank: 2, text: v}
	}
	return valueKind{rank: 3, text: raw}
}

// twinPath reads the path of a tag or property, "" when absent.
func (o *object) twinPath(name string) string {
	text := o.text(name)
	if !o.has(name) {
		return ""
	}
	path, err := twinquery.ParsePath(text)
	switch {
	case err != nil:
		o.fault(name, o.members[name], err.Error())
		return ""
	case len([]rune(text)) > MaxPathChars:
		o.fault(name, o.members[name], fmt.Sprintf("must have at most %d characters", MaxPathChars))
	}
	return path.String()
}

// ofList is the policy without what takes queries of the hub, for a job with a list of devices. Devices that were held apart by value
// are held apart all.
func (p *Rollout) ofList() *Rollout {
	c := p.Clone()
	if c == nil {
		return nil
	}
	if n := p.PerValue(); n > 0 && (c.MaxConcurrency == 0 || n < c.MaxConcurrency) {
		c.MaxConcurrency = n
	}
	c.OrderBy, c.SpreadBy, c.MaxPerValue = "", "", 0
	c.Batches = slices.DeleteFunc(c.Batches, func(b BatchPolicy) bool { return b.Chosen() })
	if len(c.Batches) > 0 && c.Batches[0].Gate != nil { // the first has none before it
		c.Batches[0].Gate.SuccessThresholdPercentage, c.Batches[0].Gate.MinimumObservationTime = 0, 0
	}
	return c
}

// divisible refuses targets that cannot be divided as the rollout wants it.
func (o *object) divisible(def *Definition) {
	o.chosenBatches(def)
	o.spread(def)
	if def.narrowed() && len([]rune(def.QueryCondition)) > MaxParted {
		o.fault("queryCondition", nil, fmt.Sprintf("must have at most %d characters with rollout.orderBy or spreadBy, timeZone \"device\", or batches that have a condition or a list", MaxParted))
	}
	o.zoned(def)
	if def.Rollout == nil || def.Rollout.OrderBy == "" && def.Rollout.SpreadBy == "" {
		return
	}
	name := "rollout.orderBy"
	if def.Rollout.OrderBy == "" {
		name = "rollout.spreadBy"
	}
	if def.DeviceIDs != nil {
		o.fault(name, nil, "goes with queryCondition only: the hub groups the devices of a query")
		return
	}
	if c, err := twinquery.ParseCondition(def.QueryCondition); err == nil && c.Source == twinquery.Modules {
		o.fault(name, nil, "goes with devices only: the hub does not group modules")
	}
}
