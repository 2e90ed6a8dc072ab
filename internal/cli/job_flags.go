package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

// fromFlags makes a job of the flags. It refuses what it cannot express; all other rules are the service's.
func (c *jobCreate) fromFlags() (*client.Definition, error) {
	def := &client.Definition{JobID: c.id, QueryCondition: c.query, Hubs: c.hubs}
	if c.given["callback-url"] {
		def.Notifications = &client.Notifications{CallbackURL: c.callback}
	}
	for _, step := range []func(*client.Definition) error{c.operation, c.target, c.times, c.rollout.apply, c.failures} {
		if err := step(def); err != nil {
			return nil, err
		}
	}
	return def, nil
}

func (c *jobCreate) operation(def *client.Definition) error {
	twin := c.given["desired"] || c.given["tags"]
	switch {
	case c.given["confirm-within"] && !c.given["desired"]:
		return usagef("give both", "--confirm-within goes with --desired only")
	case c.of.template != "" && c.method == "" && !twin:
		return nil
	case c.method == "" && !twin:
		return usagef(tryHelp("job create"), "what is the job to do? give --method, or --desired and --tags, or a file with -f")
	case c.method != "" && twin:
		return usagef("create two jobs", "--method does not go with --desired and --tags: a job does one thing")
	case twin:
		return c.twin(def)
	}
	payload, err := c.jsonFlag("payload", c.payload)
	if err != nil {
		return err
	}
	def.Type = client.TypeMethod
	def.Method = &client.Method{Name: c.method, Payload: payload}
	if def.Method.ResponseTimeoutInSeconds, err = seconds("response-timeout", c.responseTimeout); err != nil {
		return err
	}
	def.Method.ConnectTimeoutInSeconds, err = seconds("connect-timeout", c.connectTimeout)
	return err
}

func (c *jobCreate) twin(def *client.Definition) error {
	for _, name := range []string{"payload", "response-timeout", "connect-timeout"} {
		if c.given[name] {
			return usagef(tryHelp("job create"), "--%s goes with --method only", name)
		}
	}
	desired, err := c.jsonFlag("desired", c.desired)
	if err != nil {
		return err
	}
	within, err := isoSeconds("confirm-within", c.confirmWithin)
	if err != nil {
		return err
	}
	if within != "" {
		def.Confirm = &client.Confirm{Within: within}
	}
	tags, err := c.jsonFlag("tags", c.tags)
	if err != nil {
		return err
	}
	def.Type = client.TypeTwin
	def.UpdateTwin = &client.TwinUpdate{Tags: tags}
	if desired != nil {
		def.UpdateTwin.Properties = &client.TwinProperties{Desired: desired}
	}
	return nil
}

func (c *jobCreate) target(def *client.Definition) error {
	listed := len(c.devices) > 0 || c.devicesFile != ""
	switch {
	case listed && c.given["query"]:
		return usagef("give one of both", "--query does not go with --device and --devices-file")
	case !listed && !c.given["query"] && c.of.template != "":
		return nil
	case !listed && !c.given["query"]:
		return usagef("give --query '*' for all, --query with a condition, --device or --devices-file", "which devices?")
	}
	def.DeviceIDs = c.devices
	if c.devicesFile == "" {
		return nil
	}
	text, err := c.m.readInput(c.devicesFile)
	if err != nil {
		return usagef("it must hold a device id on each line", "--devices-file: %s", err)
	}
	for line := range strings.Lines(string(text)) {
		if id := strings.TrimSpace(line); id != "" {
			def.DeviceIDs = append(def.DeviceIDs, id)
		}
	}
	if len(def.DeviceIDs) == 0 {
		return usagef("it must hold a device id on each line", "--devices-file %s names no device", c.devicesFile)
	}
	return nil
}

func (c *jobCreate) times(def *client.Definition) error {
	start, err := startTime(c.start, c.m.Now())
	if err != nil {
		return err
	}
	def.StartTime = start
	if def.Schedule, err = c.schedule(); err != nil {
		return err
	}
	if def.MaintenanceWindow, err = c.maintenanceWindow(); err != nil {
		return err
	}
	limit, err := seconds("max-time", c.maxTime)
	def.MaxExecutionTimeInSeconds = int64(limit)
	return err
}

// startTime reads an instant, or a distance from now.
func startTime(text string, now time.Time) (time.Time, error) {
	if text == "" || text == "now" {
		return time.Time{}, nil
	}
	if relative, ok := strings.CutPrefix(text, "+"); ok {
		if d, err := time.ParseDuration(relative); err == nil && d >= 0 {
			return now.Add(d).UTC().Round(time.Millisecond), nil
		}
	} else if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at.UTC(), nil
	}
	return time.Time{}, usagef("give an instant like 2027-01-31T04:00:00Z or 2027-01-31T04:00:00+01:00, or a time from now like +20s or +1h30m",
		"--start %q is no time", text)
}

func seconds(flag string, d time.Duration) (int, error) {
	if d < 0 || d%time.Second != 0 {
		return 0, usagef("give a number with a unit, such as 30s or 5m", "--%s %s is not a whole number of seconds", flag, d)
	}
	return int(d / time.Second), nil
}

// jsonFlag reads JSON from a flag's value, or from the file that @ names.
func (c *jobCreate) jsonFlag(name, value string) (json.RawMessage, error) {
	if !c.given[name] {
		return nil, nil
	}
	text := []byte(value)
	if path, ok := strings.CutPrefix(value, "@"); ok {
		var err error
		if text, err = c.m.readInput(path); err != nil {
			return nil, usagef("after @ comes the path of a JSON file", "--%s: %s", name, err)
		}
	}
	text = bytes.TrimSpace(text)
	var any json.RawMessage
	if err := json.Unmarshal(text, &any); err != nil {
		return nil, usagef(fmt.Sprintf(`a text needs quotes of its own: --%s '"text"'`, name), "--%s is not JSON: %s", name, err)
	}
	return text, nil
}

// readInput reads a file below the current folder, or standard input for "-".
func (m *Main) readInput(path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(m.Stdin)
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(m.Dir, path)
	}
	return os.ReadFile(path)
}
