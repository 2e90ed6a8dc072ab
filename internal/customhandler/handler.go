package customhandler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/telemetry/logline"
)

// TimerFunc runs one tick of a timer function. The host never overlaps ticks
// of one function, but a tick can be repeated or skipped: see [Timer]. An
// error fails the invocation; the next tick comes as scheduled.
type TimerFunc func(ctx context.Context, t Timer) error

// QueueFunc handles one delivery of a queue message. A nil error deletes the
// message; an error gives it back, and the host moves it to the poison queue
// once extensions.queues.maxDequeueCount deliveries have failed. Deliveries
// repeat, so a QueueFunc must be idempotent.
type QueueFunc func(ctx context.Context, m Message) error

// Options says which functions exist and what serves HTTP.
type Options struct {
	// HTTP serves every request below HTTPPrefixes with its original method,
	// path and query. Nil answers 404.
	HTTP http.Handler
	// HTTPPrefixes are the path prefixes that belong to HTTP, each starting and
	// ending with a slash; the path without the last slash belongs to it too.
	// Default: "/api/".
	HTTPPrefixes []string
	// Timers and Queues hold the functions by the name of their folder, which
	// is the exact, case-sensitive path of their invocations.
	Timers map[string]TimerFunc
	Queues map[string]QueueFunc
	// Logger gets one line for each failed invocation. Default: discards.
	Logger *slog.Logger
	// MaxEnvelopeBytes bounds the body of an invocation. Default: 4 MiB, several
	// times what a 64 KiB message can grow to when it is escaped twice and its
	// fields are repeated in the metadata.
	MaxEnvelopeBytes int64
}

const defaultMaxEnvelopeBytes = 4 << 20

// functionName is the rule of the Functions host for folder names.
var functionName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,127}$`)

// invocation is a timer or queue function behind one face.
type invocation func(ctx context.Context, env envelope) error

type handler struct {
	http      http.Handler
	prefixes  []string
	functions map[string]invocation // by path
	logger    *slog.Logger
	maxBody   int64
}

// New returns the handler of the whole process:
//
//	GET /                 200, for the host's readiness and health checks; never logged
//	POST /<FunctionName>  an invocation, exact path; success is always 200 and {}
//	/api/...              Options.HTTP, for each of HTTPPrefixes
//	anything else         404
//
// It never redirects: a host that does not forward HTTP requests would follow
// a redirect and turn the invocation into a GET without a body. Panics are
// recovered, logged with their stack and answered with 500.
//
// New fails on names that the host would refuse, on a name given twice, and on
// a name that is also the first segment of an HTTP prefix.
func New(o Options) (http.Handler, error) {
	h := &handler{
		http:      o.HTTP,
		prefixes:  o.HTTPPrefixes,
		functions: make(map[string]invocation, len(o.Timers)+len(o.Queues)),
		logger:    o.Logger,
		maxBody:   o.MaxEnvelopeBytes,
	}
	if h.http == nil {
		h.http = http.NotFoundHandler()
	}
	if len(h.prefixes) == 0 {
		h.prefixes = []string{"/api/"}
	}
	if h.logger == nil {
		h.logger = slog.New(slog.DiscardHandler)
	}
	h.logger = slog.New(logline.NewHandler(h.logger.Handler()))
	if h.maxBody == 0 {
		h.maxBody = defaultMaxEnvelopeBytes
	}
	if err := h.register(o); err != nil {
		return nil, fmt.Errorf("register functions: %w", err)
	}
	return h, nil
}

func (h *handler) register(o Options) error {
	var errs []error
	for _, p := range h.prefixes {
		if len(p) < 3 || !strings.HasPrefix(p, "/") || !strings.HasSuffix(p, "/") {
			errs = append(errs, fmt.Errorf("http prefix %q must start and end with a slash and name a segment", p))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.Timers)) {
		errs = append(errs, h.add(name, timerInvocation(o.Timers[name])))
	}
	for _, name := range slices.Sorted(maps.Keys(o.Queues)) {
		errs = append(errs, h.add(name, queueInvocation(o.Queues[name])))
	}
	return errors.Join(errs...)
}

func (h *handler) add(name string, call invocation) error {
	path := "/" + name
	switch {
	case !functionName.MatchString(name) || strings.EqualFold(name, "host"):
		return fmt.Errorf("%q is no valid function name", name)
	case call == nil:
		return fmt.Errorf("function %s is nil", name)
	case h.functions[path] != nil:
		return fmt.Errorf("function %s is given twice", name)
	}
	for _, p := range h.prefixes {
		// The host routes HTTP without regard to case.
		if first, _, _ := strings.Cut(strings.TrimPrefix(p, "/"), "/"); strings.EqualFold(first, name) {
			return fmt.Errorf("function %s is also the first segment of the http prefix %s", name, p)
		}
	}
	h.functions[path] = call
	return nil
}

// ServeHTTP implements [http.Handler].
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	call, isFunction := h.functions[path]
	switch {
	case path == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		w.WriteHeader(http.StatusOK)
	case isFunction && r.Method == http.MethodPost:
		h.invoke(w, withHost(r), call)
	case isFunction:
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	case slices.ContainsFunc(h.prefixes, func(p string) bool { return strings.HasPrefix(path+"/", p) }):
		h.forward(w, withHost(r))
	default:
		http.Error(w, "not found", http.StatusNotFound)
	}
}
