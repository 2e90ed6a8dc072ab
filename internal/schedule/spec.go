package schedule

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Recurrence says when something happens: exactly one of Cron, Interval and Times, in a zone.
type Recurrence struct {
	Cron     string   `json:"cron,omitempty"`     // see ParseCron
	Interval Duration `json:"interval,omitzero"`  // real time between two occurrences, in any zone
	Offset   Duration `json:"offset,omitzero"`    // with Interval: occurrences are at 1970-01-01T00:00Z plus Offset plus n times Interval
	Times    []Moment `json:"times,omitempty"`    // instants, or wall times in the zone
	TimeZone string   `json:"timeZone,omitempty"` // an IANA name, or DeviceZone; Decode fills in "UTC"
	// TimeZonePath and DefaultTimeZone go with DeviceZone: where a twin names its zone, and which holds where it names none
	// ("" is none).
	TimeZonePath    string `json:"timeZonePath,omitempty"`
	DefaultTimeZone string `json:"defaultTimeZone,omitempty"`
	// StartTime is the first moment at which there may be an occurrence, EndTime the first from which there is none.
	StartTime Moment   `json:"startTime,omitzero"`
	EndTime   Moment   `json:"endTime,omitzero"`
	Exclude   []Moment `json:"exclude,omitempty"` // days in the zone, wall times or instants without an occurrence
}

// Spec is the JSON of a job's schedule.
type Spec struct {
	Recurrence
	RemainingRuns  int           `json:"remainingRuns,omitempty"`  // runs that are left at first; 0 is no limit
	Jitter         Duration      `json:"jitter,omitzero"`          // the longest delay of a device, see Jitter
	OverlapPolicy  OverlapPolicy `json:"overlapPolicy,omitempty"`  // Decode fills in Skip, AllowAll with DeviceZone
	CatchupWindow  Duration      `json:"catchupWindow,omitzero"`   // how late an occurrence may start; Decode fills in DefaultCatchup
	PauseOnFailure bool          `json:"pauseOnFailure,omitempty"` // a failed run pauses the schedule
}

// WindowSpec is the JSON of a maintenance window.
type WindowSpec struct {
	Recurrence
	Duration    Duration    `json:"duration"`              // real time from each occurrence on
	EndBehavior EndBehavior `json:"endBehavior,omitempty"` // Decode fills in StopRollout
}

// EndBehavior is what happens to a run when its window closes (names as in AWS IoT Jobs).
type EndBehavior string

// The end behaviours.
const (
	Finish      EndBehavior = "finish"      // a run that began goes on to its end: the window says when runs begin
	StopRollout EndBehavior = "stopRollout" // no new call; calls in flight end; the run goes on in the next window
	Cancel      EndBehavior = "cancel"      // the run ends; what has not run is canceled
)

// Limits of schedules. docs/schedules.md lists them for users.
const (
	MaxTimes         = 1000 // times, and exclusions
	MaxRemainingRuns = 1_000_000
	MinInterval      = Duration(time.Second)
	MaxInterval      = Duration(maxDuration)
	MaxJitter        = Duration(24 * time.Hour)
	MinCatchup       = Duration(time.Minute) // more than the timer's tick
	MaxCatchup       = Duration(366 * 24 * time.Hour)
	DefaultCatchup   = Duration(24 * time.Hour)
	MinWindow        = Duration(time.Minute)
	MaxWindow        = Duration(7 * 24 * time.Hour)
)

func recurrenceMembers(more ...string) []string {
	return append(more, "cron", "interval", "offset", "times", "timeZone", "timeZonePath", "defaultTimeZone", "startTime", "endTime",
		"exclude")
}

// Decode reads a schedule. The member is named field in faults, such as "schedule". A Spec without faults compiles, and its
// JSON decodes to the same Spec.
func Decode(field string, raw json.RawMessage) (Spec, Faults) {
	o := newObject(field, raw)
	if len(o.faults) > 0 {
		return Spec{}, o.faults
	}
	o.only(recurrenceMembers("remainingRuns", "jitter", "overlapPolicy", "catchupWindow", "pauseOnFailure")...)
	s := Spec{
		Recurrence:     o.recurrence(),
		RemainingRuns:  o.integer("remainingRuns", 1, MaxRemainingRuns),
		Jitter:         o.duration("jitter", 0, 0, MaxJitter),
		CatchupWindow:  o.duration("catchupWindow", DefaultCatchup, MinCatchup, MaxCatchup),
		PauseOnFailure: o.flag("pauseOnFailure"),
	}
	s.OverlapPolicy = Skip
	if s.TimeZone == DeviceZone {
		s.OverlapPolicy = AllowAll
	}
	s.OverlapPolicy = choice(o, "overlapPolicy", s.OverlapPolicy, OverlapPolicies())
	if len(o.faults) > 0 {
		return Spec{}, o.faults
	}
	return s, nil
}

// DecodeWindow reads a maintenance window, as Decode reads a schedule.
func DecodeWindow(field string, raw json.RawMessage) (WindowSpec, Faults) {
	o := newObject(field, raw)
	if len(o.faults) > 0 {
		return WindowSpec{}, o.faults
	}
	o.only(recurrenceMembers("duration", "endBehavior")...)
	w := WindowSpec{
		Recurrence:  o.recurrence(),
		Duration:    o.duration("duration", 0, MinWindow, MaxWindow),
		EndBehavior: choice(o, "endBehavior", StopRollout, EndBehaviors()),
	}
	if !o.has("duration") {
		o.fault("duration", "is required")
	}
	if len(o.faults) > 0 {
		return WindowSpec{}, o.faults
	}
	return w, nil
}

// EndBehaviors lists them.
func EndBehaviors() []EndBehavior { return []EndBehavior{Finish, StopRollout, Cancel} }

// choice reads one of some words, def when absent.
func choice[T ~string](o *object, name string, def T, words []T) T {
	if !o.has(name) {
		return def
	}
	word := T(o.text(name))
	if !slices.Contains(words, word) {
		o.fault(name, fmt.Sprintf("must be one of %q", words))
	}
	return word
}

func (o *object) recurrence() Recurrence {
	r := Recurrence{
		Cron:      strings.Join(strings.Fields(o.text("cron")), " "),
		Interval:  o.duration("interval", 0, MinInterval, MaxInterval),
		Offset:    o.duration("offset", 0, 0, MaxInterval),
		Times:     o.moments("times", false),
		StartTime: o.moment("startTime"),
		EndTime:   o.moment("endTime"),
		Exclude:   o.moments("exclude", true),
	}
	o.kind(r)
	o.zone(&r)
	if len(o.faults) > 0 {
		return r
	}
	loc, err := r.zone()
	if err == nil && !r.StartTime.IsZero() && !r.EndTime.IsZero() && !r.StartTime.in(loc).Before(r.EndTime.in(loc)) {
		o.fault("endTime", "must be after startTime")
	}
	return r
}

// kind holds the rules of cron, interval and times.
func (o *object) kind(r Recurrence) {
	switch kinds := slices.DeleteFunc([]string{"cron", "interval", "times"}, func(k string) bool { return !o.has(k) }); {
	case len(kinds) == 0:
		o.faults.add(o.path, "", "must have one of cron, interval and times")
	case len(kinds) > 1:
		o.faultAt(kinds[1], "", nil, "must not stand beside "+kinds[0]+": give one of cron, interval and times")
	}
	if o.has("cron") && !o.faulty["cron"] {
		if _, err := ParseCron(r.Cron); err != nil {
			o.fault("cron", err.Error())
		}
	}
	switch {
	case o.has("offset") && !o.has("interval"):
		o.fault("offset", "goes with interval only")
	case o.has("interval") && r.Interval > 0 && r.Offset >= r.Interval:
		o.fault("offset", "must be shorter than interval")
	}
}

const maxTwinPath = 256

var twinPath = regexp.MustCompile(`^(tags|properties\.(desired|reported))(\.[^.$\s\x00-\x1f]+)+$`)

// zone holds the rules of timeZone and of what goes with it.
func (o *object) zone(r *Recurrence) {
	r.TimeZone = "UTC"
	if o.has("timeZone") {
		r.TimeZone = o.text("timeZone")
	}
	if r.TimeZone != DeviceZone {
		if _, err := LoadZone(r.TimeZone); err != nil {
			o.fault("timeZone", err.Error()+`, or "device"`)
		}
		for _, name := range []string{"timeZonePath", "defaultTimeZone"} {
			if o.has(name) {
				o.fault(name, `goes with timeZone "device" only`)
			}
		}
		return
	}
	r.TimeZonePath = DefaultZonePath
	if o.has("timeZonePath") {
		r.TimeZonePath = o.text("timeZonePath")
	}
	if len(r.TimeZonePath) > maxTwinPath || !twinPath.MatchString(r.TimeZonePath) {
		o.fault("timeZonePath", `must be a path below tags, properties.desired or properties.reported, such as "tags.timeZone"`)
	}
	if r.DefaultTimeZone = o.text("defaultTimeZone"); o.has("defaultTimeZone") {
		if _, err := LoadZone(r.DefaultTimeZone); err != nil {
			o.fault("defaultTimeZone", err.Error())
		}
	}
	o.noInstants(r)
}

// noInstants refuses what is the same instant everywhere where each device runs at its own time.
func (o *object) noInstants(r *Recurrence) {
	const rule = `must be without a zone where timeZone is "device"`
	if o.has("interval") {
		o.fault("interval", `has the same instants everywhere; it does not go with timeZone "device"`)
	}
	for name, m := range map[string]Moment{"startTime": r.StartTime, "endTime": r.EndTime} {
		if !m.Instant.IsZero() {
			o.fault(name, rule)
		}
	}
	for name, list := range map[string][]Moment{"times": r.Times, "exclude": r.Exclude} {
		if slices.ContainsFunc(list, func(m Moment) bool { return !m.Instant.IsZero() }) {
			o.faultAt(name, "", nil, rule)
		}
	}
}
