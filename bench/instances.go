package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/latency"
)

// instanceInFlight is how many calls an instance may have in flight here: so few that not one machine's cores limit the
// instances, which are meant to be on machines of their own.
const instanceInFlight = 32

// instances measures how much faster more instances are, and that none does another's work.
func instances(ctx context.Context, b *bench) (table, error) {
	var t table
	devices, one, twice, lost := b.sized(2_000, 40_000), 0.0, 0, 0
	for _, n := range []int{1, 2, 4, 8} {
		seconds, calls, err := b.runInstances(ctx, n, devices)
		if err != nil {
			return t, fmt.Errorf("%d instances: %w", n, err)
		}
		if n == 1 {
			one = seconds
		}
		t.add(fmt.Sprintf("rate%d", n), fmt.Sprintf("instances: %d", n), "devices/s", float64(devices)/seconds)
		t.add(fmt.Sprintf("speedUp%d", n), fmt.Sprintf("instances: %d, speed-up", n), "", one/seconds)
		lost += devices - len(calls)
		for _, d := range calls {
			twice += d.Times - 1
		}
	}
	t.add("duplicates", "calls of devices that had been called", "", float64(twice)).goal = atMost(0)
	t.add("lost", "devices that were not called", "", float64(lost)).goal = atMost(0)
	t.notes = append(t.notes, fmt.Sprintf("%d devices that answer after 50 ms, nothing throttled, due to last outcome. Each instance has at most %d "+
		"calls in flight, so that it is not the cores of this one machine that limit them: %d calls/s at best.",
		devices, instanceInFlight, int(instanceInFlight/slow.Seconds())))
	return t, nil
}

// runInstances runs a job with n instances, and gives its seconds and what reached the devices.
func (b *bench) runInstances(ctx context.Context, n, devices int) (seconds float64, calls map[string]reached, err error) {
	w, err := startWorld(ctx, worldOptions{
		hub: hubOptions{Devices: devices, Latency: latency.FixedAt(slow), Journal: true}, instances: n, app: b.app,
		settings: map[string]string{"FLEETJOBS_MAX_CALLS_IN_FLIGHT": fmt.Sprint(instanceInFlight)},
	})
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := w.warmConnections(ctx); err != nil {
		return 0, nil, err
	}
	if err := w.hub.reset(); err != nil {
		return 0, nil, err
	}
	o, err := w.runMeasured(ctx, jobSpec{devices: devices, due: soon()})
	if err != nil {
		return 0, nil, err
	}
	calls, err = w.hub.calls()
	return o.lastEnd, calls, err
}
