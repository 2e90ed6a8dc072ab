package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/storagefault"
)

// page is how many devices a page of a device query, and so a row of outcomes, holds.
const page = 100

// storage counts what one job costs: requests of the handler and of the functions host, and bytes of their bodies.
func storage(ctx context.Context, b *bench) (t table, err error) {
	w, err := startWorld(ctx, worldOptions{hub: hubOptions{Devices: b.devices}, counted: true, app: b.app})
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	var tables, queues, sent, received []float64
	var detail []string
	for range b.repetitions {
		w.proxy.Reset()
		if _, err := w.runJob(ctx, jobSpec{devices: b.devices, due: soon()}); err != nil {
			return t, err
		}
		counts := w.proxy.Counts()
		table, queue := sum(counts, "table."), sum(counts, "queue.")
		n := float64(b.devices)
		tables, queues = append(tables, float64(table.Executed)/n*page), append(queues, float64(queue.Executed)/n*page)
		sent, received = append(sent, float64(table.Sent+queue.Sent)/n), append(received, float64(table.Received+queue.Received)/n)
		detail = append(detail, describe(counts))
	}
	t.add("tables", "table transactions per 100 devices", "", tables...).goal = atMost(4)
	t.add("queues", "queue transactions per 100 devices", "", queues...).goal = atMost(3)
	t.add("sent", "bytes to storage per device", "B", sent...)
	t.add("received", "bytes from storage per device", "B", received...)
	t.notes = append(t.notes, "By operation, last repetition: "+detail[len(detail)-1]+".",
		"Bytes are those of bodies. Counted too: the host's polls of an empty queue, the timer, and reading the job once a second.")
	return t, nil
}

func sum(counts map[string]storagefault.Count, prefix string) storagefault.Count {
	var total storagefault.Count
	for name, c := range counts {
		if strings.HasPrefix(name, prefix) {
			total.Executed += c.Executed
			total.Sent += c.Sent
			total.Received += c.Received
		}
	}
	return total
}

// describe lists requests by operation, with the size of their bodies.
func describe(counts map[string]storagefault.Count) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		c := counts[name]
		parts = append(parts, fmt.Sprintf("%s %d (%d KB)", name, c.Executed, (c.Sent+c.Received)/1000))
	}
	return strings.Join(parts, ", ")
}
