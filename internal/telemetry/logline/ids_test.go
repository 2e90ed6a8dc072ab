package logline

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
)

// sampleContext is that of an event's line: what the handler knows where it writes it.
func sampleContext(t *testing.T, event string) context.Context {
	t.Helper()
	ctx := t.Context()
	if event == "handler.started" || event == "telemetry.failed" {
		return ctx
	}
	ctx = trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36},
		SpanID:  trace.SpanID{0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7}, TraceFlags: trace.FlagsSampled,
	}))
	ctx = With(ctx, IDs{Invocation: "5d9b2f4e-3b4e-4cb0-9f5c-1a7c3f0f6f6a"})
	shard := 7
	switch kind, _, _ := strings.Cut(event, "."); kind {
	case "run":
		ctx = With(ctx, IDs{Job: "unlock-2026", Run: "unlock-2026.0f3a9c", Hub: "plant-b"})
	case "notification":
		ctx = With(ctx, IDs{Job: "unlock-2026", Run: "unlock-2026.0f3a9c"})
	case "slice", "hub":
		ctx = With(ctx, IDs{Job: "unlock-2026", Run: "unlock-2026.0f3a9c", Shard: &shard})
	}
	return ctx
}

func lineOf(ctx context.Context, t *testing.T, change func(*slog.Logger) *slog.Logger) map[string]any {
	t.Helper()
	var out bytes.Buffer
	change(slog.New(NewHandler(NewHandler(slog.NewJSONHandler(&out, nil))))).InfoContext(ctx, "x")
	require.Equal(t, 1, strings.Count(out.String(), "\n"))
	var l map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &l))
	for id := range l {
		require.Equal(t, 1, strings.Count(out.String(), `"`+id+`":`), "%s stands twice in %s", id, out.String())
	}
	return l
}

func asIs(l *slog.Logger) *slog.Logger { return l }

func TestIDsOfTheContextAreOnEachLine(t *testing.T) {
	t.Parallel()
	l := lineOf(sampleContext(t, "slice.done"), t, asIs)
	delete(l, "time")
	require.Equal(t, map[string]any{
		"level": "INFO", "msg": "x", "job": "unlock-2026", "run": "unlock-2026.0f3a9c", "shard": 7.0,
		"invocation": "5d9b2f4e-3b4e-4cb0-9f5c-1a7c3f0f6f6a", "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
	}, l)
}

func TestShardZeroIsAShard(t *testing.T) {
	t.Parallel()
	zero := 0
	require.EqualValues(t, 0, lineOf(With(t.Context(), IDs{Shard: &zero}), t, asIs)["shard"])
	require.NotContains(t, lineOf(With(t.Context(), IDs{Job: "a"}), t, asIs), "shard")
}

func TestALineKeepsTheIDsThatItsLoggerHas(t *testing.T) {
	t.Parallel()
	l := lineOf(sampleContext(t, "slice.done"), t, func(l *slog.Logger) *slog.Logger { return l.With("job", "other", "shard", 9) })
	require.Equal(t, "other", l["job"])
	require.EqualValues(t, 9, l["shard"])
	require.Equal(t, "unlock-2026.0f3a9c", l["run"])
}

func TestALineWithoutContextHasNoIDs(t *testing.T) {
	t.Parallel()
	require.Len(t, lineOf(t.Context(), t, asIs), 3, "time, level, msg")
}
