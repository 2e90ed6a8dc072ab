package dispatch

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/telemetry/logline"
)

// sliceWatch counts what one slice does. It travels in the slice's context to where the hub is called.
type sliceWatch struct {
	o       *observer
	shard   *job.Shard
	startAt time.Time // of the run
	hub     string
	begun   time.Time
	before  job.Counts

	calls     atomic.Int64
	throttled atomic.Int64
	first     atomic.Bool // the next call is the run's first
}

type sliceKey struct{}

// watch prepares the observation of a slice of shard, before its first call.
func (o *observer) watch(run *job.Run, shard *job.Shard) *sliceWatch {
	w := &sliceWatch{o: o, shard: shard, startAt: run.StartAt, hub: run.Hub, before: job.Count(shard.Executions)}
	w.first.Store(shard.Number == 0 && untouched(shard))
	return w
}

// untouched reports whether no device of the shard was ever called.
func untouched(shard *job.Shard) bool {
	for i := range shard.Executions {
		if shard.Executions[i].Attempts > 0 {
			return false
		}
	}
	return true
}

// begin starts the slice: its lines are about its shard, and its calls are counted. The returned function tells of its end, when
// nobody changes the shard any more.
func (w *sliceWatch) begin(ctx context.Context) (context.Context, func()) {
	w.begun = w.o.now()
	n := w.shard.Number
	ctx = logline.With(aboutRun(ctx, w.shard.RunID), logline.IDs{Shard: &n, Hub: w.hub})
	ctx = context.WithValue(ctx, sliceKey{}, w)
	ctx, span := w.o.tracer.Start(ctx, "slice", trace.WithAttributes(
		jobKey.String(job.OwnerOf(w.shard.RunID)), runKey.String(w.shard.RunID), shardKey.Int(n)))
	return ctx, func() { w.end(ctx, span) }
}

func (w *sliceWatch) end(ctx context.Context, span trace.Span) {
	after := job.Count(w.shard.Executions)
	done := logline.SliceDone{
		Devices: len(w.shard.Executions), Calls: int(w.calls.Load()), Throttled: int(w.throttled.Load()),
		Ended: after.Minus(w.before), Left: after.Total() - after.Ended(), Closed: w.shard.Closed,
		Took: w.o.now().Sub(w.begun),
	}
	done.Queued, _ = ctx.Value(ageKey{}).(time.Duration)
	logline.Write(ctx, w.o.log, done)
	w.o.shardTime.Record(ctx, done.Took.Seconds())
	if span.IsRecording() {
		attrs := []attribute.KeyValue{attribute.Int("fleetjobs.calls", done.Calls), attribute.Int("fleetjobs.devices", done.Devices)}
		for _, s := range job.ExecutionStates() {
			if n := done.Ended.Of(s); n > 0 {
				attrs = append(attrs, attribute.Int("fleetjobs.executions."+s.String(), n))
			}
		}
		span.SetAttributes(attrs...)
	}
	span.End()
}

// calling counts a call of the slice, and tells of it when it is the run's first.
func (w *sliceWatch) calling(ctx context.Context) {
	w.calls.Add(1)
	if w.first.Load() && w.first.CompareAndSwap(true, false) {
		lag := max(0, w.o.now().Sub(w.startAt))
		w.o.dispatchLag.Record(ctx, lag.Seconds())
		logline.Write(ctx, w.o.log, logline.RunFirstCall{Lag: lag})
	}
}
