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
		all, err := b.takeTurns(ctx, w, bare, twins)
		if err != nil {
			return t, err
		}
		all.addTo(&t, want)
		if twins {
			return t, nil
		}
		now, err := w.startNow(ctx, b)
		t.add("startNow", "sent without startTime to first call, app idle", "s", now...)
		return t, err
	}
}

// turns are the samples of loops and jobs.
type turns struct{ loops, jobs, ratios, first, completed, lag []float64 }

// takeTurns runs loop and job by turns.
func (b *bench) takeTurns(ctx context.Context, w *world, bare bareLoop, twins bool) (s turns, err error) {
	for range b.repetitions {
		seconds, err := bare.run(b.devices)
		if err != nil {
			return s, err
		}
		o, err := w.runMeasured(ctx, jobSpec{devices: b.devices, twins: twins, due: soon()})
		if err != nil {
			return s, err
		}
		n := float64(b.devices)
		s.loops, s.jobs, s.ratios = append(s.loops, n/seconds), append(s.jobs, n/o.lastEnd), append(s.ratios, seconds/o.lastEnd)
		s.first, s.completed, s.lag = append(s.first, o.firstCall), append(s.completed, n/o.completed), append(s.lag, o.completed-o.lastEnd)
	}
	return s, nil
}

func (s turns) addTo(t *table, want goal) {
	t.add("ceiling", "bare loop", "devices/s", s.loops...)
	t.add("job", "job, due to last outcome", "devices/s", s.jobs...)
	t.add("ratio", "job / bare loop", "", s.ratios...).goal = want
	t.add("completed", "job, due to reported completed", "devices/s", s.completed...)
	t.add("firstCall", "due to first call", "s", s.first...)
	t.add("reportLag", "last outcome to reported completed", "s", s.lag...).goal = atMost(2)
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
