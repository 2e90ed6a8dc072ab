package schedule

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"time"
)

// Moment is a time as a schedule names it: an instant (RFC 3339 with its zone), a wall time in the schedule's zone
// ("2026-12-01T02:00:00"), or a whole day there ("2026-12-01"). The zero value is none.
type Moment struct {
	Instant time.Time // zero for a wall time or a day
	Local   Civil     // of a day: its first second
	Day     bool
}

var (
	instantForm = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.0+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)
	errMoment   = errors.New(`must be an RFC 3339 time such as "2026-12-01T02:00:00Z", or a wall time such as "2026-12-01T02:00"; ` +
		"whole seconds, years 2000 to 9998")
)

// ParseMoment reads one of the three forms, in whole seconds, of the years 2000 to 9998.
func ParseMoment(text string) (Moment, error) {
	m, err := parseMoment(strings.ToUpper(text))
	if err != nil {
		return Moment{}, errMoment
	}
	at := m.Instant
	if at.IsZero() {
		at = m.Local.utc()
	}
	if at.Year() < 2000 || at.Year() >= lastYear {
		return Moment{}, errMoment
	}
	return m, nil
}

func parseMoment(text string) (Moment, error) {
	switch {
	case instantForm.MatchString(text):
		t, err := time.Parse(time.RFC3339, text)
		return Moment{Instant: t.UTC()}, err
	case len(text) == len(time.DateOnly):
		t, err := time.Parse(time.DateOnly, text)
		return Moment{Local: Civil(t.Unix()), Day: true}, err
	case len(text) == len("2026-12-01T02:00"):
		text += ":00"
	}
	if len(text) != len(localForm) {
		return Moment{}, errMoment
	}
	t, err := time.Parse(localForm, text)
	return Moment{Local: Civil(t.Unix())}, err
}

// IsZero reports whether there is none.
func (m Moment) IsZero() bool { return m == Moment{} }

// MarshalJSON writes the form that was read, instants in UTC.
func (m Moment) MarshalJSON() ([]byte, error) {
	switch {
	case !m.Instant.IsZero():
		return json.Marshal(m.Instant.UTC().Format(time.RFC3339))
	case m.Day:
		return json.Marshal(m.Local.utc().Format(time.DateOnly))
	}
	return json.Marshal(m.Local.String())
}

// UnmarshalJSON reads what ParseMoment takes.
func (m *Moment) UnmarshalJSON(raw []byte) error {
	var text string
	err := json.Unmarshal(raw, &text)
	if err == nil {
		*m, err = ParseMoment(text)
	}
	return err
}

// in gives the instant in a zone, for a day its start.
func (m Moment) in(loc *time.Location) time.Time {
	if !m.Instant.IsZero() {
		return m.Instant
	}
	return m.Local.In(loc)
}
