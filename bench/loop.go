package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
)

// The method that the loop and the jobs call.
const (
	methodName    = "reboot"
	methodPayload = `{"delay":5}`
)

// twinDesired is what the loop and the jobs write into twins.
const twinDesired = `{"telemetryInterval":30}`

// loopConfig is the first line that the loop's process reads; each further one is a number of devices to call.
type loopConfig struct {
	Hub      hubAddress
	InFlight int
	Twins    bool // update twins instead of calling methods
}

// loopResult answers each of them.
type loopResult struct {
	Seconds float64
	Failed  int
}

// loopChild calls devices with the handler's client and keeps no books: nothing is selected, stored or counted but errors.
func loopChild(ctx context.Context, _ []string, input io.Reader, out io.Writer) error {
	lines := json.NewDecoder(bufio.NewReader(input))
	var config loopConfig
	if err := lines.Decode(&config); err != nil {
		return fmt.Errorf("reading the loop's configuration: %w", err)
	}
	hub, err := iothub.New(iothub.Options{
		ConnectionString: config.Hub.ConnectionString, CAFile: config.Hub.CAFile, MaxConnections: config.InFlight,
	})
	if err != nil {
		return err
	}
	defer hub.Close()
	for {
		var devices int
		if err := lines.Decode(&devices); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading a number of devices: %w", err)
		}
		call, err := caller(hub, config.Twins)
		if err != nil {
			return err
		}
		result, err := loop(ctx, call, devices, config.InFlight)
		if err != nil {
			return err
		}
		if err := json.NewEncoder(out).Encode(result); err != nil {
			return err
		}
	}
}

// caller gives what is done to each device.
func caller(hub *iothub.Client, twins bool) (func(ctx context.Context, id string) error, error) {
	if twins {
		patch, err := iothub.NewTwinPatch(nil, json.RawMessage(twinDesired))
		return func(ctx context.Context, id string) error { return hub.UpdateTwin(ctx, id, patch) }, err
	}
	method, err := iothub.NewMethod(methodName, json.RawMessage(methodPayload), 0, 0)
	return func(ctx context.Context, id string) error {
		_, err := hub.InvokeMethod(ctx, id, method)
		return err
	}, err
}

func loop(ctx context.Context, call func(context.Context, string) error, devices, inFlight int) (loopResult, error) {
	ids, err := deviceIDs(devices)
	if err != nil {
		return loopResult{}, err
	}
	var next, failed atomic.Int64
	var workers sync.WaitGroup
	start := time.Now()
	for range inFlight {
		workers.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(ids); i = next.Add(1) - 1 {
				if call(ctx, ids[i]) != nil {
					failed.Add(1)
				}
			}
		})
	}
	workers.Wait()
	return loopResult{Seconds: time.Since(start).Seconds(), Failed: int(failed.Load())}, nil
}

// bareLoop is the loop's process.
type bareLoop struct{ *child }

func startLoop(config loopConfig) (bareLoop, error) {
	c, err := startChild(childLoop)
	if err != nil {
		return bareLoop{}, err
	}
	return bareLoop{c}, c.tell(config)
}

// run calls the first devices of the fleet, once each, and gives the seconds that it took.
func (l bareLoop) run(devices int) (float64, error) {
	if err := l.tell(devices); err != nil {
		return 0, err
	}
	var result loopResult
	if err := l.hear(&result); err != nil {
		return 0, err
	}
	if result.Failed > 0 {
		return 0, fmt.Errorf("the bare loop: %d of %d calls failed", result.Failed, devices)
	}
	return result.Seconds, nil
}
