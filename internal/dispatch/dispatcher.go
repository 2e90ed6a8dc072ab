package dispatch

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/pace"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// Hub calls devices and selects them.
type Hub interface {
	InvokeMethod(ctx context.Context, deviceID string, m *iothub.Method) (iothub.MethodResult, error)
	UpdateTwin(ctx context.Context, deviceID string, patch *iothub.TwinPatch) error
	QueryPage(ctx context.Context, query, continuation string, max int) (iothub.Page, error)
}

// Queue sends messages to RunShard.
type Queue interface {
	Send(ctx context.Context, body []byte, delay time.Duration) error
}

// DefaultSlices is the default of Options.Slices.
const DefaultSlices = 32

// DefaultHub is the default of Options.HubName.
const DefaultHub = "default"

// MostHeld is how many messages a process with DefaultSlices may hold for as long as others are slow: shards, deliveries and
// exports, and planners that wait for the hub or for slots.
const MostHeld = DefaultSlices + deliveriesAtOnce + maxPlanners

// Options of a Dispatcher; each zero value means the default.
type Options struct {
	Logger *slog.Logger     // slog.Default
	Now    func() time.Time // time.Now
	// Tracer and Meter record what is done; by default nothing is recorded.
	Tracer trace.Tracer
	Meter  metric.Meter
	// Tick is the time between two timer ticks, 10 s. What is due within two of them is started.
	Tick time.Duration
	// CallsInFlight is how many device calls one process has under way at most at one hub, 512.
	CallsInFlight int
	// Slices is how many shards one process works on at most, DefaultSlices. MostHeld must be below newBatchThreshold
	// of host.json, up to which the host fetches messages, so that slow devices never keep supervisions waiting.
	Slices int
	// QueueOnly has planners leave every shard to the queue, as they do without a free slot, so that each step is a message.
	QueueOnly bool
	// Slice is how long an invocation starts new calls, or selects devices, 60 s.
	Slice time.Duration
	// Lease is how long a claim lives unless it is renewed, 30 s.
	Lease time.Duration
	// Flush is the longest time between an outcome and its storage while a slice runs, 3 s.
	Flush time.Duration
	// Silence is how long nobody may supervise a run before the timer repairs it, 15 s.
	Silence time.Duration
	// Attempts is how often a device is called when the hub fails or the connection breaks, 5.
	Attempts int
	// RetryDelay is the time before the second attempt; it doubles with every further one. 1 s.
	RetryDelay time.Duration
	// ProbeDelay is the time before a blocked run asks the hub again, 5 s; it doubles up to a minute.
	ProbeDelay time.Duration
	// LookDelay is the time before devices that are waited for are looked after first, 5 s; it grows with the time that they take.
	LookDelay time.Duration
	// OpenShards is how many shards of a run are enqueued at least ahead of its workers, 128.
	OpenShards int
	// Rates are the hub's allowances; where there is none, nothing is held back.
	Rates pace.Rates
	// HubName is by which jobs name the hub, "default". Hubs are those beside it, none.
	HubName string
	Hubs    []FurtherHub
	// MaxRuns is how many runs go on at once, 0 for no limit; others that are due wait.
	MaxRuns int
	// Notify is who is told of jobs, nobody.
	Notify Notify
	// Retention is how long what has ended is kept, until somebody deletes it.
	Retention Retention
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Tick = cmp.Or(o.Tick, 10*time.Second)
	o.CallsInFlight = cmp.Or(o.CallsInFlight, 512)
	o.Slices = cmp.Or(o.Slices, DefaultSlices)
	o.Slice = cmp.Or(o.Slice, time.Minute)
	o.Lease = cmp.Or(o.Lease, 30*time.Second)
	o.Flush = cmp.Or(o.Flush, 3*time.Second)
	o.Silence = cmp.Or(o.Silence, 15*time.Second)
	o.Attempts = cmp.Or(o.Attempts, 5)
	o.RetryDelay = cmp.Or(o.RetryDelay, time.Second)
	o.ProbeDelay = cmp.Or(o.ProbeDelay, 5*time.Second)
	o.LookDelay = cmp.Or(o.LookDelay, 5*time.Second)
	o.OpenShards = cmp.Or(o.OpenShards, 128)
	o.HubName = cmp.Or(o.HubName, DefaultHub)
	o.Notify.Lease = cmp.Or(o.Notify.Lease, 30*time.Second)
	return o
}

// Dispatcher is one process's share of the work. It is safe for concurrent use and keeps nothing that must last.
type Dispatcher struct {
	store   *tablestore.Store
	queue   Queue
	lanes   lanes
	opts    Options
	runs    runCache
	closer  closer
	observe *observer
	slots   chan struct{} // one for each slice under way
	// deliveries has one for each message about deliveries that is worked on.
	deliveries chan struct{}
	exports    chan struct{} // the same for exports

	planners atomic.Int32 // stretches under way, and feeds
	feeders  feeders
	kept     kept
	recalled recalled
}

// New gives a dispatcher.
func New(store *tablestore.Store, queue Queue, hub Hub, opts Options) *Dispatcher {
	d := &Dispatcher{store: store, queue: queue, opts: opts.withDefaults()}
	d.runs = newRunCache(store.Run, d.opts.Now)
	d.slots = make(chan struct{}, d.opts.Slices)
	d.deliveries = make(chan struct{}, deliveriesAtOnce)
	d.exports = make(chan struct{}, exportsAtOnce)
	d.closer = newCloser(store)
	d.lanes = newLanes(store, d.opts)
	d.observe = newObserver(d.opts, d.lanes)
	for i, l := range d.lanes {
		if i > 0 {
			hub = d.opts.Hubs[i-1].Hub
		}
		l.hub = observedHub{Hub: hub, o: d.observe, lane: l}
	}
	return d
}

func (d *Dispatcher) now() time.Time { return d.opts.Now().UTC() }

// Delivery is a message as RunShard got it.
type Delivery struct {
	Body []byte
	// Owner names this invocation; no other has the same name.
	Owner string
	// Redelivered says that an earlier delivery of the message did not end well.
	Redelivered bool
}

// Handle carries one message out. What is to be expected, from throttling to a lost claim, is no error; an error means that
// storage failed, and that the message is to be delivered again.
func (d *Dispatcher) Handle(ctx context.Context, in Delivery) (err error) {
	m, err := parseMessage(in.Body)
	if err != nil {
		return err
	}
	ctx, handled := d.observe.received(ctx, m)
	defer func() { handled(err) }()
	in.Owner = cmp.Or(in.Owner, nonce()) // a claim without owner would hold nobody off
	switch m.Kind {
	case kindPlan:
		err = d.plan(ctx, m, in)
	case kindFeed:
		err = d.feed(ctx, m, in)
	case kindShard:
		err = d.slice(ctx, m, in)
	case kindSupervise:
		err = d.supervise(ctx, m, in)
	case kindPurge:
		err = d.purge(ctx, m)
	case kindNotify:
		err = d.notify(ctx, m)
	case kindRecur:
		err = d.recur(ctx, m)
	case kindExpire:
		err = d.export(ctx, m)
	}
	if lostRace(err) {
		d.opts.Logger.DebugContext(ctx, "another worker was first", "kind", m.Kind, "run", m.Run, "shard", m.Shard, "error", err)
		return nil
	}
	return err
}

// lostRace reports whether err says that a row is gone or was changed by somebody else, who goes on with the work.
func lostRace(err error) bool {
	return errors.Is(err, job.ErrConflict) || errors.Is(err, job.ErrNotFound) || errors.Is(err, job.ErrExists)
}
