package logline

import (
	"log/slog"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// RunStarted says that a run began to select devices, Late after its start time.
type RunStarted struct{ Late time.Duration }

func (e RunStarted) line() line {
	return line{"run.started", "the run began to select devices", slog.LevelInfo, []slog.Attr{ms("lateMs", e.Late)}}
}

// RunFirstCall says that the first shard of a run made its first call, Lag after the run's start time.
type RunFirstCall struct{ Lag time.Duration }

func (e RunFirstCall) line() line {
	return line{"run.firstCall", "the run made its first call", slog.LevelInfo, []slog.Attr{ms("lagMs", e.Lag)}}
}

// RunPlanned says that every device of a run is selected.
type RunPlanned struct {
	Devices, Shards int
	Took            time.Duration // since the run started
}

func (e RunPlanned) line() line {
	return line{"run.planned", "every device of the run is selected", slog.LevelInfo, []slog.Attr{
		slog.Int("devices", e.Devices), slog.Int("shards", e.Shards), ms("durationMs", e.Took),
	}}
}

// RunProgress is how far a run has come.
type RunProgress struct {
	Run            *job.Run
	Open           int     // shards under way
	EndedPerSecond float64 // executions, since the look before
	Now            time.Time
}

func (e RunProgress) line() line {
	r := e.Run
	attrs := append([]slog.Attr{slog.String("status", string(r.Status)), slog.Int("devices", r.Devices)}, counts(r.Counts())...)
	return line{"run.progress", "how far the run has come", slog.LevelInfo, append(attrs,
		slog.Int("open", e.Open), slog.Int("waiting", r.Planned-r.Enqueued), slog.Float64("endedPerSecond", e.EndedPerSecond),
		ms("ageMs", e.Now.Sub(r.StartedAt)))}
}

// RunBlocked says that a fault of the hub stopped a run, or that a probe found the hub still gone. Blocked is how long it
// has been so.
type RunBlocked struct {
	Block   *job.Block
	Blocked time.Duration
}

func (e RunBlocked) line() line {
	return line{"run.blocked", "the run is blocked by the hub and goes on when it is back", slog.LevelWarn, []slog.Attr{
		slog.String("reason", e.Block.Reason), slog.String("code", e.Block.Code), slog.Int("probes", e.Block.Probes),
		ms("blockedMs", e.Blocked), slog.Bool("planning", e.Block.Planning),
	}}
}

// RunUnblocked says that the hub is back.
type RunUnblocked struct{ Blocked time.Duration }

func (e RunUnblocked) line() line {
	return line{"run.unblocked", "the hub is back, the run goes on", slog.LevelInfo, []slog.Attr{ms("blockedMs", e.Blocked)}}
}

// RunPaused says that somebody, or a rule of the job, paused a run: it starts no new calls.
type RunPaused struct{ ByRule bool }

func (e RunPaused) line() line {
	return line{"run.paused", "the run is paused", slog.LevelInfo, []slog.Attr{slog.Bool("byRule", e.ByRule)}}
}

// RunResumed says that a paused run goes on.
type RunResumed struct{ Paused time.Duration }

func (e RunResumed) line() line {
	return line{"run.resumed", "the run goes on", slog.LevelInfo, []slog.Attr{ms("pausedMs", e.Paused)}}
}

// RunStopping says that a run starts no new calls.
type RunStopping struct{ EndReason job.EndReason }

func (e RunStopping) line() line {
	return line{"run.stopping", "the run starts no new calls", slog.LevelInfo, []slog.Attr{
		slog.String("endReason", string(e.EndReason)),
	}}
}

// RunEnded is the end of a run.
type RunEnded struct{ Run *job.Run }

func (e RunEnded) line() line {
	r, c := e.Run, e.Run.Counts()
	level := slog.LevelInfo
	switch {
	case r.Status == job.StatusFailed:
		level = slog.LevelError
	case r.Status == job.StatusCompleted && c.Of(job.Succeeded) < c.Total():
		level = slog.LevelWarn
	}
	var took time.Duration
	if !r.StartedAt.IsZero() {
		took = r.EndedAt.Sub(r.StartedAt)
	}
	attrs := append([]slog.Attr{
		slog.String("status", string(r.Status)), slog.String("endReason", string(r.EndReason)),
		slog.String("failureReason", r.FailureReason), slog.Int("devices", r.Devices),
	}, counts(c)...)
	return line{"run.ended", "the run has ended", level, append(attrs, slog.Any("reasons", c.ReasonMap()), ms("durationMs", took))}
}
