package customhandler

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
)

// InvocationIDKey is the slog key of the invocation id. Application Insights
// has the same id as customDimensions.InvocationId.
const InvocationIDKey = "invocation_id"

const (
	invocationHeader   = "X-Azure-Functions-InvocationId"
	maxInvocationIDLen = 64
)

type invocationIDKey struct{}

// InvocationID returns the id that the host gave to the invocation that ctx
// belongs to, or "". It correlates logs and proves nothing: a host that
// forwards HTTP requests also copies what the caller sent under this header.
func InvocationID(ctx context.Context) string {
	id, _ := ctx.Value(invocationIDKey{}).(string)
	return id
}

func withInvocationID(r *http.Request) *http.Request {
	id := lastInvocationID(r.Header)
	if id == "" {
		return r
	}
	return r.WithContext(context.WithValue(r.Context(), invocationIDKey{}, id))
}

// lastInvocationID takes the last value, which is the host's: it adds its own
// after what a caller sent, on a line of its own or behind a comma.
func lastInvocationID(h http.Header) string {
	values := h.Values(invocationHeader)
	if len(values) == 0 {
		return ""
	}
	last := values[len(values)-1]
	id := strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
	if len(id) > maxInvocationIDLen || strings.ContainsFunc(id, notIDRune) {
		return ""
	}
	return id
}

func notIDRune(r rune) bool {
	switch {
	case r >= '0' && r <= '9', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '-':
		return false
	}
	return true
}

// NewLogHandler returns a handler that adds the invocation id of the context to
// every record that is logged with one. Wrapping twice adds it once.
func NewLogHandler(h slog.Handler) slog.Handler {
	if wrapped, ok := h.(logHandler); ok {
		return wrapped
	}
	return logHandler{h}
}

type logHandler struct{ slog.Handler }

func (h logHandler) Handle(ctx context.Context, r slog.Record) error {
	if id := InvocationID(ctx); id != "" {
		r = r.Clone()
		r.AddAttrs(slog.String(InvocationIDKey, id))
	}
	return h.Handler.Handle(ctx, r)
}

func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logHandler{h.Handler.WithAttrs(attrs)}
}

func (h logHandler) WithGroup(name string) slog.Handler {
	return logHandler{h.Handler.WithGroup(name)}
}
