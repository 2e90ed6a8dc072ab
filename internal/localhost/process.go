package localhost

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/fleetjobs/fleetjobs/internal/freeport"
)

// readinessInterval is how often the host asks a starting handler for GET /.
const readinessInterval = 25 * time.Millisecond

// pipeGrace is how long output pipes may stay open (in grandchildren) after a handler has exited.
const pipeGrace = 500 * time.Millisecond

// process is one run of the handler executable.
type process struct {
	port     int
	address  string // 127.0.0.1:port
	cmd      *exec.Cmd
	stderr   *lineWriter
	exited   chan struct{} // closed when the process is gone and its output is read
	code     int           // exit code, -1 for a signal; valid once exited is closed
	disposed atomic.Bool   // killed by the host on purpose: its end is no crash
}

// processSpec is everything that a handler process starts from.
type processSpec struct {
	instance int
	root     string
	config   hostConfig
	env      environment
	output   *handlerOutput
}

// startProcess starts the handler on a free loopback port. It does not wait for it to be ready.
func startProcess(spec processSpec) (*process, error) {
	port, err := freeport.Find(context.Background())
	if err != nil {
		return nil, err
	}
	p := &process{port: port, address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), exited: make(chan struct{})}
	p.cmd = exec.Command(spec.config.executable, spec.config.arguments...) //nolint:gosec,noctx // the app's own executable; killed by group
	p.cmd.Dir = spec.config.workingDir
	p.cmd.Env = append(append([]string{}, spec.env...), handlerVariables(spec.root, port)...)
	p.cmd.SysProcAttr = processAttributes()
	p.cmd.WaitDelay = pipeGrace
	stdout := &lineWriter{emit: func(line string) { spec.output.line(spec.instance, line, false) }}
	p.stderr = &lineWriter{emit: func(line string) { spec.output.line(spec.instance, line, true) }}
	p.cmd.Stdout, p.cmd.Stderr = stdout, p.stderr

	started := make(chan error, 1)
	go func() {
		// The kernel's parent death signal is tied to the thread that starts a process, so this one stays locked
		// until the process has gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.wait(stdout)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("failed to start worker channel, process fileName %s: %w", spec.config.executable, err)
	}
	return p, nil
}

// wait collects the process's end. Its error is in the exit code.
func (p *process) wait(stdout *lineWriter) {
	_ = p.cmd.Wait()
	_ = killGroup(p.cmd.Process) // what the handler left behind; usually nothing
	stdout.flush()
	p.stderr.flush()
	p.code = p.cmd.ProcessState.ExitCode()
	close(p.exited)
}

// handlerVariables are the five variables that the host adds to a handler's environment.
func handlerVariables(root string, port int) []string {
	id := uuid.NewString()
	return []string{
		"FUNCTIONS_CUSTOMHANDLER_PORT=" + strconv.Itoa(port),
		"FUNCTIONS_HTTPWORKER_PORT=" + strconv.Itoa(port),
		"FUNCTIONS_CUSTOMHANDLER_WORKER_ID=" + id,
		"FUNCTIONS_HTTPWORKER_ID=" + id,
		"FUNCTIONS_APP_ROOT_PATH=" + root,
	}
}

// kill ends the process with SIGKILL, as the host always does, without waiting.
func (p *process) kill() {
	p.disposed.Store(true)
	p.signal()
}

// signal sends SIGKILL unless the process has gone already: its id may belong to another one by then.
func (p *process) signal() {
	select {
	case <-p.exited:
	default:
		_ = killGroup(p.cmd.Process)
	}
}

var errInitTimeout = errors.New("initializing HttpWorker timed out")

// awaitReady polls GET / until any HTTP answer comes. Only a refused connection means "not yet"; every other
// failure counts as ready, as in the host. An exit with code 0 is no reason to stop asking.
func (p *process) awaitReady(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errInitTimeout)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	tick := time.NewTicker(readinessInterval)
	defer tick.Stop()
	exited := p.exited
	for {
		if p.answers(ctx, transport) {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-exited:
			if p.code != 0 {
				return p.exitError()
			}
			exited = nil
		case <-tick.C:
		}
	}
}

func (p *process) answers(ctx context.Context, transport *http.Transport) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+"/", http.NoBody)
	if err != nil {
		return false
	}
	response, err := transport.RoundTrip(request)
	if err == nil {
		_ = response.Body.Close()
		return true
	}
	return ctx.Err() == nil && !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, os.ErrDeadlineExceeded)
}

// exitError describes how the process ended, with the last lines that it wrote to stderr.
func (p *process) exitError() error {
	if tail := p.stderr.tail(); tail != "" {
		return fmt.Errorf("%s exited with code %d: %s", p.cmd.Path, p.code, tail)
	}
	return fmt.Errorf("%s exited with code %d", p.cmd.Path, p.code)
}
