package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/fleetsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/latency"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/throttle"
)

// hubOptions say which hub a scenario needs. It is the first line that the hub's process reads.
type hubOptions struct {
	Devices   int
	Latency   latency.Distribution // of devices that answer methods, and of the hub that updates their twins
	Throttle  throttle.Options
	TimeScale float64 // how much faster than the real one the clock of meters and jobs runs; 0 is 1
	Jobs      bool    // the hub's own engine for scheduled jobs
	Journal   bool    // remember what reaches each device
}

// hubAddress is what the hub's process tells about itself.
type hubAddress struct {
	ConnectionString string
	CAFile           string
}

// What the hub's process can be asked, a word in a line of JSON.
const (
	askStats = "stats" // hubsim.Stats since the last reset
	askCalls = "calls" // reached devices by id
	askReset = "reset" // true
)

// reached says what came to a device.
type reached struct {
	Times int
	First time.Time
}

// hubChild is the hub simulator with a fleet.
func hubChild(ctx context.Context, _ []string, input io.Reader, out io.Writer) error {
	lines, answers := json.NewDecoder(bufio.NewReader(input)), json.NewEncoder(out)
	var options hubOptions
	if err := lines.Decode(&options); err != nil {
		return fmt.Errorf("reading the hub's options: %w", err)
	}
	hub, err := options.start(ctx)
	if err != nil {
		return fmt.Errorf("starting the hub: %w", err)
	}
	defer hub.Close()
	if err := answers.Encode(hubAddress{hub.ConnectionString(), hub.CAFile()}); err != nil {
		return err
	}
	for {
		var question string
		if err := lines.Decode(&question); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading a question: %w", err)
		}
		answer, err := ask(hub, question)
		if err != nil {
			return err
		}
		if err := answers.Encode(answer); err != nil {
			return err
		}
	}
}

func (o hubOptions) start(ctx context.Context) (*hubsim.Server, error) {
	fleet, err := fleetsim.New(fleetsim.Options{Devices: o.Devices, Latency: o.Latency})
	if err != nil {
		return nil, err
	}
	return hubsim.Start(ctx, hubsim.Options{
		Fleet: fleet, Throttle: o.Throttle, TimeScale: o.TimeScale, Jobs: o.Jobs, Journal: o.Journal,
		Faults: fault.Plan{Operations: map[fault.Operation]fault.Rule{fault.TwinUpdate: {Latency: o.Latency}}},
	})
}

func ask(hub *hubsim.Server, question string) (any, error) {
	switch question {
	case askStats:
		return hub.Stats(), nil
	case askCalls:
		devices := map[string]reached{}
		for _, call := range hub.Calls() {
			d := devices[call.DeviceID]
			if d.Times++; d.Times == 1 {
				d.First = call.Time
			}
			devices[call.DeviceID] = d
		}
		return devices, nil
	case askReset:
		return true, hub.Reset()
	}
	return nil, fmt.Errorf("the hub does not know %q", question)
}

// hubProcess is the hub's process.
type hubProcess struct {
	*child
	address hubAddress
}

// startHub starts the hub's process; hear its address before anything else.
func startHub(o hubOptions) (*hubProcess, error) {
	c, err := startChild(childHub)
	if err != nil {
		return nil, err
	}
	return &hubProcess{child: c}, c.tell(o)
}

func (h *hubProcess) ready() error { return h.hear(&h.address) }

func (h *hubProcess) ask(question string, answer any) error {
	if err := h.tell(question); err != nil {
		return err
	}
	return h.hear(answer)
}

func (h *hubProcess) stats() (hubsim.Stats, error) {
	var s hubsim.Stats
	err := h.ask(askStats, &s)
	return s, err
}

func (h *hubProcess) calls() (map[string]reached, error) {
	var devices map[string]reached
	err := h.ask(askCalls, &devices)
	return devices, err
}

func (h *hubProcess) reset() error {
	var done bool
	return h.ask(askReset, &done)
}

// deviceIDs are the first n devices of the fleet.
func deviceIDs(n int) ([]string, error) {
	fleet, err := fleetsim.New(fleetsim.Options{Devices: n})
	if err != nil {
		return nil, err
	}
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fleet.ID(i)
	}
	return ids, nil
}
