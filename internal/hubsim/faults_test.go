package hubsim_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/fleetsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/latency"
)

const reboot = `{"methodName":"reboot"}`

// faulty starts a simulator with one device and one rule for methods.
func faulty(t *testing.T, rule fault.Rule) *hub {
	t.Helper()
	return start(t, hubsim.Options{
		Journal: true, Fleet: fleet(t, fleetsim.Options{Devices: 1}),
		Faults: fault.Plan{Operations: map[fault.Operation]fault.Rule{fault.Methods: rule}},
	})
}

func TestThrottlingNamesTheWaitInItsText(t *testing.T) {
	t.Parallel()
	h := faulty(t, fault.Rule{ThrottleShare: 1, WaitSeconds: 7, Limit: 1})

	res := h.do("POST", "/twins/dev-000001/methods", reboot)

	require.Equal(t, 429, res.StatusCode)
	require.Equal(t, "ThrottlingBacklogTimeout", res.Header.Get("iothub-errorcode"))
	require.Contains(t, res.object(t)["Message"], "Wait 7 seconds and try again.")
	require.Empty(t, res.Header.Values("Retry-After"), "the service sends none")
	require.True(t, res.Close)
	require.Empty(t, h.Calls())
	require.EqualValues(t, 1, h.Stats().Throttled())
	require.Equal(t, 200, h.do("POST", "/twins/dev-000001/methods", reboot).StatusCode, "only one is throttled")
	require.Equal(t, 200, h.do("GET", "/twins/dev-000001", "").StatusCode, "other operations never were")
}

func TestThrottlingWithRetryAfter(t *testing.T) {
	t.Parallel()
	h := faulty(t, fault.Rule{ThrottleShare: 1, RetryAfterSeconds: 3})
	require.Equal(t, "3", h.do("POST", "/twins/dev-000001/methods", reboot).Header.Get("Retry-After"))
}

func TestErrorsBeforeAndAfter(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		rule   fault.Rule
		status int
		name   string
		calls  int
	}{
		{fault.Rule{ErrorShare: 1}, 500, "ServerError", 0},
		{fault.Rule{ErrorShare: 1, ErrorStatus: 503}, 503, "ServiceUnavailable", 0},
		{fault.Rule{ErrorShare: 1, ErrorAfter: true}, 500, "ServerError", 1},
	} {
		h := faulty(t, test.rule)
		res := h.do("POST", "/twins/dev-000001/methods", reboot)
		require.Equal(t, test.status, res.StatusCode)
		require.Equal(t, test.name, res.Header.Get("iothub-errorcode"))
		require.Len(t, h.Calls(), test.calls)
	}
}

func TestDroppedConnections(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		rule  fault.Rule
		calls int
	}{
		{fault.Rule{DropBeforeShare: 1, Limit: 1}, 0},
		{fault.Rule{DropAfterShare: 1, Limit: 1}, 1},
	} {
		h := faulty(t, test.rule)
		_, err := h.try("POST", "/twins/dev-000001/methods", reboot)
		require.Error(t, err)
		require.Len(t, h.Calls(), test.calls)
		require.EqualValues(t, 1, h.Stats().Dropped)
		require.Equal(t, 200, h.do("POST", "/twins/dev-000001/methods", reboot).StatusCode)
	}
}

func TestLatencyOfAnOperation(t *testing.T) {
	t.Parallel()
	h := faulty(t, fault.Rule{Latency: latency.FixedAt(300 * time.Millisecond)})
	began := time.Now()
	h.do("POST", "/twins/dev-000001/methods", reboot)
	require.GreaterOrEqual(t, time.Since(began), 300*time.Millisecond)
}

func TestLatencyOfDevices(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{Fleet: fleet(t, fleetsim.Options{Devices: 1, Latency: latency.FixedAt(300 * time.Millisecond)})})
	began := time.Now()
	require.Equal(t, 200, h.do("POST", "/twins/dev-000001/methods", reboot).StatusCode)
	require.GreaterOrEqual(t, time.Since(began), 300*time.Millisecond)
}

func TestControlFromOutside(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{Journal: true, Fleet: fleet(t, fleetsim.Options{Devices: 2})})
	h.do("POST", "/twins/dev-000001/methods", reboot)
	h.do("PATCH", "/twins/dev-000002", `{"tags":{"a":1}}`)

	var stats hubsim.Stats
	require.NoError(t, json.Unmarshal([]byte(h.do("GET", "/$sim/stats", "").body), &stats))
	require.EqualValues(t, 1, stats.Methods())
	require.EqualValues(t, 1, stats.TwinsUpdated)
	require.EqualValues(t, 2, stats.Statuses[200])
	require.EqualValues(t, 1, stats.MaxMethodsInFlight)

	calls := h.do("GET", "/$sim/calls", "").object(t)
	require.Equal(t, map[string]any{"enabled": true, "total": 2.0, "methods": map[string]any{"dev-000001": 1.0}, "updates": map[string]any{"dev-000002": 1.0}}, calls)
	entries := h.do("GET", "/$sim/calls?entries=true", "").object(t)["entries"].([]any)
	require.Len(t, entries, 2)
	require.Equal(t, "reboot", entries[0].(map[string]any)["method"])

	require.Equal(t, 204, h.do("PUT", "/$sim/faults", `{"revoked":true,"operations":{"query":{"latency":"1ms..2ms","throttleShare":0.5}}}`).StatusCode)
	require.True(t, h.Faults().Revoked)
	require.Equal(t, 401, h.do("GET", "/twins/dev-000001", "").StatusCode)
	require.Equal(t, "1ms..2ms", h.do("GET", "/$sim/faults", "").object(t)["operations"].(map[string]any)["query"].(map[string]any)["latency"])
	require.Equal(t, 400, h.do("PUT", "/$sim/faults", `{"offline":{"share":2}}`).StatusCode)
	require.Contains(t, h.do("PUT", "/$sim/faults", `{"revokd":true}`).object(t)["error"], "revokd")

	require.Equal(t, 204, h.do("POST", "/$sim/reset", "").StatusCode)
	require.False(t, h.Faults().Revoked)
	require.Empty(t, h.Calls())
	require.Zero(t, h.Stats().Methods())

	require.Equal(t, 204, h.do("POST", "/$sim/devices/dev-000001/offline", "").StatusCode)
	require.Equal(t, 404, h.do("POST", "/twins/dev-000001/methods", reboot).StatusCode)
	require.Equal(t, 204, h.do("POST", "/$sim/devices/dev-000001/online", "").StatusCode)
	require.Equal(t, 200, h.do("POST", "/twins/dev-000001/methods", reboot).StatusCode)

	require.Equal(t, 404, h.do("GET", "/$sim/nothing", "").StatusCode)
	require.Equal(t, 401, h.do("GET", "/$sim/stats", "", "Authorization", h.sign("registryRead", "localhost", time.Hour)).StatusCode)
}
