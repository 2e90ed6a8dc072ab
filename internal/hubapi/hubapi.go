package hubapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"strings"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/hubauth"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// Jobs changes and reads jobs; *dispatch.Dispatcher does.
type Jobs interface {
	Create(ctx context.Context, def job.Definition, idempotencyKey string, by job.Caller) (*job.Record, error)
	Get(ctx context.Context, jobID string) (*job.Record, *job.Run, error)
	GetRun(ctx context.Context, runID string) (*job.Record, *job.Run, error)
	Cancel(ctx context.Context, jobID string, by job.Caller) (*job.Record, *job.Run, error)
}

// Store lists jobs and executions; *tablestore.Store does.
type Store interface {
	Jobs(ctx context.Context, q tablestore.JobQuery) (jobs []*job.Record, next string, err error)
	Shards(ctx context.Context, runID string, q tablestore.ShardQuery) ([]*job.Shard, error)
}

// Callers tells who makes a request, or an error that wraps hubauth.ErrUnauthorized; *hubauth.Verifier does.
type Callers interface {
	Caller(r *http.Request) (hubauth.Caller, error)
}

// Options of New. Jobs, Store, Callers and Hub are required.
type Options struct {
	Jobs    Jobs
	Store   Store
	Callers Callers
	// Hub sends requests to the hub under the app's own credential, whatever host they name; iothub.Client.Forwarder gives it.
	Hub http.RoundTripper
	// HubName is the name of that hub where jobs name hubs. Queries over devices.jobs tell of its devices alone.
	HubName string
	// PassThrough opens the rest of the hub's API. Queries over devices go to the hub without it too.
	PassThrough bool
	// Ready is called before each request that reaches storage, such as tablestore.Store.Ensure. Default: nothing.
	Ready func(context.Context) error
	// Logger gets one line for each answer of 401, 500 or 503. Default: discards.
	Logger *slog.Logger
	// Now is the clock. Default: time.Now.
	Now func() time.Time
	// RequestID names the request of a context in errors and logs, such as customhandler.InvocationID. Default, and when it
	// gives "": a random id.
	RequestID func(context.Context) string
}

// Prefixes are the paths that New's handler serves, for customhandler.Options.
func Prefixes() []string {
	return []string{"/configurations/", "/devices/", "/digitaltwins/", "/jobs/", "/statistics/", "/twins/"}
}

// timeLimit bounds the work for one request that is ours. The platform's front end gives up after 230 s
// (https://learn.microsoft.com/azure/azure-functions/functions-bindings-http-webhook-trigger#limits).
const timeLimit = 200 * time.Second

type handler struct {
	opts  Options
	proxy *httputil.ReverseProxy
}

// New gives the handler.
func New(o Options) http.Handler {
	if o.Ready == nil {
		o.Ready = func(context.Context) error { return nil }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.RequestID == nil {
		o.RequestID = func(context.Context) string { return "" }
	}
	h := &handler{opts: o}
	h.proxy = h.newProxy()
	return h
}

func (h *handler) now() time.Time { return h.opts.Now().UTC() }

// request is an HTTP request after routing.
type request struct {
	*http.Request
	by    job.Caller
	jobID string
}

// headerMethod says that a POST is meant as a PATCH: so the SDK for Java sends it, whose HTTP client knows no PATCH
// (https://github.com/Azure/azure-iot-sdk-java).
const headerMethod = "X-HTTP-Method-Override"

// ServeHTTP implements [http.Handler].
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost && strings.EqualFold(r.Header.Get(headerMethod), http.MethodPatch) {
		r = r.WithContext(r.Context()) // a copy
		r.Method = http.MethodPatch
	}
	if err := h.serve(w, r); err != nil {
		if r.Context().Err() != nil {
			panic(http.ErrAbortHandler) // the caller has gone, or we stop: nothing may pass for an answer
		}
		h.fail(w, r, err)
	}
}

// serve admits and routes r and answers it, unless it gives an error.
func (h *handler) serve(w http.ResponseWriter, r *http.Request) error {
	caller, err := h.opts.Callers.Caller(r)
	if err != nil {
		return err
	}
	e, jobID, err := h.route(r)
	if err != nil {
		return err
	}
	if !caller.Grants.Allow(e.needs) {
		return errForbidden
	}
	if e.do == nil {
		return h.passThrough(w, r)
	}
	if !knownVersion(r.URL.Query().Get("api-version")) {
		return unknownVersion()
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeLimit)
	defer cancel()
	if err := h.opts.Ready(ctx); err != nil {
		return err
	}
	own := &request{Request: r.WithContext(ctx), by: caller.Caller, jobID: jobID}
	a, err := e.do(ctx, own)
	switch {
	case errors.Is(err, errForHub) && !caller.Grants.Allow(hubauth.ServiceConnect):
		return errForbidden
	case errors.Is(err, errForHub):
		r.Body = own.Body // which was read
		return h.passThrough(w, r)
	case err != nil:
		return err
	}
	h.write(w, r, a)
	return nil
}
