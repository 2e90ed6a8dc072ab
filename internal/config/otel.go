package config

import (
	"net/url"
	"strings"
)

// OTel says what is exported to an OpenTelemetry collector. Nothing is unless an endpoint is set. The names and their meanings
// are OpenTelemetry's: https://opentelemetry.io/docs/specs/otel/protocol/exporter/
//
// It holds what decides whether the export starts. All other OTEL_ variables (headers, sampler, resource, intervals) are read by
// the exporters themselves, and unknown ones are no fault.
type OTel struct {
	// Disabled is "true" in any case to export nothing, whatever else is set.
	Disabled string `env:"OTEL_SDK_DISABLED" envDefault:"false"`
	// Endpoint is the base of a collector's OTLP/HTTP addresses; the other two are whole addresses for one signal.
	Endpoint        string `env:"OTEL_EXPORTER_OTLP_ENDPOINT"`
	TracesEndpoint  string `env:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"`
	MetricsEndpoint string `env:"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"`
	// Protocol is http/protobuf, the only one that is built in.
	Protocol string `env:"OTEL_EXPORTER_OTLP_PROTOCOL" envDefault:"http/protobuf"`
	// TracesExporter and MetricsExporter are otlp or none.
	TracesExporter  string `env:"OTEL_TRACES_EXPORTER" envDefault:"otlp"`
	MetricsExporter string `env:"OTEL_METRICS_EXPORTER" envDefault:"otlp"`
}

// Traces reports whether spans are exported.
func (o OTel) Traces() bool { return o.exports(o.TracesExporter, o.TracesEndpoint) }

// Metrics reports whether metrics are exported.
func (o OTel) Metrics() bool { return o.exports(o.MetricsExporter, o.MetricsEndpoint) }

func (o OTel) exports(exporter, endpoint string) bool {
	return !strings.EqualFold(o.Disabled, "true") && exporter == "otlp" && (endpoint != "" || o.Endpoint != "")
}

func (o OTel) check(f *faults) {
	if strings.EqualFold(o.Disabled, "true") || o.Endpoint == "" && o.TracesEndpoint == "" && o.MetricsEndpoint == "" {
		return
	}
	for _, e := range []struct{ name, value string }{
		{"OTEL_EXPORTER_OTLP_ENDPOINT", o.Endpoint},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", o.TracesEndpoint},
		{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", o.MetricsEndpoint},
	} {
		if e.value == "" {
			continue
		}
		if u, err := url.Parse(e.value); err != nil || !isWebURL(u) || u.RawQuery != "" {
			f.addSecret(e.name, "must be an http or https URL without user and query, like http://collector:4318") // it may hold a key
		}
	}
	if o.Protocol != "http/protobuf" {
		f.add("OTEL_EXPORTER_OTLP_PROTOCOL", o.Protocol, "must be http/protobuf")
	}
	for _, e := range []struct{ name, value string }{
		{"OTEL_TRACES_EXPORTER", o.TracesExporter}, {"OTEL_METRICS_EXPORTER", o.MetricsExporter},
	} {
		if e.value != "otlp" && e.value != "none" {
			f.add(e.name, e.value, "must be otlp or none")
		}
	}
}
