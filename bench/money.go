package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/latency"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/throttle"
	"github.com/fleetjobs/fleetjobs/internal/price"
)

const (
	million    = 1_000_000
	instanceMB = 2048 // of an instance on Flex Consumption
	// watchEvery is how often is looked whether an instance works.
	watchEvery = 2 * time.Millisecond
)

// moneyCase is a hub, in real time.
type moneyCase struct {
	key, name   string
	tier        throttle.Tier
	full, small int // devices
}

func moneyCases() []moneyCase {
	return []moneyCase{
		{"free", "no throttle", "", 50_000, 2_000},
		{"s3", "S3 with one unit", throttle.S3, 50_000, 2_000},
		{"s1", "S1 with one unit", throttle.S1, 1_000, 100},
	}
}

// money computes what a million executions cost from what some of them used.
func money(ctx context.Context, b *bench) (table, error) {
	var t table
	for _, c := range moneyCases() {
		usage, err := b.usageOf(ctx, c)
		if err != nil {
			return t, fmt.Errorf("%s: %w", c.name, err)
		}
		t.add(c.key+"USD", c.name+": price of a million devices", "USD", usage.USD(false))
		for _, line := range usage.Bill(false) {
			p := price.List()[line.Meter]
			t.add(fmt.Sprintf("%s%d", c.key, line.Meter), fmt.Sprintf("%s: %s, %s %s", c.name, p.Name, number(line.Quantity), p.Unit), "USD", line.USD)
		}
	}
	t.notes = append(t.notes, fmt.Sprintf("One job by query over devices that answer after 50 ms, one on-demand instance of %d MB, scaled up to a million "+
		"devices. Time is that in which RunShard works, as Flex Consumption counts it, a second at least at a time; timer, API, logs and free grants are left out.",
		instanceMB))
	for _, line := range (price.Usage{price.OnDemandTime: 1, price.OnDemandExecutions: 1, price.TableTransactions: 1, price.QueueOperations: 1}).Bill(false) {
		p := price.List()[line.Meter]
		t.notes = append(t.notes, fmt.Sprintf("%s: %g USD for %.0f %s, %s, read %s, %s.", p.Name, p.USD, p.Per, p.Unit, p.Region, p.Read, p.Found))
	}
	return t, nil
}

// usageOf runs a job and gives what a million of its executions would use.
func (b *bench) usageOf(ctx context.Context, c moneyCase) (usage price.Usage, err error) {
	hub := hubOptions{Devices: b.sized(c.small, c.full), Latency: latency.FixedAt(slow), Throttle: throttle.Options{Tier: c.tier, Burst: -1}, TimeScale: 1}
	options := worldOptions{hub: hub, counted: true, app: b.app}
	if c.tier != "" {
		options.settings = scaledSettings(hub)
	}
	w, err := startWorld(ctx, options)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	due := soon()
	if err := wait(ctx, time.Second); err != nil { // the app's own start is no part of a job
		return nil, err
	}
	w.proxy.Reset()
	started := w.stack.Host.Stats()[worker].Started
	watch := w.watchWork()
	_, err = w.runJob(ctx, jobSpec{devices: hub.Devices, due: due})
	gbSeconds := watch()
	if err != nil {
		return nil, err
	}
	counts := w.proxy.Counts()
	scale := million / float64(hub.Devices)
	return price.Usage{
		price.OnDemandTime:       gbSeconds * scale,
		price.OnDemandExecutions: float64(w.stack.Host.Stats()[worker].Started-started) * scale,
		price.TableTransactions:  float64(sum(counts, "table.").Executed) * scale,
		price.QueueOperations:    float64(sum(counts, "queue.").Executed) * scale,
	}, nil
}

// worker is the function that works on messages.
const worker = "RunShard"

// watchWork looks when the worker has invocations in flight; the function that it returns ends that and gives what they are
// billed.
func (w *world) watchWork() (end func() float64) {
	stop, total := make(chan struct{}), make(chan float64)
	go func() {
		poll := time.NewTicker(watchEvery)
		defer poll.Stop()
		sum := 0.0
		var since time.Time // zero while nothing works
		bill := func(now time.Time) {
			if !since.IsZero() {
				sum += price.GBSeconds(instanceMB, now.Sub(since))
				since = time.Time{}
			}
		}
		for {
			select {
			case now := <-poll.C:
				switch working := w.stack.Host.Stats()[worker].InFlight > 0; {
				case !working:
					bill(now)
				case since.IsZero():
					since = now
				}
			case <-stop:
				bill(time.Now())
				total <- sum
				return
			}
		}
	}()
	return func() float64 { close(stop); return <-total }
}
