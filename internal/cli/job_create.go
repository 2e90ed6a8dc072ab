package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"flag"
	"strings"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

func jobCreateEntry() entry {
	return entry{
		name: "job create", summary: "schedule a job, from flags or from a JSON or YAML file",
		text: `
A job does one thing, to the devices that it selects:
  --method               calls a direct method on each device, or
  --desired, --tags      update the device twins (merge patches: null deletes a key; both may be given).
The devices are those that match --query, the WHERE part of an IoT Hub twin query ('*' for all), or the ones named by
--device and --devices-file. The service answers at once; the job runs there, whether or not this program waits for it.

With --id, or a jobId in the file, the same command may be repeated: it never creates a second job. (A --start relative to now
makes it another job each time, which the service then refuses.) Without, the service makes the id.`,
		example: `
# reboot every device of a building, now, and wait for the end
fleetjobs job create --method reboot --query "tags.building = 43" --watch

# the jobs of Microsoft's tutorial: lock the door in 20 seconds, set properties in 10
fleetjobs job create --id lock-1 --method lockDoor --payload '{"lockTime":"10m"}' --device simDevice --start +20s
fleetjobs job create --id move-1 --desired '{"building":43,"floor":3}' --device simDevice --start +10s

# every night at two, in Berlin, until it is cancelled
fleetjobs job create --id nightly --method reboot --query "tags.building = 43" --cron "0 2 * * *" --time-zone Europe/Berlin

# how many devices would it reach? nothing is created
fleetjobs job create --method reboot --query "tags.building = 43 AND STARTSWITH(deviceId, 'door')" --validate

# ten at first, then the others, a hundred a minute
fleetjobs job create --method reboot --query '*' --batch 10 --rate 100

# at two of the deployment's hubs, at the same time
fleetjobs job create --method reboot --query "tags.ring = 'pilot'" --hub plant-a --hub plant-b

# of a template, see 'fleetjobs help template put'
fleetjobs job create --template lock-building -p building=43 -p lockTime=20m --start +1h

# an IoT Hub job as JSON, from a file or from standard input; as YAML from a file
fleetjobs job create -f job.json
fleetjobs job create -f job.yaml
jq '.startTime = "2027-01-01T00:00:00Z"' job.json | fleetjobs job create -f -`,
		make: func(m *Main) command { return &jobCreate{m: m, connection: connection{m: m}} },
	}
}

type jobCreate struct {
	m *Main
	connection
	follow

	file, id, key      string
	method, payload    string
	responseTimeout    time.Duration
	connectTimeout     time.Duration
	desired, tags      string
	confirmWithin      time.Duration
	query, devicesFile string
	devices, hubs      []string
	start              string
	scheduleFlags
	maxTime  time.Duration
	callback string
	failureFlags
	validate bool
	rollout  rolloutFlags
	of       templateFlags

	given map[string]bool // the flags on the command line
	fs    *flag.FlagSet
}

func (c *jobCreate) flags(fs *flag.FlagSet) {
	c.fs = fs
	fs.StringVar(&c.file, "f", "", "`file` with the job as JSON, or as YAML if its name ends so, - for JSON on standard input; instead of the flags that describe a job")
	fs.StringVar(&c.id, "id", "", "`id` of the job: up to 64 letters, digits and -")
	fs.StringVar(&c.method, "method", "", "`name` of the direct method to call")
	fs.StringVar(&c.payload, "payload", "", "the method's payload: any `JSON`, or @file")
	spanVar(fs, &c.responseTimeout, "response-timeout", "how long a device may take to answer, as in 30s: 5s to 300s, 30s unless given")
	spanVar(fs, &c.connectTimeout, "connect-timeout", "how long to wait for a device that is offline, up to 300s; unless given it fails at once")
	fs.StringVar(&c.desired, "desired", "", "patch of the desired properties: a `JSON` object, or @file")
	spanVar(fs, &c.confirmWithin, "confirm-within", "wait so `long` until each device reports what --desired sets; else it times out")
	fs.StringVar(&c.tags, "tags", "", "patch of the tags: a `JSON` object, or @file")
	fs.StringVar(&c.query, "query", "", "`condition` that selects the devices, '*' for all")
	fs.Func("device", "`id` of a device to do it on; may be repeated", func(id string) error {
		c.devices = append(c.devices, id)
		return nil
	})
	fs.Func("hub", "`name` of a hub to do it at, or all; may be repeated; the default hub unless given", func(hub string) error {
		c.hubs = append(c.hubs, hub)
		return nil
	})
	fs.StringVar(&c.devicesFile, "devices-file", "", "`file` with a device id on each line, - for standard input")
	fs.StringVar(&c.start, "start", "", "`when` to begin: 2027-01-31T04:00:00Z, or from now as in +20s, +90m; at once unless given")
	c.scheduleFlags.flags(fs)
	spanVar(fs, &c.maxTime, "max-time", "how long after its start the job, or each of its runs, may still begin calls, as in 2h; no limit unless given")
	fs.StringVar(&c.callback, "callback-url", "", "`URL` that is called when the job has ended")
	c.failureFlags.flags(fs)
	fs.BoolVar(&c.validate, "validate", false, "only check the job and show which devices it would reach now")
	fs.StringVar(&c.key, "idempotency-key", "", "`text` that makes repeating this command harmless when the service makes the id; a new one each time unless given")
	c.follow.flags(fs, "print the service's answer as JSON")
	c.rollout.flags(fs)
	c.of.flags(fs)
	c.connection.flags(fs)
}

func (c *jobCreate) run(ctx context.Context, args []string) error {
	if err := noArgs("job create", args); err != nil {
		return err
	}
	c.given = map[string]bool{}
	c.fs.Visit(func(f *flag.Flag) { c.given[f.Name] = true })
	id, body, err := c.definition()
	if err != nil {
		return err
	}
	api, err := c.open()
	if err != nil {
		return err
	}
	defer api.Close()
	if body, err = c.of.fill(ctx, api, body); err != nil {
		return err
	}
	if c.validate {
		return c.preview(ctx, api, body)
	}
	job, err := c.store(ctx, api, id, body)
	if err != nil {
		return err
	}
	return c.made(ctx, c.m, api, job)
}

func (c *jobCreate) store(ctx context.Context, api *client.Client, id string, body []byte) (*client.Job, error) {
	if id != "" {
		return api.Create(ctx, id, body)
	}
	key := c.key
	if key == "" {
		key = rand.Text()
	}
	return api.CreateNew(ctx, key, body)
}

func (c *jobCreate) preview(ctx context.Context, api *client.Client, body []byte) error {
	preview, err := api.Validate(ctx, body)
	if err != nil {
		return err
	}
	if c.json {
		return c.m.printJSON(preview.Raw)
	}
	c.m.warn(preview.Warnings)
	if n := len(preview.NextRunTimes); n > 0 {
		c.m.printf("it would run at %s\n", runTimes(preview.NextRuns, n))
	}
	switch n := preview.DeviceCount; {
	case n == 0:
		c.m.printf("the job is valid; no device matches now\n")
	case n == len(preview.FirstDeviceIDs):
		c.m.printf("the job is valid; it would reach %s now: %s\n", devices(n), plain(strings.Join(preview.FirstDeviceIDs, ", ")))
	default:
		c.m.printf("the job is valid; it would reach %s now, the first of them: %s\n", devices(n), plain(strings.Join(preview.FirstDeviceIDs, ", ")))
	}
	return nil
}

// definition gives the job's id, "" when the service is to make it, and its JSON.
func (c *jobCreate) definition() (id string, body []byte, err error) {
	if c.file != "" {
		return c.fromFile()
	}
	def, err := c.fromFlags()
	if err != nil {
		return "", nil, err
	}
	if body, err = json.Marshal(def); err != nil {
		return "", nil, usagef(tryHelp("job create"), "the job cannot be written as JSON: %s", err)
	}
	return c.id, body, c.checkKey(c.id)
}

func (c *jobCreate) checkKey(id string) error {
	if id != "" && c.key != "" {
		return usagef("leave it out: with an id, repeating the command is harmless anyway", "--idempotency-key does not go with an id")
	}
	return nil
}

// fromFile takes the job from a file, as it is: the service judges it.
func (c *jobCreate) fromFile() (id string, body []byte, err error) {
	for _, name := range append(failureFlagNames(),
		"method", "payload", "response-timeout", "connect-timeout", "desired", "confirm-within", "tags", "query", "device", "devices-file",
		"start", "max-time", "callback-url", "cron", "every", "time-zone", "overlap", "runs", "jitter",
		"window", "window-for", "window-time-zone", "window-end", "rate", "max-concurrency", "max-devices", "batch", "priority", "exclusive",
	) {
		if c.given[name] {
			return "", nil, usagef("put it into the file", "--%s does not go with -f", name)
		}
	}
	if body, err = c.m.readJSON(c.file, "a job"); err != nil {
		return "", nil, err
	}
	var named struct {
		JobID string `json:"jobId"`
	}
	if err := json.Unmarshal(body, &named); err != nil {
		return "", nil, usagef("it must hold a job as one JSON object", "-f %s: %s", c.file, err)
	}
	id = c.id
	if id == "" {
		id = named.JobID
	}
	return id, body, c.checkKey(id)
}
