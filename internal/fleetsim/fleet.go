// Package fleetsim owns the simulated fleet: which devices there are, what their twins hold, how quickly and how well they
// answer. The devices live inside the IoT Hub simulator (package hubsim), without sockets and goroutines of their own.
//
// Everything about a device follows from the fleet's seed and the device's number, so that a test can compute what a job over
// the fleet must come to: see [Fleet.Expect].
//
// The tags and properties are made for realistic queries:
//
//	tags       building 1..60, floor 1..12, site, env prod|staging|test, ring canary|early|broad, model, location.region
//	desired    telemetryInterval 60
//	reported   firmware "1.8".."2.3", battery 5..100, telemetryInterval 60, connectivity.type wifi|lte|ethernet
package fleetsim

import (
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/latency"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/registry"
)

// Options of a fleet. Shares lie in [0, 1] and exclude each other, so that their sum may not exceed 1.
type Options struct {
	// Devices is how many there are.
	Devices int
	// Seed makes another fleet of the same kind.
	Seed uint64
	// Prefix of the ids; default "dev-".
	Prefix string
	// Latency is how long devices take to answer a method.
	Latency latency.Distribution
	// ApplyAfter is how long devices take to do what is desired, and to report it.
	ApplyAfter time.Duration
	// OfflineShare of the devices are not connected.
	OfflineShare float64
	// FailShare of the devices answer every method with status 500.
	FailShare float64
	// SilentShare of the devices are connected and never answer.
	SilentShare float64
}

// Fleet is a set of simulated devices. It implements hubsim.Fleet and is safe for concurrent use.
type Fleet struct {
	opt   Options
	dice  fault.Dice
	calls atomic.Uint64
}

// New returns a fleet. It fails on shares that are none.
func New(opt Options) (*Fleet, error) {
	if opt.Prefix == "" {
		opt.Prefix = "dev-"
	}
	if opt.Devices < 0 {
		return nil, errors.New("making a fleet: the number of devices is negative")
	}
	for _, share := range []float64{opt.OfflineShare, opt.FailShare, opt.SilentShare} {
		if !(share >= 0 && share <= 1) {
			return nil, fmt.Errorf("making a fleet: %v is not a share from 0 to 1", share)
		}
	}
	if sum := opt.OfflineShare + opt.FailShare + opt.SilentShare; sum > 1+1e-9 {
		return nil, fmt.Errorf("making a fleet: the shares of offline, failing and silent devices add up to %v", sum)
	}
	return &Fleet{opt: opt, dice: fault.NewDice(opt.Seed)}, nil
}

// Device is what is known beforehand about a device. At most one of Offline, Failing and Silent is true.
type Device struct {
	ID                      string
	Tags, Desired, Reported map[string]any
	// Offline devices are not connected: methods end with 404103.
	Offline bool
	// Failing devices answer every method with status 500 and a payload.
	Failing bool
	// Silent devices never answer: methods end with 504101.
	Silent bool
}

// Answers reports whether the device answers methods with status 200.
func (d Device) Answers() bool { return !d.Offline && !d.Failing && !d.Silent }

// Len returns the number of devices.
func (f *Fleet) Len() int { return f.opt.Devices }

// ID returns the id of the i-th device, counted from 0: dev-000001 is the first.
func (f *Fleet) ID(i int) string { return fmt.Sprintf("%s%06d", f.opt.Prefix, i+1) }

// Device returns the i-th device, counted from 0. Its maps must not be changed.
func (f *Fleet) Device(i int) Device {
	id := f.ID(i)
	d := Device{ID: id, Tags: f.tags(id), Desired: desired(), Reported: f.reported(id)}
	switch u := f.dice.Of("health/" + id); {
	case u < f.opt.OfflineShare:
		d.Offline = true
	case u < f.opt.OfflineShare+f.opt.FailShare:
		d.Failing = true
	case u < f.opt.OfflineShare+f.opt.FailShare+f.opt.SilentShare:
		d.Silent = true
	}
	return d
}

// All yields every device in order.
func (f *Fleet) All() iter.Seq[Device] {
	return func(yield func(Device) bool) {
		for i := range f.opt.Devices {
			if !yield(f.Device(i)) {
				return
			}
		}
	}
}

// Presets implements hubsim.Fleet.
func (f *Fleet) Presets() iter.Seq[registry.Preset] {
	return func(yield func(registry.Preset) bool) {
		for d := range f.All() {
			preset := registry.Preset{
				ID: d.ID, Tags: d.Tags, Desired: d.Desired, Reported: d.Reported, Offline: d.Offline,
				Responder: &responder{fleet: f, id: d.ID, failing: d.Failing, silent: d.Silent},
			}
			if !yield(preset) {
				return
			}
		}
	}
}

// Expectation is what calling a method on some devices must come to.
type Expectation struct {
	Total, Answering, Offline, Failing, Silent int
}

// Expect counts the devices for which match is true; nil matches all.
func (f *Fleet) Expect(match func(Device) bool) Expectation {
	var e Expectation
	for d := range f.All() {
		if match != nil && !match(d) {
			continue
		}
		e.Total++
		switch {
		case d.Offline:
			e.Offline++
		case d.Failing:
			e.Failing++
		case d.Silent:
			e.Silent++
		default:
			e.Answering++
		}
	}
	return e
}
