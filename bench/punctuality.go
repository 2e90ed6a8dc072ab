package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// creators is how many jobs are created at once.
	creators = 8
	// latest is how late a job may be at most before the measurement gives up.
	latest = time.Minute
)

// punctuality measures how long after its time a job calls its first device.
func punctuality(ctx context.Context, b *bench) (t table, err error) {
	// All jobs are being created until ahead is over.
	jobs, ahead, window := 1000, 15*time.Second, 4*time.Minute
	if b.small {
		jobs, ahead, window = 50, 5*time.Second, 30*time.Second
	}
	w, err := startWorld(ctx, worldOptions{hub: hubOptions{Devices: jobs, Journal: true}, app: b.app})
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	ids, err := deviceIDs(jobs)
	if err != nil {
		return t, err
	}
	first := time.Now().Add(ahead).UTC()
	due, err := w.createAtRandom(ctx, ids, first, window)
	if err != nil {
		return t, err
	}
	calls, err := w.awaitCalls(ctx, jobs, first.Add(window))
	if err != nil {
		return t, err
	}
	var lags []float64
	for id, at := range due {
		lags = append(lags, calls[id].First.Sub(at).Seconds())
	}
	slices.Sort(lags)
	for _, q := range []struct {
		key, name string
		share     float64
	}{{"min", "least", 0}, {"p50", "median", 0.5}, {"p99", "99 of 100", 0.99}, {"max", "greatest", 1}} {
		t.add(q.key, "due to first call, "+q.name, "s", quantile(lags, q.share))
	}
	t.notes = append(t.notes, fmt.Sprintf("%d jobs of one device each, at random instants within %s, by the clock of the hub.", len(due), window))
	return t, nil
}

// createAtRandom creates a job for each device, due between first and the end of window, and gives when it is due, by device. A busy
// machine may have created some too late: they are not among those.
func (w *world) createAtRandom(ctx context.Context, ids []string, first time.Time, window time.Duration) (map[string]time.Time, error) {
	var mu sync.Mutex
	due := map[string]time.Time{}
	all, createCtx := errgroup.WithContext(ctx)
	all.SetLimit(creators)
	for _, id := range ids {
		at := first.Add(rand.N(window)).Truncate(time.Millisecond)
		all.Go(func() error {
			err := w.create(createCtx, fmt.Sprintf("bench-%d", w.jobs.Add(1)), jobSpec{ids: []string{id}, due: at})
			mu.Lock()
			defer mu.Unlock()
			if time.Now().Before(at) {
				due[id] = at
			}
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return nil, err
	}
	if len(due) == 0 {
		return nil, fmt.Errorf("creating %d jobs took until after all were due", len(ids))
	}
	return due, nil
}

// awaitCalls waits until a number of devices were called.
func (w *world) awaitCalls(ctx context.Context, devices int, end time.Time) (map[string]reached, error) {
	if err := wait(ctx, time.Until(end)); err != nil {
		return nil, err
	}
	for {
		calls, err := w.hub.calls()
		if err != nil || len(calls) == devices {
			return calls, err
		}
		if time.Since(end) > latest {
			return nil, fmt.Errorf("%d of %d jobs have called nobody yet", devices-len(calls), devices)
		}
		if err := wait(ctx, time.Second); err != nil {
			return nil, err
		}
	}
}

// quantile is the value below which a share of the sorted values lies.
func quantile(sorted []float64, share float64) float64 {
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}
