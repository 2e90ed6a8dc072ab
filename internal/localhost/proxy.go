package localhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"time"

	"github.com/google/uuid"
)

// Facts of the host's proxy.
const (
	proxyAttempts   = 10
	proxyFirstDelay = 50 * time.Millisecond
	proxyMaxDelay   = 250 * time.Millisecond
	proxyIdle       = 240 * time.Second // here only until the answer's headers
)

// proxy streams an HTTP request through as the host does with enableProxyingHttpRequest: path, query and bodies as
// they are, Host rewritten, X-Forwarded-* replaced, the client's going away passed on.
func (s *server) proxy(in *instance, fn *function, w http.ResponseWriter, r *http.Request) {
	id := uuid.NewString()
	called, aborted := false, false
	err := s.invoker.counted(fn, id, func() error {
		return in.run(r.Context(), func(ctx context.Context, wk *worker) (err error) {
			called = true
			defer func() {
				// The proxy aborts an answer that broke off half-way by a panic, which belongs to another goroutine.
				if p := recover(); p != nil {
					aborted = true
					err = fmt.Errorf("the answer broke off: %v", p)
				}
			}()
			proxy := httputil.ReverseProxy{
				Rewrite:       func(pr *httputil.ProxyRequest) { rewrite(pr, wk.process.address, id) },
				Transport:     dialRetry{wk.transport},
				FlushInterval: -1,
				ErrorLog:      slog.NewLogLogger(s.invoker.log.Handler(), slog.LevelDebug),
				ErrorHandler: func(w http.ResponseWriter, _ *http.Request, cause error) {
					err = fmt.Errorf("proxying to the handler: %w", cause)
					w.WriteHeader(http.StatusBadGateway)
				},
			}
			proxy.ServeHTTP(w, r.WithContext(ctx))
			return err
		})
	})
	if aborted {
		panic(http.ErrAbortHandler)
	}
	if err != nil && !called {
		w.WriteHeader(http.StatusBadGateway)
	}
}

// rewrite turns the caller's request into the handler's.
func rewrite(pr *httputil.ProxyRequest, address, id string) {
	pr.Out.URL.Scheme = "http"
	pr.Out.URL.Host = address
	pr.Out.URL.RawQuery = pr.In.URL.RawQuery
	pr.Out.Host = address
	pr.SetXForwarded()
	pr.Out.Header.Del("X-Forwarded-Prefix")
	pr.Out.Header.Set("X-Azure-Functions-HostVersion", hostVersion)
	pr.Out.Header.Set("X-Azure-Functions-InvocationId", id)
	pr.Out.Header.Set("X-Ms-Invocation-Id", id)
	activity(pr.Out.Header, pr.In.Header.Get("Traceparent"))
}

// dialRetry repeats a request whose connection could not be made; nothing of its body has been read then.
type dialRetry struct {
	transport *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (d dialRetry) RoundTrip(r *http.Request) (*http.Response, error) {
	delay := proxyFirstDelay
	for attempt := 1; ; attempt++ {
		try := r.Clone(r.Context())
		if r.Body != nil && r.Body != http.NoBody {
			try.Body = io.NopCloser(r.Body) // a failed attempt must not close it
		}
		response, err := d.roundTrip(try)
		var dial *net.OpError
		if err == nil || attempt == proxyAttempts || !errors.As(err, &dial) || dial.Op != "dial" {
			return response, err
		}
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
			return nil, context.Cause(r.Context())
		}
		delay = min(delay*3/2, proxyMaxDelay)
	}
}

// roundTrip gives up when the handler shows no sign of an answer for the proxy's idle time.
func (d dialRetry) roundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	timer := time.AfterFunc(proxyIdle, func() { cancel(errors.New("no activity")) })
	response, err := d.transport.RoundTrip(r.WithContext(ctx))
	if !timer.Stop() && err == nil {
		_ = response.Body.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		cancel(nil)
		return nil, err
	}
	response.Body = &cancelBody{ReadCloser: response.Body, cancel: cancel}
	return response, nil
}

// cancelBody frees a request's context when its answer is closed.
type cancelBody struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

// Close implements io.Closer.
func (b *cancelBody) Close() error {
	b.cancel(nil)
	return b.ReadCloser.Close()
}
