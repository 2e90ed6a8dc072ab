package iothub

import (
	"context"
	"net"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// deviceKey is the attribute of the device that a call is for.
const deviceKey = attribute.Key("fleetjobs.device.id")

// span starts the client span of an exchange, named as OpenTelemetry names those of HTTP. It is nil, and costs nothing, unless the
// span around it is recorded: a fleet of devices must not pay for a trace that nobody keeps.
func (t *transport) span(ctx context.Context, host string, x *exchange) trace.Span {
	if t.tracer == nil || !trace.SpanFromContext(ctx).IsRecording() {
		return nil
	}
	method, template := "POST", "/devices/query"
	switch x.op {
	case OpInvokeMethod:
		template = "/twins/{deviceId}/methods"
	case OpUpdateTwin:
		method, template = "PATCH", "/twins/{deviceId}"
	}
	attrs := []attribute.KeyValue{semconv.HTTPRequestMethodKey.String(method), semconv.URLTemplate(template)}
	if name, port, err := net.SplitHostPort(host); err == nil {
		number, _ := strconv.Atoi(port) // what was dialled is a number
		attrs = append(attrs, semconv.ServerAddress(name), semconv.ServerPort(number))
	} else {
		attrs = append(attrs, semconv.ServerAddress(host))
	}
	if x.deviceID != "" {
		attrs = append(attrs, deviceKey.String(x.deviceID))
	}
	_, span := t.tracer.Start(ctx, method+" "+template, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attrs...))
	return span
}

// endSpan says what came of the exchange.
func endSpan(span trace.Span, x *exchange) {
	switch {
	case x.answered:
		span.SetAttributes(semconv.HTTPResponseStatusCode(x.status))
		if x.status >= 400 {
			span.SetAttributes(semconv.ErrorTypeKey.String(strconv.Itoa(x.status)))
			span.SetStatus(codes.Error, "")
		}
	case x.err != nil:
		span.SetAttributes(semconv.ErrorTypeKey.String("connection"))
		span.SetStatus(codes.Error, x.redact(x.err.Error()))
	}
	span.End()
}
