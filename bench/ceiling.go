package main

import (
	"context"
	"errors"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/latency"
)

// warmUp is how many devices are called before anything is measured: connections are open then, on both sides.
const warmUp = 1024

func instant(ctx context.Context, b *bench) (table, error) {
	return b.ceiling(ctx, latency.Distribution{}, atLeast(0.8))
}

func slow(ctx context.Context, b *bench) (table, error) {
	return b.ceiling(ctx, latency.FixedAt(50*time.Millisecond), atLeast(0.95))
}

// ceiling compares a job with a bare loop over the same client, the same hub and the same number of calls in flight. They
// take turns, so that a noisy machine treats both alike.
func (b *bench) ceiling(ctx context.Context, answer latency.Distribution, want goal) (t table, err error) {
	w, err := startWorld(ctx, worldOptions{devices: b.devices, latency: answer, app: b.app})
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	bare, err := startLoop(w.address, b.inFlight)
	if err != nil {
		return t, err
	}
	w.closers = append(w.closers, bare.close)
	if err := w.warm(ctx, bare, min(warmUp, b.devices)); err != nil {
		return t, err
	}
	var loops, jobs, ratios, first, completed, lag []float64
	for range b.repetitions {
		seconds, err := bare.run(b.devices)
		if err != nil {
			return t, err
		}
		o, err := w.runMethodJob(ctx, b.devices, nil, notice)
		if err != nil {
			return t, err
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
	now, err := w.startNow(ctx, b)
	t.add("startNow", "sent without startTime to first call, app idle", "s", now...)
	return t, err
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
		select {
		case <-time.After(idle):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		o, err := w.runMethodJob(ctx, 1, ids, 0)
		if err != nil {
			return nil, err
		}
		first = append(first, o.firstCall)
	}
	return first, nil
}

func (w *world) warm(ctx context.Context, bare bareLoop, devices int) error {
	ids, err := deviceIDs(devices)
	if err != nil {
		return err
	}
	if _, err := bare.run(devices); err != nil {
		return err
	}
	_, err = w.runMethodJob(ctx, devices, ids, 0)
	return err
}
