package registry

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/twin"
)

// Device is a registered device or module. It is safe for concurrent use.
type Device struct {
	id         string
	generation int64 // creation time in units of 100 ns since year 1, as the hub's generationId
	registry   *Registry
	responder  Responder // nil for devices that live outside

	updating     sync.Mutex // taken before mu, so that notices of desired properties keep their order
	mu           sync.Mutex
	deleted      bool
	identity     *Identity
	version      uint32 // of the identity
	twin         twin.Twin
	link         Link
	connected    time.Time // when connectionState changed last
	lastActivity time.Time
	waiting      chan struct{} // closed when a link appears; nil while nobody waits
	history      []indexed     // only with index lag: what the index sees, oldest first
}

type indexed struct {
	at   time.Time
	gone bool
	view View
}

// ID returns the device's id, or what [ModuleID] makes of a module's.
func (d *Device) ID() string { return d.id }

// owner returns the id of the device itself, or of the one that the module is on.
func (d *Device) owner() string {
	owner, _, _ := strings.Cut(d.id, "/")
	return owner
}

// View returns what the device looks like now.
func (d *Device) View() View {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.view()
}

func (d *Device) view() View {
	connected := d.link != nil && !d.registry.options.Offline(d.owner())
	return View{
		ID: d.id, Identity: d.identity, Twin: d.twin, Connected: connected, StateChanged: d.connected,
		LastActivity: d.lastActivity, Generation: d.generation, version: d.version,
	}
}

// Keys returns the keys that the device signs with.
func (d *Device) Keys() Keys {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.keys()
}

func (d *Device) keys() Keys {
	if d.identity.Keys != nil {
		return *d.identity.Keys
	}
	return derive(d.registry.secret, d.id)
}

// changed must follow every change under the lock.
func (d *Device) changed(gone bool) {
	lag := d.registry.options.IndexLag
	if lag == 0 {
		return
	}
	now := d.registry.options.Now()
	d.history = append(d.history, indexed{at: now, gone: gone, view: d.view()})
	if i := d.newest(now.Add(-lag)); i > 0 {
		d.history = slices.Delete(d.history, 0, i)
	}
}

// newest returns the position of the newest entry of the history that is not younger than limit, or -1.
func (d *Device) newest(limit time.Time) int {
	for i, entry := range slices.Backward(d.history) {
		if !entry.at.After(limit) {
			return i
		}
	}
	return -1
}

// Indexed returns the device as queries see it; ok is false if they do not.
func (d *Device) Indexed() (v View, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	lag := d.registry.options.IndexLag
	if lag == 0 {
		return d.view(), !d.deleted
	}
	i := d.newest(d.registry.options.Now().Add(-lag))
	if i < 0 || d.history[i].gone {
		return View{}, false
	}
	return d.history[i].view, true
}

// Update changes tags and desired properties, all of a section at once if replace is set, and tells the device. ifMatch is an
// etag without quotes, or empty for any. Errors: ErrPrecondition, ErrNotFound, or a *twin.LimitError.
func (d *Device) Update(p twin.Patch, replace bool, ifMatch string) (View, error) {
	d.updating.Lock()
	defer d.updating.Unlock()
	d.mu.Lock()
	if d.deleted {
		d.mu.Unlock()
		return View{}, ErrNotFound
	}
	if ifMatch != "" && ifMatch != d.twin.ETag() {
		d.mu.Unlock()
		return View{}, ErrPrecondition
	}
	next, err := d.twin.Apply(p, replace, d.registry.options.Now())
	if err != nil {
		d.mu.Unlock()
		return View{}, err
	}
	d.twin = next
	d.changed(false)
	view, link := d.view(), d.link
	d.mu.Unlock()
	if p.Desired.Set && link != nil && !d.registry.options.Offline(d.owner()) {
		n := Notice{Values: p.Desired.Values, Version: next.Desired.Version}
		if replace {
			n.Values = next.Desired.Values
		}
		link.NotifyDesired(n)
	}
	return view, nil
}

// Report merges a patch into the reported properties. The error is a *twin.LimitError.
func (d *Device) Report(patch map[string]any) (version int64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	next, err := d.twin.Report(patch, d.registry.options.Now())
	if err != nil {
		return 0, err
	}
	d.twin = next
	d.changed(false)
	return next.Reported.Version, nil
}

// Connect makes link the device's connection and closes the one before. It reports whether the device may connect.
func (d *Device) Connect(link Link) bool {
	d.mu.Lock()
	if d.deleted || d.identity.Disabled {
		d.mu.Unlock()
		return false
	}
	before := d.link
	d.link = link
	d.connected = d.registry.options.Now()
	d.lastActivity = d.connected
	d.wake()
	d.changed(false)
	d.mu.Unlock()
	if before != nil && before != link {
		before.Close()
	}
	return true
}

// Wake makes those look again who wait for a connection that takes methods.
func (d *Device) Wake() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wake()
}

func (d *Device) wake() {
	if d.waiting != nil {
		close(d.waiting)
		d.waiting = nil
	}
}

// Disconnect forgets link if it still is the device's connection.
func (d *Device) Disconnect(link Link) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.link != link {
		return
	}
	d.link = nil
	d.connected = d.registry.options.Now()
	d.changed(d.deleted)
}

// SetOnline connects or disconnects a device that lives inside the simulator. It reports whether the device is such a one.
func (d *Device) SetOnline(online bool) bool {
	if d.responder == nil {
		return false
	}
	if online {
		return d.Connect(&inProcess{device: d, responder: d.responder})
	}
	d.mu.Lock()
	link := d.link
	d.mu.Unlock()
	if link != nil {
		d.Disconnect(link)
	}
	return true
}

// Link returns the device's connection if it takes methods, waiting for one up to a time. It is nil if there is none.
func (d *Device) Link(ctx context.Context, wait time.Duration) Link {
	deadline := time.Now().Add(wait)
	for {
		d.mu.Lock()
		link := d.link
		offline := d.registry.options.Offline(d.owner())
		if link != nil && !offline && link.Ready() {
			d.mu.Unlock()
			return link
		}
		if d.waiting == nil && wait > 0 {
			d.waiting = make(chan struct{})
		}
		waiting := d.waiting
		d.mu.Unlock()
		left := time.Until(deadline)
		if left <= 0 || ctx.Err() != nil {
			return nil
		}
		if offline {
			// Nothing announces a change of the fault plan.
			left, waiting = min(left, offlinePoll), nil
		}
		timer := time.NewTimer(left)
		select {
		case <-waiting:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

const offlinePoll = 200 * time.Millisecond

// remove marks the device deleted and closes its connection.
func (d *Device) remove() {
	d.mu.Lock()
	d.deleted = true
	link := d.link
	d.link = nil
	d.changed(true)
	d.mu.Unlock()
	if link != nil {
		link.Close()
	}
}

// Disabled reports whether the device may not connect.
func (d *Device) Disabled() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.identity.Disabled
}
