package main

import (
	"context"
	"errors"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/latency"
)

const (
	// warmUp is how many devices are called before anything is measured: connections are open then, on both sides.
	warmUp = 1024
	slow   = 50 * time.Millisecond // how long slow devices take to answer
)

// ceiling compares a job with a bare loop over the same client, the same hub and the same number of calls in flight. They
// take turns, so that a noisy machine treats both alike.
func ceiling(twins bool, answer time.Duration, want goal) func(context.Context, *bench) (table, error) {
	return func(ctx context.Context, b *bench) (t table, err error) {
		hub := hubOptions{Devices: b.devices}
		if answer > 0 {
			hub.Latency = latency.FixedAt(answer)
		}
		w, err := startWorld(ctx, worldOptions{hub: hub, app: b.app})
		if err != nil {
			return t, err
		}
		defer func() { err = errors.Join(err, w.close()) }()
		bare, err := startLoop(loopConfig{w.hub.address, b.inFlight, twins})
		if err != nil {
			return t, err
		}
		w.closers = append(w.closers, bare.close)
		if err := w.warm(ctx, bare, jobSpec{devices: min(warmUp, b.devices), twins: twins}); err != nil {
			return t, err
		}
		if err := b.takeTurns(ctx, w, bare, jobSpec{devices: b.devices, twins: twins}, want, &t); err != nil {
			return t, err
		}
		if !twins {
			now, err := w.startNow(ctx, b)
			t.add("startNow", "sent without startTime to first call, app idle", "s", now...)
			return t, err
		}
		return t, nil
	}
}

// takeTurns runs loop and job by turns.
func (b *bench) takeTurns(ctx context.Context, w *world, bare bareLoop, spec jobSpec, want goal, t *table) error {
	var loops, jobs, ratios, first, completed, lag []float64
	for range b.repetitions {
		seconds, err := bare.run(b.devices)
		if err != nil {
			return err
		}
		spec.due = soon()
		o, err := w.runMeasured(ctx, spec)
		if err != nil {
			return err
		}
		n := float64(b.devices)
		loops, jobs, ratios = append(loops, n/seconds), append(jobs, n/o.lastEnd), append(ratios, seconds/o.lastEnd)
		first, completed, lag = append(first, o.firstCall), append(completed, n/o.completed), append(lag, o.completed-o.lastEnd)
	}
	t.add("ceiling", "bare loop", "devices/s", loops...)
	t.add("job", "job, due to last outcome", "devices/s", jobs...)
	t.add("ratio", "job / bare loop", "", ratios...).goal = want
	t.add("completed", "job, due to reported completed", "devices/s", completed...)
	t.add("firstCall", "due to first call", "s", first...)
	t.add("reportLag", "last outcome to reported completed", "s", lag...).goal = atMost(2)
	return nil
}

// idle is long enough for the host to poll its queue as rarely as it ever does.
const idle = 3 * time.Second

// startNow measures how soon a job of one device begins that is to begin at once.
func (w *world) startNow(ctx context.Context, b *bench) ([]float64, error) {
	ids, err := deviceIDs(1)
	if err != nil {
		return nil, err
	}
	var first []float64
	for range b.repetitions {
		if err := wait(ctx, idle); err != nil {
			return nil, err
		}
		o, err := w.runMeasured(ctx, jobSpec{devices: 1, ids: ids})
		if err != nil {
			return nil, err
		}
		first = append(first, o.firstCall)
	}
	return first, nil
}

// warm calls the first devices of the fleet by the loop and by a job.
func (w *world) warm(ctx context.Context, bare bareLoop, spec jobSpec) error {
	var err error
	if spec.ids, err = deviceIDs(spec.devices); err != nil {
		return err
	}
	if _, err := bare.run(spec.devices); err != nil {
		return err
	}
	_, err = w.runJob(ctx, spec)
	return err
}
