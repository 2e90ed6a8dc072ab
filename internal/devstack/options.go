package devstack

import (
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/latency"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/throttle"
)

// Options of a stack. The zero value is a hub without devices and one handler, all on free ports, forgotten by Close.
type Options struct {
	// Devices is the size of the simulated fleet: dev-000001 and so on, see package fleetsim for their tags.
	Devices int
	// Hubs is how many hubs there are, default 1; each has a fleet of that size, with the same ids. MQTT devices, Faults, HubJobs and
	// the ports are the first one's.
	Hubs int
	// MQTTDevices is how many devices run in this process and speak real MQTT: simDevice, simDevice-2 and so on, with the
	// tags building 1, floor 1, protocol mqtt.
	MQTTDevices int
	// Port is that of the HTTP API, TLSPort that of the same by HTTPS, HubPort that of the hub's HTTPS, MQTTPort that of the
	// hub's MQTT; all on 127.0.0.1, 0 for a free one.
	Port, TLSPort, HubPort, MQTTPort int
	// PassThrough has the app pass the rest of the hub's API on to the hub, with all of the hub's permissions.
	PassThrough bool
	// CORS are the origins of web pages that may call the API, "*" for all; nil is what local.settings.json in the app says.
	CORS []string
	// Instances is how many handler processes run behind the one API, default 1.
	Instances int
	// DataDir keeps storage, keys and timers between runs; "" forgets them. The hub always begins anew, and jobs are kept
	// by hub name, which holds HubPort: give that a fixed value.
	DataDir string
	// ApplyAfter is how long devices take to do what is desired and report it.
	ApplyAfter time.Duration
	// OfflineShare, FailShare and SilentShare of the fleet are not connected, answer methods with status 500, never answer.
	OfflineShare, FailShare, SilentShare float64
	// Latency is how long devices of the fleet take to answer a method.
	Latency latency.Distribution
	// Throttle are the tier and units whose limits the hub enforces, TimeScale is how much faster its clock runs, and HubJobs
	// switches its own engine for scheduled jobs on: see hubsim.Options.
	Throttle  throttle.Options
	TimeScale float64
	HubJobs   bool
	// HostNames are further names of the hub, and of the certificate that hub and app share: see hubsim.Options.
	HostNames []string
	// Faults is what goes wrong in the hub on purpose; Stack.Hub.SetFaults changes it later.
	Faults fault.Plan
	// Journal makes the hub remember each call of a device: see hubsim.Server.Calls.
	Journal bool
	// AppRoot is a packaged app. "": dist/app of the repository around the current folder, built first when it is missing
	// or older than its sources.
	AppRoot string
	// StorageConnectionString is used instead of an Azurite of its own, such as one behind a fault proxy.
	StorageConnectionString string
	// SettingsOverrides are app settings, on top of those that the stack makes. An empty value takes a setting away.
	SettingsOverrides map[string]string
	// Log receives what the parts have to say; default: nothing is logged.
	Log *slog.Logger
	// HandlerOutput receives what the handlers print; default: the log.
	HandlerOutput io.Writer
	// DeviceOutput receives what the MQTT devices print, each line with the device's name; default: nowhere.
	DeviceOutput io.Writer
	// Progress receives lines about what takes long: downloads and builds; default: nowhere.
	Progress io.Writer
}

// maxHubs is how many hubs the app takes.
const maxHubs = 20

func (o Options) withDefaults() (Options, error) {
	if o.Devices < 0 || o.MQTTDevices < 0 || o.Instances < 0 || o.Hubs < 0 || o.Hubs > maxHubs {
		return o, errors.New("devices, MQTT devices, hubs and instances must not be negative, and hubs not more than 20")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	for _, w := range []*io.Writer{&o.DeviceOutput, &o.Progress} {
		if *w == nil {
			*w = io.Discard
		}
	}
	if o.HandlerOutput == nil {
		o.HandlerOutput = slog.NewLogLogger(o.Log.With("part", "handler").Handler(), slog.LevelInfo).Writer()
	}
	o.Instances = max(o.Instances, 1)
	return o, nil
}
