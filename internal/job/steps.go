package job

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

// Step is one operation of a job with steps: of Method, UpdateTwin and WaitFor there is exactly one.
type Step struct {
	Method *Method `json:"method,omitempty"`
	// SucceedOn and RejectOn are to Method what the job's members are to a job of one method.
	SucceedOn  *AnswerRule `json:"succeedOn,omitempty"`
	RejectOn   *AnswerRule `json:"rejectOn,omitempty"`
	UpdateTwin *TwinUpdate `json:"updateTwin,omitempty"`
	Confirm    *Confirm    `json:"confirm,omitempty"`
	WaitFor    *WaitFor    `json:"waitFor,omitempty"`
}

// Confirm has a device wait, after its desired properties were patched, until it reports them.
type Confirm struct {
	// Properties are paths below properties.desired, names with dots between them; none stands for all that the patch sets.
	Properties []string          `json:"properties,omitempty"`
	Within     schedule.Duration `json:"within"`
}

// WaitFor has a device wait for a reported property. Of Equals, NotEquals and Exists there is exactly one.
type WaitFor struct {
	Path      string            `json:"path"` // from properties.reported on
	Equals    json.RawMessage   `json:"equals,omitempty"`
	NotEquals json.RawMessage   `json:"notEquals,omitempty"`
	Exists    *bool             `json:"exists,omitempty"`
	Within    schedule.Duration `json:"within"`
}

// Limits of steps and of what devices are waited for. docs/limits.md lists them for users.
const (
	MaxSteps        = 10
	MaxStepsText    = 128 << 10 // payloads and patches of all steps, which one row holds
	StepAnswerLimit = 512
	MaxWithin       = 30 * 24 * time.Hour
	DefaultWithin   = 10 * time.Minute
	MaxConfirmed    = 20
	MaxConfirmNames = 2 << 10 // a query of IoT Hub has 8,192 characters, for these and the ids of devices
	MaxPropertyPath = 256
	MaxWaitValue    = 1 << 10
)

// Kind names what the step does: method, updateTwin or waitFor.
func (s *Step) Kind() string {
	switch {
	case s.Method != nil:
		return "method"
	case s.UpdateTwin != nil:
		return "updateTwin"
	}
	return "waitFor"
}

// Call gives the step's operation as that of a job of its own.
func (s *Step) Call() *Definition {
	if s.Method != nil {
		return &Definition{Type: TypeMethod, Method: s.Method}
	}
	return &Definition{Type: TypeTwin, UpdateTwin: s.UpdateTwin}
}

// Judge gives what a device's answer to the step's method means.
func (s *Step) Judge(status int, answer []byte) Outcome {
	return FailurePolicy{SucceedOn: s.SucceedOn, RejectOn: s.RejectOn}.Judge(status, answer)
}

// wants gives what the step's confirmation waits for, nil without one.
func (s *Step) wants() map[string]any {
	if s.Confirm == nil {
		return nil
	}
	want, _ := s.Confirm.wants(s.UpdateTwin)
	return want
}

// Waits reports whether devices wait in the step, all along or after its call.
func (s *Step) Waits() bool { return s.WaitFor != nil || s.Confirm != nil }

// within is how long devices wait in the step.
func (s *Step) within() time.Duration {
	if s.WaitFor != nil {
		return time.Duration(s.WaitFor.Within)
	}
	return time.Duration(s.Confirm.Within)
}

// steps reads the member of the same name.
func (o *object) steps() []Step {
	var found []Step
	text := 0
	for _, s := range o.objects("steps", MaxSteps) {
		if s != nil {
			step := s.step()
			found, text = append(found, step), text+step.text()
		}
	}
	if text > MaxStepsText {
		o.fault("steps", nil, fmt.Sprintf("payloads and patches have %d bytes together; must have at most %d", text, MaxStepsText))
	}
	return found
}

// text is how many bytes the step's payload or patches have.
func (s *Step) text() int {
	n := 0
	if s.Method != nil {
		n = len(s.Method.Payload)
	}
	if u := s.UpdateTwin; u != nil {
		n = len(u.Tags)
		if u.Properties != nil {
			n += len(u.Properties.Desired)
		}
	}
	return n
}

func (o *object) step() Step {
	o.only("method", "succeedOn", "rejectOn", "updateTwin", "confirm", "waitFor")
	operations := 0
	for _, name := range []string{"method", "updateTwin", "waitFor"} {
		if o.has(name) {
			operations++
		}
	}
	if operations != 1 {
		o.fault("", nil, "must have exactly one of method, updateTwin and waitFor")
		return Step{}
	}
	if !o.has("method") {
		o.absent("succeedOn", "goes with method only")
		o.absent("rejectOn", "goes with method only")
	}
	var s Step
	switch {
	case o.has("method"):
		s = Step{Method: o.call("method"), SucceedOn: o.answerRule("succeedOn"), RejectOn: o.answerRule("rejectOn")}
		o.absent("confirm", "goes with updateTwin only")
	case o.has("updateTwin"):
		s.UpdateTwin = o.twin()
		s.Confirm = o.confirm(s.UpdateTwin)
	default:
		s.WaitFor = o.waitFor()
		o.absent("confirm", "goes with updateTwin only")
	}
	return s
}

// confirm reads the member of the same name, which goes with a patch of desired properties.
func (o *object) confirm(update *TwinUpdate) *Confirm {
	c := o.nested("confirm")
	if c == nil {
		return nil
	}
	c.only("properties", "within")
	found := &Confirm{Within: c.durationOr("within", DefaultWithin, MaxWithin)}
	switch {
	case update == nil: // which is a fault of its own
		return found
	case update.Properties == nil:
		o.fault("confirm", nil, "needs properties.desired in updateTwin")
		return found
	}
	if c.has("properties") {
		err := json.Unmarshal(c.members["properties"], &found.Properties)
		if n := len(found.Properties); err != nil || n == 0 || n > MaxConfirmed {
			c.fault("properties", c.members["properties"], fmt.Sprintf("must be an array of 1 to %d paths below properties.desired, such as \"door.mode\"", MaxConfirmed))
			return found
		}
	}
	want, unset := found.wants(update)
	if unset != "" {
		c.fault("properties", c.members["properties"], shown(unset)+" is not set by the patch")
	} else if names := names(want); len(names) == 0 || len(names) > MaxConfirmed || len(strings.Join(names, "")) > MaxConfirmNames {
		c.fault("properties", c.members["properties"], fmt.Sprintf("must name properties with 1 to %d names at the top, of %d bytes together, of those that the patch sets",
			MaxConfirmed, MaxConfirmNames))
	} else if slices.ContainsFunc(names, unaskable) {
		c.fault("properties", c.members["properties"], "a name at the top must not hold ']': no query can name it")
	}
	return found
}

// unaskable names cannot stand in a query, where [[ and ]] enclose them.
func unaskable(name string) bool { return strings.Contains(name, "]") }

const reportedPrefix = "properties.reported."

func (o *object) waitFor() *WaitFor {
	w := o.nested("waitFor")
	if w == nil {
		return nil
	}
	w.only("path", "equals", "notEquals", "exists", "within")
	found := &WaitFor{Path: w.text("path"), Within: w.durationOr("within", DefaultWithin, MaxWithin)}
	path, below := strings.CutPrefix(found.Path, reportedPrefix)
	names := strings.Split(path, ".")
	if !below || len(path) > MaxPropertyPath || unaskable(found.top()) || slices.ContainsFunc(names, badKey) {
		w.fault("path", w.members["path"], fmt.Sprintf("must be properties.reported. and then 1 to %d bytes: names with dots between them", MaxPropertyPath))
	}
	given := 0
	for _, name := range []string{"equals", "notEquals", "exists"} {
		if w.has(name) {
			given++
		}
	}
	if given != 1 {
		w.fault("", nil, "must have exactly one of equals, notEquals and exists, which is not null")
	}
	found.Equals, found.NotEquals = w.value("equals"), w.value("notEquals")
	if w.has("exists") {
		if err := json.Unmarshal(w.members["exists"], &found.Exists); err != nil {
			w.fault("exists", w.members["exists"], "must be true or false")
		}
	}
	return found
}

func badKey(key string) bool { return !twinKey(key) }

// value reads a string, number or boolean, nil when absent.
func (o *object) value(name string) json.RawMessage {
	if !o.has(name) {
		return nil
	}
	v := compact(o.members[name])
	if len(v) > MaxWaitValue || v[0] == '{' || v[0] == '[' {
		o.fault(name, v, fmt.Sprintf("must be a string, number or boolean of at most %d bytes", MaxWaitValue))
	}
	return v
}
