package job

import (
	"time"

	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

// schedule reads when the job recurs, nil when it does not.
func (o *object) schedule(now time.Time) *schedule.Spec {
	if !o.has("schedule") {
		return nil
	}
	o.absent("startTime", "must not stand beside schedule; schedule has a startTime of its own")
	spec, faults := schedule.Decode(o.field("schedule"), o.members["schedule"])
	if len(faults) == 0 {
		faults = unserved(o.field("schedule"), spec, now)
	}
	for _, f := range faults {
		o.faults.add(f.Field, f.Value, f.Rule)
	}
	return &spec
}

// unserved gives what is a schedule, and none that a job can have.
func unserved(field string, spec schedule.Spec, now time.Time) schedule.Faults {
	compiled, err := spec.Compile()
	if err != nil {
		return schedule.Faults{{Field: field, Rule: err.Error()}}
	}
	if _, ok := compiled.Next(compiled.Begin(now).Handled); !ok {
		rule := "has no occurrence from now on"
		if compiled.DeviceLocal() {
			rule += `; with timeZone "device" a time counts while no zone on Earth has had it, the first of which are 14 hours ahead of UTC`
		}
		return schedule.Faults{{Field: field, Rule: rule}}
	}
	return nil
}

// Range is a stretch of time that somebody asks for, from From up to and without To.
type Range struct{ From, To time.Time }

// DecodeRange reads the body of a request for a range: {"from": "...", "to": "..."}. The error, if any, is Faults.
func DecodeRange(body []byte) (Range, error) {
	if err := checkText(body); err != nil {
		return Range{}, err
	}
	var faults Faults
	o := newObject("body", body, &faults)
	if o == nil {
		return Range{}, faults
	}
	o.only("from", "to")
	r := Range{From: o.instant("from"), To: o.instant("to")}
	for _, name := range []string{"from", "to"} {
		if !o.has(name) {
			o.fault(name, nil, "is required: an RFC 3339 time with its zone")
		}
	}
	if len(faults) == 0 && !r.From.Before(r.To) {
		o.fault("to", o.members["to"], "must be after from")
	}
	if len(faults) > 0 {
		return Range{}, faults
	}
	return r, nil
}
