package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// part is a process, or some, whose CPU time is measured.
type part struct {
	key, name string
	pids      []int
}

// footprint measures what one job over devices that answer at once needs, on a fresh deployment.
func footprint(ctx context.Context, b *bench) (t table, err error) {
	w, err := startWorld(ctx, worldOptions{hub: hubOptions{Devices: b.devices}, app: b.app})
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	parts, err := w.parts()
	if err != nil {
		return t, err
	}
	samples := make([][]float64, len(parts))
	for range b.repetitions {
		before, err := cpuOf(parts)
		if errors.Is(err, fs.ErrNotExist) {
			t.notes = append(t.notes, "This system does not tell the CPU time and memory of processes.")
			break
		}
		if err != nil {
			return t, err
		}
		if _, err := w.runJob(ctx, jobSpec{devices: b.devices, due: soon()}); err != nil {
			return t, err
		}
		after, err := cpuOf(parts)
		if err != nil {
			return t, err
		}
		for i := range parts {
			samples[i] = append(samples[i], (after[i]-before[i])*1e6/float64(b.devices))
		}
	}
	if len(samples[0]) > 0 {
		peak, err := peakMemory(w.handler())
		if err != nil {
			return t, err
		}
		t.add("handlerPeak", "peak memory of the handler", "MiB", peak).goal = b.memoryGoal()
		for i, p := range parts {
			t.add(p.key, "CPU per device: "+p.name, "us", samples[i]...)
		}
	}
	return t, b.sizes(&t)
}

func (w *world) parts() ([]part, error) {
	tables, err := children("/azurite/dist/src/table/")
	if err != nil {
		return nil, err
	}
	queues, err := children("/azurite/dist/src/queue/")
	if err != nil {
		return nil, err
	}
	return []part{
		{"cpuHandler", "handler", []int{w.handler()}},
		{"cpuTables", "Azurite's tables", tables},
		{"cpuQueues", "Azurite's queues", queues},
		{"cpuHub", "hub simulator", []int{w.hub.pid()}},
		{"cpuHost", "local functions host and this program", []int{os.Getpid()}},
	}, nil
}

func cpuOf(parts []part) ([]float64, error) {
	seconds := make([]float64, len(parts))
	for i, p := range parts {
		var err error
		if seconds[i], err = cpuSeconds(p.pids...); err != nil {
			return nil, err
		}
	}
	return seconds, nil
}

// sizes adds the size of the handler's executable.
func (b *bench) sizes(t *table) error {
	info, err := os.Stat(filepath.Join(b.appRoot(), "handler"))
	if err != nil {
		return fmt.Errorf("looking at the handler: %w", err)
	}
	t.add("binary", "size of the handler", "MiB", float64(info.Size())/(1<<20)).goal = atMost(25e6 / (1 << 20))
	return nil
}

func (b *bench) appRoot() string {
	if b.app == "" {
		return filepath.Join("dist", "app")
	}
	return b.app
}
