// Package tracectx carries a trace across what a Go context does not cross: HTTP headers, queue messages and rows of storage, in
// the form of W3C Trace Context (https://www.w3.org/TR/trace-context/). It works without any exporter: lines that are logged far
// apart then still have one trace id.
//
// It starts no spans and samples nothing.
package tracectx

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

const parent = "traceparent"

// FromHeader gives a context that goes on with the trace of a request, ctx itself when the request has none.
func FromHeader(ctx context.Context, h http.Header) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(h))
}

// Traceparent is the trace and the span of ctx as one text of 55 characters, "" when there are none.
func Traceparent(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ""
	}
	c := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, c)
	return c[parent]
}

// Resume gives a context that goes on with a trace that Traceparent wrote down, ctx itself when text is no such trace or is the one
// that ctx is in.
func Resume(ctx context.Context, text string) context.Context {
	if text == "" {
		return ctx
	}
	resumed := propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{parent: text})
	if trace.SpanContextFromContext(resumed).TraceID() == trace.SpanContextFromContext(ctx).TraceID() {
		return ctx
	}
	return resumed
}
