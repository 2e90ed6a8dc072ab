package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"

	"github.com/fleetjobs/fleetjobs/internal/nearest"
)

const prefix = "FLEETJOBS_"

// clientSettings belong to programs that call fleetjobs; most stand in the
// dev.env of `fleetjobs dev`. A developer's shell may hand them down to the
// handler, which has no use for them.
func clientSettings() []string {
	return []string{
		"FLEETJOBS_APPROVER_KEY", "FLEETJOBS_AZURITE_DIR", "FLEETJOBS_CONNECTION_STRING", "FLEETJOBS_HTTPS_URL", "FLEETJOBS_KEY",
		"FLEETJOBS_TOKEN", "FLEETJOBS_URL",
	}
}

// Load reads the settings from environ, a list of "name=value" as
// [os.Environ] returns it. Empty values count as absent. The error is an
// *[Error] that lists every fault.
func Load(environ []string) (Config, error) {
	settings := split(environ)
	var (
		c Config
		f faults
	)
	f.malformed(settings, env.ParseWithOptions(&c, env.Options{Environment: settings}))
	f.unknown(settings)
	c.Hub.check(&f)
	c.checkHubs(&f, settings)
	c.Storage.check(&f)
	c.OTel.check(&f)
	c.Notify.check(&f)
	c.Pace.check(&f)
	c.Facade.check(&f)
	c.Retention.check(&f, c.Storage)
	c.checkPublicURL(&f)
	c.checkSchedule(&f)
	c.checkNumbers(&f, settings)
	c.checkRoles(&f)
	c.checkPassThrough(&f)
	c.checkFunctionTimeout(&f)
	if len(f) > 0 {
		slices.SortStableFunc(f, func(a, b Fault) int { return strings.Compare(a.Name, b.Name) })
		return Config{}, &Error{Faults: f}
	}
	return c, nil
}

func split(environ []string) map[string]string {
	settings := make(map[string]string, len(environ))
	for _, entry := range environ {
		name, value, ok := strings.Cut(entry, "=")
		switch {
		case !ok:
		case value == "":
			delete(settings, name) // the last one of a name counts
		default:
			settings[name] = value
		}
	}
	return settings
}

// malformed takes what the parser could not convert. Its errors name the field
// of Config, which is where the setting's name stands.
func (f *faults) malformed(settings map[string]string, err error) {
	if err == nil {
		return
	}
	var all env.AggregateError
	if !errors.As(err, &all) {
		all.Errors = []error{err}
	}
	for _, err := range all.Errors {
		var parse env.ParseError
		if !errors.As(err, &parse) {
			f.add("settings", "", err.Error())
			continue
		}
		field, _ := reflect.TypeFor[Config]().FieldByName(parse.Name)
		name := field.Tag.Get("env")
		rule := "must be a whole number"
		switch parse.Type {
		case reflect.TypeFor[Level]():
			rule = parse.Err.Error()
		case reflect.TypeFor[bool]():
			rule = "must be true or false"
		}
		f.add(name, settings[name], rule)
	}
}

// unknown refuses misspelled settings: a default that silently replaces what
// the operator thought was set is found in production only.
func (f *faults) unknown(settings map[string]string) {
	known := ownNames()
	for name := range settings {
		if strings.HasPrefix(strings.ToUpper(name), prefix) && !slices.Contains(known, name) &&
			!slices.Contains(clientSettings(), name) {
			// The value may be a secret under a misspelled name.
			rule := "is no setting of fleetjobs"
			if near := nearest.Name(name, known); near != "" {
				rule += "; did you mean " + near + "?"
			}
			f.addSecret(name, rule)
		}
	}
}

// ownNames returns the names of the settings that have our prefix.
func ownNames() []string {
	return slices.DeleteFunc(Names(), func(name string) bool { return !strings.HasPrefix(name, prefix) })
}

// Names returns the names of all settings that the handler reads, sorted.
func Names() []string {
	params, err := env.GetFieldParams(&Config{})
	if err != nil {
		return nil // cannot be: Config is a struct
	}
	names := make([]string, len(params))
	for i, p := range params {
		names[i] = p.Key
	}
	slices.Sort(names)
	return names
}

// Fault is one thing that is wrong with the settings.
type Fault struct {
	Name string // the setting
	// Value is what it was set to; empty if it is absent or must not be shown.
	Value string
	Rule  string // what it must be
}

// String returns the fault on one line.
func (f Fault) String() string {
	if f.Value == "" {
		return f.Name + ": " + f.Rule
	}
	return fmt.Sprintf("%s=%q: %s", f.Name, f.Value, f.Rule)
}

// Error lists all faults of the settings.
type Error struct{ Faults []Fault }

// Error returns one line per fault, below a line that counts them.
func (e *Error) Error() string {
	lines := []string{fmt.Sprintf("read settings: %d wrong", len(e.Faults))}
	for _, f := range e.Faults {
		lines = append(lines, "  "+f.String())
	}
	return strings.Join(lines, "\n")
}

type faults []Fault

const maxShown = 200

func (f *faults) add(name, value, rule string) {
	if len(value) > maxShown {
		value = value[:maxShown] + "..."
	}
	*f = append(*f, Fault{Name: name, Value: value, Rule: rule})
}

func (f *faults) addSecret(name, rule string) { f.add(name, "", rule) }
