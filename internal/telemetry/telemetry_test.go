package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/fleetjobs/fleetjobs/internal/telemetry/logline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lines is a log that tests read.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) all(t *testing.T) []map[string]any {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []map[string]any
	for text := range strings.Lines(l.text.String()) {
		var one map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &one))
		all = append(all, one)
	}
	return all
}

func (l *lines) logger() *slog.Logger {
	return slog.New(logline.NewHandler(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug})))
}

// recording gives a Telemetry whose spans the recorder keeps.
func recording() (*Telemetry, *tracetest.SpanRecorder, *lines) {
	r, log := tracetest.NewSpanRecorder(), &lines{}
	p := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r))
	return &Telemetry{Tracer: p.Tracer("test"), log: log.logger()}, r, log
}

func TestNothingIsStartedUnlessItIsExported(t *testing.T) {
	t.Parallel()
	tel, err := Start(t.Context(), Options{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	require.Empty(t, tel.stop)
	_, span := tel.Tracer.Start(t.Context(), "x")
	require.False(t, span.IsRecording())
	tel.Stop(t.Context())
}

func TestAnHTTPRequestIsASpanAndALine(t *testing.T) {
	t.Parallel()
	tel, spans, log := recording()
	h := tel.HTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Pattern = "/api/jobs/{jobId}"
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPut, "/api/jobs/j?code=geheim", nil))

	span := spans.Ended()[0]
	require.Equal(t, "PUT /api/jobs/{jobId}", span.Name())
	require.Equal(t, trace.SpanKindServer, span.SpanKind())
	require.Equal(t, codes.Error, span.Status().Code)
	require.Contains(t, span.Attributes(), attribute.String("http.request.method", "PUT"))
	require.Contains(t, span.Attributes(), attribute.Int("http.response.status_code", 503))
	require.NotContains(t, span.Attributes(), "geheim")
	line := log.all(t)[0]
	require.Equal(t, "http.request", line["event"])
	require.Equal(t, "ERROR", line["level"])
	require.Equal(t, "/api/jobs/j", line["path"], "the query may hold a key")
	require.EqualValues(t, 503, line["status"])
	require.Equal(t, span.SpanContext().TraceID().String(), line["traceId"])
}

func TestReadsAreLoggedForDebuggingOnly(t *testing.T) {
	t.Parallel()
	tel, _, log := recording()
	h := tel.HTTP(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(nil) }))
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodDelete} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(method, "/api/jobs", nil))
	}
	var levels []any
	for _, l := range log.all(t) {
		require.EqualValues(t, 200, l["status"])
		levels = append(levels, l["level"])
	}
	require.Equal(t, []any{"DEBUG", "DEBUG", "INFO"}, levels)
}

func TestARequestThatIsCutStillEndsItsSpan(t *testing.T) {
	t.Parallel()
	tel, spans, log := recording()
	h := tel.HTTP(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	require.PanicsWithValue(t, http.ErrAbortHandler, func() {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/api/jobs", nil))
	})
	require.Len(t, spans.Ended(), 1)
	require.EqualValues(t, 0, log.all(t)[0]["status"])
}

func TestATickIsASpan(t *testing.T) {
	t.Parallel()
	tel, spans, _ := recording()
	gone := errors.New("storage is gone")
	require.ErrorIs(t, tel.Timer(t.Context(), "TimerDispatch", func(ctx context.Context) error {
		require.True(t, trace.SpanFromContext(ctx).IsRecording())
		return gone
	}), gone)
	require.Equal(t, "TimerDispatch", spans.Ended()[0].Name())
	require.Equal(t, "storage is gone", spans.Ended()[0].Status().Description)
}

func TestFailedExportsAreComplainedAboutOnceAMinute(t *testing.T) {
	t.Parallel()
	log, now := &lines{}, time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	c := &complaints{log: log.logger(), now: func() time.Time { return now }}
	for range 3 {
		c.Handle(errors.New("connection refused"))
		now = now.Add(20 * time.Second)
	}
	require.Len(t, log.all(t), 1)
	c.Handle(errors.New("connection refused"))
	require.Len(t, log.all(t), 2)
	require.EqualValues(t, 3, log.all(t)[1]["failures"], "those that were not told of, and the last")
}

// TestACollectorThatNeverAnswersHoldsNobodyUp starts for real, so it sets what the exporters read from the process.
func TestACollectorThatNeverAnswersHoldsNobodyUp(t *testing.T) {
	hang, log := make(chan struct{}), &lines{}
	collector := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer collector.Close()
	defer close(hang)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
	tel, err := Start(t.Context(), Options{Traces: true, Metrics: true, Version: "test", Logger: log.logger()})
	require.NoError(t, err)
	counter, err := tel.Meter.Int64Counter("n")
	require.NoError(t, err)
	started := time.Now()
	for range 20_000 { // ten times what the queue holds
		_, span := tel.Tracer.Start(t.Context(), "x")
		span.End()
		counter.Add(t.Context(), 1)
	}
	tel.Stop(t.Context())
	failed := log.all(t)
	require.Equal(t, "telemetry.failed", failed[len(failed)-1]["event"])
	require.Less(t, time.Since(started), time.Minute, "2,000 exports that wait take hours")
}
