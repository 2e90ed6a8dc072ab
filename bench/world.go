package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/azurite"
	"github.com/fleetjobs/fleetjobs/internal/client"
	"github.com/fleetjobs/fleetjobs/internal/devstack"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/latency"
	"github.com/fleetjobs/fleetjobs/internal/storagefault"
)

// worldOptions say what a scenario needs.
type worldOptions struct {
	devices int
	latency latency.Distribution
	counted bool // storage is reached through a counting proxy, which costs CPU; jobs are watched less closely
	app     string
}

// world is a running deployment with one handler. The functions host is in this process; everything else has its own.
type world struct {
	hub     *child
	address hubAddress
	proxy   *storagefault.Proxy // nil unless counted
	stack   *devstack.Stack
	api     *client.Client
	jobs    int
	poll    time.Duration // between two reads of a job that is watched
	closers []func() error
}

func startWorld(ctx context.Context, options worldOptions) (*world, error) {
	w := &world{poll: 50 * time.Millisecond}
	if options.counted {
		w.poll = time.Second
	}
	if err := w.start(ctx, options); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *world) start(ctx context.Context, options worldOptions) error {
	var err error
	w.hub, err = startChild(childHub, fmt.Sprintf("-devices=%d", options.devices), "-latency="+options.latency.String())
	if err != nil {
		return err
	}
	w.closers = append(w.closers, w.hub.close)
	if _, err := azurite.Install(ctx, os.Stderr); err != nil { // tells about a download; the services' own words are of no interest
		return err
	}
	storage, err := azurite.Start(ctx, azurite.Options{})
	if err != nil {
		return err
	}
	w.closers = append(w.closers, storage.Close)
	connection := storage.ConnectionString("")
	if options.counted {
		if w.proxy, err = storagefault.Start(connection, storagefault.Plan{}); err != nil {
			return err
		}
		w.closers = append(w.closers, w.proxy.Close)
		connection = w.proxy.ConnectionString(connection)
	}
	if err := w.hub.hear(&w.address); err != nil {
		return err
	}
	// The stack has a hub of its own, without devices, which stays idle.
	w.stack, err = devstack.Start(ctx, devstack.Options{
		AppRoot: options.app, StorageConnectionString: connection, Progress: os.Stderr, HandlerOutput: io.Discard,
		SettingsOverrides: map[string]string{
			"IOTHUB_CONNECTION_STRING": w.address.ConnectionString, "IOTHUB_CA_FILE": w.address.CAFile,
		},
	})
	if err != nil {
		return err
	}
	w.closers = append(w.closers, w.stack.Close)
	w.api, err = client.New(w.stack.URL, w.stack.Key, nil)
	if err != nil {
		return err
	}
	w.closers = append(w.closers, func() error { w.api.Close(); return nil })
	return nil
}

// close ends all processes, the last first.
func (w *world) close() error {
	var faults []error
	for _, stop := range slices.Backward(w.closers) {
		faults = append(faults, stop())
	}
	w.closers = nil
	return errors.Join(faults...)
}

func (w *world) handler() int { return w.stack.Host.Pids()[0] }
