package localhost

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// hostConfig is what this stand-in uses of host.json.
// See https://learn.microsoft.com/azure/azure-functions/functions-host-json.
type hostConfig struct {
	executable      string
	arguments       []string
	workingDir      string
	stderrIsErrors  bool
	forwarding      bool
	proxying        bool
	initTimeout     time.Duration
	functionTimeout time.Duration // 0 = unlimited
	routePrefix     string
	queues          queueConfig
	allowList       []string // nil = all functions
	retry           *retryPolicy
}

// queueConfig is host.json's extensions.queues.
type queueConfig struct {
	batchSize         int
	newBatchThreshold int
	maxDequeueCount   int64
	visibilityTimeout time.Duration
	maxPolling        time.Duration
	base64            bool
}

// Defaults and bounds of the real host.
const (
	defaultInitTimeout     = 30 * time.Second
	defaultFunctionTimeout = 30 * time.Minute
	minFunctionTimeout     = time.Second
	maxBatchSize           = 32
	minPolling             = 100 * time.Millisecond
)

// settingReader reads typed values of a flattened host.json and collects everything that is wrong.
type settingReader struct {
	flat map[string]string
	errs []error
}

func (r *settingReader) fail(key string, err error) {
	r.errs = append(r.errs, fmt.Errorf("%s: %w", key, err))
}

func (r *settingReader) boolean(key string, fallback bool) bool {
	text, ok := r.flat[key]
	if !ok {
		return fallback
	}
	value, err := strconv.ParseBool(strings.ToLower(text))
	if err != nil {
		r.fail(key, fmt.Errorf("%q is not true or false", text))
	}
	return value
}

func (r *settingReader) integer(key string, fallback, low, high int) int {
	text, ok := r.flat[key]
	if !ok {
		return fallback
	}
	value, err := strconv.Atoi(text)
	if err != nil || value < low || value > high {
		r.fail(key, fmt.Errorf("%q is not a whole number from %d to %d", text, low, high))
	}
	return value
}

func (r *settingReader) span(key string, fallback time.Duration) time.Duration {
	text, ok := r.flat[key]
	if !ok {
		return fallback
	}
	value, err := timeSpan(text)
	if err == nil && value < 0 {
		err = fmt.Errorf("%q is negative", text)
	}
	if err != nil {
		r.fail(key, err)
	}
	return value
}

// list reads an array, or a JSON array in one string as app settings override it.
func (r *settingReader) list(key string) []string {
	if text, ok := r.flat[key]; ok {
		var items []string
		if err := json.Unmarshal([]byte(text), &items); err != nil {
			r.fail(key, fmt.Errorf("%q is not a JSON array of strings", text))
		}
		return items
	}
	var items []string
	for i := 0; ; i++ {
		item, ok := r.flat[key+":"+strconv.Itoa(i)]
		if !ok {
			return items
		}
		items = append(items, item)
	}
}

// loadHostConfig reads host.json of an app root and applies the overrides of the environment.
func loadHostConfig(root string, env environment) (hostConfig, error) {
	document, err := os.ReadFile(filepath.Join(root, "host.json"))
	if err != nil {
		return hostConfig{}, fmt.Errorf("reading host.json: %w", err)
	}
	flat, err := flatten(document)
	if err != nil {
		return hostConfig{}, fmt.Errorf("reading host.json: %w", err)
	}
	env.override(flat)
	r := &settingReader{flat: flat}
	for key := range flat {
		if !knownSetting(key) {
			r.fail(key, errors.New("unknown setting"))
		}
	}
	if flat["version"] != "2.0" {
		r.fail("version", fmt.Errorf("%q is not \"2.0\"", flat["version"]))
	}
	config := hostConfig{
		stderrIsErrors:  r.boolean("customhandler:description:usestderrorstreamforerrorsonly", true),
		forwarding:      r.boolean("customhandler:enableforwardinghttprequest", false),
		proxying:        r.boolean("customhandler:enableproxyinghttprequest", false),
		initTimeout:     r.span("customhandler:initializationtimeout", defaultInitTimeout),
		functionTimeout: r.functionTimeout(),
		routePrefix:     "api",
		allowList:       r.list("functions"),
		queues:          r.queues(),
		retry:           r.retry(),
	}
	if prefix, ok := flat["extensions:http:routeprefix"]; ok {
		config.routePrefix = strings.Trim(prefix, "/")
	}
	r.process(&config, root, env)
	if err := errors.Join(r.errs...); err != nil {
		return hostConfig{}, fmt.Errorf("host.json: %w", err)
	}
	return config, nil
}

// functionTimeout reads functionTimeout: 30 minutes as on Flex Consumption, 0 for the unbounded "-1".
func (r *settingReader) functionTimeout() time.Duration {
	if r.flat["functiontimeout"] == "-1" {
		return 0
	}
	timeout := r.span("functiontimeout", defaultFunctionTimeout)
	if timeout < minFunctionTimeout && len(r.errs) == 0 {
		r.fail("functiontimeout", fmt.Errorf("%s is shorter than %s", timeout, minFunctionTimeout))
	}
	return timeout
}

func (r *settingReader) queues() queueConfig {
	const base = "extensions:queues:"
	config := queueConfig{
		batchSize:         r.integer(base+"batchsize", 16, 1, maxBatchSize),
		maxDequeueCount:   int64(r.integer(base+"maxdequeuecount", 5, 1, 1_000_000)),
		visibilityTimeout: r.span(base+"visibilitytimeout", 0),
		maxPolling:        max(minPolling, r.span(base+"maxpollinginterval", time.Minute)),
	}
	config.newBatchThreshold = r.integer(base+"newbatchthreshold", config.batchSize/2*runtime.NumCPU(), 0, 10_000)
	switch encoding := strings.ToLower(cmp.Or(r.flat[base+"messageencoding"], "base64")); encoding {
	case "base64":
		config.base64 = true
	case "none":
	default:
		r.fail(base+"messageencoding", fmt.Errorf("%q is neither none nor base64", encoding))
	}
	return config
}

// process reads customHandler.description: what to run, with which arguments, where.
func (r *settingReader) process(config *hostConfig, root string, env environment) {
	const base = "customhandler:description:"
	config.executable = r.expand(env, base+"defaultexecutablepath", r.flat[base+"defaultexecutablepath"])
	config.workingDir = cmp.Or(r.flat[base+"workingdirectory"], root)
	if !filepath.IsAbs(config.workingDir) {
		config.workingDir = filepath.Join(root, config.workingDir)
	}
	config.arguments = r.arguments(env)
	if config.executable == "" {
		r.fail(base+"defaultexecutablepath", errors.New("is required"))
		return
	}
	if !filepath.IsAbs(config.executable) {
		if local := filepath.Join(root, config.executable); exists(local) {
			config.executable = local
		}
	}
}

// arguments joins the arguments with single spaces and splits them again, since the real host never quotes them.
func (r *settingReader) arguments(env environment) []string {
	const key = "customhandler:description:arguments"
	var expanded []string
	for _, argument := range r.list(key) {
		if strings.ContainsAny(argument, `"'`) {
			r.fail(key, fmt.Errorf("%s: quotes are not supported", argument))
		}
		if value, err := env.resolve(argument); err == nil {
			expanded = append(expanded, value) // the host drops arguments whose variable is not set
		}
	}
	return strings.Fields(strings.Join(expanded, " "))
}

func (r *settingReader) expand(env environment, key, text string) string {
	value, err := env.resolve(text)
	if err != nil {
		r.fail(key, err)
	}
	return value
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// knownSetting reports whether the host has a setting of this (flattened) name. Settings of parts that have no
// effect on a custom handler's contract are known and ignored.
func knownSetting(key string) bool {
	section, rest, nested := strings.Cut(key, ":")
	switch section {
	case "version", "functiontimeout", "telemetrymode":
		return !nested
	case "logging", "extensionbundle", "healthmonitor", "aggregator", "singleton", "concurrency", "watchdirectories",
		"watchfiles", "functions", "retry":
		return true
	case "customhandler":
		rest = strings.TrimPrefix(rest, "description:")
		name, _, _ := strings.Cut(rest, ":")
		return slices.Contains([]string{
			"defaultexecutablepath", "arguments", "workingdirectory", "usestderrorstreamforerrorsonly",
			"enableforwardinghttprequest", "enableproxyinghttprequest", "initializationtimeout",
		}, name)
	case "extensions":
		extension, name, _ := strings.Cut(rest, ":")
		if extension == "queues" {
			return slices.Contains([]string{
				"batchsize", "newbatchthreshold", "maxdequeuecount", "visibilitytimeout", "maxpollinginterval", "messageencoding",
			}, name)
		}
		return extension != "http" || name == "routeprefix"
	}
	return false
}
