package job

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Fault is one thing that is wrong with a request: the field, its value as it was sent (cut, "" when absent), and the rule
// that it breaks.
type Fault struct {
	Field string `json:"field"`
	Value string `json:"value,omitempty"`
	Rule  string `json:"rule"`
}

func (f Fault) String() string {
	if f.Value == "" {
		return fmt.Sprintf("%s: %s", f.Field, f.Rule)
	}
	return fmt.Sprintf("%s: %s: %s", f.Field, f.Value, f.Rule)
}

// Faults are all faults of one request. As an error it is never empty.
type Faults []Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, one := range f {
		lines[i] = one.String()
	}
	return strings.Join(lines, "; ")
}

// maxFaults is how many faults one request is told.
const maxFaults = 50

func (f *Faults) add(field, value, rule string) {
	switch {
	case len(*f) < maxFaults:
		*f = append(*f, Fault{Field: field, Value: shown(withoutQuery(value)), Rule: rule})
	case len(*f) == maxFaults:
		*f = append(*f, Fault{Field: "body", Rule: fmt.Sprintf("has more faults; these are the first %d", maxFaults)})
	}
}

// FaultsOf gives the faults that err carries, nil when it carries none.
func FaultsOf(err error) Faults {
	if f, ok := errors.AsType[Faults](err); ok {
		return f
	}
	return nil
}

// addressQuery finds what follows an address in a value, in whatever notation JSON allows.
var addressQuery = regexp.MustCompile(`(?is)(https?:[\\/]+[^?]*?)(?:\?|\\u003f).*`)

// withoutQuery cuts a value behind the path of an address: the query of a callback lets anybody in who knows it.
func withoutQuery(value string) string { return addressQuery.ReplaceAllString(value, "$1?…") }

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

// HubNameRule is what HubName checks, in words.
const HubNameRule = "must be 1 to 50 lower-case letters, digits and -, beginning with a letter and not ending with -"
