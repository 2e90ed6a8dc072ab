package schedule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/fleetjobs/fleetjobs/internal/nearest"
)

// object reads the members of one JSON object and collects what is wrong with them. A member that is null is absent.
type object struct {
	path    string
	members map[string]json.RawMessage
	faults  Faults
	faulty  map[string]bool
}

// newObject splits raw; what is not an object is a fault of path.
func newObject(path string, raw json.RawMessage) *object {
	o := &object{path: path, members: map[string]json.RawMessage{}, faulty: map[string]bool{}}
	if err := o.split(raw); err != nil {
		o.faults.add(path, string(raw), err.Error())
	}
	return o
}

func (o *object) split(raw json.RawMessage) error {
	if !utf8.Valid(raw) {
		return errors.New("must be UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New("must be a JSON object")
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return fmt.Errorf("must be JSON: %w", err)
		}
		name, _ := t.(string)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return fmt.Errorf("must be JSON: %w", err)
		}
		if _, twice := o.members[name]; twice {
			o.fault(name, "stands twice in the object")
		}
		o.members[name] = value
	}
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("must be JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("must be one JSON object")
	}
	for name, value := range o.members {
		if string(value) == "null" {
			delete(o.members, name)
		}
	}
	return nil
}

func (o *object) has(name string) bool { return o.members[name] != nil }

// fault tells the first thing that is wrong with a member.
func (o *object) fault(name, rule string) { o.faultAt(name, "", o.members[name], rule) }

func (o *object) faultAt(name, suffix string, value json.RawMessage, rule string) {
	if !o.faulty[name+suffix] {
		o.faulty[name+suffix] = true
		o.faults.add(o.path+"."+shown(name)+suffix, string(value), rule)
	}
}

// only refuses members that are not known, with the nearest name that is.
func (o *object) only(known ...string) {
	for _, name := range slices.Sorted(maps.Keys(o.members)) {
		if slices.Contains(known, name) {
			continue
		}
		rule := "is not a known member"
		if near := nearest.Name(name, known); near != "" {
			rule += fmt.Sprintf("; did you mean %q?", near)
		}
		o.fault(name, rule)
	}
}

// read decodes a member into to; rule is what a wrong one breaks, "" to tell the decoder's own error.
func (o *object) read(name string, to any, rule string) bool {
	if !o.has(name) {
		return false
	}
	if err := json.Unmarshal(o.members[name], to); err != nil {
		if rule == "" {
			rule = err.Error()
		}
		o.fault(name, rule)
		return false
	}
	return true
}

func (o *object) text(name string) (s string) {
	o.read(name, &s, "must be a string")
	return s
}

func (o *object) flag(name string) (b bool) {
	o.read(name, &b, "must be true or false")
	return b
}

// integer reads a whole number within limits, 0 when absent.
func (o *object) integer(name string, least, most int) int {
	if !o.has(name) {
		return 0
	}
	n, err := strconv.Atoi(string(o.members[name]))
	if err != nil || n < least || n > most {
		o.fault(name, fmt.Sprintf("must be a whole number from %d to %d", least, most))
		return 0
	}
	return n
}

// duration reads a length within limits, def when absent.
func (o *object) duration(name string, def, least, most Duration) Duration {
	if !o.has(name) {
		return def
	}
	d, err := ParseDuration(o.text(name))
	switch {
	case err != nil:
		o.fault(name, err.Error())
	case d < least || d > most:
		o.fault(name, fmt.Sprintf("must be from %s to %s", least, most))
	default:
		return d
	}
	return def
}

// moment reads a time, none when absent.
func (o *object) moment(name string) Moment {
	if !o.has(name) {
		return Moment{}
	}
	m, err := ParseMoment(o.text(name))
	if err == nil && m.Day {
		err = errMoment
	}
	if err != nil {
		o.fault(name, err.Error())
		return Moment{}
	}
	return m
}

// moments reads a list of times; days says whether whole days may stand in it.
func (o *object) moments(name string, days bool) []Moment {
	var texts []json.RawMessage
	if !o.read(name, &texts, "must be an array of strings") {
		return nil
	}
	if len(texts) == 0 || len(texts) > MaxTimes {
		o.faultAt(name, "", nil, fmt.Sprintf("has %d times; must have 1 to %d", len(texts), MaxTimes))
		return nil
	}
	list := make([]Moment, 0, len(texts))
	for i, raw := range texts {
		var text string
		err := json.Unmarshal(raw, &text)
		var m Moment
		if err == nil {
			m, err = ParseMoment(text)
		}
		switch {
		case err != nil || m.Day && !days:
			rule := errMoment.Error()
			if days {
				rule += `; or a day such as "2026-12-24"`
			}
			o.faultAt(name, fmt.Sprintf("[%d]", i), raw, rule)
		case slices.Contains(list, m):
			o.faultAt(name, fmt.Sprintf("[%d]", i), raw, "stands twice in the list")
		default:
			list = append(list, m)
		}
	}
	return list
}
