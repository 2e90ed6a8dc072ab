package dispatch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/pace"
	"github.com/fleetjobs/fleetjobs/internal/telemetry/logline"
	"github.com/fleetjobs/fleetjobs/internal/telemetry/tracectx"
)

// journal keeps the lines that a dispatcher logs.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) logger() *slog.Logger {
	return slog.New(logline.NewHandler(slog.NewJSONHandler(j, nil)))
}

// of gives the lines of an event.
func (j *journal) of(t *testing.T, event string) []map[string]any {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	var found []map[string]any
	for text := range strings.Lines(j.text.String()) {
		var line map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &line))
		if line["event"] == event {
			found = append(found, line)
		}
	}
	return found
}

// observed gives a world whose dispatcher logs to a journal and records spans.
func observed(t *testing.T, opts Options) (*world, *journal, *tracetest.SpanRecorder) {
	t.Helper()
	spans, lines := tracetest.NewSpanRecorder(), &journal{}
	opts.Tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test")
	w := newWorld(t, opts)
	w.opts.Logger = lines.logger()
	w.boot(0)
	return w, lines, spans
}

func TestARunTellsItsStoryOnce(t *testing.T) {
	t.Parallel()
	w, lines, _ := observed(t, quick)
	w.hub.populate(250)
	w.hub.answer = func(id string, _ int) (iothub.MethodResult, error) {
		if strings.HasSuffix(id, "7") {
			return iothub.MethodResult{}, hubError(iothub.Offline)
		}
		return iothub.MethodResult{Status: 200}, nil
	}
	id := w.create(lockDoor)
	w.ended(id)
	w.calls.Wait()
	for _, event := range []string{"run.started", "run.firstCall", "run.planned", "run.ended"} {
		found := lines.of(t, event)
		require.Len(t, found, 1, event)
		require.Equal(t, id, found[0]["job"], event)
		require.Contains(t, found[0]["run"], id+".", event)
	}
	ended := lines.of(t, "run.ended")[0]
	require.Equal(t, "WARN", ended["level"], "devices ended without success")
	require.Equal(t, []any{225.0, 25.0, 250.0}, []any{ended["succeeded"], ended["failed"], ended["devices"]})
	require.Equal(t, map[string]any{"deviceOffline": 25.0}, ended["reasons"])
	var succeeded, failed, calls float64
	for _, slice := range lines.of(t, "slice.done") {
		require.Contains(t, slice, "shard")
		succeeded += slice["succeeded"].(float64)
		failed += slice["failed"].(float64)
		calls += slice["calls"].(float64)
	}
	require.Equal(t, []float64{225, 25, 250}, []float64{succeeded, failed, calls})
}

func TestABlockedRunTellsWhyAndWhenItGoesOn(t *testing.T) {
	t.Parallel()
	w, lines, _ := observed(t, quick)
	w.hub.populate(10)
	var back atomic.Bool
	w.hub.answer = func(string, int) (iothub.MethodResult, error) {
		if !back.Load() {
			return iothub.MethodResult{}, hubError(iothub.HubFault)
		}
		return iothub.MethodResult{Status: 200}, nil
	}
	id := w.create(lockDoor)
	w.run(func(context.Context) bool { return len(lines.of(t, "run.blocked")) >= 2 })
	back.Store(true)
	w.ended(id)
	blocked := lines.of(t, "run.blocked")
	require.Contains(t, blocked[0]["reason"], "as the test wants")
	require.Greater(t, blocked[1]["probes"], blocked[0]["probes"])
	require.Len(t, lines.of(t, "run.unblocked"), 1)
}

// The timer starts the run long after the request has ended: the job's row knows the trace.
func TestAJobThatIsDueLaterGoesOnWithTheTraceOfItsRequest(t *testing.T) {
	t.Parallel()
	opts := quick
	opts.Tick = 50 * time.Millisecond
	w, lines, spans := observed(t, opts)
	w.hub.populate(120)
	def, err := job.Decode([]byte(lockDoor), time.Now())
	require.NoError(t, err)
	def.StartTime = time.Now().Add(1500 * time.Millisecond)
	ctx, request := w.opts.Tracer.Start(t.Context(), "request")
	rec, err := w.current().d.Create(ctx, def, "", someone())
	require.NoError(t, err)
	request.End()
	require.Equal(t, tracectx.Traceparent(ctx), rec.Trace)
	w.ended(rec.JobID)
	w.calls.Wait()

	traceID := request.SpanContext().TraceID()
	slices := 0
	for _, s := range spans.Ended() {
		switch s.Name() {
		case "slice":
			slices++
			require.Equal(t, traceID, s.SpanContext().TraceID())
		case "process fleetjobs-work":
			require.Equal(t, trace.SpanKindConsumer, s.SpanKind())
			require.Equal(t, traceID, s.SpanContext().TraceID())
		}
	}
	require.Equal(t, 2, slices)
	require.Equal(t, traceID.String(), lines.of(t, "run.ended")[0]["traceId"])
}

// nullHub answers at once.
type nullHub struct{ err error }

func (h nullHub) InvokeMethod(context.Context, string, *iothub.Method) (iothub.MethodResult, error) {
	return iothub.MethodResult{}, h.err
}
func (h nullHub) UpdateTwin(context.Context, string, *iothub.TwinPatch) error { return h.err }
func (h nullHub) QueryPage(context.Context, string, string, int) (iothub.Page, error) {
	return iothub.Page{}, h.err
}

func testObserver(lines *journal, now func() time.Time) (*observer, *lane) {
	opts := Options{Logger: lines.logger(), Now: now, CallsInFlight: 512}
	all := newLanes(nil, opts)
	return newObserver(opts, all), all[0]
}

func TestWatchingADeviceCallAllocatesNothing(t *testing.T) {
	o, l := testObserver(&journal{}, time.Now)
	hub := observedHub{Hub: nullHub{}, o: o, lane: l}
	watch := o.watch(&job.Run{ID: "j.1", StartAt: time.Now()}, &job.Shard{RunID: "j.1", Executions: make([]job.Execution, 100)})
	ctx, end := watch.begin(t.Context())
	defer end()
	_, _ = hub.InvokeMethod(ctx, "first", nil) // has a line of its own
	require.Zero(t, testing.AllocsPerRun(1000, func() { _, _ = hub.InvokeMethod(ctx, "dev-1", nil) }))
	require.EqualValues(t, 1002, watch.calls.Load(), "AllocsPerRun warms up once")
}

func BenchmarkWatchedCall(b *testing.B) {
	o, l := testObserver(&journal{}, time.Now)
	hub := observedHub{Hub: nullHub{}, o: o, lane: l}
	ctx, end := o.watch(&job.Run{}, &job.Shard{Number: 1}).begin(b.Context())
	defer end()
	b.ReportAllocs()
	for b.Loop() {
		_, _ = hub.InvokeMethod(ctx, "dev-1", nil)
	}
}

func TestThrottlingIsToldOncePerSecondAndOperation(t *testing.T) {
	t.Parallel()
	lines, now := &journal{}, time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	o, l := testObserver(lines, func() time.Time { return now })
	hub := observedHub{Hub: nullHub{&iothub.Error{Kind: iothub.Throttled, Wait: 2 * time.Second}}, o: o, lane: l}
	for range 20 {
		_, _ = hub.InvokeMethod(t.Context(), "dev-1", nil)
		_ = hub.UpdateTwin(t.Context(), "dev-1", nil)
		now = now.Add(100 * time.Millisecond)
	}
	told := lines.of(t, "hub.throttled")
	require.Len(t, told, 4)
	require.Equal(t, "method", told[2]["operation"])
	require.Equal(t, []any{10.0, 2000.0, 512.0}, []any{told[2]["throttled"], told[2]["waitMs"], told[2]["limit"]})
}

func TestProgressIsToldOncePerPeriodWhoeverSupervises(t *testing.T) {
	t.Parallel()
	for status, want := range map[job.Status]int{job.StatusRunning: 12, job.StatusBlocked: 2} {
		lines, noon := &journal{}, time.Date(2026, 11, 23, 12, 0, 0, 500_000_000, time.UTC)
		run := &job.Run{ID: "j.1", Status: status, SupervisedAt: noon, StartedAt: noon}
		for second := range 120 {
			now := noon.Add(time.Duration(second+1) * time.Second)
			o, _ := testObserver(lines, func() time.Time { return now }) // each pass in another process
			was := o.before(run)
			run.SupervisedAt, run.Rev = now, fmt.Sprint(second)
			run.Closed.ByState[job.Succeeded] += 40
			o.passed(t.Context(), was, run, 3)
		}
		told := lines.of(t, "run.progress")
		require.Len(t, told, want, status)
		require.EqualValues(t, 40, told[1]["endedPerSecond"])
		require.Equal(t, string(status), told[1]["status"])
	}
}

func TestAPassThatStoredNothingTellsNothing(t *testing.T) {
	t.Parallel()
	lines := &journal{}
	o, _ := testObserver(lines, time.Now)
	run := &job.Run{ID: "j.1", Status: job.StatusRunning, Rev: "1"}
	was := o.before(run)
	run.PlanDone = true
	o.passed(t.Context(), was, run, 0)
	require.Empty(t, lines.of(t, "run.planned"), "the next pass finds it anew")
}

func TestMessagesSayWhenTheyAreDueAndKeepTheirTrace(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	o, _ := testObserver(&journal{}, func() time.Time { return now })
	const first, second = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-11111111111111111111111111111111-00f067aa0ba902b7-01"
	m := message{Kind: kindShard, Run: "j.1"}
	o.sending(tracectx.Resume(t.Context(), first), &m, 5*time.Second)
	require.Equal(t, first, m.Trace)
	require.Equal(t, now.Add(5*time.Second).UnixMilli(), m.Due)
	o.sending(tracectx.Resume(t.Context(), second), &m, 0)
	require.Equal(t, first, m.Trace, "a message that goes back to the queue")
	require.Equal(t, now.UnixMilli(), m.Due)
}

func TestMetricsShowCallsBesideTheAllowance(t *testing.T) {
	t.Parallel()
	reader := sdkmetric.NewManualReader()
	opts := Options{
		Logger: slog.New(slog.DiscardHandler), Now: time.Now, Meter: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("test"),
		Rates: pace.Rates{pace.Methods: 40}, CallsInFlight: 512,
	}
	hubs := newLanes(nil, opts)
	o, l := newObserver(opts, hubs), hubs[0]
	hub := observedHub{Hub: nullHub{}, o: o, lane: l}
	_, _ = hub.InvokeMethod(t.Context(), "dev-1", nil)
	_, _ = hub.InvokeMethod(t.Context(), "dev-2", nil)
	ticked := o.ticking(t.Context())
	o.active(&job.Run{Status: job.StatusRunning})
	ticked(0, 1)
	o.notified(t.Context(), job.Delivery{Channel: job.ChannelEventGrid, State: job.DeliveryFailed})
	o.notified(t.Context(), job.Delivery{Channel: job.ChannelEventGrid, State: job.DeliveryPending})
	o.notified(t.Context(), job.Delivery{Channel: job.ChannelEventGrid, State: job.DeliveryPending})

	var all metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &all))
	page, err := os.ReadFile("../../docs/monitoring.md")
	require.NoError(t, err)
	values := map[string]float64{}
	for _, m := range all.ScopeMetrics[0].Metrics {
		require.Contains(t, string(page), "\n| `"+m.Name+"` |")
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			add(values, m.Name, data.DataPoints)
		case metricdata.Gauge[int64]:
			add(values, m.Name, data.DataPoints)
		case metricdata.Gauge[float64]:
			add(values, m.Name, data.DataPoints)
		}
	}
	require.Equal(t, map[string]float64{
		"fleetjobs.hub.calls method": 2, "fleetjobs.hub.calls twin": 0, "fleetjobs.hub.calls query": 0,
		"fleetjobs.hub.throttled method": 0, "fleetjobs.hub.throttled twin": 0, "fleetjobs.hub.throttled query": 0,
		"fleetjobs.hub.allowance method": 40, "fleetjobs.hub.calls.limit ": 512,
		"fleetjobs.jobs scheduled": 0, "fleetjobs.jobs running": 1, "fleetjobs.jobs blocked": 0, "fleetjobs.jobs paused": 0, "fleetjobs.jobs stopping": 0,
		"fleetjobs.deliveries eventGrid failed": 1, "fleetjobs.deliveries eventGrid retried": 2,
	}, values)
}

// Somebody may start a tick by hand while the timer's is under way.
func TestATickThatHasEndedIsNotChangedByAnother(t *testing.T) {
	t.Parallel()
	o, _ := testObserver(&journal{}, time.Now)
	first, second := o.ticking(t.Context()), o.ticking(t.Context())
	o.active(&job.Run{Status: job.StatusRunning})
	first(0, 1)
	o.active(&job.Run{Status: job.StatusRunning})
	require.Equal(t, map[job.Status]int{job.StatusRunning: 1}, o.last, "it is read without the lock from here on")
	second(0, 1)
}

// add notes points by the name of their metric and the values of their attributes.
func add[N int64 | float64](values map[string]float64, name string, points []metricdata.DataPoint[N]) {
	for _, p := range points {
		var kinds []string
		for _, a := range p.Attributes.ToSlice() {
			kinds = append(kinds, a.Value.AsString())
		}
		values[name+" "+strings.Join(kinds, " ")] = float64(p.Value)
	}
}
