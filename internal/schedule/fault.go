package schedule

import (
	"fmt"
	"strings"
)

// Fault is one thing that is wrong with a schedule: the field, its value as it was sent (cut, "" when absent), and the rule
// that it breaks. It has the shape of job.Fault and converts to it.
type Fault struct {
	Field string `json:"field"`
	Value string `json:"value,omitempty"`
	Rule  string `json:"rule"`
}

// Faults are all faults of one schedule. As an error it is never empty.
type Faults []Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, one := range f {
		lines[i] = one.Field + ": " + one.Rule
		if one.Value != "" {
			lines[i] = fmt.Sprintf("%s: %s: %s", one.Field, one.Value, one.Rule)
		}
	}
	return strings.Join(lines, "; ")
}

// maxFaults is how many faults one schedule is told.
const maxFaults = 50

func (f *Faults) add(field, value, rule string) {
	if len(*f) < maxFaults {
		*f = append(*f, Fault{Field: field, Value: shown(value), Rule: rule})
	}
}

const shownValue = 80

// shown cuts a value to what an error message can carry.
func shown(v string) string {
	if len(v) <= shownValue {
		return v
	}
	n := shownValue
	for n > 0 && v[n]&0xC0 == 0x80 {
		n--
	}
	return v[:n] + "…"
}
