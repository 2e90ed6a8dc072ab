package logline

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// Event is something that happened and is worth a line with a name of its own.
type Event interface {
	line() line
}

// line is an event as it is written. Its ids come from the context.
type line struct {
	event string
	msg   string
	level slog.Level
	attrs []slog.Attr
}

// Write logs e with the ids of ctx.
func Write(ctx context.Context, log *slog.Logger, e Event) {
	l := e.line()
	if log.Enabled(ctx, l.level) {
		log.LogAttrs(ctx, l.level, l.msg, append([]slog.Attr{slog.String("event", l.event)}, l.attrs...)...)
	}
}

func ms(name string, d time.Duration) slog.Attr { return slog.Int64(name, d.Milliseconds()) }

// counts gives a member for each state.
func counts(c job.Counts) []slog.Attr {
	attrs := make([]slog.Attr, 0, len(c.ByState))
	for _, s := range job.ExecutionStates() {
		attrs = append(attrs, slog.Int(s.String(), c.Of(s)))
	}
	return attrs
}

// ended gives a member for each final state.
func ended(c job.Counts) []slog.Attr {
	return slices.DeleteFunc(counts(c), func(a slog.Attr) bool {
		s, _ := job.ParseExecutionState(a.Key)
		return !s.Final()
	})
}

// HandlerStarted says that the process is ready for the host.
type HandlerStarted struct {
	Version, Hub, Address string
	OTel                  bool // whether traces or metrics are exported
}

func (e HandlerStarted) line() line {
	return line{"handler.started", "fleetjobs handler is ready", slog.LevelInfo, []slog.Attr{
		slog.String("version", e.Version), slog.String("hub", e.Hub), slog.String("address", e.Address), slog.Bool("otel", e.OTel),
	}}
}

// HTTPRequest is a request that was answered. Path is without the query, which may hold a key.
type HTTPRequest struct {
	Method, Path string
	Status       int
	Took         time.Duration
}

func (e HTTPRequest) line() line {
	level := slog.LevelInfo
	switch {
	case e.Status >= 500:
		level = slog.LevelError
	case e.Method == "GET" || e.Method == "HEAD":
		level = slog.LevelDebug
	}
	return line{"http.request", "a request was answered", level, []slog.Attr{
		slog.String("method", e.Method), slog.String("path", e.Path), slog.Int("status", e.Status), ms("durationMs", e.Took),
	}}
}

// InvocationFailed is a tick or a message that ended with an error. DequeueCount is 0 for ticks. Stack is of a panic.
type InvocationFailed struct {
	Function     string
	DequeueCount int
	Err          error
	Stack        []byte
}

func (e InvocationFailed) line() line {
	attrs := []slog.Attr{
		slog.String("function", e.Function), slog.Int("dequeueCount", e.DequeueCount), slog.String("error", e.Err.Error()),
	}
	if len(e.Stack) > 0 {
		attrs = append(attrs, slog.String("stack", string(e.Stack)))
	}
	return line{"invocation.failed", "invocation failed", slog.LevelError, attrs}
}

// TickDone is a timer tick. Jobs counts the active jobs by status.
type TickDone struct {
	Due, Active int
	Jobs        map[job.Status]int
	Took        time.Duration
}

func (e TickDone) line() line {
	level := slog.LevelInfo
	if e.Due == 0 && e.Active == 0 {
		level = slog.LevelDebug
	}
	return line{"tick.done", "the timer looked after all jobs", level, []slog.Attr{
		slog.Int("due", e.Due), slog.Int("active", e.Active),
		slog.Int("jobsScheduled", e.Jobs[job.StatusScheduled]), slog.Int("jobsRunning", e.Jobs[job.StatusRunning]),
		slog.Int("jobsBlocked", e.Jobs[job.StatusBlocked]), slog.Int("jobsPaused", e.Jobs[job.StatusPaused]), slog.Int("jobsStopping", e.Jobs[job.StatusStopping]),
		ms("durationMs", e.Took),
	}}
}

// SliceDone is the work of one invocation on a shard. Ended counts the executions that came to an end in it.
type SliceDone struct {
	Devices, Calls, Throttled int
	Ended                     job.Counts
	Left                      int // executions that were handed back
	Closed                    bool
	Took, Queued              time.Duration
}

func (e SliceDone) line() line {
	attrs := []slog.Attr{slog.Int("devices", e.Devices), slog.Int("calls", e.Calls), slog.Int("throttled", e.Throttled)}
	attrs = append(attrs, ended(e.Ended)...)
	return line{"slice.done", "an invocation ended its work on a shard", slog.LevelInfo, append(attrs,
		slog.Int("left", e.Left), slog.Bool("closed", e.Closed), ms("durationMs", e.Took), ms("queueMs", e.Queued))}
}

// SliceAbandoned is a shard that was given up after Lost claims in a row had died.
type SliceAbandoned struct{ Devices, Lost int }

func (e SliceAbandoned) line() line {
	return line{"slice.abandoned", "a shard was given up: its workers kept dying", slog.LevelError, []slog.Attr{
		slog.Int("devices", e.Devices), slog.Int("lost", e.Lost),
	}}
}

// HubThrottled says that the hub asked to wait. Throttled counts its answers since the last such line.
type HubThrottled struct {
	Operation        string // method, twin or query
	Wait             time.Duration
	Throttled, Limit int
}

func (e HubThrottled) line() line {
	return line{"hub.throttled", "the hub asked to wait", slog.LevelWarn, []slog.Attr{
		slog.String("operation", e.Operation), ms("waitMs", e.Wait), slog.Int("throttled", e.Throttled), slog.Int("limit", e.Limit),
	}}
}

// Notified is an attempt to tell somebody of a job. Its level and outcome follow from the delivery's state.
type Notified struct{ Delivery job.Delivery }

// Outcome is delivered, failed, or retried when another attempt follows.
func (e Notified) Outcome() string {
	if e.Delivery.State == job.DeliveryPending {
		return "retried"
	}
	return string(e.Delivery.State)
}

func (e Notified) line() line {
	d, level := e.Delivery, slog.LevelWarn
	if d.State == job.DeliveryDelivered {
		level = slog.LevelInfo
	}
	return line{"notification.done", "somebody was told of a job, or could not be told", level, []slog.Attr{
		slog.String("outcome", e.Outcome()), slog.String("about", string(d.Event)), slog.String("channel", string(d.Channel)),
		slog.Int("attempts", d.Attempts), slog.String("reason", d.LastError), slog.Int("status", d.LastStatus),
	}}
}

// TelemetryFailed says that traces or metrics could not be exported. Failures counts since the last such line.
type TelemetryFailed struct {
	Err      error
	Failures int
}

func (e TelemetryFailed) line() line {
	return line{"telemetry.failed", "traces or metrics could not be exported", slog.LevelWarn, []slog.Attr{
		slog.String("error", e.Err.Error()), slog.Int("failures", e.Failures),
	}}
}
