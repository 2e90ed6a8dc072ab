package telemetry

import (
	"context"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/fleetjobs/fleetjobs/internal/telemetry/logline"
)

// HTTP records each request to next: a server span, named by the request's method and the Pattern that next gave it, and a line.
// Neither holds the query, which may hold a key.
func (t *Telemetry) HTTP(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		ctx, span := t.Tracer.Start(r.Context(), r.Method, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
			semconv.HTTPRequestMethodKey.String(r.Method), semconv.URLPath(r.URL.Path), semconv.FaaSTriggerHTTP,
			semconv.FaaSInvocationID(logline.IDsOf(r.Context()).Invocation)))
		answer := &statusWriter{ResponseWriter: w}
		r = r.WithContext(ctx)
		defer func() { // also when next cuts the connection by a panic: the status is 0 then
			if r.Pattern != "" {
				span.SetName(r.Method + " " + r.Pattern)
				span.SetAttributes(semconv.HTTPRoute(r.Pattern))
			}
			span.SetAttributes(semconv.HTTPResponseStatusCode(answer.status))
			if answer.status >= http.StatusInternalServerError {
				span.SetStatus(codes.Error, "")
			}
			logline.Write(ctx, t.log, logline.HTTPRequest{
				Method: r.Method, Path: r.URL.Path, Status: answer.status, Took: time.Since(started),
			})
			span.End()
		}()
		next.ServeHTTP(answer, r)
	})
}

// Timer records each tick of the timer function name: a server span around tick, as functions have one for each invocation.
func (t *Telemetry) Timer(ctx context.Context, name string, tick func(context.Context) error) error {
	ctx, span := t.Tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		semconv.FaaSTriggerTimer, semconv.FaaSInvocationID(logline.IDsOf(ctx).Invocation)))
	defer span.End()
	err := tick(ctx)
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	return err
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status < http.StatusOK { // 1xx may be followed by the answer
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets [http.ResponseController] reach the writer beneath.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
