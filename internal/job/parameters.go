package job

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fleetjobs/fleetjobs/internal/template"
	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

// Limits of placeholders. docs/limits.md lists them for users.
const (
	MaxParameters     = 20      // different twin paths of a job
	MaxParameterBytes = 4 << 10 // of a device's values together, as JSON
	maxProjection     = 4000    // characters of the paths in the query, so that there is room for ids
)

// placeholders says whether strings of the operation's body are templates of what each device gets, and checks them. A body without
// braces is none, so that it costs nothing.
func (o *object) placeholders(def *Definition) {
	wanted := true
	if o.has("placeholders") {
		if err := json.Unmarshal(o.members["placeholders"], &wanted); err != nil {
			o.fault("placeholders", o.members["placeholders"], "must be true or false")
		}
	}
	def.Placeholders = wanted && slices.ContainsFunc(def.bodies(), func(b body) bool { return template.Holds(b.raw) })
	if !def.Placeholders {
		return
	}
	for _, b := range def.bodies() {
		t, faults := template.Parse(b.name, b.raw)
		for _, f := range faults {
			o.faults.add(f.Path, f.Text, f.Rule)
		}
		for _, p := range t.Placeholders() {
			if rule := pathRule(p.Path, def.overModules()); rule != "" {
				o.faults.add(b.name, p.String(), rule)
			}
		}
	}
	paths := def.ParameterPaths()
	if len(paths) > MaxParameters {
		o.faults.add("placeholders", "", fmt.Sprintf("the job has placeholders for %d twin paths; it can have %d", len(paths), MaxParameters))
	}
	query := Projection("deviceId", paths)
	if n := utf8.RuneCountInString(query); n > maxProjection || n+utf8.RuneCountInString(def.QueryCondition)+len("SELECT moduleId FROM devices.modules WHERE ") > twinquery.MaxLength {
		o.faults.add("placeholders", "", fmt.Sprintf("the twin paths make the query longer than the %d characters that IoT Hub takes; shorten them, or the condition",
			twinquery.MaxLength))
	}
}

// overModules reports whether the job is for modules.
func (d *Definition) overModules() bool {
	c, err := twinquery.ParseCondition(d.QueryCondition)
	return err == nil && d.QueryCondition != "" && c.Source == twinquery.Modules
}

// body is a part of an operation that devices get.
type body struct {
	name string
	raw  json.RawMessage
}

// bodies lists the parts of the operation that may hold placeholders.
func (d *Definition) bodies() []body {
	all := bodiesOf("", "cloudToDeviceMethod", d.Method, d.UpdateTwin)
	for i, s := range d.Steps {
		all = append(all, bodiesOf(fmt.Sprintf("steps[%d].", i), "method", s.Method, s.UpdateTwin)...)
	}
	return all
}

func bodiesOf(path, method string, m *Method, u *TwinUpdate) []body {
	var all []body
	add := func(name string, raw json.RawMessage) {
		if raw != nil {
			all = append(all, body{path + name, raw})
		}
	}
	if m != nil {
		add(method+".payload", m.Payload)
	}
	if u != nil {
		add("updateTwin.tags", u.Tags)
		if u.Properties != nil {
			add("updateTwin.properties.desired", u.Properties.Desired)
		}
	}
	return all
}

const pathsRule = "must be deviceId, moduleId, tags.<name>, properties.reported.<name> or properties.desired.<name>"

// pathRule gives the rule that a placeholder's path breaks, "" for none.
func pathRule(path []string, modules bool) string {
	var names []string
	switch head := path[0]; {
	case len(path) == 1 && head == "deviceId":
		return ""
	case len(path) == 1 && head == "moduleId":
		if !modules {
			return "moduleId goes with a condition that begins with FROM devices.modules only"
		}
		return ""
	case head == "parameters":
		return "a template's parameters go with the template: name it in the member template"
	case head == "tags" && len(path) > 1:
		names = path[1:]
	case head == "properties" && len(path) > 2 && (path[1] == "reported" || path[1] == "desired"):
		names = path[2:]
	default:
		return pathsRule
	}
	if len(names) > MaxTwinDepth+1 || slices.ContainsFunc(names, func(n string) bool { return !twinKey(n) }) {
		return fmt.Sprintf("%s; a name has no control character, space, '.', '$' or '#', and %d stand in each other at most", pathsRule, MaxTwinDepth)
	}
	return ""
}

// ParameterPaths lists the twin paths that the placeholders of the operation need, each once, as the query language writes them;
// none of a job without placeholders. What an id tells needs no query.
func (d *Definition) ParameterPaths() []string {
	if !d.Placeholders {
		return nil
	}
	var paths []string
	for _, b := range d.bodies() {
		t, _ := template.Parse(b.name, b.raw)
		for _, p := range t.Placeholders() {
			if name := queryPath(p.Path); len(p.Path) > 1 && !slices.Contains(paths, name) {
				paths = append(paths, name)
			}
		}
	}
	return paths
}

func queryPath(path []string) string { return (&twinquery.Path{Elems: path}).String() }

// Projection gives what stands after SELECT in a query for ids and paths; ReadValues reads its rows.
func Projection(ids string, paths []string) string {
	var b strings.Builder
	b.WriteString(ids)
	for i, p := range paths {
		fmt.Fprintf(&b, ", %s AS p%d", p, i)
	}
	return b.String()
}

// ReadValues gives what a row of a Projection of n paths says of a device, as an execution keeps it.
func ReadValues(row json.RawMessage, n int) (json.RawMessage, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(row, &members); err != nil {
		return nil, fmt.Errorf("reading a row of the device query: %w", err)
	}
	text := json.RawMessage("[")
	for i := range n {
		if i > 0 {
			text = append(text, ',')
		}
		v := members[fmt.Sprintf("p%d", i)]
		if v == nil {
			v = json.RawMessage("null")
		}
		text = append(text, compact(v)...)
	}
	text = append(text, ']')
	if len(text) > MaxParameterBytes {
		return json.RawMessage(tooLarge), nil
	}
	return text, nil
}

// tooLarge stands for values that are not kept.
const tooLarge = `"tooLarge"`

// Bodies makes what each device gets of the operation of a job with placeholders. It is safe for concurrent use.
type Bodies struct {
	def       *Definition
	paths     []string
	templates []*template.Template // of def.bodies
}

// NewBodies prepares a job's operation, nil of a job without placeholders.
func (d *Definition) NewBodies() (*Bodies, error) {
	if !d.Placeholders {
		return nil, nil
	}
	b := &Bodies{def: d, paths: d.ParameterPaths()}
	for _, one := range d.bodies() {
		t, faults := template.Parse(one.name, one.raw)
		if len(faults) > 0 {
			return nil, fmt.Errorf("job %s: %s: %s", d.JobID, faults[0].Path, faults[0].Rule)
		}
		b.templates = append(b.templates, t)
	}
	return b, nil
}

// For gives the method or the twin update that a device or module gets, by the values that its execution keeps. Where it can get
// none, the outcome is not final's zero: Failed, with MissingParameter or InvalidParameter.
func (b *Bodies) For(e *Execution) (*Definition, Outcome) {
	failed := func(r Reason, text string) (*Definition, Outcome) {
		return nil, Outcome{State: Failed, Reason: r, Answer: []byte(text)}
	}
	if string(e.Values) == tooLarge {
		return failed(InvalidParameter, fmt.Sprintf("the device's values have more than %d bytes together", MaxParameterBytes))
	}
	var values []json.RawMessage
	if e.Values != nil {
		if err := json.Unmarshal(e.Values, &values); err != nil {
			return failed(InvalidParameter, "the device's values are not readable: "+err.Error())
		}
	}
	made := make([]json.RawMessage, len(b.templates))
	for i, t := range b.templates {
		var err error
		made[i], err = t.Render(func(path []string) (json.RawMessage, bool) { return b.value(e, values, path) })
		if missing, ok := errors.AsType[*template.MissingError](err); ok {
			return failed(MissingParameter, missing.Error()+" as of the time when the device was selected")
		}
	}
	def := b.def.with(made)
	if faults := def.checkBodies(); faults != nil {
		return failed(InvalidParameter, "with the device's values: "+faults.Error())
	}
	return def, Outcome{}
}

// value is what a path stands for. A twin holds no null.
func (b *Bodies) value(e *Execution, values []json.RawMessage, path []string) (json.RawMessage, bool) {
	if len(path) == 1 {
		device, module := SplitTarget(e.DeviceID)
		if path[0] == "moduleId" {
			return template.Quote(module), module != ""
		}
		return template.Quote(device), true
	}
	i := slices.Index(b.paths, queryPath(path))
	if i < 0 || i >= len(values) || isNull(values[i]) {
		return nil, false
	}
	return values[i], true
}

// with gives a definition with other bodies of its operation, in the order of bodies.
func (d *Definition) with(made []json.RawMessage) *Definition {
	c := Definition{Type: d.Type, Confirm: d.Confirm}
	next := func(old json.RawMessage) json.RawMessage {
		if old == nil {
			return nil
		}
		first := made[0]
		made = made[1:]
		return first
	}
	c.Method, c.UpdateTwin = d.Method.with(next), d.UpdateTwin.with(next)
	for _, s := range d.Steps {
		s.Method, s.UpdateTwin = s.Method.with(next), s.UpdateTwin.with(next)
		c.Steps = append(c.Steps, s)
	}
	return &c
}

func (m *Method) with(next func(json.RawMessage) json.RawMessage) *Method {
	if m == nil {
		return nil
	}
	c := *m
	c.Payload = next(c.Payload)
	return &c
}

func (u *TwinUpdate) with(next func(json.RawMessage) json.RawMessage) *TwinUpdate {
	if u == nil {
		return nil
	}
	c := *u
	c.Tags = next(c.Tags)
	if c.Properties != nil {
		c.Properties = &TwinProperties{Desired: next(c.Properties.Desired)}
	}
	return &c
}

// checkBodies checks the parts of an operation against the limits of IoT Hub, as Decode does.
func (d *Definition) checkBodies() Faults {
	var faults Faults
	for _, b := range d.bodies() {
		o := &object{members: map[string]json.RawMessage{b.name: b.raw}, faulty: map[string]bool{}, faults: &faults}
		switch {
		case strings.HasSuffix(b.name, "updateTwin.tags"):
			o.patch(b.name, MaxTagsBytes)
		case strings.HasSuffix(b.name, "updateTwin.properties.desired"):
			o.patch(b.name, MaxDesiredBytes)
		default:
			o.payloadSize(b.name, b.raw)
		}
	}
	return faults
}

func (o *object) payloadSize(name string, payload json.RawMessage) {
	if len(payload) > MaxMethodPayload {
		o.fault(name, nil, fmt.Sprintf("has %d bytes; IoT Hub takes at most %d", len(payload), MaxMethodPayload))
	}
}

// Refuse ends e, which was not called, with o at now. A mark that it is about to be called is taken back.
func (e *Execution) Refuse(o Outcome, now time.Time) {
	e.Undo()
	e.End(o, now)
}
