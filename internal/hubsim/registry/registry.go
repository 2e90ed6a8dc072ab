package registry

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// Preset is a device to begin with, or a module of one that is there already.
type Preset struct {
	// ID is that of the device, or of the module as [ModuleID] gives it.
	ID                      string
	Tags, Desired, Reported map[string]any
	// Responder makes it a device that lives inside the simulator; nil is a device that connects from outside.
	Responder Responder
	// Offline devices have a Responder but are not connected until [Device.SetOnline].
	Offline bool
}

// Registry holds devices and modules by id. It is safe for concurrent use.
type Registry struct {
	options Options
	secret  []byte
	// enabled is the identity that most devices share: identities are never changed in place.
	enabled *Identity

	mu      sync.RWMutex
	devices map[string]*Device
	modules int       // how many of devices are modules
	ghosts  []*Device // deleted, but perhaps still in the index
	sorted  *sorted   // nil if it has to be made again
}

// sorted are devices and modules in the order of their ids.
type sorted struct {
	devices, modules []*Device
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

// Get returns a device, or a module by the id that [ModuleID] gives; ok is false if there is none.
func (r *Registry) Get(id string) (d *Device, ok bool) {
	r.mu.RLock()
	d, ok = r.devices[id]
	r.mu.RUnlock()
	return d, ok
}

// Add registers a preset device. Errors: ErrExists, ErrNotFound if a module's device is missing, an invalid id, or a *twin.LimitError. Queries see it at once, whatever the lag.
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
	owner, module, isModule := strings.Cut(id, "/")
	if !ValidID(owner) || isModule && !ValidID(module) {
		return nil, fmt.Errorf("%q is no id", id)
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
	if isModule {
		if r.devices[owner] == nil {
			return nil, ErrNotFound
		}
		r.modules++
	}
	r.devices[id] = d
	r.sorted = nil
	return d, nil
}

// ticks counts 100 ns since year 1.
func ticks(t time.Time) int64 {
	return t.Unix()*1e7 + int64(t.Nanosecond())/100 + 621_355_968_000_000_000
}

// Create registers a device that connects from outside, or a module. A module lives where its device lives: inside the
// simulator it is connected at once and answers as the device does. Errors: ErrExists, ErrNotFound if a module's device is
// missing, or an invalid id.
func (r *Registry) Create(id string, identity Identity) (*Device, error) {
	now := r.options.Now()
	t, err := twin.New(nil, nil, nil, now)
	if err != nil {
		return nil, err
	}
	var responder Responder
	if owner, _, isModule := strings.Cut(id, "/"); isModule {
		if d, ok := r.Get(owner); ok {
			responder = d.responder
		}
	}
	d, err := r.insert(id, &identity, t, responder, now)
	if err == nil {
		d.SetOnline(true)
	}
	return d, err
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

// Delete removes a device with its modules, or a module, and closes their connections. Errors: ErrNotFound, ErrPrecondition.
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
	gone := []*Device{d}
	switch {
	case strings.Contains(id, "/"):
		r.modules--
	case r.modules > 0:
		gone = append(gone, r.modulesOf(id)...)
		r.modules -= len(gone) - 1
	}
	for _, d := range gone {
		delete(r.devices, d.id)
	}
	r.sorted = nil
	if r.options.IndexLag > 0 {
		r.ghosts = append(r.ghosts, gone...)
	}
	r.mu.Unlock()
	for _, d := range gone {
		d.remove()
	}
	return nil
}

// modulesOf needs the lock.
func (r *Registry) modulesOf(device string) []*Device {
	var modules []*Device
	for id, d := range r.devices {
		if strings.HasPrefix(id, device+"/") {
			modules = append(modules, d)
		}
	}
	return modules
}

// ModulesOf returns the modules of a device in the order of their ids.
func (r *Registry) ModulesOf(device string) []*Device {
	r.mu.RLock()
	defer r.mu.RUnlock()
	modules := r.modulesOf(device)
	slices.SortFunc(modules, byID)
	return modules
}

func byID(a, b *Device) int { return cmp.Compare(a.id, b.id) }

// Len returns the number of devices.
func (r *Registry) Len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.devices) - r.modules
}

// Sorted returns all devices in the order of their ids, deleted ones among them as long as the index may list them. It must
// not be changed.
func (r *Registry) Sorted() []*Device { return r.order().devices }

// SortedModules is [Registry.Sorted] for modules.
func (r *Registry) SortedModules() []*Device { return r.order().modules }

func (r *Registry) order() *sorted {
	r.mu.RLock()
	order := r.sorted
	r.mu.RUnlock()
	if order != nil {
		return order
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sorted == nil {
		r.ghosts = slices.DeleteFunc(r.ghosts, func(d *Device) bool { _, listed := d.Indexed(); return !listed })
		r.sorted = r.sort()
	}
	return r.sorted
}

func (r *Registry) sort() *sorted {
	order := &sorted{devices: make([]*Device, 0, len(r.devices)+len(r.ghosts)-r.modules)}
	add := func(d *Device) {
		if strings.Contains(d.id, "/") {
			order.modules = append(order.modules, d)
		} else {
			order.devices = append(order.devices, d)
		}
	}
	for _, d := range r.devices {
		add(d)
	}
	for _, d := range r.ghosts {
		add(d)
	}
	slices.SortFunc(order.devices, byID)
	slices.SortFunc(order.modules, byID)
	return order
}
