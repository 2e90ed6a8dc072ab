package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/latency"
)

// hostNumbers are values of host.json's queue settings.
type hostNumbers struct{ batchSize, newBatchThreshold int }

// hostFile compares values of batchSize and newBatchThreshold of host.json, with devices so slow that most shards go through the
// queue: two instances with 256 calls in flight each.
func hostFile(ctx context.Context, b *bench) (t table, err error) {
	devices := b.sized(1_000, 10_000)
	for _, n := range []hostNumbers{{8, 48}, {16, 48}, {32, 48}, {16, 96}, {32, 96}} {
		if b.small && n.batchSize != 16 {
			continue
		}
		if err := b.hostFileOnce(ctx, n, devices, &t); err != nil {
			return t, fmt.Errorf("batchSize %d, newBatchThreshold %d: %w", n.batchSize, n.newBatchThreshold, err)
		}
	}
	t.notes = append(t.notes, fmt.Sprintf("%d devices that answer after a second, two instances with %d calls in flight each: %d devices/s at best. "+
		"newBatchThreshold must exceed what slow devices can hold, 47 with 32 shards a process.", devices, hostFileInFlight, 2*hostFileInFlight))
	return t, nil
}

// hostFileInFlight is how many calls each instance may have in flight.
const hostFileInFlight = 256

func (b *bench) hostFileOnce(ctx context.Context, n hostNumbers, devices int, t *table) (err error) {
	const queues = "AzureFunctionsJobHost__extensions__queues__"
	w, err := startWorld(ctx, worldOptions{
		hub: hubOptions{Devices: devices, Latency: latency.FixedAt(time.Second)}, instances: 2, counted: true, app: b.app,
		settings: map[string]string{
			"FLEETJOBS_MAX_CALLS_IN_FLIGHT": fmt.Sprint(hostFileInFlight),
			queues + "batchSize":            fmt.Sprint(n.batchSize), queues + "newBatchThreshold": fmt.Sprint(n.newBatchThreshold),
		},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	w.proxy.Reset()
	o, err := w.runJob(ctx, jobSpec{devices: devices, due: soon()})
	if err != nil {
		return err
	}
	requests := sum(w.proxy.Counts(), "queue.")
	key, name := fmt.Sprintf("%d/%d.", n.batchSize, n.newBatchThreshold), fmt.Sprintf("batchSize %d, newBatchThreshold %d: ", n.batchSize, n.newBatchThreshold)
	t.add(key+"rate", name+"due to reported completed", "devices/s", float64(devices)/o.completed)
	t.add(key+"queues", name+"queue transactions per 100 devices", "", float64(requests.Executed)/float64(devices)*page)
	return nil
}
