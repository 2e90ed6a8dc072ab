package registry

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/twin"
)

// Errors of the registry.
var (
	ErrNotFound     = errors.New("no such device")
	ErrExists       = errors.New("the device exists already")
	ErrPrecondition = errors.New("the etag does not match")
)

// Options of a registry.
type Options struct {
	// IndexLag is how long the index that queries read is behind.
	IndexLag time.Duration
	// Secret is what the keys of devices without keys of their own are made from.
	Secret []byte
	// Now is the clock; default time.Now.
	Now func() time.Time
	// Offline, if set, keeps a device offline though it has a connection.
	Offline func(deviceID string) bool
}

// Preset is a device to begin with.
type Preset struct {
	ID                      string
	Tags, Desired, Reported map[string]any
	// Responder makes it a device that lives inside the simulator; nil is a device that connects from outside.
	Responder Responder
	// Offline devices have a Responder but are not connected until [Device.SetOnline].
	Offline bool
}

// Registry holds devices by id. It is safe for concurrent use.
type Registry struct {
	options Options
	secret  []byte
	// enabled is the identity that most devices share: identities are never changed in place.
	enabled *Identity

	mu      sync.RWMutex
	devices map[string]*Device
	ghosts  []*Device // deleted, but perhaps still in the index
	sorted  []*Device // nil if it has to be made again
}

// New returns an empty registry.
func New(opt Options) *Registry {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Offline == nil {
		opt.Offline = func(string) bool { return false }
	}
	return &Registry{options: opt, secret: opt.Secret, enabled: &Identity{}, devices: map[string]*Device{}}
}

// Get returns a device; ok is false if there is none.
func (r *Registry) Get(id string) (d *Device, ok bool) {
	r.mu.RLock()
	d, ok = r.devices[id]
	r.mu.RUnlock()
	return d, ok
}

// Add registers a preset device. Errors: ErrExists, an invalid id, or a *twin.LimitError. Queries see it at once, whatever the lag.
func (r *Registry) Add(p Preset) (*Device, error) {
	t, err := twin.New(p.Tags, p.Desired, p.Reported, r.options.Now())
	if err != nil {
		return nil, fmt.Errorf("adding device %q: %w", p.ID, err)
	}
	d, err := r.insert(p.ID, r.enabled, t, p.Responder, r.options.Now().Add(-r.options.IndexLag))
	if err != nil {
		return nil, fmt.Errorf("adding device %q: %w", p.ID, err)
	}
	if p.Responder != nil && !p.Offline {
		d.SetOnline(true)
	}
	return d, nil
}

func (r *Registry) insert(id string, identity *Identity, t twin.Twin, responder Responder, at time.Time) (*Device, error) {
	if !ValidID(id) {
		return nil, fmt.Errorf("%q is no device id", id)
	}
	d := &Device{id: id, registry: r, generation: ticks(r.options.Now()), responder: responder, identity: identity, version: 1, twin: t}
	if r.options.IndexLag > 0 {
		d.history = []indexed{{at: at, view: d.view()}}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, taken := r.devices[id]; taken {
		return nil, ErrExists
	}
	r.devices[id] = d
	r.sorted = nil
	return d, nil
}

// ticks counts 100 ns since year 1.
func ticks(t time.Time) int64 {
	return t.Unix()*1e7 + int64(t.Nanosecond())/100 + 621_355_968_000_000_000
}

// Create registers a device that connects from outside. Errors: ErrExists, or an invalid id.
func (r *Registry) Create(id string, identity Identity) (*Device, error) {
	now := r.options.Now()
	t, err := twin.New(nil, nil, nil, now)
	if err != nil {
		return nil, err
	}
	return r.insert(id, &identity, t, nil, now)
}

// Change replaces the identity of a device. ifMatch is an etag without quotes, or empty for any. Errors: ErrNotFound,
// ErrPrecondition.
func (r *Registry) Change(id, ifMatch string, identity Identity) (View, error) {
	d, ok := r.Get(id)
	if !ok {
		return View{}, ErrNotFound
	}
	d.mu.Lock()
	if ifMatch != "" && ifMatch != identityETag(d.version) {
		d.mu.Unlock()
		return View{}, ErrPrecondition
	}
	if identity.Disabled != d.identity.Disabled {
		identity.StatusUpdated = r.options.Now()
	} else {
		identity.StatusUpdated = d.identity.StatusUpdated
	}
	d.identity = &identity
	d.version++
	link := d.link
	if identity.Disabled {
		d.link = nil
	}
	d.changed(false)
	view := d.view()
	d.mu.Unlock()
	if identity.Disabled && link != nil {
		link.Close()
	}
	return view, nil
}

// Delete removes a device and closes its connection. Errors: ErrNotFound, ErrPrecondition.
func (r *Registry) Delete(id, ifMatch string) error {
	r.mu.Lock()
	d, ok := r.devices[id]
	if !ok {
		r.mu.Unlock()
		return ErrNotFound
	}
	if v := d.View(); ifMatch != "" && ifMatch != v.IdentityETag() {
		r.mu.Unlock()
		return ErrPrecondition
	}
	delete(r.devices, id)
	r.sorted = nil
	if r.options.IndexLag > 0 {
		r.ghosts = append(r.ghosts, d)
	}
	r.mu.Unlock()
	d.remove()
	return nil
}

// Len returns the number of devices.
func (r *Registry) Len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.devices)
}

// Sorted returns all devices in the order of their ids, deleted ones among them as long as the index may list them. It must
// not be changed.
func (r *Registry) Sorted() []*Device {
	r.mu.RLock()
	sorted := r.sorted
	r.mu.RUnlock()
	if sorted != nil {
		return sorted
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sorted == nil {
		all := make([]*Device, 0, len(r.devices)+len(r.ghosts))
		for _, d := range r.devices {
			all = append(all, d)
		}
		r.ghosts = slices.DeleteFunc(r.ghosts, func(d *Device) bool { _, listed := d.Indexed(); return !listed })
		all = append(all, r.ghosts...)
		slices.SortFunc(all, func(a, b *Device) int { return cmp.Compare(a.id, b.id) })
		r.sorted = all
	}
	return r.sorted
}
