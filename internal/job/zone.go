package job

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/schedule"
	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

// LocalStart is the wall time at which each device of a run begins, by its own clock.
type LocalStart struct {
	Time    schedule.Civil
	Path    string            // where a twin names its zone
	Default string            `json:",omitempty"` // the zone where it names none
	Catchup schedule.Duration `json:",omitempty"` // how late a device may begin when the run does, 0 for however late
	Latest  time.Time         // when the last zone on earth has reached Time
}

// localStart is that of a run that starts for some reason, nil where all devices begin together: also where somebody wants it now.
func localStart(s *schedule.Series, spec *schedule.Spec, start schedule.Start) *LocalStart {
	if !s.DeviceLocal() || start.Kind == schedule.Manual {
		return nil
	}
	l := &LocalStart{
		Time: start.Local, Path: spec.TimeZonePath, Default: spec.DefaultTimeZone, Catchup: spec.CatchupWindow, Latest: s.Latest(start.Occurrence),
	}
	if start.Kind == schedule.Backfill {
		l.Catchup = 0
	}
	return l
}

// last is when the last zone has reached the time, zero where all begin together.
func (l *LocalStart) last() time.Time {
	if l == nil {
		return time.Time{}
	}
	return l.Latest
}

// zonePath is where a twin names the zone by which the job works, "" where it works by none.
func (d *Definition) zonePath() string {
	switch {
	case d.Schedule != nil && d.Schedule.TimeZone == schedule.DeviceZone:
		return d.Schedule.TimeZonePath
	case d.LocalWindow():
		return d.MaintenanceWindow.TimeZonePath
	}
	return ""
}

// LocalWindow reports whether each device has the maintenance window at its own local time.
func (d *Definition) LocalWindow() bool {
	return d.MaintenanceWindow != nil && d.MaintenanceWindow.TimeZone == schedule.DeviceZone
}

func (r *Record) localStart() *LocalStart {
	if r.Occurrence == nil {
		return nil
	}
	return r.Occurrence.Local
}

// Divided reports whether the run has parts: those of its definition, or one for each zone.
func (r *Record) Divided() bool { return r.Definition.Divided() || r.localStart() != nil }

// GroupPath is the path whose values divide the run's target, "" for none.
func (r *Record) GroupPath() string {
	if l := r.localStart(); l != nil {
		return l.Path
	}
	return r.Definition.GroupPath()
}

// Zoned reports whether the parts of the run are zones.
func (r *Record) Zoned() bool { return r.localStart() != nil || r.LocalWindow() }

// DivideByZone makes the parts of a run that begins at now from the zones that its devices have, as JSON; "" stands for none. Each part
// opens when its zones reach the run's wall time, or their next window; last come the devices without a zone. What a part can not
// do any more, its devices end as. The error says that there are too many zones.
func (r *Record) DivideByZone(values []string, now time.Time) ([]Part, error) {
	z, err := r.zoning(now)
	if err != nil {
		return nil, err
	}
	values = slices.Clone(values)
	slices.Sort(values)
	if values = slices.Compact(values); len(values) > MaxParts {
		return nil, fmt.Errorf("the devices have more than %d different values of %s", MaxParts, z.path)
	}
	rest := Part{Filter: z.path.Missing()}
	z.add(rest, nil)
	for _, v := range values {
		if v == "" {
			continue
		}
		filter, ok := z.path.Is(json.RawMessage(v))
		if !ok || len(v) > MaxLabelBytes { // no condition compares with it: all that no other part has
			z.last = &Part{Reason: InvalidTimeZone}
			continue
		}
		z.add(Part{Filter: filter, Label: v}, json.RawMessage(v))
	}
	return z.list(), nil
}

// zoning makes the parts of a run.
type zoning struct {
	now    time.Time
	path   *twinquery.Path
	local  *LocalStart
	dflt   string
	window *schedule.Window // nil without a window of its own in each zone
	zones  schedule.Zones
	parts  []Part
	last   *Part
}

func (r *Record) zoning(now time.Time) (*zoning, error) {
	z := &zoning{now: now, local: r.localStart()}
	if r.LocalWindow() {
		w, err := r.MaintenanceWindow.Compile()
		if err != nil {
			return nil, fmt.Errorf("compiling the maintenance window of job %s: %w", r.JobID, err)
		}
		z.window, z.dflt = w, r.MaintenanceWindow.DefaultTimeZone
	}
	if z.local != nil {
		z.dflt = z.local.Default
	}
	path, err := twinquery.ParsePath(r.GroupPath())
	if err != nil {
		return nil, fmt.Errorf("reading the path %s: %w", r.GroupPath(), err)
	}
	z.path = path
	return z, nil
}

// add makes a part of the devices with a value.
func (z *zoning) add(p Part, value json.RawMessage) {
	loc, outcome := z.zones.OfDevice(value, z.dflt)
	switch outcome {
	case schedule.ZoneMissing:
		p.Reason = NoTimeZone
	case schedule.ZoneInvalid:
		p.Reason = InvalidTimeZone
	default:
		z.place(&p, loc)
	}
	if p.Reason == NoTimeZone || p.Reason == InvalidTimeZone { // who gets a zone meanwhile is not lost
		p.At = z.now
		if z.local != nil && z.local.Latest.After(z.now) {
			p.At = z.local.Latest
		}
	}
	z.parts = append(z.parts, p)
}

// place says when a part in a zone opens.
func (z *zoning) place(p *Part, loc *time.Location) {
	p.At = z.now
	if z.local != nil {
		if p.At = z.local.Time.In(loc); z.local.Catchup > 0 && z.now.Sub(p.At) > time.Duration(z.local.Catchup) {
			p.At, p.Reason = z.now, LocalTimeMissed
			return
		}
	}
	if z.window == nil {
		return
	}
	p.Zone = loc.String()
	at := latest(p.At, z.now)
	span, ok := z.window.In(loc).NextOpen(at)
	if p.At = latest(span.From, at); !ok {
		p.At, p.Reason = z.now, WindowClosed
	}
}

// list gives the parts in the order in which they open. Zones that open together, and close together, are one part.
func (z *zoning) list() []Part {
	slices.SortStableFunc(z.parts, func(a, b Part) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.Label, b.Label))
	})
	var parts []Part
	for _, p := range z.parts {
		if n := len(parts) - 1; n >= 0 && parts[n].joins(p) {
			parts[n].Filter += " OR " + p.Filter
			parts[n].Label = ""
			continue
		}
		parts = append(parts, p)
	}
	if z.last != nil {
		z.last.At = z.now
		if n := len(parts) - 1; n >= 0 {
			z.last.At = latest(z.now, parts[n].At)
		}
		parts = append(parts, *z.last)
	}
	return parts
}

func (p *Part) joins(o Part) bool {
	return p.At.Equal(o.At) && p.Reason == o.Reason && p.Zone == o.Zone && len(p.Filter)+len(o.Filter) < MaxFilterChars-4
}

// EndUnplaced ends the devices of a new shard whose part can not be called.
func (p *Part) EndUnplaced(s *Shard, now time.Time) {
	if p.Reason == NoReason {
		return
	}
	o := Outcome{State: Failed, Reason: p.Reason}
	switch p.Reason {
	case LocalTimeMissed:
		o.State = TimedOut
	case WindowClosed:
		o.State = Canceled
	}
	for i := range s.Executions {
		s.Executions[i].End(o, now)
	}
}

// Postpone has all executions that have not ended wait until a time, those that wait longer as long as they do.
func (s *Shard) Postpone(until time.Time) {
	for i := range s.Executions {
		if e := &s.Executions[i]; !e.State.Final() && e.NextAttemptAt.Before(until) {
			e.NextAttemptAt = until.Truncate(time.Millisecond)
		}
	}
}

// zoned refuses what a job cannot have whose devices work at their own local times.
func (o *object) zoned(def *Definition) {
	path := def.zonePath()
	if path == "" {
		return
	}
	name := "maintenanceWindow"
	if s := def.Schedule; s != nil && s.TimeZone == schedule.DeviceZone {
		if w := def.MaintenanceWindow; def.LocalWindow() && (w.TimeZonePath != path || w.DefaultTimeZone != s.DefaultTimeZone) {
			o.fault(name+".timeZonePath", nil, "must be the schedule's, and defaultTimeZone too")
		}
		name = "schedule"
	}
	if _, err := twinquery.ParsePath(path); err != nil {
		o.fault(name+".timeZonePath", nil, err.Error())
	}
	const only = `goes with timeZone "device" only where `
	if def.DeviceIDs != nil {
		o.fault("deviceIds", nil, "does not go with timeZone \"device\": the hub groups the devices of a query; give queryCondition")
	}
	if c, err := twinquery.ParseCondition(def.QueryCondition); err == nil && c.Source == twinquery.Modules {
		o.fault("queryCondition", nil, "does not go with timeZone \"device\": the hub does not group modules")
	}
	if r := def.Rollout; r != nil && (r.OrderBy != "" || r.SpreadBy != "" || r.Order != "" || len(r.Batches) > 0) {
		o.fault("rollout", nil, only+"it has none of batches, orderBy, spreadBy and order: local times say who begins when")
	}
}

// LocalTime is an occurrence of a schedule by local time: the wall time, and when the first and the last zone on earth have it.
type LocalTime struct {
	Time             schedule.Civil
	Earliest, Latest time.Time
}

// LocalTimes gives the wall times of occurrences, nil where all devices begin together.
func (d *Definition) LocalTimes(list []schedule.Occurrence) ([]LocalTime, error) {
	if d.Schedule == nil || d.Schedule.TimeZone != schedule.DeviceZone {
		return nil, nil
	}
	compiled, err := d.Schedule.Compile()
	if err != nil {
		return nil, fmt.Errorf("compiling the schedule of job %s: %w", d.JobID, err)
	}
	times := make([]LocalTime, len(list))
	for i, o := range list {
		times[i] = LocalTime{o.Local, o.At, compiled.Latest(o)}
	}
	return times, nil
}
