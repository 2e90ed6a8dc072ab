package azurite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/freeport"
)

// startedMark is what both services print once they listen ("successfully started on", "successfully listens on").
// Unlike a request to the port it cannot be answered by another process that took the port first.
const startedMark = "service successfully "

// portAttempts is how often a service is started on another free port after losing a race for the one before.
const portAttempts = 5

// launch is what both services of an emulator have in common.
type launch struct {
	install  string // folder with node_modules
	dir      string // working folder
	accounts string // value of AZURITE_ACCOUNTS
	log      io.Writer
}

// service is one node process.
type service struct {
	name   string
	port   int
	cmd    *exec.Cmd
	out    *output
	exited chan struct{} // closed after the process has been waited for
}

// start starts the service called name ("table", "queue" or "blob") and waits until it listens.
func (l launch) start(ctx context.Context, name string, port int, args []string) (*service, error) {
	for attempt := 1; ; attempt++ {
		s, err := l.startOnce(ctx, name, port, args)
		if err == nil {
			return s, nil
		}
		if port != 0 || attempt == portAttempts || !errors.Is(err, errPortTaken) {
			return nil, err
		}
	}
}

var errPortTaken = errors.New("port is taken")

func (l launch) startOnce(ctx context.Context, name string, port int, args []string) (*service, error) {
	if port == 0 {
		free, err := freeport.Find(ctx)
		if err != nil {
			return nil, err
		}
		port = free
	}
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, fmt.Errorf("finding node (install Node.js 20 or newer): %w", err)
	}
	base := []string{
		filepath.Join(l.install, "node_modules", "azurite", "dist", "src", name, "main.js"),
		"--silent", "--disableTelemetry", "--skipApiVersionCheck",
		"--" + name + "Host", host, "--" + name + "Port", fmt.Sprint(port),
	}
	s := &service{
		name: name, port: port, exited: make(chan struct{}),
		cmd: exec.Command(node, append(base, args...)...),
		out: &output{log: l.log, started: make(chan struct{})},
	}
	s.cmd.Dir = l.dir
	s.cmd.Env = append(environWithout("AZURITE_"), "AZURITE_ACCOUNTS="+l.accounts)
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	s.cmd.WaitDelay = time.Second
	if err := s.run(); err != nil {
		return nil, fmt.Errorf("starting the %s service: %w", name, err)
	}
	return s, s.await(ctx)
}

// run starts the process and a goroutine that waits for it. On Linux a child is tied to the thread that made it, so
// that goroutine keeps its thread until the child has ended.
func (s *service) run() error {
	s.cmd.SysProcAttr = dieWithParent()
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(s.exited)
		err := s.cmd.Start()
		started <- err
		if err == nil {
			_ = s.cmd.Wait() // the exit status after a signal says nothing
		}
	}()
	return <-started
}

// await returns when the service listens; otherwise it ends the process and says why.
func (s *service) await(ctx context.Context) error {
	select {
	case <-s.out.started:
		return nil
	case <-s.exited:
		text := s.out.text()
		if strings.Contains(text, "EADDRINUSE") {
			return fmt.Errorf("%s service on %s:%d: %w", s.name, host, s.port, errPortTaken)
		}
		return fmt.Errorf("%s service ended at start (%s): %s", s.name, s.cmd.ProcessState, text)
	case <-ctx.Done():
		err := fmt.Errorf("waiting for the %s service: %w", s.name, ctx.Err())
		return errors.Join(err, s.kill())
	}
}

func (s *service) url() string { return fmt.Sprintf("http://%s:%d", host, s.port) }

// stop ends the process and returns when it is gone.
func (s *service) stop(patience time.Duration) error {
	select {
	case <-s.exited:
		return nil
	default:
	}
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil { // already gone, or a system without SIGINT
		return s.kill()
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-s.exited:
		return nil
	case <-timer.C:
		return errors.Join(fmt.Errorf("%s service did not stop within %s and was killed", s.name, patience), s.kill())
	}
}

func (s *service) kill() error {
	err := s.cmd.Process.Kill()
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing the %s service: %w", s.name, err)
	}
	<-s.exited
	return nil
}

// environWithout returns the environment without the variables whose names begin with prefix.
func environWithout(prefix string) []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, prefix) {
			env = append(env, kv)
		}
	}
	return env
}

// output passes on what a service prints, watches for startedMark and keeps the end for error messages.
type output struct {
	log     io.Writer
	started chan struct{}

	mu   sync.Mutex
	seen bool
	tail []byte
}

const tailBytes = 4 << 10

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tail = append(o.tail, p...)
	if !o.seen && bytes.Contains(o.tail, []byte(startedMark)) {
		o.seen = true
		close(o.started)
	}
	if n := len(o.tail) - tailBytes; n > 0 {
		o.tail = append(o.tail[:0], o.tail[n:]...)
	}
	_, _ = o.log.Write(p) // a log that fails or drops lines must not end the reading of the service's output
	return len(p), nil
}

func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(bytes.TrimSpace(o.tail))
}

// lockedWriter serialises the two services' writes; without a writer it drops them.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

// Write implements io.Writer.
func (l *lockedWriter) Write(p []byte) (int, error) {
	if l.w == nil {
		return len(p), nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
