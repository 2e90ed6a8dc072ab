package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"

	"github.com/fleetjobs/fleetjobs/internal/fleetsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/latency"
)

// hubAddress is what the hub's process tells about itself.
type hubAddress struct {
	ConnectionString string
	CAFile           string
}

// hubChild is the hub simulator with a fleet.
func hubChild(ctx context.Context, args []string, input io.Reader, out io.Writer) error {
	fs := flag.NewFlagSet(childHub, flag.ContinueOnError)
	options := fleetsim.Options{}
	fs.IntVar(&options.Devices, "devices", 0, "")
	fs.TextVar(&options.Latency, "latency", latency.Distribution{}, "")
	if err := fs.Parse(args); err != nil {
		return err
	}
	fleet, err := fleetsim.New(options)
	if err != nil {
		return err
	}
	hub, err := hubsim.Start(ctx, hubsim.Options{Fleet: fleet})
	if err != nil {
		return fmt.Errorf("starting the hub: %w", err)
	}
	defer hub.Close()
	if err := json.NewEncoder(out).Encode(hubAddress{hub.ConnectionString(), hub.CAFile()}); err != nil {
		return err
	}
	untilEOF(ctx, input)
	return nil
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
