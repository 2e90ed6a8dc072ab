package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/fleetjobs/fleetjobs/internal/telemetry/logline"
)

// scope names whatever the handler measures.
const scope = "github.com/fleetjobs/fleetjobs"

const (
	metricsEvery = 10 * time.Second // unless OTEL_METRIC_EXPORT_INTERVAL is set: the host kills its handler without notice
	stopWithin   = 2 * time.Second
)

// Options of Start.
type Options struct {
	// Traces and Metrics say what is exported. Where to, how and how often the exporters read from the standard OTEL_ variables
	// of the process: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
	Traces, Metrics bool
	Version         string
	// Logger is told when exporting fails. Required.
	Logger *slog.Logger
}

// Telemetry is what records. All of it is safe for concurrent use.
type Telemetry struct {
	// Tracer and Meter do nothing and cost nothing unless traces and metrics are exported.
	Tracer trace.Tracer
	Meter  metric.Meter

	log  *slog.Logger
	stop []func(context.Context) error
}

// Start begins to export what opts asks for. It opens no connection yet; a collector that is out of reach fails nothing.
func Start(ctx context.Context, opts Options) (*Telemetry, error) {
	t := &Telemetry{
		Tracer: tracenoop.NewTracerProvider().Tracer(scope), Meter: metricnoop.NewMeterProvider().Meter(scope), log: opts.Logger,
	}
	if !opts.Traces && !opts.Metrics {
		return t, nil
	}
	otel.SetErrorHandler(&complaints{log: opts.Logger, now: time.Now})
	otel.SetLogger(logr.FromSlogHandler(opts.Logger.Handler()))
	res, err := newResource(ctx, opts.Version)
	if err != nil {
		return nil, err
	}
	if opts.Traces {
		if err := t.startTraces(ctx, res, opts.Version); err != nil {
			return nil, err
		}
	}
	if opts.Metrics {
		if err := t.startMetrics(ctx, res, opts.Version); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// startTraces exports spans in batches, from a queue of at most 2,048: when the collector does not keep up, spans are lost and
// nobody waits.
func (t *Telemetry) startTraces(ctx context.Context, res *resource.Resource, version string) error {
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return fmt.Errorf("starting the export of traces: %w", err)
	}
	p := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(res))
	t.Tracer = p.Tracer(scope, trace.WithInstrumentationVersion(version))
	t.stop = append(t.stop, p.Shutdown)
	return nil
}

func (t *Telemetry) startMetrics(ctx context.Context, res *resource.Resource, version string) error {
	exporter, err := otlpmetrichttp.New(ctx)
	if err != nil {
		return fmt.Errorf("starting the export of metrics: %w", err)
	}
	var every []sdkmetric.PeriodicReaderOption
	if os.Getenv("OTEL_METRIC_EXPORT_INTERVAL") == "" {
		every = append(every, sdkmetric.WithInterval(metricsEvery))
	}
	p := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewPeriodicReader(exporter, every...)), sdkmetric.WithResource(res))
	t.Meter = p.Meter(scope, metric.WithInstrumentationVersion(version))
	t.stop = append(t.stop, p.Shutdown)
	return nil
}

// newResource describes this process. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES come before what the platform says.
func newResource(ctx context.Context, version string) (*resource.Resource, error) {
	known := []attribute.KeyValue{semconv.ServiceName("fleetjobs"), semconv.ServiceVersion(version)}
	for name, attr := range map[string]func(string) attribute.KeyValue{
		"WEBSITE_SITE_NAME":                 semconv.FaaSName,
		"WEBSITE_INSTANCE_ID":               semconv.FaaSInstance,
		"REGION_NAME":                       semconv.CloudRegion,
		"FUNCTIONS_CUSTOMHANDLER_WORKER_ID": semconv.ServiceInstanceID,
	} {
		if v := os.Getenv(name); v != "" {
			known = append(known, attr(v))
		}
	}
	if os.Getenv("WEBSITE_SITE_NAME") != "" {
		known = append(known, semconv.CloudProviderAzure, semconv.CloudPlatformAzureFunctions)
	}
	res, err := resource.New(ctx, resource.WithAttributes(known...), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("describing this process to the collector: %w", err)
	}
	return res, nil
}

// Stop exports what is left, for two seconds at most, and ends the exports. What could not be exported is lost.
func (t *Telemetry) Stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	var errs []error
	for _, stop := range t.stop {
		errs = append(errs, stop(ctx))
	}
	if err := errors.Join(errs...); err != nil {
		logline.Write(ctx, t.log, logline.TelemetryFailed{Err: err, Failures: 1})
	}
}
