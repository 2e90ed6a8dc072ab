package iothub

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// traced gives a client whose spans the recorder keeps, and a recorded span around its calls.
func traced(t *testing.T, answer http.HandlerFunc) (*Client, *tracetest.SpanRecorder, context.Context) {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	opts := newHub(t, answer).options()
	opts.Tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test")
	ctx, _ := opts.Tracer.Start(t.Context(), "around")
	return newClient(t, opts), spans, ctx
}

func TestEachRequestIsASpanInARecordedTrace(t *testing.T) {
	t.Parallel()
	c, spans, ctx := traced(t, play(http.StatusOK, `{"status":200,"payload":null}`))
	_, err := c.InvokeMethod(ctx, "dev-1", newMethod(t))
	require.NoError(t, err)
	span := spans.Ended()[0]
	require.Equal(t, "POST /twins/{deviceId}/methods", span.Name())
	require.Equal(t, trace.SpanKindClient, span.SpanKind())
	require.Equal(t, trace.SpanContextFromContext(ctx).SpanID(), span.Parent().SpanID())
	for _, want := range []attribute.KeyValue{
		attribute.String("http.request.method", "POST"), attribute.String("server.address", "127.0.0.1"),
		attribute.Int("http.response.status_code", 200), attribute.String("fleetjobs.device.id", "dev-1"),
	} {
		require.Contains(t, span.Attributes(), want)
	}
}

func TestTheSpanOfARefusalSaysSo(t *testing.T) {
	t.Parallel()
	c, spans, ctx := traced(t, play(http.StatusTooManyRequests, ""))
	require.Error(t, c.UpdateTwin(ctx, "dev-1", mustPatch(t)))
	require.Equal(t, "PATCH /twins/{deviceId}", spans.Ended()[0].Name())
	require.Equal(t, codes.Error, spans.Ended()[0].Status().Code)
	require.Contains(t, spans.Ended()[0].Attributes(), attribute.String("error.type", "429"))
}

// A device must cost nothing more when nobody records it: neither without a tracer nor in a trace that is not sampled.
func TestRequestsThatNobodyRecordsAllocateNothingForTheirSpan(t *testing.T) {
	unsampled := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample())).Tracer("test")
	ctx, _ := unsampled.Start(t.Context(), "around")
	x := &exchange{op: OpInvokeMethod, deviceID: "dev-1"}
	for name, tr := range map[string]*transport{"no tracer": {}, "not sampled": {tracer: unsampled}} {
		require.Zero(t, testing.AllocsPerRun(100, func() {
			if tr.span(ctx, "hub", x) != nil {
				t.Error("a span was started")
			}
		}), name)
	}
}

func mustPatch(t *testing.T) *TwinPatch {
	t.Helper()
	p, err := NewTwinPatch(nil, []byte(`{"a":1}`))
	require.NoError(t, err)
	return p
}
