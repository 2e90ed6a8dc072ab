package job

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// AnswerRule is what a device's answer to a method must be like. Of its members at least one is there; all that are must hold.
type AnswerRule struct {
	StatusCodes []StatusRange `json:"statusCodes,omitempty"`
	Answer      *AnswerMatch  `json:"answer,omitempty"`
}

// StatusRange is the statuses First to Last of answers; in JSON a number, or "200-299".
type StatusRange struct{ First, Last int }

// AnswerMatch asks for a value in the payload of an answer.
type AnswerMatch struct {
	// Path names members with dots between them, and elements of arrays by their number from 0: "result.parts.0.ok".
	Path string `json:"path"`
	// Value is a string, number, boolean or null.
	Value json.RawMessage `json:"value"`
}

// MarshalJSON implements [json.Marshaler].
func (r StatusRange) MarshalJSON() ([]byte, error) {
	if r.First == r.Last {
		return json.Marshal(r.First)
	}
	return json.Marshal(fmt.Sprintf("%d-%d", r.First, r.Last))
}

var statusRange = regexp.MustCompile(`^"(-?\d{1,10})-(-?\d{1,10})"$|^(-?\d{1,10})$`)

// UnmarshalJSON implements [json.Unmarshaler].
func (r *StatusRange) UnmarshalJSON(text []byte) error {
	parts := statusRange.FindSubmatch(text)
	if parts == nil {
		return fmt.Errorf("%s is no status and no range of them", shown(string(text)))
	}
	first, last := string(parts[1]), string(parts[2])
	if len(parts[3]) > 0 {
		first, last = string(parts[3]), string(parts[3])
	}
	r.First, _ = strconv.Atoi(first) // at most ten digits
	r.Last, _ = strconv.Atoi(last)
	if r.First > r.Last || r.First < MinStatusCode || r.Last > MaxStatusCode {
		return fmt.Errorf("%s is empty or too far", shown(string(text)))
	}
	return nil
}

// successes are the statuses that mean success unless a job says otherwise.
var successes = StatusRange{200, 299}

// Judge gives what a device's answer means.
func (p FailurePolicy) Judge(status int, answer []byte) Outcome {
	o := Outcome{State: Succeeded, StatusCode: status, Answer: answer}
	switch {
	case p.RejectOn != nil && p.RejectOn.holds(status, answer):
		o.State, o.Reason = Rejected, DeviceRejected
	case p.SucceedOn == nil && !successes.has(status), p.SucceedOn != nil && !p.SucceedOn.succeeds(status, answer):
		o.State, o.Reason = Failed, DeviceError
	}
	return o
}

func (r StatusRange) has(status int) bool { return r.First <= status && status <= r.Last }

// succeeds is holds with the usual statuses where the rule names none.
func (r *AnswerRule) succeeds(status int, answer []byte) bool {
	return (len(r.StatusCodes) > 0 || successes.has(status)) && r.holds(status, answer)
}

func (r *AnswerRule) holds(status int, answer []byte) bool {
	found := len(r.StatusCodes) == 0
	for _, codes := range r.StatusCodes {
		found = found || codes.has(status)
	}
	return found && (r.Answer == nil || r.Answer.holds(answer))
}

func (m *AnswerMatch) holds(answer []byte) bool {
	at, ok := decoded(answer)
	for name := range strings.SplitSeq(m.Path, ".") {
		if !ok {
			return false
		}
		switch here := at.(type) {
		case map[string]any:
			at, ok = here[name]
		case []any:
			i, err := strconv.Atoi(name)
			if ok = err == nil && i >= 0 && i < len(here); ok {
				at = here[i]
			}
		default:
			return false
		}
	}
	want, _ := decoded(m.Value)
	return ok && same(at, want)
}

func decoded(text []byte) (any, bool) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	return v, d.Decode(&v) == nil
}

// same compares numbers by what they mean: 1.0 is 1.
func same(a, b any) bool {
	x, xn := a.(json.Number)
	y, yn := b.(json.Number)
	if !xn || !yn {
		return reflect.DeepEqual(a, b)
	}
	f, errF := x.Float64()
	g, errG := y.Float64()
	return x == y || errF == nil && errG == nil && f == g
}

// answerRule reads a rule for answers, which only methods have.
func (o *object) answerRule(name string) *AnswerRule {
	r := o.nested(name)
	if r == nil {
		return nil
	}
	switch Type(o.text("type")) {
	case TypeTwin:
		o.fault(name, nil, "goes with type scheduleDeviceMethod only")
	case TypeSteps:
		o.fault(name, nil, "stands beside method in steps with type scheduleSteps")
	}
	r.only("statusCodes", "answer")
	rule := &AnswerRule{Answer: r.answerMatch()}
	if r.has("statusCodes") {
		err := json.Unmarshal(r.members["statusCodes"], &rule.StatusCodes)
		if n := len(rule.StatusCodes); err != nil || n == 0 || n > MaxStatusRanges {
			r.fault("statusCodes", r.members["statusCodes"], fmt.Sprintf(
				`must be an array of 1 to %d statuses and ranges like 200 and "200-299", from %d to %d`, MaxStatusRanges, MinStatusCode, MaxStatusCode))
		}
	} else if !r.has("answer") {
		o.fault(name, o.members[name], "must have statusCodes, answer, or both")
	}
	return rule
}

func (o *object) answerMatch() *AnswerMatch {
	m := o.nested("answer")
	if m == nil {
		return nil
	}
	m.only("path", "value")
	found := &AnswerMatch{Path: m.text("path"), Value: compact(m.members["value"])}
	if found.Path == "" || len(found.Path) > MaxAnswerPath {
		m.fault("path", m.members["path"], fmt.Sprintf("must be 1 to %d bytes: names of members, or numbers of elements, with dots between them", MaxAnswerPath))
	}
	if v := found.Value; len(v) == 0 || len(v) > MaxAnswerValue || v[0] == '{' || v[0] == '[' {
		m.fault("value", m.members["value"], fmt.Sprintf("is required: a string, number, boolean or null of at most %d bytes", MaxAnswerValue))
	}
	return found
}
