package job

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fleetjobs/fleetjobs/internal/nearest"
	"github.com/fleetjobs/fleetjobs/internal/template"
)

// Template is a definition of jobs with parameters, whose values each job gives.
type Template struct {
	ID          string
	Description string      `json:",omitempty"`
	Parameters  []Parameter `json:",omitempty"`
	// Job is a definition, strings of which hold placeholders such as {{parameters.building}}.
	Job json.RawMessage
	// Version is 1, and one more for each change.
	Version   int
	CreatedAt time.Time
	UpdatedAt time.Time
	UpdatedBy Principal
	// Key tells the template from one of the same id that was deleted.
	Key string

	// Rev is the store's revision of the row that was read.
	Rev string `json:"-"`
}

// Parameter is what a template wants to be told.
type Parameter struct {
	Name        string          `json:"name"`
	Type        ParameterType   `json:"type"`
	Description string          `json:"description,omitempty"`
	Default     json.RawMessage `json:"default,omitempty"`
	// Required says that a job must give a value. It is true unless there is a default, or it is given as false.
	Required bool `json:"required"`
}

// ParameterType is a type of JSON.
type ParameterType string

// The types of parameters.
const (
	TypeString  ParameterType = "string"
	TypeInteger ParameterType = "integer"
	TypeNumber  ParameterType = "number"
	TypeBoolean ParameterType = "boolean"
	TypeArray   ParameterType = "array" // of strings, numbers and booleans
)

// Limits of templates. docs/limits.md lists them for users.
const (
	MaxTemplateBytes  = 256 << 10 // of the job, without white space
	MaxDescription    = 500       // characters
	MaxTemplateParams = 50
	MaxParameterName  = 64
	MaxParameterValue = 32 << 10 // of all values together, as JSON
)

const parameterTypeRule = `must be "string", "integer", "number", "boolean" or "array"`

// DecodeTemplate reads the body of a template at now. The error, if any, is Faults.
func DecodeTemplate(id string, body []byte, now time.Time) (*Template, error) {
	if err := checkText(body); err != nil {
		return nil, err
	}
	faults := CheckJobID("templateId", id)
	o := newObject("body", body, &faults)
	if o == nil {
		return nil, faults
	}
	o.only("templateId", "description", "parameters", "job")
	t := &Template{ID: id, Description: o.text("description"), Parameters: o.parameters()}
	if o.has("templateId") && o.text("templateId") != id {
		o.fault("templateId", o.members["templateId"], fmt.Sprintf("must be %q, as in the path, or absent", shown(id)))
	}
	if utf8.RuneCountInString(t.Description) > MaxDescription {
		o.fault("description", nil, fmt.Sprintf("must have at most %d characters", MaxDescription))
	}
	t.Job = o.templateJob()
	if len(faults) == 0 {
		t.check(&faults, now)
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return t, nil
}

func (o *object) templateJob() json.RawMessage {
	if !o.has("job") {
		o.fault("job", nil, "is required: the definition of a job")
		return nil
	}
	j := o.nested("job")
	if j == nil {
		return nil
	}
	j.only(definitionMembers()...)
	j.absent("jobId", "belongs to each job, not to the template")
	text := compact(o.members["job"])
	if len(text) > MaxTemplateBytes {
		o.fault("job", nil, fmt.Sprintf("has %d bytes; a template has at most %d", len(text), MaxTemplateBytes))
	}
	return text
}

// parameters reads the declarations.
func (o *object) parameters() []Parameter {
	if !o.has("parameters") {
		return nil
	}
	var all []Parameter
	for _, p := range o.objects("parameters", MaxTemplateParams) {
		if p == nil {
			continue
		}
		one := p.parameter()
		if slices.ContainsFunc(all, func(other Parameter) bool { return other.Name == one.Name }) {
			p.fault("name", p.members["name"], "is declared twice")
		}
		all = append(all, one)
	}
	return all
}

func (o *object) parameter() Parameter {
	o.only("name", "type", "description", "default", "required")
	p := Parameter{Name: o.text("name"), Description: o.text("description"), Required: !o.has("default")}
	if !parameterName(p.Name) {
		o.fault("name", o.members["name"], fmt.Sprintf("must be 1 to %d letters, digits, _ and -", MaxParameterName))
	}
	if p.Type = ParameterType(o.text("type")); !slices.Contains([]ParameterType{TypeString, TypeInteger, TypeNumber, TypeBoolean, TypeArray}, p.Type) {
		o.fault("type", o.members["type"], parameterTypeRule)
	}
	if utf8.RuneCountInString(p.Description) > MaxDescription {
		o.fault("description", nil, fmt.Sprintf("must have at most %d characters", MaxDescription))
	}
	if o.has("required") {
		if err := json.Unmarshal(o.members["required"], &p.Required); err != nil {
			o.fault("required", o.members["required"], "must be true or false")
		}
	}
	if o.has("default") {
		p.Default = compact(o.members["default"])
		if rule := p.accepts(p.Default); rule != "" {
			o.fault("default", p.Default, rule)
		}
		if p.Required {
			o.fault("required", o.members["required"], "must not be true beside a default")
		}
	}
	return p
}

func parameterName(name string) bool {
	return name != "" && len(name) <= MaxParameterName && !strings.ContainsFunc(name, func(c rune) bool {
		return !letterOrDigit(c) && c != '_' && c != '-'
	})
}

// accepts gives the rule that a value breaks, "" for none.
func (p Parameter) accepts(v json.RawMessage) string {
	var value any
	if err := json.Unmarshal(v, &value); err != nil {
		return "must be JSON"
	}
	ok := false
	switch value := value.(type) {
	case string:
		ok = p.Type == TypeString
	case float64:
		_, err := strconv.ParseInt(string(v), 10, 64)
		ok = p.Type == TypeNumber || p.Type == TypeInteger && err == nil
	case bool:
		ok = p.Type == TypeBoolean
	case []any:
		ok = p.Type == TypeArray && len(value) > 0 && !slices.ContainsFunc(value, func(e any) bool {
			_, object := e.(map[string]any)
			_, array := e.([]any)
			return e == nil || object || array
		})
	}
	switch {
	case ok:
		return ""
	case p.Type == TypeArray:
		return "must be an array of at least one string, number or boolean"
	case p.Type == TypeInteger:
		return "must be an integer of 64 bits, as the parameter is declared"
	}
	return "must be a " + string(p.Type) + ", as the parameter is declared"
}

// sample is a value for trying.
func (p Parameter) sample() json.RawMessage {
	switch p.Type {
	case TypeString:
		return json.RawMessage(`"x"`)
	case TypeBoolean:
		return json.RawMessage("true")
	case TypeArray:
		return json.RawMessage(`["x"]`)
	}
	return json.RawMessage("1")
}

// check tries the template: its placeholders, its condition with samples, and, where every parameter has a default, all of it.
func (t *Template) check(faults *Faults, now time.Time) {
	values := map[string]json.RawMessage{}
	complete := true
	for _, p := range t.Parameters {
		if values[p.Name] = p.Default; p.Default != nil {
			continue
		}
		complete = false
		if p.Required {
			values[p.Name] = p.sample()
		}
	}
	filled, found := t.fill(values, nil)
	*faults = append(*faults, found...)
	if len(found) > 0 {
		return
	}
	if complete {
		_, err := Decode(filled, now)
		for _, f := range FaultsOf(err) {
			*faults = append(*faults, Fault{Field: "job." + f.Field, Value: f.Value, Rule: f.Rule})
		}
		return
	}
	if o := newObject("job", filled, faults); o != nil && o.has("queryCondition") {
		o.condition(o.text("queryCondition"))
	}
}

// unknownParameter is the rule for a name that the template does not declare.
func (t *Template) unknownParameter(name string) string {
	var names []string
	for _, p := range t.Parameters {
		names = append(names, p.Name)
	}
	rule := "is not a parameter of the template"
	if near := nearest.Name(name, names); near != "" {
		rule += fmt.Sprintf("; did you mean %q?", near)
	}
	return rule
}

// inBody reports whether the string at a path goes to devices, who get values of their twins in it.
func inBody(path string) bool {
	for _, part := range []string{".cloudToDeviceMethod.payload", ".method.payload", ".updateTwin.tags", ".updateTwin.properties.desired"} {
		if _, rest, ok := strings.Cut(path, part); ok {
			return rest == "" || rest[0] == '.' || rest[0] == '['
		}
	}
	return false
}

// fill puts values into the template's job. members are what a request puts in place of the job's.
func (t *Template) fill(values, members map[string]json.RawMessage) (json.RawMessage, Faults) {
	switches := struct{ Placeholders *bool }{}
	_ = json.Unmarshal(t.Job, &switches) // what is no boolean is a fault of the definition
	if own, ok := members["placeholders"]; ok {
		switches.Placeholders = nil
		_ = json.Unmarshal(own, &switches.Placeholders) // the same
	}
	perDevice := switches.Placeholders == nil || *switches.Placeholders
	filled, found := template.Map("job", t.Job, func(path string, text template.Text) (json.RawMessage, string) {
		f := &filling{t: t, values: values, body: perDevice && inBody(path)}
		switch {
		case strings.HasSuffix(path, ".queryCondition"):
			return f.condition(text)
		case strings.HasPrefix(path, "job.notifications."):
			return nil, "holds no parameters: their values are shown with the job, and an address may be a secret"
		}
		return f.text(text)
	})
	var faults Faults
	for _, f := range found {
		faults.add(f.Path, f.Text, f.Rule)
	}
	return filled, faults
}

// Same reports whether two templates say the same.
func (t *Template) Same(other *Template) bool {
	return t.Description == other.Description && bytes.Equal(t.Job, other.Job) &&
		slices.EqualFunc(t.Parameters, other.Parameters, func(a, b Parameter) bool {
			return a.Name == b.Name && a.Type == b.Type && a.Description == b.Description && a.Required == b.Required && bytes.Equal(a.Default, b.Default)
		})
}

// ShownJob is the template's job without the query of its callback, which lets anybody in who knows it.
func (t *Template) ShownJob() json.RawMessage {
	var members, told map[string]json.RawMessage
	if json.Unmarshal(t.Job, &members) != nil || json.Unmarshal(members["notifications"], &told) != nil {
		return t.Job
	}
	address := plain(told["callbackUrl"])
	if !strings.Contains(address, "?") {
		return t.Job
	}
	told["callbackUrl"] = template.Quote(redactQuery(address))
	shown, err := override(members["notifications"], told)
	if err == nil {
		shown, err = override(t.Job, map[string]json.RawMessage{"notifications": shown})
	}
	if err != nil {
		return nil // cannot be: its parts are valid
	}
	return shown
}
