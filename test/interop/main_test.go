// Package interop shows that clients which others wrote for IoT Hub work with fleetjobs and with the hub simulator, unchanged:
// Microsoft's SDKs for Node.js, Python and Java, and the Go library. Their suites are written in their own languages, in the folders
// node, python and java; this package installs the SDKs from lock files, starts one deployment, and runs the suites as child
// processes. It also runs the examples.
//
// Each suite runs against the hub simulator's own engine for jobs and against the function app.
package interop

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fleetjobs/fleetjobs/internal/devstack"
	"github.com/fleetjobs/fleetjobs/internal/fleetsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// simulated is how many devices live inside the simulator: dev-000001 and so on. The suites page through them.
const simulated = 20

// offlineDevice is registered and never connects.
const offlineDevice = "offline"

// The names of hub and app that they would have in Azure, for clients that take neither localhost nor a port.
const (
	hubName = "interop.azure-devices.net"
	appName = "interop.azurewebsites.net"
)

// world is the deployment that all suites share.
type world struct {
	*devstack.Stack
	node, python runtime
	// building has neighbours devices, of which one, offlineDevice, is not connected.
	building, neighbours int
	web                  *httptest.Server // examples/web
	reports              chan report      // of the browser
}

// server is what runs a suite's jobs.
type server struct {
	name string
	// connection is the service connection string that the suite gets, hostName the server's name in Azure.
	connection, hostName string
	// cancelsRunning says that a running job can be cancelled, which IoT Hub refuses.
	cancelsRunning bool
}

// TestInterop runs everything, so that the deployment starts once.
func TestInterop(t *testing.T) {
	w := start(t)
	t.Run("suites", func(t *testing.T) { // returns when its parallel subtests have ended
		for _, s := range w.servers() {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				w.suites(t, s)
				w.tutorial(t, s)
			})
		}
		t.Run("both-apis", func(t *testing.T) {
			t.Parallel()
			w.bothAPIs(t)
		})
		t.Run("examples", func(t *testing.T) {
			t.Parallel()
			w.examples(t)
		})
	})
}

// servers gives everything that speaks IoT Hub's API.
func (w *world) servers() []server {
	return []server{
		{name: "simulator", hostName: hubName, connection: w.Hub.PolicyConnectionString("iothubowner")},
		{name: "app", hostName: appName, connection: w.ConnectionString, cancelsRunning: true},
	}
}

func (w *world) suites(t *testing.T, s server) {
	for _, suite := range []struct {
		name    string
		runtime runtime
		program string
	}{
		{"node-jobs", w.node, "node/jobs.js"},
		{"node-service", w.node, "node/service.js"},
		{"python-jobs", w.python, "python/jobs.py"},
		{"python-service", w.python, "python/service.py"},
	} {
		t.Run(suite.name, func(t *testing.T) {
			t.Parallel()
			id := s.name + "-" + suite.name
			run(t, suite.runtime.command(t, suite.program, s.variables(id, w.register(t, id))...))
		})
	}
	t.Run("java", func(t *testing.T) {
		t.Parallel()
		w.java(t, s)
	})
	for name, suite := range map[string]func(*testing.T, server){
		"dotnet-jobs": w.dotnetJobs, "dotnet-service": w.dotnetService, "dotnet-devices": w.dotnetDevices,
		"go-jobs": w.goJobs, "go-device": w.goDevice,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			suite(t, s)
		})
	}
}

// variables are what a suite finds in its environment.
func (s server) variables(deviceID, device string) []string {
	return []string{
		"IOTHUB_CONNECTION_STRING=" + s.connection, "DEVICE_ID=" + deviceID, "DEVICE_CONNECTION_STRING=" + device,
		"OFFLINE_DEVICE_ID=" + offlineDevice, fmt.Sprintf("CANCELS_RUNNING_JOBS=%t", s.cancelsRunning),
	}
}

// start installs the SDKs and starts the deployment.
func start(t *testing.T) *world {
	t.Helper()
	log := &output{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the deployment's log, its last lines:\n%s", tail(log.String(), 60))
		}
	})
	w := &world{}
	w.serveWeb(t)
	var err error
	w.Stack, err = devstack.Start(t.Context(), devstack.Options{
		HostNames: []string{hubName, appName}, SettingsOverrides: map[string]string{"WEBSITE_HOSTNAME": appName},
		Devices: simulated, HubJobs: true, CORS: []string{w.web.URL}, PassThrough: true, Progress: log, HandlerOutput: log, Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.Close()) })
	w.neighbours = 1 + w.Fleet.Expect(func(d fleetsim.Device) bool {
		if w.building == 0 { // of the first device
			w.building = d.Tags["building"].(int)
		}
		return d.Tags["building"] == w.building
	}).Total
	require.NoError(t, w.Hub.CreateDevice(registry.Preset{ID: offlineDevice, Tags: map[string]any{"building": w.building}}))
	w.node, w.python = installNode(t, w.CAFile), installPython(t, w.CAFile)
	return w
}

// register adds a device that connects from outside, and gives its connection string.
func (w *world) register(t *testing.T, id string) string {
	t.Helper()
	require.NoError(t, w.Hub.CreateDevice(registry.Preset{ID: id}))
	connection, err := w.Hub.DeviceConnectionString(id)
	require.NoError(t, err)
	return connection
}

// runtime is how programs of a language are run.
type runtime struct {
	program []string // and its first arguments
	env     []string // on top of this process's
}

// command makes a child process of a program, by its path from this folder.
func (r runtime) command(t *testing.T, path string, env ...string) *exec.Cmd {
	t.Helper()
	arguments := append(r.program[1:len(r.program):len(r.program)], filepath.FromSlash(path))
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, r.program[0], arguments...)
	cmd.Env = append(append(os.Environ(), r.env...), env...)
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// run runs a program to its end, which must be a success.
func run(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", text)
	return string(text)
}

// output collects what several processes print.
type output struct {
	mu sync.Mutex
	b  strings.Builder
}

// Write implements [io.Writer].
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// tail gives the last n lines.
func tail(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
