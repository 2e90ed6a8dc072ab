package logline

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/trace"
)

// IDs name what a line is about. Zero values are left out; Shard is a pointer because the first shard is number 0.
type IDs struct {
	Job        string
	Run        string
	Shard      *int
	Invocation string
	Hub        string // where the deployment has several
}

type idsKey struct{}

// With gives a context whose lines carry ids, beside those that ctx has already. A member that is set replaces the one of ctx.
func With(ctx context.Context, ids IDs) context.Context {
	all := IDsOf(ctx)
	if ids.Job != "" {
		all.Job = ids.Job
	}
	if ids.Run != "" {
		all.Run = ids.Run
	}
	if ids.Shard != nil {
		all.Shard = ids.Shard
	}
	if ids.Invocation != "" {
		all.Invocation = ids.Invocation
	}
	if ids.Hub != "" {
		all.Hub = ids.Hub
	}
	return context.WithValue(ctx, idsKey{}, all)
}

// IDsOf gives the ids that With put into ctx.
func IDsOf(ctx context.Context) IDs {
	ids, _ := ctx.Value(idsKey{}).(IDs)
	return ids
}

// NewHandler gives a handler that adds the ids and the trace id of the context to each line. A line that has a job, a run or a
// shard of its own keeps it. Wrapping twice adds them once.
func NewHandler(h slog.Handler) slog.Handler {
	if wrapped, ok := h.(handler); ok {
		return wrapped
	}
	return handler{Handler: h}
}

type handler struct {
	slog.Handler
	own keys // ids that the logger has by With
}

// keys is a set of the ids' keys.
type keys uint8

const (
	keyJob keys = 1 << iota
	keyRun
	keyShard
	keyInvocation
	keyTrace
	keyHub
)

func keyOf(name string) keys {
	switch name {
	case "job":
		return keyJob
	case "run":
		return keyRun
	case "shard":
		return keyShard
	case "invocation":
		return keyInvocation
	case "traceId":
		return keyTrace
	case "hub":
		return keyHub
	}
	return 0
}

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	has := h.own
	r.Attrs(func(a slog.Attr) bool {
		has |= keyOf(a.Key)
		return true
	})
	ids := IDsOf(ctx)
	attrs := make([]slog.Attr, 0, 6)
	add := func(k keys, known bool, a slog.Attr) {
		if known && has&k == 0 {
			attrs = append(attrs, a)
		}
	}
	add(keyJob, ids.Job != "", slog.String("job", ids.Job))
	add(keyRun, ids.Run != "", slog.String("run", ids.Run))
	if ids.Shard != nil {
		add(keyShard, true, slog.Int("shard", *ids.Shard))
	}
	add(keyHub, ids.Hub != "", slog.String("hub", ids.Hub))
	add(keyInvocation, ids.Invocation != "", slog.String("invocation", ids.Invocation))
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		add(keyTrace, true, slog.String("traceId", sc.TraceID().String()))
	}
	if len(attrs) > 0 {
		r = r.Clone()
		r.AddAttrs(attrs...)
	}
	return h.Handler.Handle(ctx, r)
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	own := h.own
	for _, a := range attrs {
		own |= keyOf(a.Key)
	}
	return handler{Handler: h.Handler.WithAttrs(attrs), own: own}
}

func (h handler) WithGroup(name string) slog.Handler {
	return handler{Handler: h.Handler.WithGroup(name), own: h.own}
}
