package job

// PerValue is how many devices with one value of SpreadBy may be called at once, 0 for any number.
func (p *Rollout) PerValue() int {
	switch {
	case p == nil || p.SpreadBy == "":
		return 0
	case p.MaxPerValue == 0:
		return 1
	}
	return p.MaxPerValue
}

// Spreads reports whether devices with one value of a path are held apart.
func (r *Rolling) Spreads() bool { return r != nil && r.Policy.SpreadBy != "" }

// Abreast says which of a run's shards may be worked on at the same time, when asked for one after the other in the order of their
// numbers: of the shards that are limited no two of one part, and none beside one of a chosen batch, whose devices may have any value.
type Abreast struct {
	// ChosenParts is how many of the first parts belong to chosen batches.
	ChosenParts int

	parts  map[int]bool
	chosen bool
}

// Admits takes the next shard that was opened and has not ended, and reports whether it may be worked on beside those before it.
func (a *Abreast) Admits(part int, limited bool) bool {
	if !limited {
		return true
	}
	free := !a.chosen && !a.parts[part]
	if part < a.ChosenParts {
		free = !a.chosen && len(a.parts) == 0
		a.chosen = true
	}
	if a.parts == nil {
		a.parts = map[int]bool{}
	}
	a.parts[part] = true
	return free
}

// spread checks what goes with rollout.spreadBy.
func (o *object) spread(def *Definition) {
	p := def.Rollout
	if p == nil {
		return
	}
	if p.SpreadBy == "" && p.MaxPerValue > 0 {
		o.fault("rollout.maxConcurrencyPerValue", nil, "goes with rollout.spreadBy")
	}
	switch {
	case p.SpreadBy == "":
	case p.OrderBy != "" && p.OrderBy != p.SpreadBy:
		o.fault("rollout.spreadBy", nil, "must be the path of rollout.orderBy: a target is grouped by one path")
	case def.Type == TypeSteps || def.Confirm != nil:
		o.fault("rollout.spreadBy", nil, "holds calls apart, not what a device does between them; it does not go with steps and confirm")
	}
}
