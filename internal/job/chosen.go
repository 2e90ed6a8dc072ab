package job

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

// Chosen reports whether the batch has the devices that match its condition or that it names, such as canaries.
func (b *BatchPolicy) Chosen() bool { return b.QueryCondition != "" || b.DeviceIDs != nil }

// Chosen is how many of the first batches are chosen ones: those that no later batch precedes.
func (p *Rollout) Chosen() int {
	if p == nil {
		return 0
	}
	for i := range p.Batches {
		if !p.Batches[i].Chosen() {
			return i
		}
	}
	return len(p.Batches)
}

// part is the part of a target that a chosen batch makes.
func (b *BatchPolicy) part(list bool) Part {
	switch {
	case list:
		return Part{DeviceIDs: b.DeviceIDs}
	case b.DeviceIDs != nil:
		return Part{Filter: twinquery.OneOf(b.DeviceIDs)}
	}
	return Part{Filter: b.QueryCondition}
}

// sameDevices reports whether two batches take the same devices.
func (b *BatchPolicy) sameDevices(o *BatchPolicy) bool {
	return b.Number == o.Number && b.Percentage == o.Percentage && b.QueryCondition == o.QueryCondition && slices.Equal(b.DeviceIDs, o.DeviceIDs)
}

// chosenBy reads the condition or the list of a chosen batch.
func (o *object) chosenBy(b *BatchPolicy) {
	if o.has("queryCondition") {
		b.QueryCondition = o.text("queryCondition")
		o.condition(b.QueryCondition)
		o.narrowing(b.QueryCondition)
	}
	if o.has("deviceIds") {
		b.DeviceIDs = o.deviceIDs()
		if len(b.DeviceIDs) > MaxBatchIDs {
			o.fault("deviceIds", nil, fmt.Sprintf("has %d ids; must have 1 to %d", len(b.DeviceIDs), MaxBatchIDs))
		}
		if text := twinquery.OneOf(b.DeviceIDs); len(text) > MaxFilterChars {
			o.fault("deviceIds", nil, fmt.Sprintf("must have at most %d characters as a condition, and has %d", MaxFilterChars, len(text)))
		}
	}
}

// narrowing checks a condition that narrows the job's.
func (o *object) narrowing(text string) {
	c, err := twinquery.ParseCondition(text)
	if err != nil {
		return // told already
	}
	switch {
	case c.Source != twinquery.Devices || c.Expr == nil:
		o.fault("queryCondition", o.members["queryCondition"], "must be a condition without FROM: it narrows that of the job")
	case len([]rune(text)) > MaxFilterChars:
		o.fault("queryCondition", nil, fmt.Sprintf("must have at most %d characters", MaxFilterChars))
	}
	for _, u := range c.Unknown {
		if u.Kind != twinquery.UnknownField {
			o.fault("queryCondition", json.RawMessage(u.Text), u.String())
		}
	}
}

// chosenBatches checks where chosen batches stand, and what goes with the job's target.
func (o *object) chosenBatches(def *Definition) {
	if def.Rollout == nil {
		return
	}
	listed := map[string]bool{}
	for _, id := range def.DeviceIDs {
		listed[id] = true
	}
	first := def.Rollout.Chosen()
	for i := range def.Rollout.Batches {
		b := &def.Rollout.Batches[i]
		at := fmt.Sprintf("rollout.batches[%d]", i)
		if b.Chosen() && i > first {
			o.fault(at, nil, "must stand before the batches with number or percentage")
		}
		if def.DeviceIDs == nil {
			continue
		}
		if b.QueryCondition != "" {
			o.fault(at+".queryCondition", nil, "goes with the queryCondition of a job: name devices of the job's list")
		}
		for _, id := range b.DeviceIDs {
			if !listed[id] {
				o.fault(at+".deviceIds", json.RawMessage(id), "must be devices of the job's list")
			}
		}
	}
}
