package customhandler

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"

	"github.com/fleetjobs/fleetjobs/internal/telemetry/logline"
)

// invoke answers one envelope request. The host discards the body of a failed
// answer, so the log line is the only trace of why it failed.
func (h *handler) invoke(w http.ResponseWriter, r *http.Request, call invocation) {
	status, dequeues, err := h.run(w, r, call)
	if err == nil {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "2")
		_, _ = io.WriteString(w, "{}") // a host that is gone cannot be told
		return
	}
	failed := logline.InvocationFailed{Function: r.URL.Path[1:], DequeueCount: dequeues, Err: err}
	if p, ok := errors.AsType[*panicError](err); ok {
		failed.Stack = p.stack
	}
	logline.Write(r.Context(), h.logger, failed)
	http.Error(w, "invocation failed", status)
}

// run reads the envelope and calls the function. The status is only of use
// with an error. dequeues is how often a message was delivered, 0 for timers.
func (h *handler) run(w http.ResponseWriter, r *http.Request, call invocation) (status, dequeues int, err error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.maxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return http.StatusRequestEntityTooLarge, 0, fmt.Errorf("read envelope: %w", err)
	}
	if err != nil {
		return http.StatusBadRequest, 0, fmt.Errorf("read envelope: %w", err)
	}
	env, err := parseEnvelope(body)
	if err != nil {
		return http.StatusBadRequest, 0, fmt.Errorf("parse envelope: %w", err)
	}
	return http.StatusInternalServerError, env.dequeues(), protect(r.Context(), env, call)
}

// panicError is a recovered panic with the stack it came from.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

func protect(ctx context.Context, env envelope, call invocation) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{value: v, stack: debug.Stack()}
		}
	}()
	return call(ctx, env)
}

func timerInvocation(f TimerFunc) invocation {
	if f == nil {
		return nil
	}
	return func(ctx context.Context, env envelope) error { return f(ctx, env.timer()) }
}

func queueInvocation(f QueueFunc) invocation {
	if f == nil {
		return nil
	}
	return func(ctx context.Context, env envelope) error {
		m, err := env.message()
		if err != nil {
			return fmt.Errorf("read queue message: %w", err)
		}
		m.InvocationID = InvocationID(ctx)
		return f(ctx, m)
	}
}

// forward serves an HTTP request. A panic becomes a 500 if nothing has been
// sent yet; otherwise the connection is cut, so that half an answer does not
// look whole.
func (h *handler) forward(w http.ResponseWriter, r *http.Request) {
	tracked := &trackedWriter{ResponseWriter: w}
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(http.ErrAbortHandler) // a cut that the handler asked for
		}
		// The path only: the query may hold a key.
		h.logger.ErrorContext(r.Context(), "http request failed", "method", r.Method, "path", r.URL.Path,
			"error", fmt.Sprintf("panic: %v", v), "stack", string(debug.Stack()))
		if tracked.started {
			panic(http.ErrAbortHandler)
		}
		clear(w.Header())
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, `{"type":"about:blank","title":"Internal Server Error","status":500}`)
	}()
	h.http.ServeHTTP(tracked, r)
}

// trackedWriter remembers whether an answer has begun.
type trackedWriter struct {
	http.ResponseWriter
	started bool
}

func (w *trackedWriter) WriteHeader(status int) {
	w.started = w.started || status >= 200 // 1xx may be followed by the answer
	w.ResponseWriter.WriteHeader(status)
}

func (w *trackedWriter) Write(b []byte) (int, error) {
	w.started = true
	return w.ResponseWriter.Write(b)
}

// Flush implements [http.Flusher] for handlers that stream.
func (w *trackedWriter) Flush() {
	w.started = true
	_ = http.NewResponseController(w.ResponseWriter).Flush() // not supported: nothing to flush
}

// Unwrap lets [http.ResponseController] reach the writer beneath.
func (w *trackedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
