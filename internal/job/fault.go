package job

import (
	"errors"
	"fmt"
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
		*f = append(*f, Fault{Field: field, Value: shown(value), Rule: rule})
	case len(*f) == maxFaults:
		*f = append(*f, Fault{Field: "body", Rule: fmt.Sprintf("has more faults; these are the first %d", maxFaults)})
	}
}

// FaultsOf gives the faults that err carries, nil when it carries none.
func FaultsOf(err error) Faults {
	var f Faults
	if errors.As(err, &f) {
		return f
	}
	return nil
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

// nearest gives the known name closest to name, "" when none is close.
func nearest(name string, known []string) string {
	if len(name) > shownValue {
		return ""
	}
	best, bestDistance := "", len(name)/3+1
	for _, k := range known {
		if strings.EqualFold(k, name) {
			return k
		}
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// distance is the Levenshtein distance of two short names.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
