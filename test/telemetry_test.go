package test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metricscollector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	tracecollector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	metricpb "go.opentelemetry.io/proto/otlp/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/fleetjobs/fleetjobs/internal/devstack"
)

// collector is an OpenTelemetry collector that keeps what it receives.
type collector struct {
	t *testing.T
	*httptest.Server

	mu      sync.Mutex
	spans   []*tracepb.Span
	metrics map[string]*metricpb.Metric // the newest of each name
	service string
}

func newCollector(t *testing.T) *collector {
	c := &collector{t: t, metrics: map[string]*metricpb.Metric{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", c.traces)
	mux.HandleFunc("POST /v1/metrics", c.measures)
	c.Server = httptest.NewServer(mux)
	t.Cleanup(c.Close)
	return c
}

func (c *collector) read(w http.ResponseWriter, r *http.Request, into proto.Message) bool {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Header.Get("Content-Type") != "application/x-protobuf" || proto.Unmarshal(body, into) != nil {
		c.t.Errorf("the collector cannot read what it got: %v", err)
		w.WriteHeader(http.StatusBadRequest)
		return false
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	return true
}

func (c *collector) traces(w http.ResponseWriter, r *http.Request) {
	var got tracecollector.ExportTraceServiceRequest
	if !c.read(w, r, &got) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range got.GetResourceSpans() {
		for _, a := range rs.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				c.service = a.GetValue().GetStringValue()
			}
		}
		for _, ss := range rs.GetScopeSpans() {
			c.spans = append(c.spans, ss.GetSpans()...)
		}
	}
}

func (c *collector) measures(w http.ResponseWriter, r *http.Request) {
	var got metricscollector.ExportMetricsServiceRequest
	if !c.read(w, r, &got) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rm := range got.GetResourceMetrics() {
		for _, sm := range rm.GetScopeMetrics() {
			for _, m := range sm.GetMetrics() {
				c.metrics[m.GetName()] = m
			}
		}
	}
}

// named gives the spans with a name.
func (c *collector) named(name string) []*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []*tracepb.Span
	for _, s := range c.spans {
		if s.GetName() == name {
			found = append(found, s)
		}
	}
	return found
}

// way gives the names of a span and of those above it that were recorded.
func (c *collector) way(s *tracepb.Span) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	byID := map[string]*tracepb.Span{}
	for _, other := range c.spans {
		byID[string(other.GetSpanId())] = other
	}
	var names []string
	for ; s != nil; s = byID[string(s.GetParentSpanId())] {
		names = append(names, s.GetName())
	}
	return names
}

// sum adds the points of a counter that have an attribute.
func (c *collector) sum(name, key, value string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	var n int64
	for _, p := range c.metrics[name].GetSum().GetDataPoints() {
		for _, a := range p.GetAttributes() {
			if a.GetKey() == key && a.GetValue().GetStringValue() == value {
				n += p.GetAsInt()
			}
		}
	}
	return n
}

func (c *collector) has(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.metrics[name] != nil
}

// putTraced creates a job as a caller does who has begun a sampled trace.
func (s *stack) putTraced(id, body, traceparent string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, s.URL+"/api/jobs/"+id, bytes.NewBufferString(body))
	require.NoError(s.t, err)
	r.Header.Set("X-Functions-Key", s.Key)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Traceparent", traceparent)
	resp, err := http.DefaultClient.Do(r)
	require.NoError(s.t, err)
	require.NoError(s.t, resp.Body.Close())
	require.Equal(s.t, http.StatusAccepted, resp.StatusCode)
	http.DefaultClient.CloseIdleConnections()
}

// TestOneTraceLeadsFromTheRequestToEachDeviceCall runs two jobs, of which the caller of the first has begun a sampled trace.
func TestOneTraceLeadsFromTheRequestToEachDeviceCall(t *testing.T) {
	const (
		devices = 150
		traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
		reboot  = `{"type":"scheduleDeviceMethod","queryCondition":"*","cloudToDeviceMethod":{"methodName":"reboot"}}`
	)
	c := newCollector(t)
	printed := &output{}
	s := start(t, devstack.Options{Devices: devices, HandlerOutput: printed, SettingsOverrides: map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": c.URL, "OTEL_SERVICE_NAME": "fleet-under-test",
		"OTEL_BSP_SCHEDULE_DELAY": "200", "OTEL_METRIC_EXPORT_INTERVAL": "500",
	}})
	s.putTraced("traced", reboot, "00-"+traceID+"-00f067aa0ba902b7-01")
	s.putTraced("quiet", reboot, "00-11111111111111111111111111111111-00f067aa0ba902b7-00")
	for _, id := range []string{"traced", "quiet"} {
		s.until(id, func(v view) bool { return v.Status == "completed" })
	}

	const call, request = "POST /twins/{deviceId}/methods", "PUT /api/jobs/{jobId}"
	require.Eventually(t, func() bool { // spans above others end, and arrive, after them
		spans := c.named(call)
		return len(spans) >= devices && !slices.ContainsFunc(spans, func(s *tracepb.Span) bool {
			way := c.way(s)
			return way[len(way)-1] != request
		})
	}, time.Minute, 100*time.Millisecond, "each call is below the request")
	called := map[string]bool{}
	for _, span := range c.named(call) {
		require.Equal(t, traceID, hex.EncodeToString(span.GetTraceId()), "the other job's caller did not want its trace recorded")
		require.Equal(t, tracepb.Span_SPAN_KIND_CLIENT, span.GetKind())
		way := c.way(span)
		require.Equal(t, []string{call, "slice", "process fleetjobs-work"}, way[:min(len(way), 3)], "%v", way)
		for _, a := range span.GetAttributes() {
			if a.GetKey() == "fleetjobs.device.id" {
				called[a.GetValue().GetStringValue()] = true
			}
		}
	}
	require.Len(t, called, devices)
	require.Equal(t, "fleet-under-test", c.service)

	require.Eventually(t, func() bool {
		return c.sum("fleetjobs.executions", "fleetjobs.execution.state", "succeeded") == 2*devices
	},
		time.Minute, 100*time.Millisecond)
	require.GreaterOrEqual(t, c.sum("fleetjobs.hub.calls", "fleetjobs.operation", "method"), int64(2*devices))
	for _, name := range []string{
		"fleetjobs.dispatch.lag", "fleetjobs.shard.duration", "fleetjobs.queue.age", "fleetjobs.job.transitions", "fleetjobs.jobs",
		"fleetjobs.hub.throttled", "fleetjobs.hub.calls.limit",
	} {
		require.Eventually(t, func() bool { return c.has(name) }, time.Minute, 100*time.Millisecond, name)
	}
	requireLines(t, printed.String(), traceID)
}

// requireLines checks what the handler printed: JSON only, with the ids that docs/monitoring.md promises.
func requireLines(t *testing.T, printed, traceID string) {
	t.Helper()
	events := map[string]int{}
	for _, text := range regexp.MustCompile(`(?m)^\[handler \d+ \w+\] (.*)$`).FindAllStringSubmatch(printed, -1) {
		var l map[string]any
		require.NoError(t, json.Unmarshal([]byte(text[1]), &l), "%s", text[1])
		require.Subset(t, []string{"DEBUG", "INFO", "WARN", "ERROR"}, []any{l["level"]}, text[1])
		at, err := time.Parse(time.RFC3339Nano, l["time"].(string))
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), at, 10*time.Minute)
		event, _ := l["event"].(string)
		events[event]++
		if strings.HasPrefix(event, "run.") || strings.HasPrefix(event, "slice.") {
			require.NotEmpty(t, l["run"], text[1])
			require.NotEmpty(t, l["invocation"], text[1])
			if l["job"] == "traced" {
				require.Equal(t, traceID, l["traceId"], text[1])
			}
		}
		if strings.HasPrefix(event, "slice.") {
			require.Contains(t, l, "shard", text[1])
		}
	}
	for event, times := range map[string]int{"handler.started": 1, "http.request": 2, "run.started": 2, "run.firstCall": 2, "run.ended": 2, "slice.done": 4} {
		require.GreaterOrEqual(t, events[event], times, "%s in %v", event, events)
	}
}
