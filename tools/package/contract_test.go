package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/dispatch"
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
// HTTP trigger and an HTTP output.
func TestHTTPFunctionsAreForwarded(t *testing.T) {
	t.Parallel()
	for name, methods := range map[string][]string{"ScheduleJob": {"post", "put", "delete"}, "JobStatus": {"get", "head"}} {
		b := shipped(t)[name]
		require.Len(t, b, 2, name)
		require.Equal(t, "httpTrigger", b[0].Type)
		require.Equal(t, "function", b[0].AuthLevel)
		require.Equal(t, methods, b[0].Methods)
		require.True(t, strings.HasPrefix(b[0].Route, "api/"), name)
		require.Equal(t, binding{Type: "http", Direction: "out", Name: "res"}, b[1])
	}
}

// Routes are tried in the order of function names, first match wins: no two
// functions may answer the same method unless their routes cannot overlap.
func TestNoRouteHidesAnother(t *testing.T) {
	t.Parallel()
	taken := make(map[string]string)
	for name, bindings := range shipped(t) {
		for _, method := range bindings[0].Methods {
			require.Empty(t, taken[method], "%s of %s", method, name)
			taken[method] = name
		}
		// With an empty route prefix, routes and invocations share the paths.
		for other := range shipped(t) {
			first, _, _ := strings.Cut(bindings[0].Route, "/")
			require.False(t, strings.EqualFold(first, other), "%s hides function %s", name, other)
		}
	}
}

// Outputs are lost with a lost answer, and bare strings in them are decoded as
// base64 where they can be: we have none.
func TestTriggersWithoutOutputs(t *testing.T) {
	t.Parallel()
	require.Len(t, shipped(t), 4)
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
	require.Greater(t, host.Extensions.Queues["newBatchThreshold"], float64(dispatch.DefaultSlices), "slow slices must not stop the fetching of supervisions")
}
