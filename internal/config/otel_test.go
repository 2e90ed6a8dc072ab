package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/config"
)

func TestOTelIsOffUntilAnEndpointIsSet(t *testing.T) {
	t.Parallel()
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318"
	for name, c := range map[string]struct {
		settings        []string
		traces, metrics bool
	}{
		"nothing set":      {nil, false, false},
		"endpoint":         {[]string{endpoint}, true, true},
		"traces only":      {[]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://c/v1/traces"}, true, false},
		"metrics only":     {[]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=https://c/v1/metrics"}, false, true},
		"exporter none":    {[]string{endpoint, "OTEL_TRACES_EXPORTER=none"}, false, true},
		"disabled":         {[]string{endpoint, "OTEL_SDK_DISABLED=TRUE"}, false, false},
		"others' settings": {[]string{endpoint, "OTEL_SOMETHING_NEW=1", "OTEL_EXPORTER_OTLP_HEADERS=api-key=x"}, true, true},
		"disabled and odd": {[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=collector", "OTEL_SDK_DISABLED=true"}, false, false},
		"odd but unused":   {[]string{"OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, false, false},
	} {
		got, err := config.Load(minimal(c.settings...))
		require.NoError(t, err, name)
		require.Equal(t, c.traces, got.OTel.Traces(), name)
		require.Equal(t, c.metrics, got.OTel.Metrics(), name)
	}
}

func TestAnOTelSettingThatCannotWorkIsNamed(t *testing.T) {
	t.Parallel()
	for setting, says := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318":                "OTEL_EXPORTER_OTLP_ENDPOINT: must be an http or https URL",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://user:geheim@c:4318":     "OTEL_EXPORTER_OTLP_ENDPOINT: must be an http or https URL",
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://c/?key=geheim":  "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: must be",
		"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=grpc://127.0.0.1:4317": "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: must be",
		"OTEL_EXPORTER_OTLP_PROTOCOL=grpc":                          `OTEL_EXPORTER_OTLP_PROTOCOL="grpc": must be http/protobuf`,
		"OTEL_TRACES_EXPORTER=console":                              `OTEL_TRACES_EXPORTER="console": must be otlp or none`,
	} {
		_, err := config.Load(minimal("OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318", setting))
		require.ErrorContains(t, err, says, setting)
		require.NotContains(t, err.Error(), "geheim")
	}
}
