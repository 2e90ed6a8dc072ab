package cli_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fleetjobs/fleetjobs/internal/cli"
)

// dirVariable makes the test binary be the program, with the current folder that the variable names.
const dirVariable = "CLI_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(dirVariable); dir != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		context.AfterFunc(ctx, stop)
		program := cli.Standard("test")
		program.Dir = dir
		os.Exit(program.Run(ctx, os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

// program is a running process of the program.
type program struct {
	t   *testing.T
	cmd *exec.Cmd
	out *bufio.Reader
	dir string
}

func start(t *testing.T, args ...string) *program {
	t.Helper()
	p := &program{t: t, dir: t.TempDir()}
	p.cmd = exec.CommandContext(t.Context(), os.Args[0], args...)
	p.cmd.Env = append(os.Environ(), dirVariable+"="+p.dir)
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	p.out = bufio.NewReader(out)
	require.NoError(t, p.cmd.Start())
	return p
}

// line reads the next line that the program prints.
func (p *program) line() string {
	p.t.Helper()
	line, err := p.out.ReadString('\n')
	require.NoError(p.t, err)
	return line
}

// children lists the processes that the program has started.
func (p *program) children() []int {
	p.t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(p.t, err)
	var pids []int
	for _, path := range paths {
		if pid, _, parent := stat(path); parent == p.cmd.Process.Pid {
			pids = append(pids, pid)
		}
	}
	return pids
}

// stat reads a process's state and parent; see proc_pid_stat(5).
func stat(path string) (pid int, state string, parent int) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, "gone", 0
	}
	_, _ = fmt.Sscanf(string(text), "%d", &pid)
	rest := string(text[strings.LastIndexByte(string(text), ')')+1:])
	_, _ = fmt.Sscanf(rest, "%s %d", &state, &parent)
	return pid, state, parent
}

func requireGone(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		require.Eventually(t, func() bool {
			_, state, _ := stat(fmt.Sprintf("/proc/%d/stat", pid))
			return state == "gone" || state == "Z" // dead, if nobody has looked yet
		}, time.Minute, 20*time.Millisecond, "process %d is left behind", pid)
	}
}

func startDev(t *testing.T) (*program, map[string]string) {
	t.Helper()
	p := start(t, "dev", "--json", "--devices", "10", "--port", "0", "--https-port", "0", "--hub-port", "0", "--mqtt-port", "0", "--instances", "2",
		"--setting", "FLEETJOBS_HUB_NAME=plant")
	var variables map[string]string
	require.NoError(t, json.Unmarshal([]byte(p.line()), &variables))
	require.Len(t, p.children(), 4, "two handlers, two of Azurite")
	return p, variables
}

func TestDevRunsUntilCtrlC(t *testing.T) {
	t.Parallel()
	p, variables := startDev(t)
	names := []string{
		"FLEETJOBS_URL", "FLEETJOBS_KEY", "FLEETJOBS_APPROVER_KEY", "IOTHUB_CONNECTION_STRING", "IOTHUB_CA_FILE", "IOTHUB_MQTT", "AZURE_STORAGE_CONNECTION_STRING",
	}
	file, err := os.ReadFile(filepath.Join(p.dir, ".fleetjobs", "dev.env"))
	require.NoError(t, err)
	for _, name := range names {
		require.NotEmpty(t, variables[name])
		require.Contains(t, string(file), name+"='"+variables[name]+"'\n")
	}

	// The job commands in the same folder find it, and the app has the setting.
	w := setup(t)
	w.env, w.Dir, w.Sleep = nil, p.dir, cli.Standard("test").Sleep
	require.Equal(t, cli.ExitOK, w.run(t, "job", "create", "--id", "lock", "--hub", "plant", "--method", "lockDoor", "--query", "*", "--watch"), w.errors.String())
	require.Contains(t, w.out.String(), "succeeded  11\n")
	requireTwoForAnApproval(t, w, variables)

	children := p.children()
	require.NoError(t, p.cmd.Process.Signal(os.Interrupt))
	rest, err := io.ReadAll(p.out)
	require.NoError(t, err)
	require.Empty(t, rest)
	require.NoError(t, p.cmd.Wait(), "Ctrl-C is how it ends, so the exit code is 0")
	requireGone(t, children)
	require.NoFileExists(t, filepath.Join(p.dir, ".fleetjobs", "dev.env"))
	require.NoFileExists(t, variables["IOTHUB_CA_FILE"])
}

// requireTwoForAnApproval has a batch approved on dev, which the key that created the job cannot do and the second one can.
func requireTwoForAnApproval(t *testing.T, w *world, variables map[string]string) {
	t.Helper()
	write(t, w, "careful.json", `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"reboot"},"queryCondition":"*",
		"rollout":{"batches":[{"number":2},{"gate":{"approval":true}}]}}`)
	require.Equal(t, cli.ExitOK, w.run(t, "job", "create", "--id", "careful", "-f", "careful.json"), w.errors.String())
	require.Eventually(t, func() bool {
		w.out.Reset()
		return w.run(t, "job", "show", "careful") == cli.ExitOK && strings.Contains(w.out.String(), "fleetjobs job approve careful --batch 2")
	}, time.Minute, 100*time.Millisecond)
	require.Equal(t, cli.ExitFailure, w.run(t, "job", "approve", "careful", "--batch", "2"))
	require.Contains(t, w.errors.String(), "by somebody else than its creator")
	w.env = map[string]string{"FLEETJOBS_KEY": variables["FLEETJOBS_APPROVER_KEY"]}
	require.Equal(t, cli.ExitOK, w.run(t, "job", "approve", "careful", "--batch", "2", "--note", "looks good"), w.errors.String())
	w.env = nil
	require.Equal(t, cli.ExitOK, w.run(t, "job", "watch", "careful"), w.errors.String())
	w.out.Reset()
	require.Equal(t, cli.ExitOK, w.run(t, "job", "show", "careful"), w.errors.String())
	require.Contains(t, w.out.String(), "11 succeeded")
}

func TestDevKilledLeavesNoProcess(t *testing.T) {
	t.Parallel()
	p, _ := startDev(t)
	children := p.children()
	require.NoError(t, p.cmd.Process.Kill())
	require.Error(t, p.cmd.Wait())
	requireGone(t, children)
}

// TestHubAndDevice runs the simulator and the device program as processes of their own.
func TestHubAndDevice(t *testing.T) {
	t.Parallel()
	hub := start(t, "hub", "--hub-port", "0", "--mqtt-port", "0", "--device", "simDevice")
	var arguments []string
	for arguments == nil {
		if _, command, ok := strings.Cut(hub.line(), "device: fleetjobs "); ok {
			arguments = words(command)
		}
	}
	device := start(t, arguments...)
	require.Contains(t, device.line(), "connected to")
	for _, p := range []*program{device, hub} {
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGINT))
		_, err := io.Copy(io.Discard, p.out)
		require.NoError(t, err)
		require.NoError(t, p.cmd.Wait())
	}
}

// TestDemo runs the demo on a small fleet; it checks itself. Its time is the tutorial's 20 seconds.
func TestDemo(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	p := start(t, "demo", "--devices", "400")
	out, err := io.ReadAll(p.out)
	require.NoError(t, err)
	require.NoError(t, p.cmd.Wait(), "%s", out)
	require.Contains(t, string(out), `method lockDoor {"lockTime":"10m"} -> 200`)
	require.Contains(t, string(out), "job reboot-prod: completed")
	require.Contains(t, string(out), "Everything was as it should be")
}
