package api

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// params are the query parameters of a request. Readers collect what is wrong; err gives all of it.
type params struct {
	values map[string]string
	// code is the access key that came with the URL, "" when it came otherwise. It belongs into links to ourselves,
	// because they must open with what the caller used, and nowhere else.
	code   string
	faults job.Faults
}

// parseParams reads a query. Parameters outside of known are refused, except code and clientId, which the Functions host
// takes access keys from (https://learn.microsoft.com/azure/azure-functions/function-keys-how-to), in any case.
// Values of unknown parameters are never repeated: one may be a key under a misspelt name.
func parseParams(raw string, known []string) (*params, error) {
	all, err := url.ParseQuery(raw)
	if err != nil {
		return nil, job.Faults{{Field: "query", Rule: "must be well-formed: name=value pairs, joined by &, percent-encoded"}}
	}
	p := &params{values: map[string]string{}}
	for name, values := range all {
		switch {
		case strings.EqualFold(name, "code"):
			p.code = values[0]
		case strings.EqualFold(name, "clientId"):
		case !slices.Contains(known, name):
			p.fault(shown(name), "", "is not a parameter here"+listed(known))
		case len(values) > 1:
			p.fault(name, strings.Join(values, ", "), "must be given once")
		default:
			p.values[name] = values[0]
		}
	}
	slices.SortFunc(p.faults, func(a, b job.Fault) int { return strings.Compare(a.Field, b.Field) })
	return p, p.err()
}

func listed(known []string) string {
	if len(known) == 0 {
		return ""
	}
	return "; known are " + strings.Join(known, ", ")
}

func (p *params) fault(field, value, rule string) {
	p.faults = append(p.faults, job.Fault{Field: field, Value: shown(value), Rule: rule})
}

// err gives the faults found so far.
func (p *params) err() error {
	if len(p.faults) == 0 {
		return nil
	}
	return p.faults
}

func (p *params) text(name string) string { return p.values[name] }

func (p *params) has(name string) bool {
	_, ok := p.values[name]
	return ok
}

// choice reads one of options, the zero value when absent.
func choice[T ~string](p *params, name string, options []T) T {
	v, ok := p.values[name]
	if !ok || slices.Contains(options, T(v)) {
		return T(v)
	}
	words := make([]string, len(options))
	for i, o := range options {
		words[i] = string(o)
	}
	p.fault(name, v, "must be one of "+strings.Join(words, ", "))
	return ""
}

// integer reads a whole number from 1 to most, def when absent.
func (p *params) integer(name string, def, most int) int {
	v, ok := p.values[name]
	if !ok {
		return def
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > most {
		p.fault(name, v, fmt.Sprintf("must be a whole number from 1 to %d", most))
		return def
	}
	return n
}

const shownValue = 80

// shown cuts a value to what an error message can carry, and drops what is not UTF-8.
func shown(v string) string {
	if len(v) > shownValue {
		v = strings.ToValidUTF8(v[:shownValue], "") + "…"
	}
	return strings.ToValidUTF8(v, "�")
}
