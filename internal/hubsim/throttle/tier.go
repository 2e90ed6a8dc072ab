package throttle

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Operation is a kind of request with an allowance of its own.
type Operation string

// The operations.
const (
	Methods     Operation = "methods"        // direct methods, in units of 4 KB of request payload
	TwinReads   Operation = "twinReads"      // by back ends and devices
	TwinUpdates Operation = "twinUpdates"    // by back ends and devices
	Queries     Operation = "queries"        // pages of device queries
	Registry    Operation = "registry"       // everything under /devices and /statistics
	JobCalls    Operation = "jobs"           // create, read, list and cancel jobs
	JobDevices  Operation = "jobDevices"     // devices that jobs work on
	Connections Operation = "newConnections" // devices that connect over MQTT
)

// Operations lists all operations.
func Operations() []Operation {
	return []Operation{Methods, TwinReads, TwinUpdates, Queries, Registry, JobCalls, JobDevices, Connections}
}

// Tier is the tier of a hub as IoT Hub names it, such as S1.
type Tier string

// The tiers. The basic ones have no methods, twins, queries and jobs.
const (
	F1 Tier = "F1"
	B1 Tier = "B1"
	B2 Tier = "B2"
	B3 Tier = "B3"
	S1 Tier = "S1"
	S2 Tier = "S2"
	S3 Tier = "S3"
)

// Tiers lists all tiers.
func Tiers() []Tier { return []Tier{F1, B1, B2, B3, S1, S2, S3} }

// ParseTier reads the name of a tier in any case; "" is no tier at all.
func ParseTier(text string) (Tier, error) {
	tier := Tier(strings.ToUpper(text))
	if tier == "" || slices.Contains(Tiers(), tier) {
		return tier, nil
	}
	return "", fmt.Errorf("reading the tier %q: want one of %v", text, Tiers())
}

// Set implements [flag.Value].
func (t *Tier) Set(text string) (err error) {
	*t, err = ParseTier(text)
	return err
}

// String implements [flag.Value].
func (t *Tier) String() string { return string(*t) }

// basic reports whether the tier lacks everything that talks to devices from the cloud.
func (t Tier) basic() bool { return strings.HasPrefix(string(t), "B") }

// PerMinute returns how many units of an operation a hub allows in a minute; 0 is an operation that the tier does not have.
// units is the number of the hub's units.
func (t Tier) PerMinute(op Operation, units int) int64 {
	n := int64(units)
	switch op {
	case Registry:
		return pick(t, 100*n, 100*n, 5000*n)
	case Connections:
		return 60 * pick(t, max(100, 12*n), 120*n, 6000*n)
	}
	if t.basic() {
		return 0
	}
	switch op {
	case Methods: // 160 KB, 480 KB and 24 MB a second, in units of 4 KB
		return 60 * pick(t, 40*n, 120*n, 6144*n)
	case TwinReads:
		return 60 * pick(t, 100, max(100, 10*n), 500*n)
	case TwinUpdates:
		return 60 * pick(t, 50, max(50, 5*n), 250*n)
	case Queries:
		return pick(t, 20*n, 20*n, 1000*n)
	case JobCalls:
		return pick(t, 100*n, 100*n, 5000*n)
	case JobDevices:
		return 60 * pick(t, 10, max(10, n), 50*n)
	default:
		return 0
	}
}

// MaxJobs returns how many jobs may be active at once; 0 if the tier has none.
func (t Tier) MaxJobs() int {
	if t.basic() {
		return 0
	}
	return int(pick(t, 1, 5, 10))
}

// DailyMessages returns how many messages a day the hub takes, from the price list
// (https://azure.microsoft.com/pricing/details/iot-hub/).
func (t Tier) DailyMessages(units int) int64 {
	if t == F1 {
		return 8000
	}
	return pick(t, 400_000, 6_000_000, 300_000_000) * int64(units)
}

// MessageSize is how many bytes one message of the quota holds.
func (t Tier) MessageSize() int64 {
	if t == F1 {
		return 512
	}
	return MeterSize
}

// MeterSize is how many bytes one unit of the allowance of direct methods holds.
const MeterSize = 4096

// pick chooses by the size of the tier.
func pick(t Tier, first, second, third int64) int64 {
	switch t {
	case B3, S3:
		return third
	case B2, S2:
		return second
	default:
		return first
	}
}

// Chunks returns how many pieces of a size hold n bytes; at least one.
func Chunks(n, size int64) int64 { return max(1, (n+size-1)/size) }

// Options of a hub's meters. The zero value meters nothing.
type Options struct {
	// Tier is the hub's tier; "" switches the meters off.
	Tier Tier
	// Units is the number of the hub's units, default 1.
	Units int
	// Burst is how long an allowance may pile up: so much of it can be taken at once. Default a minute; negative is no
	// burst at all.
	Burst time.Duration
	// Queue is how long a request is delayed at most before requests are refused. Default ten seconds; negative is no queue.
	Queue time.Duration
	// Quota refuses what costs messages once the tier's messages of the day (UTC) are spent.
	Quota bool
	// RetryAfter adds the header Retry-After to refusals. IoT Hub has not been seen to send one.
	RetryAfter bool
	// BacklogAnswer refuses as a live hub has been seen to (https://github.com/Azure-Samples/Iot-Telemetry-Simulator/issues/39):
	// 429003 ThrottlingBacklogTimeout with the wait in its text, and the connection closed; the default is the documented
	// 429001 ThrottlingException on a connection that stays.
	BacklogAnswer bool
}

const (
	defaultBurst = time.Minute
	defaultQueue = 10 * time.Second
	maxUnits     = 200 // more than any hub has, and small enough to count with
)

func (o Options) withDefaults() Options {
	if o.Units == 0 {
		o.Units = 1
	}
	if o.Burst == 0 {
		o.Burst = defaultBurst
	}
	if o.Queue == 0 {
		o.Queue = defaultQueue
	}
	o.Burst, o.Queue = max(0, o.Burst), max(0, o.Queue)
	return o
}

// Validate reports what is wrong with the options.
func (o Options) Validate() error {
	if _, err := ParseTier(string(o.Tier)); err != nil {
		return err
	}
	if o.Units < 0 || o.Units > maxUnits {
		return fmt.Errorf("checking the throttles: %d units; want 1 to %d", o.Units, maxUnits)
	}
	return nil
}
