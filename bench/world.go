package main

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/azurite"
	"github.com/fleetjobs/fleetjobs/internal/client"
	"github.com/fleetjobs/fleetjobs/internal/devstack"
	"github.com/fleetjobs/fleetjobs/internal/storagefault"
)

// worldOptions say what a scenario needs.
type worldOptions struct {
	hub       hubOptions
	instances int               // handlers; 0 is 1
	settings  map[string]string // of the app, besides those that everybody needs
	counted   bool              // storage is reached through a counting proxy, which costs CPU; jobs are watched less closely
	app       string
}

// world is a running deployment. The functions host is in this process; everything else has its own.
type world struct {
	hub     *hubProcess
	proxy   *storagefault.Proxy // nil unless counted
	stack   *devstack.Stack
	api     *client.Client
	jobs    atomic.Int64
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
	if w.hub, err = startHub(options.hub); err != nil {
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
	if err := w.hub.ready(); err != nil {
		return err
	}
	settings := maps.Clone(options.settings)
	if settings == nil {
		settings = map[string]string{}
	}
	settings["IOTHUB_CONNECTION_STRING"], settings["IOTHUB_CA_FILE"] = w.hub.address.ConnectionString, w.hub.address.CAFile
	// The stack has a hub of its own, without devices, which stays idle.
	w.stack, err = devstack.Start(ctx, devstack.Options{
		AppRoot: options.app, StorageConnectionString: connection, Progress: os.Stderr, HandlerOutput: io.Discard,
		Instances: options.instances, SettingsOverrides: settings,
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
