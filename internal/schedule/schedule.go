package schedule

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"
)

// Occurrence is one time of a schedule.
type Occurrence struct {
	At    time.Time `json:"at"`    // the instant, in UTC; with DeviceZone the earliest anywhere
	Local Civil     `json:"local"` // the wall time that was asked for; the zone's clock shows a later one where it skips this
}

// Schedule is a compiled recurrence in one zone, safe for concurrent use. One with DeviceZone that is not bound to a zone by In
// plans for the whole fleet: its occurrences are at the instant at which the first zone on earth reaches their wall time.
type Schedule struct {
	rec   Recurrence
	cron  *Cron
	loc   *time.Location
	fleet bool // DeviceZone, not bound to a zone
	times []Occurrence
	from  time.Time // no occurrence before; zero is no bound
	until time.Time // none from here on; zero is no bound

	noInstant map[int64]bool // Unix seconds
	noLocal   map[Civil]bool
	noDay     map[int64]bool // see Civil.dayNumber
}

// Compile makes the recurrence ready. It fails only for one that Decode refuses.
func (r Recurrence) Compile() (*Schedule, error) {
	s := &Schedule{rec: r, fleet: r.TimeZone == DeviceZone}
	var err error
	if r.Cron != "" {
		if s.cron, err = ParseCron(r.Cron); err != nil {
			return nil, fmt.Errorf("compiling cron %q: %w", r.Cron, err)
		}
	} else if r.Interval < MinInterval && len(r.Times) == 0 {
		return nil, errors.New("compiling a schedule without cron, interval and times")
	}
	loc, err := r.zone()
	if err != nil {
		return nil, fmt.Errorf("loading time zone %q: %w", r.TimeZone, err)
	}
	s.bind(loc)
	return s, nil
}

// zone gives the zone that the recurrence plans in.
func (r Recurrence) zone() (*time.Location, error) {
	switch r.TimeZone {
	case DeviceZone:
		return time.FixedZone("earliest", int(mostAhead/time.Second)), nil
	case "":
		return time.UTC, nil
	}
	return LoadZone(r.TimeZone)
}

// bind resolves everything that depends on the zone.
func (s *Schedule) bind(loc *time.Location) {
	s.loc = loc
	if !s.rec.StartTime.IsZero() {
		s.from = s.rec.StartTime.in(loc)
	}
	if !s.rec.EndTime.IsZero() {
		s.until = s.rec.EndTime.in(loc)
	}
	s.noInstant, s.noLocal, s.noDay = map[int64]bool{}, map[Civil]bool{}, map[int64]bool{}
	for _, m := range s.rec.Exclude {
		switch {
		case m.Day:
			s.noDay[m.Local.dayNumber()] = true
		case m.Instant.IsZero():
			s.noLocal[m.Local] = true
		default:
			s.noInstant[m.Instant.Unix()] = true
		}
	}
	s.times = nil
	for _, m := range s.rec.Times {
		o := Occurrence{At: m.in(loc), Local: m.Local}
		if !m.Instant.IsZero() {
			o.Local = CivilOf(m.Instant, loc)
		}
		if !s.excluded(o) {
			s.times = append(s.times, o)
		}
	}
	slices.SortFunc(s.times, func(a, b Occurrence) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Local, b.Local))
	})
}

func (s *Schedule) excluded(o Occurrence) bool {
	return s.noInstant[o.At.Unix()] || s.noLocal[o.Local] || s.noDay[o.Local.dayNumber()]
}

// In gives the schedule as a device in loc has it. Without DeviceZone that is the schedule itself.
func (s *Schedule) In(loc *time.Location) *Schedule {
	if s.rec.TimeZone != DeviceZone {
		return s
	}
	bound := &Schedule{rec: s.rec, cron: s.cron}
	bound.bind(loc)
	return bound
}

// DeviceLocal reports whether each device runs at its own local time.
func (s *Schedule) DeviceLocal() bool { return s.rec.TimeZone == DeviceZone }

// InstantIn gives the instant of an occurrence for a device in loc.
func (s *Schedule) InstantIn(o Occurrence, loc *time.Location) time.Time {
	if s.rec.TimeZone != DeviceZone {
		return o.At
	}
	return o.Local.In(loc)
}

// Latest gives the instant at which the last zone on earth has reached an occurrence: its only one without DeviceZone.
func (s *Schedule) Latest(o Occurrence) time.Time {
	if !s.fleet {
		return o.At
	}
	return time.Unix(int64(o.Local), 0).UTC().Add(mostBehind)
}

// Due is when some zones reach an occurrence.
type Due struct {
	At    time.Time
	Zones []*time.Location
}

// Instants gives when each of the zones reaches an occurrence, earliest first, zones of one instant together.
func (s *Schedule) Instants(o Occurrence, zones []*time.Location) []Due {
	var due []Due
	for _, loc := range zones {
		at := s.InstantIn(o, loc)
		i := sort.Search(len(due), func(i int) bool { return !due[i].At.Before(at) })
		if i == len(due) || !due[i].At.Equal(at) {
			due = slices.Insert(due, i, Due{At: at})
		}
		due[i].Zones = append(due[i].Zones, loc)
	}
	return due
}

// Next gives the first occurrence after an instant, false when there is none.
func (s *Schedule) Next(after time.Time) (Occurrence, bool) {
	if after.Before(s.from) {
		after = s.from.Add(-1)
	}
	for o, ok := s.first(after); ok; o, ok = s.following(o) {
		if !s.until.IsZero() && !o.At.Before(s.until) || o.At.Year() > lastYear {
			return Occurrence{}, false
		}
		if !s.excluded(o) {
			return o, true
		}
	}
	return Occurrence{}, false
}

// first gives the first occurrence after an instant, excluded or not.
func (s *Schedule) first(after time.Time) (Occurrence, bool) {
	switch {
	case s.cron != nil:
		return s.wall(reached(after, s.loc))
	case s.rec.Interval > 0:
		every, offset := s.rec.Interval.seconds(), s.rec.Offset.seconds()
		at := after.Unix() - offset
		at -= (at%every + every) % every
		t := time.Unix(at+every+offset, 0).UTC()
		return Occurrence{At: t, Local: CivilOf(t, s.loc)}, true
	}
	i := sort.Search(len(s.times), func(i int) bool { return s.times[i].At.After(after) })
	if i == len(s.times) {
		return Occurrence{}, false
	}
	return s.times[i], true
}

func (s *Schedule) wall(after Civil) (Occurrence, bool) {
	c, ok := s.cron.next(after)
	if !ok {
		return Occurrence{}, false
	}
	return Occurrence{At: c.In(s.loc), Local: c}, true
}

// following gives the occurrence after an excluded one; an excluded day is passed in one step.
func (s *Schedule) following(o Occurrence) (Occurrence, bool) {
	wholeDay := s.noDay[o.Local.dayNumber()]
	tomorrow := Civil((o.Local.dayNumber() + 1) * day)
	switch {
	case s.cron != nil && wholeDay:
		return s.wall(tomorrow - 1)
	case s.cron != nil:
		return s.wall(o.Local)
	case wholeDay && s.rec.Interval > 0:
		if end := tomorrow.In(s.loc).Add(-1); end.After(o.At) {
			return s.first(end)
		}
	}
	return s.first(o.At)
}

// NextN gives the next occurrences after an instant, at most n.
func (s *Schedule) NextN(after time.Time, n int) []Occurrence {
	var list []Occurrence
	for o, ok := s.Next(after); ok && len(list) < n; o, ok = s.Next(o.At) {
		list = append(list, o)
	}
	return list
}

// Between gives the occurrences from an instant up to, and without, another: at most the given number, and whether there are
// more.
func (s *Schedule) Between(from, to time.Time, most int) (list []Occurrence, more bool) {
	for o, ok := s.Next(from.Add(-1)); ok && o.At.Before(to); o, ok = s.Next(o.At) {
		if len(list) == most {
			return list, true
		}
		list = append(list, o)
	}
	return list, false
}
