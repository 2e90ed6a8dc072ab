package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/dispatch"
	"github.com/fleetjobs/fleetjobs/internal/hubapi"
)

type binding struct {
	Type, Direction, Name, AuthLevel, Route, Schedule, QueueName, Connection string
	Methods                                                                  []string
	RunOnStartup                                                             bool
}

// shipped returns the bindings of the repository's functions by their names.
func shipped(t *testing.T) map[string][]binding {
	t.Helper()
	paths, err := filepath.Glob("../../functions/*/function.json")
	require.NoError(t, err)
	functions := make(map[string][]binding)
	for _, path := range paths {
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		var f struct{ Bindings []binding }
		require.NoError(t, json.Unmarshal(b, &f))
		functions[filepath.Base(filepath.Dir(path))] = f.Bindings
	}
	return functions
}

// The host forwards or proxies a request only to a function with exactly an
// HTTP trigger and an HTTP output. Without a key only liveness is open, and
// what asks for IoT Hub's own credentials.
func TestHTTPFunctionsAreForwarded(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]binding{
		"Health":      {AuthLevel: "anonymous", Methods: []string{"get", "head"}, Route: "api/health"},
		"JobStatus":   {AuthLevel: "function", Methods: []string{"get", "head"}, Route: "api/{*rest}"},
		"ScheduleJob": {AuthLevel: "function", Methods: []string{"post", "put", "patch", "delete"}, Route: "api/{*rest}"},

		"HubConfigurations": {AuthLevel: "anonymous", Methods: []string{"get", "put", "post", "delete"}, Route: "configurations/{*rest}"},
		"HubDevices":        {AuthLevel: "anonymous", Methods: []string{"get", "put", "post", "patch", "delete"}, Route: "devices/{*rest}"},
		"HubDigitalTwins":   {AuthLevel: "anonymous", Methods: []string{"get", "post", "patch"}, Route: "digitaltwins/{*rest}"},
		"HubJobs":           {AuthLevel: "anonymous", Methods: []string{"get", "put", "post", "delete"}, Route: "jobs/{*rest}"},
		"HubStatistics":     {AuthLevel: "anonymous", Methods: []string{"get"}, Route: "statistics/{*rest}"},
		"HubTwins":          {AuthLevel: "anonymous", Methods: []string{"get", "put", "post", "patch", "delete"}, Route: "twins/{*rest}"},
	} {
		want.Type, want.Direction, want.Name = "httpTrigger", "in", "req"
		require.Equal(t, []binding{want, {Type: "http", Direction: "out", Name: "res"}}, shipped(t)[name], name)
	}
}

// Every prefix that the handler serves has a function, and no function a path
// that the handler does not know.
func TestHubRoutesAreThoseOfTheHandler(t *testing.T) {
	t.Parallel()
	var routed []string
	for name, bindings := range shipped(t) {
		if strings.HasPrefix(name, "Hub") {
			routed = append(routed, "/"+strings.TrimSuffix(bindings[0].Route, "{*rest}"))
		}
	}
	require.ElementsMatch(t, hubapi.Prefixes(), routed)
}

// Routes are tried in the order of function names, first match wins. Of two
// functions that answer the same method below the same first segment the first
// one must have a path of its own, without parameters, so that it takes no other.
func TestNoRouteHidesAnother(t *testing.T) {
	t.Parallel()
	functions := shipped(t)
	names := slices.SortedFunc(maps.Keys(functions), func(a, b string) int { // as the host does, without regard to case
		return strings.Compare(strings.ToLower(a), strings.ToLower(b))
	})
	for i, name := range names {
		first := functions[name][0]
		for _, later := range names[i+1:] {
			second := functions[later][0]
			if firstSegment(t, first) == firstSegment(t, second) &&
				slices.ContainsFunc(first.Methods, func(m string) bool { return slices.Contains(second.Methods, m) }) {
				require.NotContains(t, first.Route, "{", "%s hides %s", name, later)
				require.NotEqual(t, first.Route, second.Route, "%s hides %s", name, later)
			}
		}
		// With an empty route prefix, routes and invocations share the paths.
		for _, other := range names {
			segment, _, _ := strings.Cut(first.Route, "/")
			require.False(t, strings.EqualFold(segment, other), "%s hides function %s", name, other)
		}
	}
}

// firstSegment gives the literal that a route begins with; timers and queues
// have none.
func firstSegment(t *testing.T, b binding) string {
	t.Helper()
	segment, _, _ := strings.Cut(b.Route, "/")
	require.NotContains(t, segment, "{", "a route that begins with a parameter takes the invocations of functions too")
	return segment
}

// Outputs are lost with a lost answer, and bare strings in them are decoded as
// base64 where they can be: we have none.
func TestTriggersWithoutOutputs(t *testing.T) {
	t.Parallel()
	require.Len(t, shipped(t), 11)
	require.Equal(t, []binding{{
		Type: "timerTrigger", Direction: "in", Name: "timer", Schedule: "%FLEETJOBS_TIMER_SCHEDULE%",
	}}, shipped(t)["TimerDispatch"])
	require.Equal(t, []binding{{
		Type: "queueTrigger", Direction: "in", Name: "message", QueueName: "fleetjobs-work", Connection: "AzureWebJobsStorage",
	}}, shipped(t)["RunShard"])
}

func TestHostFileForwardsAndProxies(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../host.json")
	require.NoError(t, err)
	var host struct {
		CustomHandler struct{ EnableForwardingHTTPRequest, EnableProxyingHTTPRequest bool }
		Extensions    struct {
			HTTP   struct{ RoutePrefix *string }
			Queues map[string]any
		}
	}
	require.NoError(t, json.Unmarshal(b, &host))
	require.True(t, host.CustomHandler.EnableForwardingHTTPRequest)
	require.True(t, host.CustomHandler.EnableProxyingHTTPRequest)
	require.NotNil(t, host.Extensions.HTTP.RoutePrefix)
	require.Empty(t, *host.Extensions.HTTP.RoutePrefix)
	require.Equal(t, "base64", host.Extensions.Queues["messageEncoding"])
	require.Greater(t, host.Extensions.Queues["newBatchThreshold"], float64(dispatch.MostHeld), "what is slow must not stop the fetching of supervisions")
}
