package dispatch

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/pace"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// FurtherHub is a hub beside the one that New is given.
type FurtherHub struct {
	Name     string // by which jobs name it
	HostName string // under which its ledgers are kept
	Hub      Hub
	Rates    pace.Rates // its allowances
}

// lane is the way to one hub: its client, what it allows, and how many calls of the process it lets through at once. Hubs
// share none of it, so that one that throttles slows no other down.
type lane struct {
	hub   Hub
	pacer *pacer
	gate  *gate
	rates pace.Rates
	meter hubMeter
	looks looks // at what exclusive runs have of the hub's devices
	// attrs tell the hub's metrics from those of others, nil where there is no other.
	attrs []attribute.KeyValue
	name  string
}

func newLane(store *tablestore.Store, name string, rates pace.Rates, opts Options) *lane {
	now := func() time.Time { return opts.Now().UTC() }
	return &lane{
		name: name, rates: rates, gate: newGate(opts.CallsInFlight, opts.Now),
		pacer: &pacer{store: store, rates: rates, now: now, noted: map[pace.Operation]time.Time{}},
	}
}

// lanes are the ways to all hubs; the first is that of the default hub.
type lanes []*lane

func newLanes(store *tablestore.Store, opts Options) lanes {
	all := lanes{newLane(store, opts.HubName, opts.Rates, opts)}
	for _, h := range opts.Hubs {
		all = append(all, newLane(store.Hub(h.HostName), h.Name, h.Rates, opts))
	}
	if len(all) > 1 {
		for _, l := range all {
			l.attrs = []attribute.KeyValue{hubKey.String(l.name)}
		}
	}
	return all
}

// names lists the names of the hubs.
func (all lanes) names() []string {
	names := make([]string, len(all))
	for i, l := range all {
		names[i] = l.name
	}
	return names
}

// lane gives the way to a hub, "" for the default one. One that the settings do not name any more is like a hub that is out of
// reach: its runs are blocked until it is back.
func (d *Dispatcher) lane(hub string) *lane {
	if hub == "" {
		return d.lanes[0]
	}
	if i := slices.IndexFunc(d.lanes, func(l *lane) bool { return l.name == hub }); i >= 0 {
		return d.lanes[i]
	}
	l := newLane(d.store, hub, nil, d.opts)
	l.hub = missingHub(hub)
	return l
}

// Hubs lists the names of the hubs, the default one first.
func (d *Dispatcher) Hubs() []string { return d.lanes.names() }

// missingHub stands for a hub of this name that the settings do not have.
type missingHub string

func (h missingHub) fault(op iothub.Op) error {
	return &iothub.Error{Kind: iothub.HubFault, Op: op, Message: fmt.Sprintf("the app's settings name no hub %q", string(h))}
}

// InvokeMethod implements [Hub].
func (h missingHub) InvokeMethod(context.Context, string, *iothub.Method) (iothub.MethodResult, error) {
	return iothub.MethodResult{}, h.fault(iothub.OpInvokeMethod)
}

// UpdateTwin implements [Hub].
func (h missingHub) UpdateTwin(context.Context, string, *iothub.TwinPatch) error {
	return h.fault(iothub.OpUpdateTwin)
}

// QueryPage implements [Hub].
func (h missingHub) QueryPage(context.Context, string, string, int) (iothub.Page, error) {
	return iothub.Page{}, h.fault(iothub.OpQuery)
}
