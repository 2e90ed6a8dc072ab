package dispatch

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/telemetry/logline"
	"github.com/fleetjobs/fleetjobs/internal/telemetry/tracectx"
)

// observer tells what the dispatcher does: in lines, spans and metrics. It decides nothing and fails nothing, and what it does
// for a single device allocates nothing unless the device's trace is recorded.
type observer struct {
	log    *slog.Logger
	now    func() time.Time
	tracer trace.Tracer
	instruments
	lanes lanes

	mu   sync.Mutex
	jobs map[job.Status]int // active jobs, as far as the tick under way has come
	last map[job.Status]int // those of the tick before
	at   time.Time          // of last
}

func newObserver(opts Options, all lanes) *observer {
	o := &observer{log: opts.Logger, now: opts.Now, tracer: opts.Tracer, lanes: all}
	if o.tracer == nil {
		o.tracer = tracenoop.NewTracerProvider().Tracer("")
	}
	meter := opts.Meter
	if meter == nil {
		meter = metricnoop.NewMeterProvider().Meter("")
	}
	if err := o.measure(meter); err != nil {
		o.log.Warn("some metrics are missing", "error", err)
	}
	return o
}

// destination is the queue, as spans name it.
const destination = "fleetjobs-work"

func aboutRun(ctx context.Context, runID string) context.Context {
	_, hub := job.WholeRun(runID)
	return logline.With(ctx, logline.IDs{Job: job.OwnerOf(runID), Run: runID, Hub: hub})
}

// about is aboutRun, with the hub of a run that is of another than the default one.
func about(ctx context.Context, run *job.Run) context.Context {
	return logline.With(aboutRun(ctx, run.ID), logline.IDs{Hub: run.Hub})
}

// received begins a delivery: its lines are about the message's run, and it goes on with the message's trace. A supervision has
// no span, since a run has one each second: what it sends belongs to the span that began the chain. The returned function
// ends the delivery.
func (o *observer) received(ctx context.Context, m message) (context.Context, func(error)) {
	if m.Due > 0 {
		age := max(0, o.now().Sub(time.UnixMilli(m.Due)))
		o.queueAge.Record(ctx, age.Seconds(), kindOption(m.Kind))
		ctx = context.WithValue(ctx, ageKey{}, age)
	}
	host := trace.SpanContextFromContext(ctx)
	ctx = tracectx.Resume(aboutRun(ctx, m.Run), m.Trace)
	if m.Kind == kindSupervise {
		return ctx, func(error) {}
	}
	opts := []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
			semconv.MessagingSystemKey.String("azure_queue_storage"), semconv.MessagingDestinationName(destination),
			semconv.MessagingOperationTypeProcess, semconv.MessagingOperationName("process"), semconv.FaaSTriggerPubSub,
			semconv.FaaSInvocationID(logline.IDsOf(ctx).Invocation), messageKindKey.String(string(m.Kind)),
			jobKey.String(job.OwnerOf(m.Run)), runKey.String(m.Run)),
	}
	if host.IsValid() && m.Trace != "" {
		opts = append(opts, trace.WithLinks(trace.Link{SpanContext: host}))
	}
	ctx, span := o.tracer.Start(ctx, "process "+destination, opts...)
	return ctx, func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}
}

// Attributes of spans and metrics.
const (
	jobKey         = attribute.Key("fleetjobs.job.id")
	runKey         = attribute.Key("fleetjobs.run.id")
	shardKey       = attribute.Key("fleetjobs.shard")
	messageKindKey = attribute.Key("fleetjobs.message.kind")
	statusKey      = attribute.Key("fleetjobs.job.status")
	stateKey       = attribute.Key("fleetjobs.execution.state")
	operationKey   = attribute.Key("fleetjobs.operation")
	hubKey         = attribute.Key("fleetjobs.hub")
	channelKey     = attribute.Key("fleetjobs.delivery.channel")
	outcomeKey     = attribute.Key("fleetjobs.delivery.outcome")
)

type ageKey struct{}

// sending completes a message: it goes on with the trace of ctx, unless it had one before, and says when it is due.
func (o *observer) sending(ctx context.Context, m *message, delay time.Duration) {
	if m.Trace == "" {
		m.Trace = tracectx.Traceparent(ctx)
	}
	m.Due = o.now().Add(delay).UnixMilli()
}

// snapshot is what is compared with a run after it was changed.
type snapshot struct {
	status       job.Status
	blockedSince time.Time
	pausedSince  time.Time
	supervisedAt time.Time
	ended        int
	planDone     bool
	rev          string
}

func (o *observer) before(run *job.Run) snapshot {
	s := snapshot{
		status: run.Status, supervisedAt: run.SupervisedAt, ended: run.Closed.Ended() + run.Live.Ended(), planDone: run.PlanDone, rev: run.Rev,
	}
	if run.Block != nil {
		s.blockedSince = run.Block.Since
	}
	if run.Pause != nil {
		s.pausedSince = run.Pause.Since
	}
	return s
}

// changed tells of a run's new status once it is stored.
func (o *observer) changed(ctx context.Context, was snapshot, run *job.Run) {
	if run.Status == was.status {
		return
	}
	ctx = about(ctx, run)
	if _, hub := job.WholeRun(run.ID); hub == "" { // else a part of a job
		o.transitions.Add(ctx, 1, statusOption(run.Status))
	}
	if was.status == job.StatusPaused && (run.Status == job.StatusRunning || run.Status == job.StatusScheduled) {
		logline.Write(ctx, o.log, logline.RunResumed{Paused: o.now().Sub(was.pausedSince)})
	}
	switch {
	case was.status == job.StatusScheduled && run.Status == job.StatusRunning:
		logline.Write(ctx, o.log, logline.RunStarted{Late: run.StartedAt.Sub(run.StartAt)})
	case was.status == job.StatusBlocked && run.Status == job.StatusRunning:
		logline.Write(ctx, o.log, logline.RunUnblocked{Blocked: o.now().Sub(was.blockedSince)})
	case run.Status == job.StatusPaused:
		logline.Write(ctx, o.log, logline.RunPaused{ByRule: run.Pause.By.Kind == ""})
	case run.Status == job.StatusStopping:
		logline.Write(ctx, o.log, logline.RunStopping{EndReason: run.EndReason})
	case run.Status.Ended():
		logline.Write(ctx, o.log, logline.RunEnded{Run: run})
		o.executed(ctx, run.Hub, run.Counts().Minus(run.Closed)) // devices that no worker was given
	}
}

// blocked tells that a run is blocked, or still is after a probe.
func (o *observer) blocked(ctx context.Context, run *job.Run) {
	logline.Write(about(ctx, run), o.log, logline.RunBlocked{Block: run.Block, Blocked: o.now().Sub(run.Block.Since)})
}

const (
	progressEvery = 10 * time.Second
	blockedEvery  = time.Minute
)

// passed tells how far a run has come, after a supervision that stored something, once per period whichever processes supervise.
func (o *observer) passed(ctx context.Context, was snapshot, run *job.Run, open int) {
	if run.Rev == was.rev {
		return
	}
	ctx = about(ctx, run)
	if run.PlanDone && !was.planDone && run.EndReason != job.EndUnplannable {
		logline.Write(ctx, o.log, logline.RunPlanned{Devices: run.Devices, Shards: run.Planned, Took: o.now().Sub(run.StartedAt)})
	}
	o.changed(ctx, was, run)
	period := progressEvery
	if run.Status == job.StatusBlocked || run.Status == job.StatusPaused {
		period = blockedEvery
	}
	now := run.SupervisedAt
	if run.Status.Ended() || !now.Truncate(period).After(was.supervisedAt) {
		return
	}
	p := logline.RunProgress{Run: run, Open: open, Now: now}
	if since := now.Sub(was.supervisedAt).Seconds(); since > 0 {
		p.EndedPerSecond = float64(run.Closed.Ended()+run.Live.Ended()-was.ended) / since
	}
	logline.Write(ctx, o.log, p)
}

// abandoned tells that a shard was given up.
func (o *observer) abandoned(ctx context.Context, shard *job.Shard) {
	n := shard.Number
	logline.Write(logline.With(aboutRun(ctx, shard.RunID), logline.IDs{Shard: &n}), o.log, logline.SliceAbandoned{
		Devices: job.Count(shard.Executions).ByReason[job.Abandoned], Lost: shard.Claim.Lost,
	})
}

// notified tells how an attempt at a delivery went.
func (o *observer) notified(ctx context.Context, d job.Delivery) {
	line := logline.Notified{Delivery: d}
	logline.Write(ctx, o.log, line)
	o.deliveries.Add(ctx, 1, metric.WithAttributes(channelKey.String(string(d.Channel)), outcomeKey.String(line.Outcome())))
}

// ticking begins a tick; the returned function ends it with what was found due and active.
func (o *observer) ticking(ctx context.Context) func(due, active int) {
	started := o.now()
	o.mu.Lock()
	o.jobs = map[job.Status]int{}
	o.mu.Unlock()
	return func(due, active int) {
		o.mu.Lock()
		jobs := maps.Clone(o.jobs) // another tick may be counting
		o.last, o.at = jobs, o.now()
		o.mu.Unlock()
		logline.Write(ctx, o.log, logline.TickDone{Due: due, Active: active, Jobs: jobs, Took: o.now().Sub(started)})
	}
}

// active counts a run that the tick looked at.
func (o *observer) active(run *job.Run) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.jobs[run.Status]++
}
