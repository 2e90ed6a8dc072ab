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

// storage counts what one job costs: requests of the handler and of the functions host, and bytes of their bodies.
func storage(ctx context.Context, b *bench) (t table, err error) {
	w, err := startWorld(ctx, worldOptions{devices: b.devices, counted: true, app: b.app})
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	var tables, queues, sent, received, perPage []float64
	var detail []string
	for range b.repetitions {
		w.proxy.Reset()
		if _, _, err := w.runJob(ctx, b.devices, nil, notice); err != nil {
			return t, err
		}
		counts := w.proxy.Counts()
		table, queue := sum(counts, "table."), sum(counts, "queue.")
		n := float64(b.devices)
		tables, queues = append(tables, float64(table.Executed)/n), append(queues, float64(queue.Executed)/n)
		sent, received = append(sent, float64(table.Sent+queue.Sent)/n), append(received, float64(table.Received+queue.Received)/n)
		perPage = append(perPage, float64(table.Executed)*100/n)
		detail = append(detail, describe(counts))
	}
	t.add("tables", "table transactions per device", "", tables...)
	t.add("tablesPerPage", "table transactions per 100 devices", "", perPage...)
	t.add("queues", "queue transactions per device", "", queues...)
	t.add("sent", "bytes to storage per device", "B", sent...)
	t.add("received", "bytes from storage per device", "B", received...)
	t.notes = append(t.notes, "By operation, last repetition: "+detail[len(detail)-1]+".",
		"Bodies only. Among queue.Get are the host's polls of an empty queue; among the table's, the API's reads while the job was watched.")
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

func describe(counts map[string]storagefault.Count) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, counts[name].Executed))
	}
	return strings.Join(parts, ", ")
}
