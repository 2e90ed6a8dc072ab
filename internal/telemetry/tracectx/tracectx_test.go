package tracectx_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/fleetjobs/fleetjobs/internal/telemetry/tracectx"
)

const (
	sampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	quiet   = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
)

func TestATraceSurvivesAsText(t *testing.T) {
	t.Parallel()
	for _, text := range []string{sampled, quiet} {
		require.Equal(t, text, tracectx.Traceparent(tracectx.Resume(t.Context(), text)))
		require.Equal(t, text, tracectx.Traceparent(tracectx.FromHeader(t.Context(), http.Header{"Traceparent": {text}})))
	}
}

func TestWithoutATraceThereIsNoText(t *testing.T) {
	t.Parallel()
	require.Empty(t, tracectx.Traceparent(t.Context()))
	require.Equal(t, t.Context(), tracectx.Resume(t.Context(), ""))
}

func TestResumeStaysInTheSpanOfTheSameTrace(t *testing.T) {
	t.Parallel()
	inside := tracectx.Resume(t.Context(), "00-4bf92f3577b34da6a3ce929d0e0e4736-1111111111111111-01")
	require.Equal(t, inside, tracectx.Resume(inside, sampled))
}

// FuzzResume: whatever text stands in a message or a row, it is a trace or nothing.
func FuzzResume(f *testing.F) {
	for _, s := range []string{sampled, quiet, "", "00", "00-0-0-0", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", sampled + "-more"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ctx := tracectx.Resume(t.Context(), text)
		again := tracectx.Traceparent(ctx)
		require.Equal(t, trace.SpanContextFromContext(ctx).IsValid(), again != "")
		require.Equal(t, again, tracectx.Traceparent(tracectx.Resume(t.Context(), again)))
	})
}
