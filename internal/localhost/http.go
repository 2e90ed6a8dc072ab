package localhost

import (
	"context"
	"net/http"
	"slices"
	"sync/atomic"
)

// maxBody is the host's limit of a request body in bytes.
const maxBody = 104_857_600

// server answers HTTP as the host does: CORS, administration, routing, keys, and then the handler.
type server struct {
	config    hostConfig
	functions []*function
	keys      Keys
	enforce   bool
	cors      cors
	instances []*instance
	invoker   *invoker
	turn      atomic.Uint64
	startRun  func(run func(ctx context.Context)) // background work that the host waits for
	manual    func(fn *function, input string) (*invocation, error)
}

// handler binds the server to the lifetime of the host: hostCtx ends when the host stops taking work, workCtx when
// it gives up what is in flight.
func (s *server) handler(hostCtx, workCtx context.Context) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case s.cors.answer(w, r):
		case isAdmin(r.URL.Path):
			s.admin(w, r)
		case hostCtx.Err() != nil || !s.ready():
			http.Error(w, "Function host is not running.", http.StatusServiceUnavailable)
		default:
			s.serveFunction(workCtx, w, r)
		}
	})
}

// ready reports whether a handler has come up on any instance.
func (s *server) ready() bool {
	return slices.ContainsFunc(s.instances, func(in *instance) bool {
		select {
		case <-in.firstReady:
			return true
		default:
			return false
		}
	})
}

// next picks the instance of the next request, in turn.
func (s *server) next() *instance {
	n := uint64(len(s.instances))
	return s.instances[(s.turn.Add(1)-1)%n]
}

// serveFunction finds the function of a request, checks the key and hands the request over.
func (s *server) serveFunction(workCtx context.Context, w http.ResponseWriter, r *http.Request) {
	fn, params := findRoute(s.functions, r.Method, r.URL.EscapedPath())
	if fn == nil {
		if r.URL.Path == "/" {
			w.WriteHeader(http.StatusOK) // the host's home page
			return
		}
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if s.enforce && !s.keys.opens(presentedKey(r), fn.route.level, fn.name) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if r.ContentLength > maxBody {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	in := s.next()
	switch {
	case fn.plainHTTP() && s.config.proxying:
		s.proxy(in, fn, w, r)
	case fn.plainHTTP() && s.config.forwarding:
		s.forward(workCtx, in, fn, w, r)
	default:
		s.envelope(workCtx, in, call{fn: fn, params: params}, w, r)
	}
}

// isHopByHop reports whether a header belongs to one connection and is not passed on.
func isHopByHop(name string) bool {
	return slices.Contains([]string{
		"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade",
	}, name)
}
