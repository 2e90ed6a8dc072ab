package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/fleetjobs/fleetjobs/internal/devstack"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/registry"
)

func devEntry() entry {
	return entry{
		name: "dev", summary: "run a whole deployment on this machine, with simulated devices",
		text: `
It starts Azurite (Table and Queue Storage), the IoT Hub simulator with a fleet of simulated devices, devices that speak
real MQTT (simDevice is the first), and the app from dist/app in a local Functions host; dist/app is built when it is
missing or older than its sources. The first start on a machine downloads Azurite from npm.

While it runs, .fleetjobs/dev.env in the current folder holds what other programs need: FLEETJOBS_URL and FLEETJOBS_KEY
of the app, which the job commands find by themselves; FLEETJOBS_APPROVER_KEY, a second key, since who created a job cannot
approve its batches; FLEETJOBS_CONNECTION_STRING, with which IoT Hub's SDKs talk to the app, and FLEETJOBS_HTTPS_URL;
IOTHUB_CONNECTION_STRING, IOTHUB_CA_FILE and IOTHUB_MQTT of the hub; and AZURE_STORAGE_CONNECTION_STRING.
.fleetjobs/dev.log has what the parts say. App settings that this environment holds count too, but not those of storage, hub,
retention, events and telemetry, which --setting gives (docs/environment.md has all of them).

Ctrl-C stops everything; a second one does so at once. No process is left behind, not even after kill -9.`,
		example: `
fleetjobs dev
fleetjobs dev --devices 10000 --latency "lognormal(80ms,0.6,5s)" --offline 0.02 --fail 0.01

# keep jobs and keys between runs
fleetjobs dev --data .fleetjobs/data

# two hubs, for jobs with --hub hub-1 --hub hub-2, or --hub all
fleetjobs dev --hubs 2

# ended jobs go after two hours, into Azurite's blobs
fleetjobs dev --setting FLEETJOBS_RETENTION=PT2H --setting FLEETJOBS_EXPORT_CONTAINER=ended-jobs

# two handler processes behind one address, all ports free ones
fleetjobs dev --instances 2 --port 0 --https-port 0 --hub-port 0 --mqtt-port 0

# in another terminal: the variables for any program
set -a; . .fleetjobs/dev.env; set +a
curl -H "x-functions-key: $FLEETJOBS_KEY" "$FLEETJOBS_URL/api/jobs"

# as another caller than the one who created the job
FLEETJOBS_KEY=$FLEETJOBS_APPROVER_KEY fleetjobs job approve careful --batch 2`,
		make: func(m *Main) command { return &dev{m: m, fleet: fleetFlags{devices: 1000}} },
	}
}

type dev struct {
	m             *Main
	fleet         fleetFlags
	tier          tierFlags
	mqttDevices   int
	outside       stringList
	origins       stringList
	settings      stringList
	port          int
	tlsPort       int
	hubPort       int
	mqttPort      int
	instances     int
	hubs          int
	data, app     string
	json, verbose bool
}

// The ports that dev and hub take unless told otherwise.
const (
	apiPort  = 7071 // as Core Tools
	tlsPort  = 7443
	hubPort  = 8443
	mqttPort = 8883 // as IoT Hub
)

func (c *dev) flags(fs *flag.FlagSet) {
	c.fleet.flags(fs)
	c.tier.flags(fs)
	fs.IntVar(&c.mqttDevices, "mqtt-devices", 1, "how `many` devices speak real MQTT: simDevice, simDevice-2, ...")
	fs.Var(&c.outside, "device", "`id` of a device to register that connects from outside, as 'fleetjobs device' does; may be repeated")
	fs.Var(&c.origins, "cors", "`origin` of web pages that may call the API, such as http://localhost:5173; may be repeated")
	fs.Var(&c.settings, "setting", "`NAME=VALUE` of an app setting, instead of what dev and this environment say; may be repeated")
	fs.IntVar(&c.port, "port", apiPort, "`port` of the HTTP API, 0 for a free one")
	fs.IntVar(&c.tlsPort, "https-port", tlsPort, "`port` of the same API by HTTPS, 0 for a free one")
	fs.IntVar(&c.hubPort, "hub-port", hubPort, "`port` of the hub's HTTPS, 0 for a free one")
	fs.IntVar(&c.mqttPort, "mqtt-port", mqttPort, "`port` of the hub's MQTT over TLS, 0 for a free one")
	fs.IntVar(&c.hubs, "hubs", 1, "how `many` hubs there are, each with a fleet of the same ids: hub-1, hub-2, ...")
	fs.IntVar(&c.instances, "instances", 1, "how `many` handler processes run behind the API")
	fs.StringVar(&c.data, "data", "", "`folder` that keeps storage and keys between runs; forgotten unless given")
	fs.StringVar(&c.app, "app", "", "packaged app to run: a `folder` like dist/app, which is the default")
	fs.BoolVar(&c.verbose, "verbose", false, "print what the parts say, instead of only keeping it in the log")
	fs.BoolVar(&c.json, "json", false, "print the variables as one line of JSON when everything runs")
}

func (c *dev) run(ctx context.Context, args []string) (err error) {
	if err := errors.Join(noArgs("dev", args), c.fleet.check(), c.tier.check()); err != nil {
		return err
	}
	settings, err := appSettings(c.settings)
	if err != nil {
		return err
	}
	logPath := filepath.Join(c.m.Dir, devLogPath)
	log, err := c.m.openLog(logPath, c.verbose)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	out := &lockedWriter{write: c.m.Stdout.Write}
	options := c.options(log)
	options.SettingsOverrides = settings
	if !c.json {
		options.Progress, options.DeviceOutput = out, out
	}
	stack, err := devstack.Start(ctx, options)
	if err != nil {
		return portHint(err)
	}
	defer func() { err = errors.Join(err, stack.Close()) }()
	connections, err := c.register(stack)
	if err != nil {
		return err
	}
	forget, err := c.publish(stack)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, forget()) }()
	if err := c.show(out, stack, connections); err != nil {
		return err
	}
	if err := stack.Wait(ctx); err != nil {
		return fmt.Errorf("%w; its log is %s", err, logPath)
	}
	c.m.remark("stopping")
	return nil
}

func (c *dev) options(log io.Writer) devstack.Options {
	data := c.data
	if data != "" && !filepath.IsAbs(data) {
		data = filepath.Join(c.m.Dir, data)
	}
	return devstack.Options{
		Devices: c.fleet.devices, OfflineShare: c.fleet.offline, FailShare: c.fleet.fail, SilentShare: c.fleet.silent, ApplyAfter: c.fleet.applyAfter,
		Latency: c.fleet.latency, Throttle: c.tier.throttle, TimeScale: c.tier.scale, HubJobs: c.tier.jobs, MQTTDevices: c.mqttDevices, Instances: c.instances, Hubs: c.hubs,
		Port: c.port, TLSPort: c.tlsPort, CORS: c.origins, PassThrough: true, HubPort: c.hubPort, MQTTPort: c.mqttPort, DataDir: data, AppRoot: c.app,
		Log: slog.New(slog.NewTextHandler(log, nil)), HandlerOutput: log,
	}
}

// register adds the devices that connect from outside and gives their connection strings.
func (c *dev) register(stack *devstack.Stack) ([]string, error) {
	var connections []string
	for _, id := range c.outside {
		if err := stack.Hub.CreateDevice(registry.Preset{ID: id}); err != nil {
			return nil, err
		}
		connection, err := stack.Hub.DeviceConnectionString(id)
		if err != nil {
			return nil, err
		}
		connections = append(connections, connection)
	}
	return connections, nil
}

func variables(s *devstack.Stack) []variable {
	return []variable{
		{urlVariable, s.URL},
		{keyVariable, s.Key},
		{approverVariable, s.ApproverKey},
		{"FLEETJOBS_HTTPS_URL", s.TLSURL},
		{"FLEETJOBS_CONNECTION_STRING", s.ConnectionString},
		{"IOTHUB_CONNECTION_STRING", s.HubConnectionString},
		{"IOTHUB_CA_FILE", s.CAFile},
		{"IOTHUB_MQTT", s.MQTTAddr},
		{"AZURE_STORAGE_CONNECTION_STRING", s.StorageConnectionString},
	}
}

// publish writes dev.env. forget removes it again, unless another program has replaced it.
func (c *dev) publish(stack *devstack.Stack) (forget func() error, err error) {
	path := filepath.Join(c.m.Dir, devEnvPath)
	if err := writeEnvFile(path, variables(stack)); err != nil {
		return nil, err
	}
	return func() error {
		values, err := readEnvFile(path)
		if errors.Is(err, os.ErrNotExist) || err == nil && values[urlVariable] != stack.URL {
			return nil
		}
		if err = errors.Join(err, os.Remove(path)); err != nil {
			return fmt.Errorf("removing the environment file: %w", err)
		}
		return nil
	}, nil
}

func (c *dev) show(out io.Writer, s *devstack.Stack, connections []string) error {
	var b strings.Builder
	if c.json {
		values := map[string]string{}
		for _, v := range variables(s) {
			values[v.name] = v.value
		}
		return json.NewEncoder(out).Encode(values)
	}
	b.WriteString("\nfleetjobs runs on this machine.\n\n")
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		_, _ = fmt.Fprintf(w, "  %s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	line("HTTP API", "%s/api/jobs", s.URL)
	line("HTTPS", "%s, for IoT Hub's SDKs: see FLEETJOBS_CONNECTION_STRING", s.TLSURL)
	line("key", "%s (header x-functions-key)", s.Key)
	line("second key", "%s, of another caller: to approve batches", s.ApproverKey)
	line("IoT hub", "https://%s, %s simulated", s.Hub.HostName(), devices(c.fleet.devices))
	for _, h := range s.Further {
		line(h.Name, "https://%s, %s simulated", h.Hub.HostName(), devices(c.fleet.devices))
	}
	line("MQTT", "%s over TLS, %s connected", s.MQTTAddr, devices(c.mqttDevices))
	line("hub's CA", "%s", s.CAFile)
	line("storage", "Azurite; see AZURE_STORAGE_CONNECTION_STRING")
	line("variables", "%s", devEnvPath)
	line("log", devLogPath)
	_ = w.Flush()
	for _, connection := range connections {
		fmt.Fprintf(&b, "\n  fleetjobs device --ca-file %s --connection-string '%s'\n", s.CAFile, connection)
	}
	b.WriteString(`
Try, in another terminal in this folder:
  fleetjobs job create --method reboot --query "tags.building = 43" --watch
  fleetjobs job create --method lockDoor --payload '{"lockTime":"10m"}' --device simDevice --start +20s --watch
  fleetjobs job create --desired '{"building":43,"floor":3}' --device simDevice --start +10s --watch
  fleetjobs job list

Ctrl-C stops everything. What the MQTT devices print comes below.

`)
	_, err := io.WriteString(out, b.String())
	return err
}

// portHint adds what to do about a port that is taken.
func portHint(err error) error {
	if strings.Contains(err.Error(), "address already in use") {
		return usagef("stop what uses it (another 'fleetjobs dev'?), or choose other ports: --port, --https-port, --hub-port and --mqtt-port, 0 for free ones", "%s", err)
	}
	return err
}
