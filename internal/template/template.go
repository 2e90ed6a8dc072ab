package template

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Fault is a placeholder, or a key that looks like one, that is wrong.
type Fault struct {
	Path string // in the JSON value, such as payload.door[0]
	Text string // the string that holds it
	Rule string
}

// Lookup gives the JSON value that a path stands for; ok is false if there is none.
type Lookup func(path []string) (v json.RawMessage, ok bool)

// MissingError says which placeholders have neither a value nor a default.
type MissingError struct{ Names []string }

func (e *MissingError) Error() string {
	return "there is no value for " + strings.Join(e.Names, ", ")
}

// Template is a JSON value with placeholders. It is safe for concurrent use.
type Template struct{ pieces []piece }

// piece is JSON as it stands, and the value that follows it.
type piece struct {
	raw    string
	value  *Placeholder // nil at the end
	within bool         // a longer string
}

// Holds reports whether a string of raw, which is valid JSON, may hold a placeholder.
func Holds(raw json.RawMessage) bool {
	return bytes.Contains(raw, []byte(opening)) || bytes.Contains(raw, []byte(`\u007b`)) || bytes.Contains(raw, []byte(`\u007B`))
}

// Parse reads raw, which is valid JSON. name begins the paths of faults.
func Parse(name string, raw json.RawMessage) (*Template, []Fault) {
	t := &Template{}
	var faults []Fault
	before := 0
	scan(raw, func(s found) {
		text, rule := s.text(raw)
		if rule == "" && len(text) > 0 {
			rule = t.add(string(raw[before:s.from]), text)
			before = s.to
		}
		if rule != "" {
			faults = append(faults, Fault{Path: name + s.path(), Text: s.unquoted(raw), Rule: rule})
		}
	})
	t.pieces = append(t.pieces, piece{raw: string(raw[before:])})
	return t, faults
}

// add appends a string and what stands before it.
func (t *Template) add(before string, text Text) (rule string) {
	if p := text.Alone(); p != nil {
		t.pieces = append(t.pieces, piece{raw: before, value: p})
		return ""
	}
	before += `"`
	for _, part := range text {
		if part.Placeholder == nil {
			inner := quote(part.Literal)
			before += string(inner[1 : len(inner)-1])
			continue
		}
		if string(part.Placeholder.Default) == "null" {
			rule = fmt.Sprintf("at %d: the default of a placeholder within a text can not be null", part.Placeholder.Offset)
		}
		t.pieces = append(t.pieces, piece{raw: before, value: part.Placeholder, within: true})
		before = ""
	}
	t.pieces = append(t.pieces, piece{raw: before + `"`})
	return rule
}

// Placeholders lists the placeholders in their order.
func (t *Template) Placeholders() []*Placeholder {
	var all []*Placeholder
	for _, p := range t.pieces {
		if p.value != nil {
			all = append(all, p.value)
		}
	}
	return all
}

// Render gives the value with what look says. A string that is one placeholder takes the value as it is; within longer text a
// string stands without quotes, anything else as its JSON. The error is a *MissingError.
func (t *Template) Render(look Lookup) (json.RawMessage, error) {
	var out []byte
	var missing []string
	for _, p := range t.pieces {
		out = append(out, p.raw...)
		if p.value == nil {
			continue
		}
		v, ok := look(p.value.Path)
		if !ok {
			if v = p.value.Default; v == nil {
				if name := p.value.Name(); !slices.Contains(missing, name) {
					missing = append(missing, name)
				}
				continue
			}
		}
		out = p.append(out, v)
	}
	if len(missing) > 0 {
		return nil, &MissingError{Names: missing}
	}
	return out, nil
}

func (p piece) append(out []byte, v json.RawMessage) []byte {
	switch {
	case !p.within:
		return append(out, v...)
	case v[0] == '"':
		return append(out, v[1:len(v)-1]...)
	case v[0] == '{' || v[0] == '[':
		v = quote(string(v))
		return append(out, v[1:len(v)-1]...)
	}
	return append(out, v...)
}

// Map gives raw, which is valid JSON, with other values for the strings that hold placeholders or escapes: what f makes of each.
// f names the rule that a string breaks, "" for none. name begins the paths.
func Map(name string, raw json.RawMessage, f func(path string, t Text) (v json.RawMessage, rule string)) (json.RawMessage, []Fault) {
	var out []byte
	var faults []Fault
	before := 0
	scan(raw, func(s found) {
		text, rule := s.text(raw)
		if rule == "" && len(text) > 0 {
			var v json.RawMessage
			v, rule = f(name+s.path(), text)
			out = append(append(out, raw[before:s.from]...), v...)
			before = s.to
		}
		if rule != "" {
			faults = append(faults, Fault{Path: name + s.path(), Text: s.unquoted(raw), Rule: rule})
		}
	})
	return append(out, raw[before:]...), faults
}

// Quote gives text as a JSON string.
func Quote(text string) json.RawMessage { return quote(text) }

func quote(text string) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // a payload of '<' would grow sixfold
	if err := enc.Encode(text); err != nil {
		return json.RawMessage(strconv.Quote(text)) // cannot be: it is a string
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// Escape gives raw, which is valid JSON, with every {{ in its string values written as a literal.
func Escape(raw json.RawMessage) json.RawMessage {
	var out []byte
	before := 0
	scan(raw, func(s found) {
		if text := s.unquoted(raw); !s.key && strings.Contains(text, opening) {
			out = append(append(out, raw[before:s.from]...), quote(Text{{Literal: text}}.String())...)
			before = s.to
		}
	})
	return append(out, raw[before:]...)
}
