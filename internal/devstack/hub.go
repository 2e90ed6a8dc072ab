package devstack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/devicesim"
	"github.com/fleetjobs/fleetjobs/internal/fleetsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/registry"
)

// startHub starts the hub with the fleet.
func (s *Stack) startHub(ctx context.Context) error {
	o := s.options
	secret, err := s.secret()
	if err != nil {
		return err
	}
	s.Hub, s.Fleet, err = s.newHub(ctx, hubsim.Options{
		HTTPPort: o.HubPort, MQTTPort: o.MQTTPort, Secret: secret, Faults: o.Faults, Journal: o.Journal,
		Throttle: o.Throttle, TimeScale: o.TimeScale, Jobs: o.HubJobs, HostNames: o.HostNames,
	})
	if err != nil {
		return err
	}
	s.HubConnectionString, s.CAFile, s.MQTTAddr = s.Hub.ConnectionString(), s.Hub.CAFile(), s.Hub.MQTTAddr()
	return nil
}

// newHub starts a hub with a fleet of its own.
func (s *Stack) newHub(ctx context.Context, options hubsim.Options) (*hubsim.Server, *fleetsim.Fleet, error) {
	o := s.options
	fleet, err := fleetsim.New(fleetsim.Options{
		Devices: o.Devices, Latency: o.Latency, OfflineShare: o.OfflineShare, FailShare: o.FailShare, SilentShare: o.SilentShare, ApplyAfter: o.ApplyAfter,
	})
	if err != nil {
		return nil, nil, err
	}
	options.Fleet, options.Logger = fleet, o.Log
	hub, err := hubsim.Start(context.WithoutCancel(ctx), options)
	if err != nil {
		return nil, nil, fmt.Errorf("starting the hub simulator: %w", err)
	}
	s.closers = append(s.closers, func() error { hub.Close(); return nil })
	return hub, fleet, nil
}

// MQTTDeviceID gives the id of the i-th MQTT device, counted from 0: simDevice, simDevice-2 and so on.
func MQTTDeviceID(i int) string {
	if i == 0 {
		return "simDevice"
	}
	return fmt.Sprintf("simDevice-%d", i+1)
}

// startDevices starts the MQTT devices and waits until all are connected.
func (s *Stack) startDevices(ctx context.Context) error {
	if s.options.MQTTDevices == 0 {
		return nil
	}
	running, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	var devices sync.WaitGroup
	s.closers = append(s.closers, func() error {
		stop(nil)
		devices.Wait()
		return nil
	})
	var out sync.Mutex
	for i := range s.options.MQTTDevices {
		options, err := s.device(MQTTDeviceID(i))
		if err != nil {
			return err
		}
		options.Out = &taggedWriter{mu: &out, to: s.options.DeviceOutput, tag: MQTTDeviceID(i) + "  "}
		devices.Go(func() {
			if err := devicesim.Run(running, options); err != nil {
				stop(err)
			}
		})
	}
	return s.awaitDevices(ctx, running)
}

// device registers a device and gives its options.
func (s *Stack) device(id string) (devicesim.Options, error) {
	tags := map[string]any{"building": 1, "floor": 1, "protocol": "mqtt"}
	if err := s.Hub.CreateDevice(registry.Preset{ID: id, Tags: tags}); err != nil {
		return devicesim.Options{}, err
	}
	connection, err := s.Hub.DeviceConnectionString(id)
	return devicesim.Options{ConnectionString: connection, CAFile: s.CAFile, MQTTAddr: s.MQTTAddr, MaxBackoff: 5 * time.Second}, err
}

// connectTimeout is how long all MQTT devices together may take to connect.
const connectTimeout = 60 * time.Second

func (s *Stack) awaitDevices(ctx, running context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for s.Hub.Stats().MQTTConnections < int64(s.options.MQTTDevices) {
		select {
		case <-poll.C:
		case <-running.Done():
			return context.Cause(running)
		case <-ctx.Done():
			return errors.Join(errors.New("waiting for the MQTT devices to connect"), ctx.Err())
		}
	}
	return nil
}

// taggedWriter writes whole lines, each after a tag. Writers that share mu do not mix their lines.
type taggedWriter struct {
	mu   *sync.Mutex
	to   io.Writer
	tag  string
	part []byte // of a line that has not ended yet
}

func (w *taggedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.part = append(w.part, p...)
	for {
		end := bytes.IndexByte(w.part, '\n')
		if end < 0 {
			return len(p), nil
		}
		if _, err := w.to.Write(append([]byte(w.tag), w.part[:end+1]...)); err != nil {
			return 0, err
		}
		w.part = w.part[end+1:]
	}
}
