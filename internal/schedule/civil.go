package schedule

import "time"

// Civil is what a wall clock shows, without a zone: seconds since 1970-01-01T00:00:00 on that clock.
type Civil int64

const day = 24 * 60 * 60

// farthest is more than the distance of any zone's clock from UTC, at any time: Manila and Alaska had more than 15 hours
// until the 19th century (https://www.iana.org/time-zones).
const farthest = 16 * 60 * 60

// CivilOf gives what a clock in loc shows at t.
func CivilOf(t time.Time, loc *time.Location) Civil {
	_, offset := t.In(loc).Zone()
	return Civil(t.Unix() + int64(offset))
}

// String gives the form of ISO 8601 without a zone: 2026-12-01T02:00:00.
func (c Civil) String() string { return c.utc().Format(localForm) }

// MarshalText writes the form of String.
func (c Civil) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the form of String.
func (c *Civil) UnmarshalText(text []byte) error {
	t, err := time.Parse(localForm, string(text))
	*c = Civil(t.Unix())
	return err
}

const localForm = "2006-01-02T15:04:05"

func (c Civil) utc() time.Time { return time.Unix(int64(c), 0).UTC() }

// dayNumber counts days from 1970-01-01.
func (c Civil) dayNumber() int64 {
	n := int64(c) / day
	if int64(c)%day < 0 {
		n--
	}
	return n
}

// In gives the instant of a wall time in a zone: the first at which the zone's clock shows c or later.
func (c Civil) In(loc *time.Location) time.Time {
	t := time.Unix(int64(c)-farthest, 0).In(loc) // no clock shows c yet
	for {
		_, offset := t.Zone()
		end := offsetEnd(t)
		at := time.Unix(int64(c)-int64(offset), 0)
		if at.Before(t) { // the clock jumped over c
			at = t
		}
		if end.IsZero() || at.Before(end) {
			return at.UTC()
		}
		t = end.In(loc)
	}
}

// offsetEnd gives an instant up to which the offset of t holds, zero for ever. Go 1.26 ends every year after its 365th day where a
// rule of the zone extends its table: on the last day of a leap year ZoneBounds ends before t.
func offsetEnd(t time.Time) time.Time {
	_, end := t.ZoneBounds()
	if end.IsZero() || end.After(t) {
		return end
	}
	return t.Truncate(day * time.Second).Add(day * time.Second)
}

// reached is the latest wall time that a clock in loc has shown up to t: in the second pass of a repeated hour, its end.
func reached(t time.Time, loc *time.Location) Civil {
	latest := CivilOf(t, loc)
	for from := t.In(loc); ; {
		start, _ := from.ZoneBounds()
		if start.IsZero() || t.Sub(start) > 2*farthest*time.Second {
			return latest
		}
		from = start.Add(-time.Second)
		latest = max(latest, CivilOf(from, loc))
	}
}
