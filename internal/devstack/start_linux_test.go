package devstack_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/azurite/azuritetest"
	"github.com/fleetjobs/fleetjobs/internal/devstack"
)

// What an instance that has to start first may cost.
const (
	binaryLimit = 25_000_000
	memoryLimit = 40_000_000
	// startLimit is of processor time: ten times the goal of 100 ms, which `go run ./bench -only start` measures by the clock.
	startLimit = time.Second
)

// TestAColdStartIsCheap: the packaged handler is small, serves soon after it was started, and needs little memory until then.
func TestAColdStartIsCheap(t *testing.T) {
	t.Parallel()
	stack, err := devstack.Start(t.Context(), devstack.Options{StorageConnectionString: azuritetest.Start(t)}) // builds the app
	require.NoError(t, err)
	require.NoError(t, stack.Close())
	app, err := filepath.Abs("../../dist/app")
	require.NoError(t, err)
	binary, err := os.Stat(filepath.Join(app, "handler"))
	require.NoError(t, err)
	require.Less(t, binary.Size(), int64(binaryLimit))

	best := time.Hour
	for range 3 {
		took, memory := coldStart(t, app)
		t.Logf("serves after %s of processor time with %.1f MB; %.1f MB on disk", took.Round(time.Millisecond), float64(memory)/1e6, float64(binary.Size())/1e6)
		require.Less(t, memory, memoryLimit)
		best = min(best, took)
	}
	require.Less(t, best, startLimit)
}

// coldStart starts a handler and gives the processor time that it took until it answered a request, and the most bytes that it had
// resident by then.
func coldStart(t *testing.T, app string) (time.Duration, int) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	var output bytes.Buffer
	cmd := exec.CommandContext(t.Context(), filepath.Join(app, "handler"))
	cmd.Env = []string{
		"FUNCTIONS_CUSTOMHANDLER_PORT=" + port, "FUNCTIONS_APP_ROOT_PATH=" + app, "FLEETJOBS_PUBLIC_URL=http://localhost:7071",
		"AzureWebJobsStorage=UseDevelopmentStorage=true", "IOTHUB_CONNECTION_STRING=HostName=localhost;SharedAccessKeyName=service;SharedAccessKey=c2VjcmV0",
	}
	cmd.Stdout, cmd.Stderr = &output, &output
	require.NoError(t, cmd.Start())
	end := sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	defer end()
	require.Eventually(t, func() bool { return answers(t.Context(), "http://"+address+"/api/health") }, time.Minute, time.Millisecond)
	memory := peakMemory(t, cmd.Process.Pid)
	end()
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), memory
}

func answers(ctx context.Context, url string) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return false
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}
	resp, err := client.Do(r)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

// peakMemory is the most memory that a process has had resident, in bytes; see proc_pid_status(5).
func peakMemory(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	_, after, found := strings.Cut(string(text), "VmHWM:")
	require.True(t, found)
	kib, err := strconv.Atoi(strings.Fields(after)[0])
	require.NoError(t, err)
	return kib * 1024
}
