package devstack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/azurite"
	"github.com/fleetjobs/fleetjobs/internal/fleetsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim"
	"github.com/fleetjobs/fleetjobs/internal/localhost"
)

// Stack is a running deployment.
type Stack struct {
	// URL is the address of the HTTP API, such as http://127.0.0.1:7071, Key its host key.
	URL, Key string
	// ApproverKey is a second host key: another caller than Key, who may approve what that one created.
	ApproverKey string
	// TLSURL is the same by HTTPS, under the hub's certificate: https://127.0.0.1:7443.
	TLSURL string
	// ConnectionString is for clients of IoT Hub's API that are to talk to the app by HTTPS; of the policy iothubowner.
	ConnectionString string
	// HubConnectionString is that of the hub's policy "service", CAFile the certificate that its clients must trust.
	HubConnectionString, CAFile string
	// MQTTAddr is where devices connect, as host:port.
	MQTTAddr string
	// StorageConnectionString is that of the storage account.
	StorageConnectionString string

	Host *localhost.Host
	Hub  *hubsim.Server
	// Further are the hubs beside Hub.
	Further []FurtherHub
	Fleet   *fleetsim.Fleet

	options Options
	appRoot string
	keys    localhost.Keys
	// policyKey is that of ConnectionString.
	policyKey string
	port      int
	tlsPort   int
	storage   *azurite.Azurite // nil if the storage is not ours
	closers   []func() error   // of what runs, in the order of its start
}

// Start starts everything and returns when the API answers. ctx bounds the start only: the stack runs until Close, and
// its processes die with this one, however that ends.
func Start(ctx context.Context, options Options) (*Stack, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("starting the local stack: %w", err)
	}
	s := &Stack{options: options}
	for _, step := range []func(context.Context) error{
		s.findApp, s.prepareData, s.startStorage, s.startHub, s.startHubs, s.startDevices, s.startHost,
	} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("starting the local stack: %w", err), s.Close())
		}
	}
	return s, nil
}

// Close stops everything, in the reverse order of the start, and returns when no process is left. It may be called more
// than once; calls after the first do nothing.
func (s *Stack) Close() error {
	var faults []error
	for _, stop := range slices.Backward(s.closers) {
		faults = append(faults, stop())
	}
	s.closers = nil
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("stopping the local stack: %w", err)
	}
	return nil
}

// Wait returns when ctx ends, which is no error, or when a part has stopped by itself, which is one.
func (s *Stack) Wait(ctx context.Context) error {
	var storageExited <-chan struct{}
	if s.storage != nil {
		storageExited = s.storage.Exited()
	}
	select {
	case <-ctx.Done():
		return nil
	case <-s.Host.Done():
		return fmt.Errorf("the functions host stopped: %w", s.Host.Err())
	case <-storageExited:
		return errors.New("azurite stopped")
	}
}

func (s *Stack) startStorage(ctx context.Context) error {
	if s.options.StorageConnectionString != "" {
		s.StorageConnectionString = s.options.StorageConnectionString
		return nil
	}
	if _, err := azurite.Install(ctx, s.options.Progress); err != nil {
		return err
	}
	storage, err := azurite.Start(ctx, azurite.Options{
		Dir: s.dataPath("azurite"), Blobs: s.options.SettingsOverrides["FLEETJOBS_EXPORT_CONTAINER"] != "",
		Log: slog.NewLogLogger(s.options.Log.With("part", "azurite").Handler(), slog.LevelInfo).Writer(),
	})
	if err != nil {
		return err
	}
	s.storage = storage
	s.closers = append(s.closers, storage.Close)
	s.StorageConnectionString = storage.ConnectionString("")
	return nil
}

// readyTimeout is how long the app may take to answer for the first time.
const readyTimeout = 60 * time.Second

// startHost starts the functions host and waits until its handlers are ready.
func (s *Stack) startHost(ctx context.Context) error {
	if err := s.choosePorts(); err != nil {
		return err
	}
	tail := &tail{to: s.options.HandlerOutput}
	host, err := localhost.Start(context.WithoutCancel(ctx), localhost.Options{
		AppRoot: s.appRoot, Addr: fmt.Sprintf("127.0.0.1:%d", s.port), TLSAddr: fmt.Sprintf("127.0.0.1:%d", s.tlsPort),
		TLS: s.Hub.TLSConfig(), Env: s.settings(), Instances: s.options.Instances,
		Keys: s.keys, EnforceKeys: true, CORS: s.options.CORS, Logger: s.options.Log, HandlerOutput: tail,
		State: s.dataPath("timers"), StopTimeout: 2 * time.Second, HangTimeout: 10 * time.Second,
	})
	if err != nil {
		return err
	}
	s.Host, s.keys, s.Key, s.ApproverKey = host, host.Keys(), host.HostKey(), host.Keys().Further[0]
	s.closers = append(s.closers, host.Close)
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := host.WaitReady(ctx); err != nil {
		return fmt.Errorf("waiting for the app: %w\n%s", err, tail.text())
	}
	return nil
}

// RestartHost replaces the functions host and its handlers, under the same address and keys: what Azure does after a host has
// stopped by itself. Host is another one afterwards.
func (s *Stack) RestartHost(ctx context.Context) error {
	err := s.Host.Close()
	s.closers = s.closers[:len(s.closers)-1] // the host is the last to start
	if err == nil {
		err = s.startHost(ctx)
	}
	if err != nil {
		return fmt.Errorf("restarting the functions host: %w", err)
	}
	return nil
}
