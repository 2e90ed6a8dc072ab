package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"
)

// baseSize is the fleet from which on what a device costs is to stay the same.
const baseSize = 10_000

// perDevice is what a device costs.
type perDevice struct{ time, tables, queues, bytes, cpu float64 }

// size measures what a job over fleets of growing size costs, each on a fresh deployment.
func size(ctx context.Context, b *bench) (t table, err error) {
	sizes := []int{1_000, baseSize, 100_000, 1_000_000}
	if b.small {
		sizes = sizes[:2]
	}
	var base perDevice
	for _, n := range sizes {
		cost, err := b.sizeOnce(ctx, n, &t)
		if err != nil {
			return t, fmt.Errorf("%d devices: %w", n, err)
		}
		if n == baseSize {
			base = cost
		}
		if n > baseSize {
			t.addGrowth(n, cost, base)
		}
	}
	t.notes = append(t.notes, "Devices answer at once, and nothing is throttled. Storage is reached through a counting proxy, which costs time.")
	return t, nil
}

func (b *bench) sizeOnce(ctx context.Context, n int, t *table) (cost perDevice, err error) {
	w, err := startWorld(ctx, worldOptions{hub: hubOptions{Devices: n}, counted: true, app: b.app})
	if err != nil {
		return cost, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	before, cpuErr := cpuSeconds(w.handler())
	w.proxy.Reset()
	o, err := w.runJob(ctx, jobSpec{devices: n, due: soon()})
	if err != nil {
		return cost, err
	}
	counts := w.proxy.Counts()
	tables, queues := sum(counts, "table."), sum(counts, "queue.")
	devices := float64(n)
	cost = perDevice{
		time: o.completed / devices * 1e6, tables: float64(tables.Executed) / devices * page, queues: float64(queues.Executed) / devices * page,
		bytes: float64(tables.Sent+tables.Received+queues.Sent+queues.Received) / devices,
	}
	if cpuErr == nil {
		after, err := cpuSeconds(w.handler())
		if err != nil {
			return cost, err
		}
		cost.cpu = (after - before) / devices * 1e6
	}
	t.addSize(n, o, cost)
	t.notes = append(t.notes, fmt.Sprintf("%d devices, by operation: %s.", n, describe(counts)))
	return cost, errors.Join(w.addPeak(b, n, t), w.addReads(ctx, n, o, t))
}

func (t *table) addSize(n int, o outcome, cost perDevice) {
	add := func(key, name, unit string, v float64) { t.add(sizeKey(n, key), sizeName(n, name), unit, v) }
	add("seconds", "due to reported completed", "s", o.completed)
	add("tables", "table transactions per 100 devices", "", cost.tables)
	add("queues", "queue transactions per 100 devices", "", cost.queues)
	add("bytes", "bytes to and from storage per device", "B", cost.bytes)
	if cost.cpu > 0 {
		add("cpu", "CPU of the handler per device", "us", cost.cpu)
	}
}

// addPeak adds the handler's peak memory.
func (w *world) addPeak(b *bench, n int, t *table) error {
	peak, err := peakMemory(w.handler())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	t.add(sizeKey(n, "peak"), sizeName(n, "peak memory of the handler"), "MiB", peak).goal = b.memoryGoal()
	return err
}

// memoryGoal is 100 MB, and 64 KiB for each call in flight.
func (b *bench) memoryGoal() goal { return atMost(100e6/(1<<20) + float64(b.inFlight)/16) }

// readsAfter is how often a job that has ended is read.
const readsAfter = 10

// addReads adds how long it takes to read a job while it runs and when it has ended.
func (w *world) addReads(ctx context.Context, n int, o outcome, t *table) error {
	var after []float64
	for range readsAfter {
		began := time.Now()
		if _, err := w.api.Job(ctx, o.id); err != nil {
			return err
		}
		after = append(after, milliseconds(time.Since(began)))
	}
	t.add(sizeKey(n, "readDuring"), sizeName(n, "reading the job while it runs"), "ms", o.reads...)
	t.add(sizeKey(n, "readAfter"), sizeName(n, "reading the job afterwards"), "ms", after...)
	return nil
}

// addGrowth adds by how much a device of a large fleet costs more than one of the base.
func (t *table) addGrowth(n int, cost, base perDevice) {
	for _, f := range []struct {
		key, name  string
		cost, base float64
	}{
		{"time", "time", cost.time, base.time},
		{"tables", "table transactions", cost.tables, base.tables},
		{"queues", "queue transactions", cost.queues, base.queues},
		{"bytes", "bytes", cost.bytes, base.bytes},
		{"cpu", "CPU of the handler", cost.cpu, base.cpu},
	} {
		if f.base > 0 {
			name := fmt.Sprintf("%s per device / at %d", f.name, baseSize)
			t.add(sizeKey(n, f.key+"Growth"), sizeName(n, name), "", f.cost/f.base).goal = atMost(1.1)
		}
	}
}

func sizeKey(n int, key string) string { return strconv.Itoa(n) + "." + key }

func sizeName(n int, name string) string { return fmt.Sprintf("%d devices: %s", n, name) }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
