package dispatch

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

// partsBy gives the parts of the run's target by the values that divide it.
func (p *planner) partsBy(rec *job.Record, values []string) ([]job.Part, error) {
	if rec.Zoned() {
		return rec.DivideByZone(values, p.d.now())
	}
	return rec.Divide(values)
}

// placed gives a part, an empty one where the run has none.
func (p *planner) placed(part int) *job.Part {
	if part >= len(p.parts) {
		return &job.Part{}
	}
	return &p.parts[part]
}

// unplaced counts the devices of new shards that have no place in the run.
func (p *planner) unplaced(shards []*job.Shard) job.Counts {
	var c job.Counts
	for _, s := range shards {
		if p.placed(s.Part).Reason != job.NoReason {
			c = c.Plus(s.Ended())
		}
	}
	return c
}

// zoneWindows are the maintenance windows of a run whose devices have them at their own local times; nil of other runs.
type zoneWindows struct {
	window *schedule.Window
	read   func(ctx context.Context) (job.Parts, error)

	mu    sync.Mutex
	parts []job.Part
	bound map[string]*schedule.Window
}

// zoneWindows prepares those of a run, nil where no window of a device ever stops its calls.
func (d *Dispatcher) zoneWindows(rec *job.Record, runID string) (*zoneWindows, error) {
	if !rec.LocalWindow() || rec.MaintenanceWindow.EndBehavior == schedule.Finish {
		return nil, nil
	}
	w, err := rec.MaintenanceWindow.Compile()
	if err != nil {
		return nil, fmt.Errorf("compiling the maintenance window of job %s: %w", rec.JobID, err)
	}
	return &zoneWindows{
		window: w, bound: map[string]*schedule.Window{},
		read: func(ctx context.Context) (job.Parts, error) { return d.store.Parts(ctx, runID) },
	}, nil
}

// of gives the window of a part, nil where it has none.
func (z *zoneWindows) of(ctx context.Context, part int) (*schedule.Window, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if part >= len(z.parts) {
		parts, err := z.read(ctx)
		if err != nil {
			return nil, err
		}
		z.parts = parts.List
	}
	if part >= len(z.parts) || z.parts[part].Zone == "" {
		return nil, nil
	}
	name := z.parts[part].Zone
	if w := z.bound[name]; w != nil {
		return w, nil
	}
	loc, err := schedule.LoadZone(name)
	if err != nil {
		return nil, fmt.Errorf("loading time zone %q: %w", name, err)
	}
	w := z.window.In(loc)
	z.bound[name] = w
	return w, nil
}

// closes gives until when a shard's devices may be called, zero without an end.
func (z *zoneWindows) closes(ctx context.Context, shard *job.Shard, now time.Time) (time.Time, error) {
	if z == nil {
		return time.Time{}, nil
	}
	w, err := z.of(ctx, shard.Part)
	if w == nil || err != nil {
		return time.Time{}, err
	}
	if open, until := w.Open(now); open {
		return until, nil
	}
	return now, nil
}

// rests stores a shard whose devices' window is closed: they wait for the next one, or end where none comes, or where the job wants it.
// It reports whether it has.
func (d *Dispatcher) rests(ctx context.Context, op *operation, shard *job.Shard) (bool, error) {
	now := d.now()
	until, err := op.windows.closes(ctx, shard, now)
	if err != nil || until.IsZero() || until.After(now) {
		return false, err
	}
	w, err := op.windows.of(ctx, shard.Part)
	if err != nil {
		return false, err
	}
	if op.once {
		shard.Doubt(now)
	}
	if next, ok := w.NextOpen(now); ok && w.End() != schedule.Cancel {
		shard.Interrupted()
		shard.Postpone(next.From)
		return true, d.store.SaveShard(ctx, shard)
	}
	abandon(shard, now)
	shard.EndRest(job.Outcome{State: job.Canceled, Reason: job.WindowClosed}, now)
	return true, d.store.CloseShard(ctx, shard)
}

// bound has a worker start no call once the window of its devices closes.
func (w *worker) bound(ctx context.Context) error {
	closes, err := w.op.windows.closes(ctx, w.shard, w.d.now())
	if err == nil && !closes.IsZero() && closes.Before(w.until) {
		w.until = closes
	}
	return err
}

// abandon ends executions whose worker died: they may have been reached.
func abandon(shard *job.Shard, now time.Time) {
	for i := range shard.Executions {
		if e := &shard.Executions[i]; e.State == job.InProgress && !e.Awaiting() {
			e.End(job.Outcome{State: job.Failed, Reason: job.Abandoned, Answer: []byte(interrupted)}, now)
		}
	}
}
