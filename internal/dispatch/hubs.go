package dispatch

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// childrenAtOnce is how many of a run's runs at hubs one pass looks after at a time.
const childrenAtOnce = 8

// spread lets a run that begins be one at several hubs. What "all" stands for is decided here.
func (d *Dispatcher) spread(run *job.Run, rec *job.Record) {
	if rec.Hubs.Several() {
		run.SpreadOver(rec.Hubs.Among(d.Hubs()))
	}
}

// gather is a pass over a run at several hubs: the runs there follow what was done to it, it looks after those that nobody looks
// after, and shows what became of them. As part of the chain it stores the generation of the next message and sends that.
func (d *Dispatcher) gather(ctx context.Context, run *job.Run, generation int) error {
	before, now := d.observe.before(run), d.now()
	if generation > 0 {
		run.Generation, run.SupervisedAt = generation, now
	}
	rec, err := d.record(ctx, run)
	if err != nil {
		return err
	}
	g, tending := errgroup.WithContext(ctx)
	g.SetLimit(childrenAtOnce)
	for i := range run.Hubs {
		if !run.Hubs[i].Status.Ended() {
			g.Go(func() error { return d.tend(tending, run, &run.Hubs[i], rec) })
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := run.Gather(now); err != nil {
		return err
	}
	if err := d.store.SaveRun(ctx, run); err != nil {
		return err
	}
	d.observe.passed(ctx, before, run, 0)
	if run.Status != before.status {
		if err := d.reflect(ctx, run); err != nil {
			return err
		}
	}
	if generation == 0 || run.Status.Ended() || run.Resting(now) {
		return nil
	}
	return d.sendSupervise(ctx, run.ID, generation, gatherAgain(run, before, now))
}

// gatherIdle is the time between two passes while nothing comes to an end.
const gatherIdle = 5 * time.Second

// gatherAgain is when the next pass is due, by what the one before it knew. A run that comes into another status at a hub has one
// made at once.
func gatherAgain(run *job.Run, was snapshot, now time.Time) time.Duration {
	switch {
	case run.Status == job.StatusBlocked:
		return superviseSilent
	case run.Status == job.StatusPaused && now.Sub(run.Pause.Since) > superviseSilent:
		return superviseSilent
	}
	if run.Closed.Ended() == was.ended && run.PlanDone && was.planDone {
		return gatherIdle
	}
	return superviseEvery
}

// tend looks after the run at one hub, and notes in h where it stands.
func (d *Dispatcher) tend(ctx context.Context, run *job.Run, h *job.HubRun, rec *job.Record) error {
	id, now := job.HubRunID(run.ID, h.Hub), d.now()
	child, err := d.store.Run(ctx, id)
	if errors.Is(err, job.ErrNotFound) {
		child, err = d.createAt(ctx, run, h.Hub, rec)
	}
	if err != nil {
		return err
	}
	var changed bool
	child, err = d.changeFrom(ctx, child, func(child *job.Run) (bool, error) {
		changed, err = run.HandOn(child, rec, now)
		return changed, err
	})
	if err != nil {
		return err
	}
	h.Saw(child)
	silent := now.Sub(latest(latest(child.SupervisedAt, child.StartAt), h.AskedAt))
	if child.Status.Ended() || !changed && (silent <= d.opts.Silence || child.Resting(now)) {
		return nil
	}
	h.AskedAt = now
	if child.StartedAt.IsZero() {
		if child.Status != job.StatusScheduled {
			return nil
		}
		return d.send(ctx, message{Kind: kindPlan, Run: id}, child.StartAt.Sub(now))
	}
	return d.wake(ctx, child)
}

// createAt stores the run at a hub and sends the message that begins it. Doing both twice is harmless.
func (d *Dispatcher) createAt(ctx context.Context, run *job.Run, hub string, rec *job.Record) (*job.Run, error) {
	child := run.At(hub, rec)
	if _, err := run.HandOn(&child, rec, d.now()); err != nil {
		return nil, err
	}
	if err := d.store.CreateRun(ctx, &child); err != nil {
		return nil, err
	}
	if child.Status == job.StatusScheduled {
		if err := d.send(ctx, message{Kind: kindPlan, Run: child.ID}, 0); err != nil {
			return nil, err
		}
	}
	return d.store.Run(ctx, child.ID)
}

// tellWhole has a run at several hubs looked at because its run at one of them came into another status.
func (d *Dispatcher) tellWhole(ctx context.Context, child *job.Run) error {
	id, _ := job.WholeRun(child.ID)
	run, err := d.store.Run(ctx, id)
	if err != nil || run.Status.Ended() {
		return err
	}
	return d.wake(ctx, run)
}

// enterWhole tells the audit trail, which belongs to the whole run, of what was done to its run at one hub.
func (d *Dispatcher) enterWhole(ctx context.Context, child *job.Run) error {
	id, hub := job.WholeRun(child.ID)
	if hub == "" || len(child.Trail) == 0 {
		return nil
	}
	run, err := d.change(ctx, id, func(run *job.Run) (bool, error) {
		made := child.Trail[len(child.Trail)-1]
		made.RunID = child.ID
		run.Enter(made)
		return true, nil
	})
	if err != nil {
		return err
	}
	return d.reflect(ctx, run)
}

// rollBatches is roll for what is about batches, which a run at several hubs has at each of them.
func (d *Dispatcher) rollBatches(
	ctx context.Context, id string, edit func(*job.Run, *job.Record) (bool, error),
) (*job.Record, *job.Run, error) {
	var made *job.Change
	return d.roll(ctx, id, func(run *job.Run, rec *job.Record) (bool, error) {
		if run.Hubs == nil {
			return edit(run, rec)
		}
		change, err := d.rollAtHubs(ctx, run, func(child *job.Run) (bool, error) { return edit(child, rec) })
		if change != nil {
			made = change
		}
		if err != nil || made == nil {
			return false, err
		}
		run.Enter(*made)
		return true, nil
	})
}

// rollAtHubs changes the runs at several hubs and gives the entry of the audit trail, nil when nothing changed. The change is
// refused where every run that goes on refuses it.
func (d *Dispatcher) rollAtHubs(ctx context.Context, run *job.Run, edit func(*job.Run) (bool, error)) (*job.Change, error) {
	refused, taken := ErrEnded, false
	var made *job.Change
	for _, h := range run.Hubs {
		changed := false
		child, err := d.change(ctx, job.HubRunID(run.ID, h.Hub), func(child *job.Run) (bool, error) {
			if child.Status.Ended() || child.Status == job.StatusStopping {
				return false, ErrEnded
			}
			var err error
			changed, err = edit(child)
			return changed, err
		})
		switch {
		case errors.Is(err, job.ErrNotWaiting):
			refused = err
			continue
		case errors.Is(err, ErrEnded), errors.Is(err, job.ErrNotFound):
			continue
		case err != nil:
			return nil, err
		}
		taken = true
		if changed {
			made = &child.Trail[len(child.Trail)-1]
			if err := d.wake(ctx, child); err != nil {
				return nil, err
			}
		}
	}
	if !taken {
		return nil, refused
	}
	return made, nil
}

// rerunAt gives the run whose devices a rerun does again: of one at several hubs that at the named one, or at the only one.
func (d *Dispatcher) rerunAt(ctx context.Context, run *job.Run, hub string) (*job.Run, error) {
	var names []string
	for _, h := range run.Hubs {
		names = append(names, h.Hub)
	}
	switch {
	case run.Hubs == nil && (hub == "" || hub == run.Hub):
		return run, nil
	case run.Hubs == nil:
		return nil, job.Faults{{Field: "hub", Value: hub, Rule: "is for runs at several hubs"}}
	case hub == "" && len(names) > 1:
		return nil, job.Faults{{Field: "hub", Rule: "is required: a rerun takes the devices of one hub, of " + strings.Join(names, ", ")}}
	case hub == "":
		hub = names[0]
	case !slices.Contains(names, hub):
		return nil, job.Faults{{Field: "hub", Value: hub, Rule: "must be one of " + strings.Join(names, ", ")}}
	}
	return d.store.Run(ctx, job.HubRunID(run.ID, hub))
}
