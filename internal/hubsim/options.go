package hubsim

import (
	"iter"
	"log/slog"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/registry"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/throttle"
	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

// Fleet is where the devices of the start come from.
type Fleet interface {
	// Presets yields every device once.
	Presets() iter.Seq[registry.Preset]
}

// Devices is a Fleet of its own members.
type Devices []registry.Preset

// Presets implements Fleet.
func (d Devices) Presets() iter.Seq[registry.Preset] {
	return func(yield func(registry.Preset) bool) {
		for _, p := range d {
			if !yield(p) {
				return
			}
		}
	}
}

// Envelope is a form of error bodies for direct methods; all three have been seen from the service.
type Envelope uint8

const (
	// Nested is a JSON object as text inside Message.
	Nested Envelope = iota
	// Flat is the same object as the body itself.
	Flat
	// Classic is Message "ErrorCode:<name>;<text>", as everywhere else.
	Classic
)

// Options of the simulator. The zero value is a hub without devices and faults on free ports of 127.0.0.1.
type Options struct {
	// HTTPPort and MQTTPort are the ports on 127.0.0.1; 0 is any free one.
	HTTPPort, MQTTPort int
	// HostNames are further names of the hub, such as "myhub.azure-devices.net", for tokens and the certificate.
	HostNames []string
	// CAFile is where the authority's certificate is written; default a temporary file that Close removes.
	CAFile string
	// Secret is what all keys are made from; default random. A fixed one keeps connection strings valid across restarts.
	Secret []byte

	// Fleet are the devices to begin with; nil is none.
	Fleet Fleet
	// Faults is the fault plan to begin with.
	Faults fault.Plan
	// Throttle are the tier and the units whose limits the hub enforces; the zero value enforces none.
	Throttle throttle.Options
	// Jobs switches the hub's own engine for scheduled jobs on (/jobs/v2). Its pace and the number of active jobs are those of
	// Throttle.Tier; without a tier nothing limits them.
	Jobs bool
	// JobSettle is how long a new job is queued, and then scheduled, by the hub's clock, before it can start; default 1 s.
	JobSettle time.Duration
	// TimeScale makes the clock of meters and jobs run so much faster than the real one, so that slow tiers need not be waited for;
	// default 1. Devices and the timeouts of methods stay as they are.
	TimeScale float64
	// Now is the real clock that the hub's own begins from; default time.Now.
	Now func() time.Time
	// Journal records what reaches each device, see [Server.Calls]. It grows with every call, about 100 bytes each.
	Journal bool

	// PageCap is the greatest number of rows of a query page; default 100, as the service.
	PageCap int
	// IndexLag is how long the index that queries read is behind; default 0. The service says seconds, and up to 30 minutes.
	IndexLag time.Duration
	// Query switches open rules of the query language.
	Query twinquery.Options
	// LenientQueries accepts functions and syntax that the documentation does not have, instead of 400.
	LenientQueries bool

	// Bearer accepts Entra ID tokens. Only their audience and expiry are checked, not their signature.
	Bearer bool
	// MethodErrors is the form of error bodies of direct methods; default Nested.
	MethodErrors Envelope
	// NewOfflineText words 404103 as the service did in 2026 instead of "Timed out waiting for device to connect."
	NewOfflineText bool
	// RawBadAnswers passes a device's answer that is not JSON on as it is, instead of 502: both have been reported.
	RawBadAnswers bool

	// Logger gets what an operator must know; default slog.Default(). Requests are not logged.
	Logger *slog.Logger
}

const defaultPageCap = 100

func (o Options) withDefaults() Options {
	if o.PageCap <= 0 {
		o.PageCap = defaultPageCap
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}
