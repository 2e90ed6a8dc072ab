// Package config reads the settings of the deployed handler from its
// environment, once, at its start. It owns their names, defaults and rules,
// and refuses to start on settings that are malformed, contradictory or
// unknown, naming every fault at once. It opens no connection and builds no
// client; of files it reads host.json only.
//
// docs/environment.md lists every setting; a test holds it to this package.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Limits of IoT Hub that the settings must leave room for. A direct method may
// wait 300 s for the device to connect and 300 s for its answer:
// https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-direct-methods
const (
	// LongestCall is the longest that one device call can take.
	LongestCall = 600 * time.Second
	// TimeoutMargin is what an invocation needs besides its calls.
	TimeoutMargin = 60 * time.Second
	// MaxTickInterval is the longest allowed gap between two timer ticks.
	MaxTickInterval = 5 * time.Minute
)

// Config holds all settings, checked and with defaults filled in.
type Config struct {
	Hub      Hub
	Hubs     Hubs
	Storage  Storage
	Platform Platform
	OTel     OTel
	Pace     Pace
	Notify   Notify
	Facade   Facade
	// Retention is how long ended runs are kept.
	Retention Retention

	// PublicURL is the base of absolute links, without a trailing slash. The
	// handler cannot take it from requests: behind the host's proxy the Host
	// header is 127.0.0.1.
	PublicURL string `env:"FLEETJOBS_PUBLIC_URL"`
	// TimerSchedule is the six-field NCRONTAB of TimerDispatch. The host reads the
	// same setting for the function's trigger.
	TimerSchedule string `env:"FLEETJOBS_TIMER_SCHEDULE" envDefault:"*/10 * * * * *"`
	// TickInterval is the largest gap between two ticks of TimerSchedule.
	TickInterval time.Duration

	// MaxCallsInFlight bounds device calls at one time in this process.
	MaxCallsInFlight int `env:"FLEETJOBS_MAX_CALLS_IN_FLIGHT" envDefault:"512"`
	// MaxConcurrentRuns bounds runs that go on at one time, in all processes; 0 is no limit.
	MaxConcurrentRuns int `env:"FLEETJOBS_MAX_CONCURRENT_RUNS" envDefault:"0"`
	// SliceSeconds is how long an invocation starts new device calls: see Slice.
	SliceSeconds int `env:"FLEETJOBS_SLICE_SECONDS" envDefault:"60"`
	// LeaseSeconds is how long a claim on work holds unless renewed: see Lease.
	LeaseSeconds int `env:"FLEETJOBS_LEASE_SECONDS" envDefault:"30"`
	// EasyAuth says that App Service authentication is on before the app, so that
	// its headers tell who calls; RequireRoles that callers need app roles.
	EasyAuth     bool `env:"FLEETJOBS_EASY_AUTH" envDefault:"false"`
	RequireRoles bool `env:"FLEETJOBS_REQUIRE_ROLES" envDefault:"false"`
	// HubPassThrough opens the rest of the hub's API to callers of the Facade.
	HubPassThrough bool `env:"FLEETJOBS_HUB_PASSTHROUGH" envDefault:"false"`
	// LogLevel is the least severe level that is logged.
	LogLevel Level `env:"FLEETJOBS_LOG_LEVEL" envDefault:"info"`

	// FunctionTimeout is the host's limit for an invocation, from host.json or its
	// override. 0: unbounded, or not started by a host.
	FunctionTimeout time.Duration
}

// Slice is how long an invocation starts new device calls.
func (c Config) Slice() time.Duration { return time.Duration(c.SliceSeconds) * time.Second }

// Lease is how long a claim on work holds unless it is renewed.
func (c Config) Lease() time.Duration { return time.Duration(c.LeaseSeconds) * time.Second }

// Hub says how to reach the IoT hub: by exactly one of its two first fields.
type Hub struct {
	// ConnectionString is a service connection string of the hub (shared key).
	ConnectionString Secret `env:"IOTHUB_CONNECTION_STRING"`
	// Hostname selects the process's Entra identity; host name, port optional.
	Hostname string `env:"IOTHUB_HOSTNAME"`
	// CAFile names a PEM file of certificates to trust instead of the system's.
	CAFile string `env:"IOTHUB_CA_FILE"`
}

// Storage says how to reach Table and Queue Storage: by a connection string, or
// with an Entra identity by an account's name or both service URIs (which come
// before the name). The names are those of the host's own identity-based connections:
// https://learn.microsoft.com/azure/azure-functions/functions-reference#connections
type Storage struct {
	// ConnectionString has an account key or SAS, or is UseDevelopmentStorage=true.
	ConnectionString Secret `env:"AzureWebJobsStorage"`
	// AccountName is an account of the public cloud.
	AccountName string `env:"AzureWebJobsStorage__accountName"`
	// TableServiceURI and QueueServiceURI are https URLs.
	TableServiceURI string `env:"AzureWebJobsStorage__tableServiceUri"`
	QueueServiceURI string `env:"AzureWebJobsStorage__queueServiceUri"`
	// BlobServiceURI is the same, for exports alone.
	BlobServiceURI string `env:"AzureWebJobsStorage__blobServiceUri"`
	// Credential is "managedidentity" or empty, for the default chain.
	Credential string `env:"AzureWebJobsStorage__credential"`
	// ClientID selects a user-assigned managed identity.
	ClientID string `env:"AzureWebJobsStorage__clientId"`
}

// Platform is what the Functions platform tells the process about itself.
type Platform struct {
	// WebsiteHostname is the app's public host name, "localhost:7071" locally.
	WebsiteHostname string `env:"WEBSITE_HOSTNAME"`
	// SKU is "Dynamic" on the Consumption plan, which has short timeouts.
	SKU string `env:"WEBSITE_SKU"`
	// AppRoot is the directory of host.json. Empty: not started by a host.
	AppRoot string `env:"FUNCTIONS_APP_ROOT_PATH"`
	// FunctionTimeout overrides functionTimeout of host.json.
	FunctionTimeout string `env:"AzureFunctionsJobHost__functionTimeout"`
}

// Level is a log level; it fits where an [slog.Leveler] is wanted.
type Level slog.Level

// UnmarshalText takes debug, info, warn and error.
func (l *Level) UnmarshalText(text []byte) error {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if string(text) == strings.ToLower(level.String()) {
			*l = Level(level)
			return nil
		}
	}
	return errors.New("must be debug, info, warn or error")
}

// Level implements [slog.Leveler].
func (l Level) Level() slog.Level { return slog.Level(l) }

// String returns the level as it is set.
func (l Level) String() string { return strings.ToLower(slog.Level(l).String()) }

// Secret is a setting that must never be printed. It formats, logs and encodes
// as "(secret)"; Reveal gives the value to the client that needs it.
type Secret string

const redacted = "(secret)"

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// Format implements [fmt.Formatter] for every verb.
func (s Secret) Format(f fmt.State, _ rune) {
	_, _ = f.Write([]byte(s.String())) // a formatter cannot report errors
}

// String implements [fmt.Stringer]. An empty secret stays empty.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// MarshalText implements [encoding.TextMarshaler], and with it JSON.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue implements [slog.LogValuer].
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
