package job

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/template"
	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

// FromTemplate says of which template a job is, and with which values.
type FromTemplate struct {
	TemplateID string `json:"templateId"`
	Version    int    `json:"version"`
	// UpdatedTime is when that version was stored.
	UpdatedTime time.Time `json:"updatedTime"`
	// Parameters are the values, also those that were defaults.
	Parameters map[string]json.RawMessage `json:"parameters,omitempty"`
	// Request tells one request from another, whatever became of the template meanwhile.
	Request string `json:"request,omitempty"`
}

// Shown is f without what only the service needs.
func (f *FromTemplate) Shown() *FromTemplate {
	if f == nil {
		return nil
	}
	c := *f
	c.Request = ""
	return &c
}

// TemplateOf gives the id of the template that a request to create a job names, "" if it names none.
func TemplateOf(body []byte) (string, error) {
	var members struct {
		Template json.RawMessage `json:"template"`
	}
	if err := json.Unmarshal(body, &members); err != nil || members.Template == nil || isNull(members.Template) {
		return "", nil // Decode tells what is wrong
	}
	var id string
	if err := json.Unmarshal(members.Template, &id); err != nil || !jobID(id) {
		return "", Faults{{Field: "template", Value: shown(string(members.Template)), Rule: "must be the id of a template: " + jobIDRule}}
	}
	return id, nil
}

// Instantiate makes the definition that a request asks of the template at now: its job with the values of the request's parameters,
// and with the other members of the request in place of the template's. The error, if any, is Faults.
func (t *Template) Instantiate(body []byte, now time.Time) (Definition, error) {
	if err := checkText(body); err != nil {
		return Definition{}, err
	}
	var faults Faults
	o := newObject("body", body, &faults)
	if o == nil {
		return Definition{}, faults
	}
	values := t.given(o)
	if len(faults) > 0 {
		return Definition{}, faults
	}
	filled, faults := t.fill(values, o.members)
	if len(faults) > 0 {
		return Definition{}, faults
	}
	delete(o.members, "template")
	given := o.members["parameters"]
	delete(o.members, "parameters")
	text, err := override(filled, o.members)
	if err != nil {
		return Definition{}, err
	}
	def, err := Decode(text, now)
	if err != nil {
		return def, err
	}
	def.FromTemplate = &FromTemplate{TemplateID: t.ID, Version: t.Version, UpdatedTime: t.UpdatedAt.Truncate(time.Millisecond), Parameters: values}
	delete(o.members, "jobId")
	def.FromTemplate.Request, err = digest(t.ID, given, o.members)
	return def, err
}

// digest is a hash of JSON values.
func digest(values ...any) (string, error) {
	text, err := json.Marshal(values)
	if err != nil {
		return "", fmt.Errorf("hashing a request: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16]), nil
}

// given reads the values of the template's parameters.
func (t *Template) given(o *object) map[string]json.RawMessage {
	values := map[string]json.RawMessage{}
	p := &object{path: "parameters", members: map[string]json.RawMessage{}, faulty: map[string]bool{}, faults: o.faults}
	if o.has("parameters") {
		if p = o.nested("parameters"); p == nil {
			return nil
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.members)) {
		if !slices.ContainsFunc(t.Parameters, func(d Parameter) bool { return d.Name == name }) {
			p.fault(name, p.members[name], t.unknownParameter(name))
		}
	}
	size := 0
	for _, d := range t.Parameters {
		switch v := p.members[d.Name]; {
		case p.has(d.Name):
			if rule := d.accepts(v); rule != "" {
				p.fault(d.Name, v, rule)
			}
			values[d.Name] = compact(v)
		case d.Default != nil:
			values[d.Name] = d.Default
		case d.Required:
			p.fault(d.Name, nil, "is required by the template")
		}
		size += len(values[d.Name])
	}
	if size > MaxParameterValue {
		o.fault("parameters", nil, fmt.Sprintf("have %d bytes of JSON; at most %d are taken", size, MaxParameterValue))
	}
	return values
}

// rivals are the members that take each other's place.
func rivals(member string) []string {
	for _, group := range [][]string{{"queryCondition", "deviceIds"}, {"startTime", "schedule"}, {"cloudToDeviceMethod", "updateTwin", "steps"}} {
		if slices.Contains(group, member) {
			return group
		}
	}
	return nil
}

// override puts members into an object in place of its own; null takes one away.
func override(base json.RawMessage, members map[string]json.RawMessage) (json.RawMessage, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(base, &all); err != nil {
		return nil, fmt.Errorf("reading the definition of a job: %w", err)
	}
	for name := range members {
		for _, rival := range rivals(name) {
			delete(all, rival)
		}
		delete(all, name)
	}
	for name, v := range members {
		if !isNull(v) {
			all[name] = v
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(all); err != nil {
		return nil, fmt.Errorf("writing the definition of a job: %w", err)
	}
	return b.Bytes(), nil
}

// filling puts values into one string of a template.
type filling struct {
	t      *Template
	values map[string]json.RawMessage
	body   bool // the string goes to devices, and placeholders for their twins stay
}

// value gives what a placeholder stands for; keep says that it stays as it is.
func (f *filling) value(p *template.Placeholder) (v json.RawMessage, keep bool, rule string) {
	switch {
	case p.Path[0] != "parameters" && f.body:
		return nil, true, ""
	case p.Path[0] != "parameters":
		return nil, false, "only payloads, tags and desired properties hold placeholders for a device's twin; those of the template begin with parameters."
	case len(p.Path) != 2 || !slices.ContainsFunc(f.t.Parameters, func(d Parameter) bool { return d.Name == p.Path[1] }):
		return nil, false, p.Name() + ": " + f.t.unknownParameter(p.Path[len(p.Path)-1])
	case f.values[p.Path[1]] != nil:
		return f.values[p.Path[1]], false, ""
	case p.Default != nil:
		return p.Default, false, ""
	}
	return nil, false, p.Name() + " has no value, and the placeholder no default"
}

// text fills a string. In what goes to devices a value can not become a placeholder: its braces are written as literals.
func (f *filling) text(text template.Text) (json.RawMessage, string) {
	var parts []template.Part
	for _, part := range text {
		if part.Placeholder == nil {
			parts = append(parts, part)
			continue
		}
		v, keep, rule := f.value(part.Placeholder)
		switch {
		case rule != "":
			return nil, rule
		case keep:
			parts = append(parts, part)
		case text.Alone() != nil && f.body:
			return template.Escape(v), ""
		case text.Alone() != nil:
			return v, ""
		default:
			parts = append(parts, template.Part{Literal: plain(v)})
		}
	}
	joined := template.Join(parts...)
	if f.body {
		return template.Quote(joined.String()), ""
	}
	if len(joined) == 0 {
		return template.Quote(""), ""
	}
	return template.Quote(joined[0].Literal), "" // nothing else is left of it
}

// plain gives a value as text.
func plain(v json.RawMessage) string {
	var s string
	if json.Unmarshal(v, &s) == nil {
		return s
	}
	return string(v)
}

// condition fills a condition: values stand in it as literals of the query language, wherever the template has a place for one.
func (f *filling) condition(text template.Text) (json.RawMessage, string) {
	if text.Alone() != nil {
		return nil, "a parameter can be a value in a condition, not the condition itself: give queryCondition when you create the job"
	}
	var b strings.Builder
	inside := byte(0)
	for i, part := range text {
		if part.Placeholder == nil {
			inside = quoteAfter(part.Literal, inside)
			b.WriteString(part.Literal)
			continue
		}
		if inside != 0 {
			return nil, part.Placeholder.String() + " stands in quotes or brackets of the condition: leave them out, a text brings its own quotes"
		}
		v, _, rule := f.value(part.Placeholder)
		if rule != "" {
			return nil, rule
		}
		if !endsIn(b.String(), " (,[") {
			b.WriteByte(' ')
		}
		b.WriteString(literal(v))
		if i+1 < len(text) && !beginsWith(text[i+1].Literal, " ),]") {
			b.WriteByte(' ')
		}
	}
	return template.Quote(b.String()), ""
}

// endsIn and beginsWith report whether a text has one of the characters at its end, or nothing there.
func endsIn(text, chars string) bool {
	return text == "" || strings.ContainsRune(chars, rune(text[len(text)-1]))
}

func beginsWith(text, chars string) bool {
	return text == "" || strings.ContainsRune(chars, rune(text[0]))
}

// quoteAfter gives the quote that is open behind a piece of a condition, '[' for the brackets of a name, 0 for none.
func quoteAfter(piece string, open byte) byte {
	for i := 0; i < len(piece); i++ {
		switch c := piece[i]; {
		case open == '[':
			if strings.HasPrefix(piece[i:], "]]") {
				open = 0
				i++
			}
		case open != 0 && c == '\\':
			i++
		case open != 0:
			if c == open {
				open = 0
			}
		case c == '\'' || c == '"':
			open = c
		case strings.HasPrefix(piece[i:], "[["):
			open = '['
			i++
		}
	}
	return open
}

// literal gives a JSON value in the query language.
func literal(v json.RawMessage) string {
	var value any
	d := json.NewDecoder(bytes.NewReader(v))
	d.UseNumber()
	if err := d.Decode(&value); err != nil {
		return "undefined" // cannot be: the value is JSON
	}
	switch value := value.(type) {
	case string:
		return twinquery.Quote(value)
	case json.Number:
		if n, err := value.Float64(); err == nil && strings.ContainsAny(value.String(), "eE") {
			return strconv.FormatFloat(n, 'f', -1, 64)
		}
		return value.String()
	case []any:
		var elements []json.RawMessage
		if err := json.Unmarshal(v, &elements); err != nil {
			return "[]" // cannot be: the value is an array
		}
		items := make([]string, len(elements))
		for i := range elements {
			items[i] = literal(elements[i])
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	return string(v) // true, false, null
}
