package localhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// Exit codes of a handler that are not crashes, and the rule for those that are.
const (
	exitSuccess       = 0   // the host notes nothing and does not restart
	exitRestart       = 200 // intentional restart
	crashLimit        = 3
	crashWindow       = 30 * time.Minute
	initWaitFactor    = crashLimit + 1 // invocations wait so many initialization timeouts for a handler
	defaultKillGrace  = 2 * time.Second
	maxIdlePerHandler = 512
)

var (
	errTooManyCrashes = errors.New("Exceeded http worker restart retry count. Shutting down Functions Host") //nolint:staticcheck // the host's own words
	errInitWait       = errors.New("Initialization timed out and host is shutting down")                     //nolint:staticcheck // the host's own words
	errTimeout        = errors.New("timeout value was exceeded by function")
	errHang           = errors.New("the handler's answer leaves the invocation open for ever")
)

// instance is one handler and its supervision: in Azure, one machine of the app.
type instance struct {
	spec        processSpec
	log         *slog.Logger
	now         func() time.Time
	timeout     time.Duration // function timeout, 0 = none
	hangTimeout time.Duration // 0 = the function timeout
	killGrace   time.Duration
	stopHost    func(error)
	firstReady  chan struct{} // closed when the handler has been ready once

	mu      sync.Mutex
	worker  *worker       // nil while starting
	changed chan struct{} // closed and replaced whenever worker changes
	process *process      // the latest process, also while it starts
	crashes []time.Time
	total   int // crashes ever
}

// worker is a handler process that has been ready, and the connections to it. The process may be dead.
type worker struct {
	process   *process
	transport *http.Transport
}

// supervise keeps the handler running until ctx ends or the host must stop, and leaves no process behind.
func (in *instance) supervise(ctx context.Context) {
	for ctx.Err() == nil {
		p, err := startProcess(in.spec)
		if err != nil {
			in.stopHost(err)
			return
		}
		in.mu.Lock()
		in.process = p
		in.mu.Unlock()
		err = in.serve(ctx, p)
		in.publish(nil)
		if ctx.Err() != nil {
			return
		}
		if err != nil && in.countCrash(err) {
			in.stopHost(errTooManyCrashes)
			return
		}
	}
}

// serve takes one process from its start to its end. The error says why its end counts as a crash.
func (in *instance) serve(ctx context.Context, p *process) error {
	defer func() {
		p.kill()
		<-p.exited
	}()
	if err := p.awaitReady(ctx, in.spec.config.initTimeout); err != nil {
		return in.verdict(p, err)
	}
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: maxIdlePerHandler, IdleConnTimeout: time.Minute}
	defer transport.CloseIdleConnections()
	in.publish(&worker{process: p, transport: transport})
	in.log.Info("handler is ready", "port", p.port, "pid", p.cmd.Process.Pid)
	select {
	case <-p.exited:
	case <-ctx.Done():
		return nil
	}
	if p.code == exitSuccess && !p.disposed.Load() {
		in.log.Warn("handler exited with code 0: the host does not restart it, invocations will fail")
		<-ctx.Done()
		return nil
	}
	return in.verdict(p, p.exitError())
}

// verdict turns the end of a process into an error if it counts as a crash.
func (in *instance) verdict(p *process, cause error) error {
	if p.disposed.Load() {
		return nil
	}
	select {
	case <-p.exited:
		if p.code == exitRestart {
			return nil
		}
	default: // alive but not ready in time
	}
	return cause
}

// countCrash reports whether the host gives up. A crash more than half an hour after the one before starts afresh.
func (in *instance) countCrash(cause error) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	now := in.now()
	if n := len(in.crashes); n > 0 && now.Sub(in.crashes[n-1]) > crashWindow {
		in.crashes = nil
	}
	in.crashes = append(in.crashes, now)
	in.total++
	in.log.Error("handler crashed", "error", cause, "crashes", len(in.crashes))
	return len(in.crashes) >= crashLimit
}

func (in *instance) publish(w *worker) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.worker = w
	close(in.changed)
	in.changed = make(chan struct{})
	if w == nil {
		return
	}
	select {
	case <-in.firstReady:
	default:
		close(in.firstReady)
	}
}

// current returns the worker, waiting while it is being restarted. If that takes too long the host stops.
func (in *instance) current(ctx context.Context) (*worker, error) {
	limit := time.NewTimer(initWaitFactor * in.spec.config.initTimeout)
	defer limit.Stop()
	for {
		in.mu.Lock()
		w, changed := in.worker, in.changed
		in.mu.Unlock()
		if w != nil {
			return w, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the handler: %w", context.Cause(ctx))
		case <-limit.C:
			in.stopHost(errInitWait)
			return nil, errInitWait
		}
	}
}

// run carries out one invocation under the function timeout. After the timeout, and a short grace, it kills the
// whole process, and with it every other invocation that the process is working on; call has always returned when
// run returns. A call that returns errHang stands for an answer that the real host would wait on for ever.
func (in *instance) run(ctx context.Context, call func(context.Context, *worker) error) error {
	w, err := in.current(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- call(ctx, w) }()
	timeout := newDeadline(in.timeout)
	defer timeout.stop()
	select {
	case err = <-done:
		if !errors.Is(err, errHang) {
			return err
		}
		in.log.Error("the handler's answer is empty or null: the invocation hangs until the function timeout")
		return in.hang(ctx, w, timeout)
	case <-timeout.c:
	}
	in.log.Error("function timeout", "timeout", in.timeout)
	select {
	case err = <-done:
		if errors.Is(err, errHang) {
			w.process.kill()
		}
	case <-time.After(in.killGrace):
		w.process.kill()
		cancel()
		return errors.Join(errTimeout, <-done)
	}
	return errTimeout
}

// hang waits as long as the host would, or as long as the options say, and then ends the process.
func (in *instance) hang(ctx context.Context, w *worker, timeout *deadline) error {
	short := newDeadline(in.hangTimeout)
	defer short.stop()
	select {
	case <-timeout.c:
	case <-short.c:
	case <-w.process.exited: // killed for another reason: a real host would go on waiting, to no effect
		return errHang
	case <-ctx.Done():
		return errHang
	}
	select {
	case <-time.After(in.killGrace):
	case <-ctx.Done():
	}
	w.process.kill()
	return fmt.Errorf("%w: %w", errTimeout, errHang)
}

// deadline is a timer that may be absent.
type deadline struct {
	c     <-chan time.Time
	timer *time.Timer
}

func newDeadline(after time.Duration) *deadline {
	if after <= 0 {
		return &deadline{}
	}
	timer := time.NewTimer(after)
	return &deadline{c: timer.C, timer: timer}
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}

// running is the instance's process if it is alive, ready or not.
func (in *instance) running() *process {
	in.mu.Lock()
	p := in.process
	in.mu.Unlock()
	if p == nil {
		return nil
	}
	select {
	case <-p.exited:
		return nil
	default:
		return p
	}
}
