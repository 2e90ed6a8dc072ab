package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/dispatch"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/principal"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// Commands change jobs. Errors are job.Faults, job.ErrNotFound, job.ErrConflict, the Err values of package dispatch,
// *iothub.Error where the hub was asked, or those of storage.
type Commands interface {
	Create(ctx context.Context, def job.Definition, idempotencyKey string, by job.Caller) (*job.Record, error)
	Preview(ctx context.Context, def job.Definition) (dispatch.Preview, error)
	Cancel(ctx context.Context, jobID string, by job.Caller) (*job.Record, *job.Run, error)
	Pause(ctx context.Context, jobID, note string, by job.Caller) (*job.Record, *job.Run, error)
	Resume(ctx context.Context, jobID, note string, by job.Caller) (*job.Record, *job.Run, error)
	Approve(ctx context.Context, jobID string, batch int, remark string, by job.Caller) (*job.Record, *job.Run, error)
	NextBatch(ctx context.Context, jobID, note string, by job.Caller) (*job.Record, *job.Run, error)
	Edit(ctx context.Context, jobID string, e dispatch.Edit, by job.Caller) (*job.Record, *job.Run, error)
	Delete(ctx context.Context, jobID string, by job.Caller) error
}

// Again makes jobs of jobs, or keeps a device from being called.
type Again interface {
	Copy(ctx context.Context, rec *job.Record, run *job.Run, c job.Copy, by job.Caller) (*job.Record, error)
	Rerun(ctx context.Context, rec *job.Record, run *job.Run, r job.Rerun, by job.Caller) (*job.Record, error)
	CancelExecution(ctx context.Context, runID, deviceID string, by job.Caller) (job.Execution, error)
}

// Reader gives a job with its run as it is now, of a recurring job its latest run, or a run by its id; or job.ErrNotFound.
type Reader interface {
	Get(ctx context.Context, jobID string) (*job.Record, *job.Run, error)
	GetRun(ctx context.Context, runID string) (*job.Record, *job.Run, error)
}

// Jobs is what *dispatch.Dispatcher does for this package.
type Jobs interface {
	Commands
	Again
	Recurring
	Reader
	TemplateCommands
}

// Trail lists the entries of the audit trail, newest first.
type Trail interface {
	Changes(ctx context.Context, q tablestore.ChangeQuery) (changes []*job.Change, next string, err error)
}

// Store lists jobs, executions and who changed them; *tablestore.Store does.
type Store interface {
	Trail
	TemplateStore
	Jobs(ctx context.Context, q tablestore.JobQuery) (jobs []*job.Record, next string, err error)
	Run(ctx context.Context, runID string) (*job.Run, error)
	Runs(ctx context.Context, q tablestore.RunQuery) (runs []*job.Record, next string, err error)
	Shards(ctx context.Context, runID string, q tablestore.ShardQuery) ([]*job.Shard, error)
	Find(ctx context.Context, runID, deviceID string) (e job.Execution, shard int, err error)
}

// Options of New. Jobs and Store are required.
type Options struct {
	Jobs  Jobs
	Store Store
	// Ready is called before each request that reaches storage, such as tablestore.Store.Ensure. Default: nothing.
	Ready func(context.Context) error
	// Callers tells who makes a request. Default: nobody is signed in, and keys have hashes of no deployment in particular.
	Callers *principal.Resolver
	// PublicURL begins absolute links, such as "https://myfleet.azurewebsites.net". Without it links are paths.
	PublicURL string
	// Logger gets one line for each answer of 401, 403, 500 or 503. Default: discards.
	Logger *slog.Logger
	// Now is the clock. Default: time.Now.
	Now func() time.Time
	// Version goes into the X-Fleetjobs-Version header of every answer that needs a key, which is left out when it is "".
	Version string
	// Health is what /api/health/details looks at. Required for that path.
	Health Health
	// RequestID names the request of a context in problems and logs, such as customhandler.InvocationID. Default, and
	// when it gives "": a random id.
	RequestID func(context.Context) string
}

// timeLimit bounds the work for one request. The platform's front end gives up after 230 s
// (https://learn.microsoft.com/azure/azure-functions/functions-bindings-http-webhook-trigger#limits).
const timeLimit = 200 * time.Second

type handler struct {
	jobs      Jobs
	store     Store
	ready     func(context.Context) error
	callers   *principal.Resolver
	publicURL string
	logger    *slog.Logger
	clock     func() time.Time
	version   string
	requestID func(context.Context) string
	health    *health
	routes    []route
}

// New gives the handler of everything below /api/.
func New(o Options) http.Handler {
	h := &handler{
		jobs: o.Jobs, store: o.Store, ready: o.Ready, callers: o.Callers, publicURL: strings.TrimRight(o.PublicURL, "/"),
		logger: o.Logger, clock: o.Now,
		version: o.Version, requestID: o.RequestID,
	}
	if h.ready == nil {
		h.ready = func(context.Context) error { return nil }
	}
	if h.callers == nil {
		h.callers = principal.New(principal.Options{})
	}
	if h.logger == nil {
		h.logger = slog.New(slog.DiscardHandler)
	}
	if h.clock == nil {
		h.clock = time.Now
	}
	if h.requestID == nil {
		h.requestID = func(context.Context) string { return "" }
	}
	h.health = newHealth(o.Health, h.now)
	h.routes = h.table()
	return h
}

func (h *handler) now() time.Time { return h.clock().UTC() }

// request is an HTTP request after routing.
type request struct {
	*http.Request
	by       job.Caller // zero on paths for everybody
	jobID    string
	runID    string
	deviceID string

	templateID string
	query      *params
}

// action carries a request out. Its answer is written as it is; its error becomes a problem.
type action func(ctx context.Context, r *request) (*answer, error)

// ServeHTTP implements [http.Handler].
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), timeLimit)
	defer cancel()
	a, err := h.serve(ctx, r)
	if err != nil {
		if r.Context().Err() != nil {
			panic(http.ErrAbortHandler) // the caller has gone, or we stop: nothing may pass for an answer
		}
		a = h.problemAnswer(r, err)
	}
	h.write(w, r, a)
}

// panicked is a panic on its way to an answer.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// serve routes r and carries it out. A panic becomes an error, so that the caller gets an answer.
func (h *handler) serve(ctx context.Context, r *http.Request) (a *answer, err error) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if cut, ok := v.(error); ok && errors.Is(cut, http.ErrAbortHandler) {
			panic(http.ErrAbortHandler) // net/http's own way to cut a connection
		}
		a, err = nil, &panicked{value: v, stack: debug.Stack()}
	}()
	by, err := h.admit(r)
	if err != nil {
		return nil, err
	}
	do, routed, err := h.route(r)
	if err != nil {
		return nil, err
	}
	routed.by = by
	if stored(r.URL.Path) {
		if err := h.ready(ctx); err != nil {
			return nil, err
		}
	}
	return do(ctx, routed)
}

// stored reports whether what is at a path lies in storage.
func stored(path string) bool {
	return slices.ContainsFunc([]string{"jobs", "templates", "audit"}, func(part string) bool { return strings.HasPrefix(path, prefix+part) })
}
