package localhost

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// function is one function folder.
type function struct {
	name     string
	trigger  binding
	outputs  []binding
	disabled bool
	retry    *retryPolicy
	schedule schedule // timers only
	route    *route   // HTTP only
}

// binding is one entry of function.json's bindings.
type binding struct {
	Type         string   `json:"type"`
	Direction    string   `json:"direction"`
	Name         string   `json:"name"`
	AuthLevel    string   `json:"authLevel"`
	Methods      []string `json:"methods"`
	Route        *string  `json:"route"`
	Schedule     string   `json:"schedule"`
	RunOnStartup bool     `json:"runOnStartup"`
	UseMonitor   *bool    `json:"useMonitor"`
	QueueName    string   `json:"queueName"`
	Connection   string   `json:"connection"`
	DataType     string   `json:"dataType"`
}

// functionFile is function.json.
type functionFile struct {
	Bindings   []binding       `json:"bindings"`
	Disabled   json.RawMessage `json:"disabled"`
	ScriptFile string          `json:"scriptFile"`
	Retry      json.RawMessage `json:"retry"`
}

// Binding types that this stand-in runs.
const (
	typeHTTPTrigger  = "httpTrigger"
	typeTimerTrigger = "timerTrigger"
	typeQueueTrigger = "queueTrigger"
	typeHTTPOutput   = "http"
	typeQueueOutput  = "queue"
)

// loadFunctions reads the function folders directly below root, ordered by name ignoring case, which is the order
// in which the host tries HTTP routes. Disabled functions are included.
func loadFunctions(root string, config hostConfig, env environment) ([]*function, error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("reading app root: %w", err)
	}
	var functions []*function
	var errs []error
	for _, entry := range entries {
		folder := filepath.Join(root, entry.Name())
		if info, err := os.Stat(folder); err != nil || !info.IsDir() {
			continue
		}
		fn, err := loadFunction(folder, config, env)
		if err != nil {
			errs = append(errs, fmt.Errorf("function folder %s: %w", entry.Name(), err))
		} else if fn != nil && (config.allowList == nil || slices.Contains(config.allowList, fn.name)) {
			functions = append(functions, fn)
		}
	}
	slices.SortFunc(functions, func(a, b *function) int {
		return cmp.Compare(strings.ToLower(a.name), strings.ToLower(b.name))
	})
	errs = append(errs, checkTogether(functions, config)...)
	return functions, errors.Join(errs...)
}

// checkTogether finds what is wrong with the set of functions rather than with one.
func checkTogether(functions []*function, config hostConfig) []error {
	var errs []error
	if len(functions) == 0 {
		errs = append(errs, errors.New("no job functions found"))
	}
	for _, name := range config.allowList {
		if !slices.ContainsFunc(functions, func(fn *function) bool { return fn.name == name }) {
			errs = append(errs, fmt.Errorf("host.json lists the function %s, which does not exist", name))
		}
	}
	for i, a := range functions {
		for _, b := range functions[i+1:] {
			if strings.EqualFold(a.name, b.name) {
				errs = append(errs, fmt.Errorf("functions %s and %s differ only in case", a.name, b.name))
			}
			if a.route != nil && b.route != nil && a.route.conflicts(b.route) {
				errs = append(errs, fmt.Errorf("functions %s and %s share the route %q", a.name, b.name, a.route.template))
			}
		}
	}
	return errs
}

// loadFunction reads one folder. It returns nil for a folder that is not a function's.
func loadFunction(folder string, config hostConfig, env environment) (*function, error) {
	document, err := os.ReadFile(filepath.Join(folder, "function.json"))
	if errors.Is(err, os.ErrNotExist) {
		if nested, _ := filepath.Glob(filepath.Join(folder, "*", "function.json")); len(nested) > 0 {
			return nil, fmt.Errorf("holds %d function folders: the host finds them only directly below the app root", len(nested))
		}
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading function.json: %w", err)
	}
	name := filepath.Base(folder)
	if !regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,127}$`).MatchString(name) || strings.EqualFold(name, "host") {
		return nil, errors.New("is not a valid function name")
	}
	var file functionFile
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		return nil, fmt.Errorf("parsing function.json: %w", err)
	}
	fn := &function{name: name}
	return fn, errors.Join(
		checkFiles(folder, file.ScriptFile),
		fn.bind(file.Bindings),
		fn.prepare(config, env),
		fn.setDisabled(file.Disabled, env),
		fn.setRetry(file.Retry, config),
	)
}

// checkFiles guards against the host taking a stray file in the folder for a script and guessing a language.
func checkFiles(folder, scriptFile string) error {
	if scriptFile != "" {
		if !exists(filepath.Join(folder, scriptFile)) {
			return fmt.Errorf("scriptFile %s does not exist", scriptFile)
		}
		return nil
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("reading folder: %w", err)
	}
	if len(entries) > 1 {
		return errors.New("holds more than function.json: the host may take the other file for a script")
	}
	return nil
}

// bind sorts the bindings into the trigger and the outputs.
func (fn *function) bind(bindings []binding) error {
	if len(bindings) == 0 {
		return errors.New("bindings are missing")
	}
	var errs []error
	names := map[string]bool{}
	for _, b := range bindings {
		if b.Name == "" || names[b.Name] {
			errs = append(errs, fmt.Errorf("a %s binding has no name of its own", b.Type))
		}
		names[b.Name] = true
		switch {
		case slices.Contains([]string{typeHTTPTrigger, typeTimerTrigger, typeQueueTrigger}, b.Type) && b.Direction == "in":
			if fn.trigger.Type != "" {
				errs = append(errs, errors.New("has more than one trigger"))
			}
			fn.trigger = b
		case slices.Contains([]string{typeHTTPOutput, typeQueueOutput}, b.Type) && b.Direction == "out":
			fn.outputs = append(fn.outputs, b)
		default:
			errs = append(errs, fmt.Errorf("binding type %q with direction %q is not supported", b.Type, b.Direction))
		}
	}
	if fn.trigger.Type == "" {
		errs = append(errs, errors.New("has no trigger"))
	}
	return errors.Join(errs...)
}

// prepare checks what the bindings say and resolves their settings.
func (fn *function) prepare(config hostConfig, env environment) error {
	var errs []error
	fail := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	var err error
	switch fn.trigger.Type {
	case typeHTTPTrigger:
		if fn.httpOutput() == nil {
			fail(errors.New("an httpTrigger needs an http output binding"))
		}
		fn.route, err = newRoute(fn, config.routePrefix, env)
		fail(err)
	case typeTimerTrigger:
		text, err := env.resolve(fn.trigger.Schedule)
		fail(err)
		if err == nil {
			fn.schedule, err = parseSchedule(text)
			fail(err)
		}
	case typeQueueTrigger:
		fail(fn.trigger.prepareQueue(env))
	}
	for i := range fn.outputs {
		if fn.outputs[i].Type == typeQueueOutput {
			fail(fn.outputs[i].prepareQueue(env))
		} else if fn.trigger.Type != typeHTTPTrigger {
			fail(errors.New("an http output needs an httpTrigger"))
		}
	}
	return errors.Join(errs...)
}

// prepareQueue resolves and checks a queue's name and connection.
func (b *binding) prepareQueue(env environment) error {
	name, err := env.resolve(b.QueueName)
	if err != nil {
		return err
	}
	b.QueueName = strings.ToLower(name)
	b.Connection = cmp.Or(b.Connection, "AzureWebJobsStorage")
	valid := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`).MatchString(b.QueueName)
	if !valid || len(b.QueueName) < 3 || len(b.QueueName) > 63 {
		return fmt.Errorf("%q is not a queue name", b.QueueName)
	}
	return nil
}

func (fn *function) httpOutput() *binding {
	for i := range fn.outputs {
		if fn.outputs[i].Type == typeHTTPOutput {
			return &fn.outputs[i]
		}
	}
	return nil
}

// plainHTTP reports whether requests of this function may be forwarded or proxied instead of enveloped: exactly one
// input and one output, both HTTP.
func (fn *function) plainHTTP() bool {
	return fn.trigger.Type == typeHTTPTrigger && len(fn.outputs) == 1 && fn.outputs[0].Type == typeHTTPOutput
}

// setDisabled reads function.json's disabled (a boolean or the name of a setting) and the app setting
// AzureWebJobs.<name>.Disabled.
func (fn *function) setDisabled(raw json.RawMessage, env environment) error {
	truthy := func(setting string) bool {
		value, _ := env.lookup(setting)
		on, _ := strconv.ParseBool(strings.ToLower(value))
		return on
	}
	fn.disabled = truthy("AzureWebJobs." + fn.name + ".Disabled")
	if len(raw) == 0 {
		return nil
	}
	var flag bool
	if json.Unmarshal(raw, &flag) == nil {
		fn.disabled = fn.disabled || flag
		return nil
	}
	var setting string
	if err := json.Unmarshal(raw, &setting); err != nil {
		return fmt.Errorf("disabled is neither a boolean nor the name of a setting: %w", err)
	}
	fn.disabled = fn.disabled || truthy(strings.Trim(setting, "%"))
	return nil
}

// setRetry takes the function's own policy or the app's.
func (fn *function) setRetry(raw json.RawMessage, config hostConfig) error {
	if fn.trigger.Type == typeTimerTrigger {
		fn.retry = config.retry
	}
	if len(raw) == 0 {
		return nil
	}
	if fn.trigger.Type != typeTimerTrigger {
		return errors.New("a retry policy is supported on timer triggers only")
	}
	flat, err := flatten([]byte(`{"retry":` + string(raw) + `}`))
	if err != nil {
		return fmt.Errorf("retry: %w", err)
	}
	r := &settingReader{flat: flat}
	fn.retry = r.retry()
	if fn.retry == nil {
		r.fail("retry:strategy", errors.New("is required"))
	}
	return errors.Join(r.errs...)
}
