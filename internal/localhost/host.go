package localhost

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// Options say which app a host runs and how.
type Options struct {
	// AppRoot is the packaged app: host.json, one folder per function, the handler executable.
	AppRoot string
	// Addr is where HTTP is served, default "127.0.0.1:0".
	Addr string
	// TLSAddr is where HTTPS is served beside HTTP, with TLS; not at all if TLS is nil. Default "127.0.0.1:0".
	TLSAddr string
	TLS     *tls.Config
	// Env holds app settings, KEY=VALUE. The handler sees them on top of this process's environment; %KEY% in
	// function.json and AzureFunctionsJobHost__ overrides of host.json come from both.
	Env []string
	// Instances is how many handler processes run behind the one HTTP port, default 1. HTTP is spread in turn, each
	// instance listens to every queue with its own concurrency, and timers run on the first one only.
	Instances int
	// QueueConnectionString is used for every queue. If empty, each binding's connection names the setting that
	// holds one. UseDevelopmentStorage=true is understood.
	QueueConnectionString string
	// Keys are the access keys; empty ones are made up.
	Keys Keys
	// EnforceKeys demands keys as Azure does. Core Tools do not unless told to.
	EnforceKeys bool
	// CORS lists the origins that browsers may call from; "*" is all. If nil, Host.CORS and Host.CORSCredentials of
	// local.settings.json in AppRoot count, if there is one.
	CORS []string
	// Logger gets what the host has to say. Default: nothing is logged.
	Logger *slog.Logger
	// HandlerOutput gets the handlers' stdout and stderr, each line tagged. Default: the Logger.
	HandlerOutput io.Writer
	// Now is the clock of schedules, metadata and the crash count, default time.Now.
	Now func() time.Time
	// HangTimeout shortens the wait for invocations that the handler answered with nothing or null. The real host
	// waits for the function timeout, which is the default.
	HangTimeout time.Duration
	// StopTimeout is how long stopping waits for invocations in flight before the handlers are killed, default 0.
	// Azure gives a host 10 s.
	StopTimeout time.Duration
	// State is a folder for the timers' status. Default: it is kept in memory.
	State string

	// killGrace and openQueue are replaced by tests.
	killGrace time.Duration
	openQueue func(connection, name string) (messageQueue, error)
}

// Host is a running app.
type Host struct {
	url       string
	tlsAddr   string
	keys      Keys
	instances []*instance
	stats     *statistics
	stop      context.CancelCauseFunc
	done      chan struct{}
	err       error // valid once done is closed
}

var errClosed = errors.New("host closed")

// Start reads the app, starts its handlers and serves HTTP. It returns before the handlers are ready: until then
// HTTP answers 503, and WaitReady waits. It fails on anything in the app that the real host would refuse, skip or
// misread. When ctx ends the host stops.
func Start(ctx context.Context, options Options) (*Host, error) {
	b, err := newBuilder(options)
	if err != nil {
		return nil, fmt.Errorf("loading functions app: %w", err)
	}
	listeners, err := listen(ctx, options)
	if err != nil {
		b.transport.CloseIdleConnections()
		return nil, fmt.Errorf("starting functions host: %w", err)
	}
	ctx, stop := context.WithCancelCause(ctx)
	h := &Host{
		url: "http://" + listeners[0].Addr().String(), keys: b.keys, stats: b.invoker.stats, stop: stop,
		done: make(chan struct{}),
	}
	if options.TLS != nil {
		h.tlsAddr = listeners[1].Addr().String()
	}
	for i := range b.options.Instances {
		h.instances = append(h.instances, b.instance(i, stop))
	}
	go h.run(ctx, b, listeners)
	return h, nil
}

// listen takes the port of HTTP and, if it is wanted, that of HTTPS.
func listen(ctx context.Context, options Options) ([]net.Listener, error) {
	take := func(addr string) (net.Listener, error) {
		return (&net.ListenConfig{}).Listen(ctx, "tcp", cmp.Or(addr, "127.0.0.1:0"))
	}
	plain, err := take(options.Addr)
	if err != nil || options.TLS == nil {
		return []net.Listener{plain}, err
	}
	secure, err := take(options.TLSAddr)
	if err != nil {
		return nil, errors.Join(err, plain.Close())
	}
	config := options.TLS.Clone()
	config.NextProtos = []string{"http/1.1"}
	return []net.Listener{plain, tls.NewListener(secure, config)}, nil
}

// run keeps everything going until ctx ends, and leaves nothing behind.
func (h *Host) run(ctx context.Context, b *builder, listeners []net.Listener) {
	defer close(h.done)
	defer b.transport.CloseIdleConnections()
	workCtx, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	for i, in := range h.instances {
		background.Go(func() { in.supervise(workCtx) })
		background.Go(func() {
			select {
			case <-in.firstReady:
				b.listen(ctx, workCtx, listening{in: in, withTimers: i == 0, stop: h.stop})
			case <-ctx.Done():
			}
		})
	}
	front := b.server(h.instances)
	front.startRun = func(run func(context.Context)) { background.Go(func() { run(workCtx) }) }
	web := &http.Server{
		Handler: front.handler(ctx, workCtx), ReadHeaderTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(b.log.Handler(), slog.LevelDebug),
	}
	for _, listener := range listeners {
		background.Go(func() {
			if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				h.stop(fmt.Errorf("serving http: %w", err))
			}
		})
	}
	<-ctx.Done()
	h.drain(b.options.StopTimeout)
	giveUp()
	closeServer(web)
	background.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, errClosed) && !errors.Is(cause, context.Canceled) {
		h.err = cause
	}
}

// drain waits a limited time for invocations in flight.
func (h *Host) drain(limit time.Duration) {
	deadline := time.Now().Add(limit)
	for h.stats.inFlight() > 0 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
}

// closeServer gives requests whose handlers were just killed a moment to be answered.
func closeServer(web *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if web.Shutdown(ctx) != nil {
		_ = web.Close()
	}
}

// URL is the base address of the app, like http://127.0.0.1:7071, without a slash at the end.
func (h *Host) URL() string { return h.url }

// TLSAddr is where HTTPS is served, as host:port; empty without Options.TLS.
func (h *Host) TLSAddr() string { return h.tlsAddr }

// HostKey is the default host key, which opens every function of level function.
func (h *Host) HostKey() string { return h.keys.Host }

// Keys are all access keys of the host.
func (h *Host) Keys() Keys { return h.keys }

// WaitReady waits until every instance's handler has been ready once. It returns the host's error if that stops.
func (h *Host) WaitReady(ctx context.Context) error {
	for _, in := range h.instances {
		select {
		case <-in.firstReady:
		case <-h.done:
			if h.err != nil {
				return h.err
			}
			return errClosed
		case <-ctx.Done():
			return fmt.Errorf("waiting for handlers: %w", ctx.Err())
		}
	}
	return nil
}

// Close stops the host and waits until it and all handler processes are gone. It may be called more than once.
func (h *Host) Close() error {
	h.stop(errClosed)
	<-h.done
	return nil
}

// Done is closed when the host has stopped, by Close, by its context, or by itself: see Err.
func (h *Host) Done() <-chan struct{} { return h.done }

// Err says why the host stopped by itself: too many crashes, a handler that never got ready, an executable that
// does not start. It is nil before Done and after Close.
func (h *Host) Err() error {
	select {
	case <-h.done:
		return h.err
	default:
		return nil
	}
}

// KillHandler ends an instance's handler process with SIGKILL, from outside: it counts as a crash.
func (h *Host) KillHandler(instance int) error {
	if instance < 0 || instance >= len(h.instances) {
		return fmt.Errorf("killing handler: there is no instance %d", instance)
	}
	p := h.instances[instance].running()
	if p == nil {
		return fmt.Errorf("killing handler: instance %d has no process", instance)
	}
	p.signal()
	return nil
}

// Pids are the process ids of the handlers by instance, 0 where none is alive.
func (h *Host) Pids() []int {
	pids := make([]int, len(h.instances))
	for i, in := range h.instances {
		if p := in.running(); p != nil {
			pids[i] = p.cmd.Process.Pid
		}
	}
	return pids
}

// Stats are the counts of every function that has been invoked, by function name.
func (h *Host) Stats() map[string]Stats { return h.stats.snapshot() }

// Crashes is how often the handler of each instance has ended in a way that counts as a crash.
func (h *Host) Crashes() []int {
	crashes := make([]int, len(h.instances))
	for i, in := range h.instances {
		in.mu.Lock()
		crashes[i] = in.total
		in.mu.Unlock()
	}
	return crashes
}

// appEnvironment is this process's environment with the app's settings on top.
func appEnvironment(settings []string) environment {
	return append(environment(os.Environ()), settings...)
}

// appRoot checks that there is an app and an executable to run, and returns the absolute root.
func appRoot(root string) (string, error) {
	absolute, err := filepath.Abs(root)
	if err != nil {
		return "", fmt.Errorf("finding app root: %w", err)
	}
	return absolute, nil
}

func checkExecutable(config hostConfig) error {
	if _, err := exec.LookPath(config.executable); err != nil {
		return fmt.Errorf("handler executable: %w", err)
	}
	return nil
}
