package cli

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/client"
	"github.com/fleetjobs/fleetjobs/internal/devstack"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/latency"
)

func demoEntry() entry {
	return entry{
		name: "demo", summary: "show everything at work on this machine, in under two minutes",
		text: `
First Microsoft's tutorial for scheduled jobs: a device over real MQTT, a job that locks its door 20 seconds from now, one
that changes its desired properties 10 seconds from now. Then a reboot of the 10,000 or so devices of a simulated fleet
that carry a tag, some of which are offline, fail, or never answer.

It checks what it shows against what the simulator knows, stops everything, and exits with 0 if all was right, else with 1.`,
		example: "fleetjobs demo",
		make: func(m *Main) command {
			return &demo{m: m, fleet: fleetFlags{
				devices: 12_500, offline: 0.02, fail: 0.01, silent: 0.004,
				latency: latency.Distribution{Kind: latency.Lognormal, Low: 80 * time.Millisecond, Sigma: 0.6, High: 3 * time.Second},
			}}
		},
	}
}

type demo struct {
	m     *Main
	fleet fleetFlags

	out      io.Writer
	device   bytes.Buffer // what the MQTT device printed; written under out's lock
	stack    *devstack.Stack
	api      *client.Client
	findings []string // what was not as it should be
}

func (c *demo) flags(fs *flag.FlagSet) { c.fleet.flags(fs) }

// check notes what is not as it should be.
func (c *demo) check(right bool, format string, args ...any) {
	if !right {
		c.findings = append(c.findings, fmt.Sprintf(format, args...))
	}
}

func (c *demo) run(ctx context.Context, args []string) (err error) {
	if err := errors.Join(noArgs("demo", args), c.fleet.check()); err != nil {
		return err
	}
	began := c.m.Now()
	out := &lockedWriter{write: c.m.Stdout.Write}
	device := &lockedWriter{write: c.device.Write}
	main := *c.m // what watches and tables print must not mix with the device's lines
	main.Stdout = out
	c.m, c.out = &main, out
	log, err := c.m.openLog(filepath.Join(c.m.Dir, demoLogPath), false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	c.printf("Starting storage, an IoT hub with %s, a device over MQTT and the app ...\n", devices(c.fleet.devices))
	c.stack, err = devstack.Start(ctx, devstack.Options{
		Devices: c.fleet.devices, MQTTDevices: 1, Latency: c.fleet.latency, Journal: true,
		OfflineShare: c.fleet.offline, FailShare: c.fleet.fail, SilentShare: c.fleet.silent, ApplyAfter: c.fleet.applyAfter,
		Progress: out, DeviceOutput: io.MultiWriter(out, device), Log: slog.New(slog.NewTextHandler(log, nil)), HandlerOutput: log,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stack.Close()) }()
	c.api, err = client.New(c.stack.URL, c.stack.Key, &client.Options{UserAgent: "fleetjobs-demo/" + c.m.Version})
	if err != nil {
		return err
	}
	defer c.api.Close()
	c.printf("Everything runs after %s.\n", short(c.m.Now().Sub(began)))
	if err := c.tutorial(ctx, device); err != nil {
		return err
	}
	if err := c.reboot(ctx); err != nil {
		return err
	}
	if err := c.stack.Close(); err != nil {
		return err
	}
	return c.verdict(began)
}

func (c *demo) printf(format string, args ...any) { _, _ = fmt.Fprintf(c.out, format, args...) }

func (c *demo) verdict(began time.Time) error {
	if len(c.findings) == 0 {
		c.printf("\nEverything was as it should be, and is stopped again. That took %s.\n", short(c.m.Now().Sub(began)))
		return nil
	}
	c.printf("\nNot everything was as it should be:\n")
	for _, f := range c.findings {
		c.printf("  %s\n", plain(f))
	}
	return fmt.Errorf("the demo found %d faults; %s has what the parts said", len(c.findings), demoLogPath)
}

// untilEnd waits for the end of a job without showing anything.
func (c *demo) untilEnd(ctx context.Context, id string) (*client.Job, error) {
	for {
		job, err := c.api.Job(ctx, id)
		if err != nil || job.Ended() {
			return job, err
		}
		if err := c.m.Sleep(ctx, 200*time.Millisecond); err != nil {
			return nil, err
		}
	}
}
