package job

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fleetjobs/fleetjobs/internal/nearest"
)

// object reads the members of one JSON object and collects what is wrong with them, so that a user sees every fault of a
// body at once: the first of each member.
type object struct {
	path    string
	members map[string]json.RawMessage
	faulty  map[string]bool
	faults  *Faults
}

// newObject splits raw. What is not an object is a fault of path.
func newObject(path string, raw json.RawMessage, faults *Faults) *object {
	o := &object{path: path, members: map[string]json.RawMessage{}, faulty: map[string]bool{}, faults: faults}
	if err := o.split(raw); err != nil {
		o.fault("", raw, err.Error())
		return nil
	}
	return o
}

func (o *object) split(raw json.RawMessage) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("must be a JSON object")
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return syntax(err, d)
		}
		name, _ := t.(string)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return syntax(err, d)
		}
		if _, twice := o.members[name]; twice {
			o.faults.add(o.field(name), string(value), "stands twice in the object")
		}
		o.members[name] = value
	}
	if _, err := d.Token(); err != nil {
		return syntax(err, d)
	}
	end := d.InputOffset()
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("must be one JSON object; more follows after byte %d", end)
	}
	return nil
}

func syntax(err error, d *json.Decoder) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the text ends too early")
	}
	return fmt.Errorf("must be JSON: %w, after byte %d", err, d.InputOffset())
}

// compact takes the white space out of valid JSON.
func compact(raw json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return raw // cannot be: the text is valid
	}
	return b.Bytes()
}

func (o *object) field(name string) string {
	switch {
	case name == "":
		return o.path
	case o.path == "" || o.path == "body":
		return shown(name)
	}
	return o.path + "." + shown(name)
}

func (o *object) fault(name string, raw json.RawMessage, rule string) {
	if o.faulty[name] {
		return
	}
	o.faulty[name] = true
	o.faults.add(o.field(name), string(raw), rule)
}

// has reports whether a member is there and not null.
func (o *object) has(name string) bool {
	raw, ok := o.members[name]
	return ok && !isNull(raw)
}

func isNull(raw json.RawMessage) bool { return string(raw) == "null" }

// only refuses members that are not known, with the nearest name that is.
func (o *object) only(known ...string) {
	for _, name := range slices.Sorted(maps.Keys(o.members)) {
		raw := o.members[name]
		if slices.Contains(known, name) {
			continue
		}
		rule := "is not a known member"
		if near := nearest.Name(name, known); near != "" {
			rule += fmt.Sprintf("; did you mean %q?", near)
		}
		o.fault(name, raw, rule)
	}
}

// text reads a string member, "" when absent.
func (o *object) text(name string) string {
	if !o.has(name) {
		return ""
	}
	var s string
	if err := json.Unmarshal(o.members[name], &s); err != nil {
		o.fault(name, o.members[name], "must be a string")
	}
	return s
}

// integer reads a whole number within limits, def when absent.
func (o *object) integer(name string, def, least, most int64) int64 {
	if !o.has(name) {
		return def
	}
	n, err := strconv.ParseInt(string(o.members[name]), 10, 64)
	if err != nil || n < least || n > most {
		o.fault(name, o.members[name], fmt.Sprintf("must be a whole number from %d to %d", least, most))
		return def
	}
	return n
}

// rfc3339 is the form alone: time.Parse also takes an hour of one digit, a comma before the fraction, and any zone to +24:60.
var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// instant reads an RFC 3339 time, zero when absent.
func (o *object) instant(name string) time.Time {
	if !o.has(name) {
		return time.Time{}
	}
	text := strings.ToUpper(o.text(name))
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || !rfc3339.MatchString(text) || t.UTC().Year() < 1 {
		o.fault(name, o.members[name], `must be an RFC 3339 time with its zone, such as "2026-12-01T02:00:00Z"`)
		return time.Time{}
	}
	return t.UTC()
}

// nested reads an object member, nil when absent or wrong.
func (o *object) nested(name string) *object {
	if !o.has(name) {
		return nil
	}
	return newObject(o.field(name), o.members[name], o.faults)
}

// checkText refuses bodies that are not UTF-8 before they are parsed: the JSON decoder would replace what is broken.
func checkText(body []byte) error {
	if !utf8.Valid(body) {
		return Faults{{Field: "body", Rule: "must be UTF-8"}}
	}
	return nil
}
