// Package telemetry exports traces and metrics by OpenTelemetry over OTLP/HTTP when the standard OTEL_ settings name a collector,
// and otherwise gives tracers and meters that do nothing. It owns the start, the resource, the flush and what is said when
// exporting fails, and it records the invocations of HTTP and timer functions.
//
// Spans and instruments of other packages are those packages' own: they get a tracer and a meter of OpenTelemetry's API. How
// traces cross messages and rows is package tracectx, what is logged is package logline.
package telemetry
