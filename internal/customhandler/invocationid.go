package customhandler

import (
	"context"
	"net/http"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/telemetry/logline"
	"github.com/fleetjobs/fleetjobs/internal/telemetry/tracectx"
)

const (
	invocationHeader   = "X-Azure-Functions-InvocationId"
	maxInvocationIDLen = 64
)

// InvocationID returns the id that the host gave to the invocation that ctx
// belongs to, or "". It correlates logs and proves nothing: a host that
// forwards HTTP requests also copies what the caller sent under this header.
// Application Insights has the same id as customDimensions.InvocationId.
func InvocationID(ctx context.Context) string { return logline.IDsOf(ctx).Invocation }

// withHost puts what the host says about an invocation into the context of its
// request: its id, which the lines of [logline] then carry, and its trace.
func withHost(r *http.Request) *http.Request {
	ctx := tracectx.FromHeader(r.Context(), r.Header)
	if id := lastInvocationID(r.Header); id != "" {
		ctx = logline.With(ctx, logline.IDs{Invocation: id})
	}
	return r.WithContext(ctx)
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
