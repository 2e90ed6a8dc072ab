package dispatch

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/pace"
)

const (
	readAhead     = 32              // pages that wait for the planner's write
	throttledPlan = 3 * time.Second // least wait before a throttled query is asked again
	maxPatient    = 4               // stretches of a process that may wait that long without ending
	maxPlanners   = 7               // that may wait at all: others come back, for the host counts what is under way
	maxQuerySlots = 8               // pages whose slots are reserved together: as many as the allowance has in querySlots
	querySlots    = 250 * time.Millisecond
	queryLate     = 3 * time.Second // how late a message may come and keep its slot for a page
)

// page is what a source gave: devices of a part and the continuation after them, or why there are none.
type page struct {
	found
	part int
	next place
	last bool // nothing comes after it
	err  error
}

// reader reads a target's pages ahead of the planner that stores them.
type reader struct {
	d       *Dispatcher
	lane    *lane
	run     string
	target  target
	source  source // of the part that is read
	metered bool   // by the hub
	until   time.Time
	blocked bool // the run is blocked, and the first page is its probe

	slots  []pace.Slot // of the hub's allowance of queries, for the next pages
	weight int         // of the run
	missed pace.Slot   // one that is too far ahead to wait for in this stretch
}

// read sends the pages from a place on to out until the last, an error, or the end of ctx.
func (r *reader) read(ctx context.Context, at place, out chan<- page) {
	for {
		got := page{part: at.part}
		if got.err = r.open(at); got.err == nil {
			got.found, got.err = r.ask(ctx, at.token)
		}
		if wait, ok := r.patient(got.err); ok {
			if sleep(ctx, wait) != nil {
				return
			}
			continue
		}
		got.next, got.last = r.target.after(at.part, got.found.next)
		select {
		case out <- got:
		case <-ctx.Done():
			return
		}
		if got.err != nil || got.last {
			return
		}
		at, r.blocked = got.next, false
	}
}

// open makes the part that is read the reader's source.
func (r *reader) open(at place) (err error) {
	if r.source != nil && at.token != "" {
		return nil
	}
	if opens := r.target.opensAt(at.part); at.token == "" && opens.After(r.d.now()) {
		return &notYet{opens}
	}
	r.source, r.metered, err = r.target.source(at.part)
	return err
}

// ask reads the devices after token, again a few times while the hub fails.
func (r *reader) ask(ctx context.Context, token string) (found, error) {
	for attempt := 1; ; attempt++ {
		if err := r.turn(ctx); err != nil {
			return found{}, err
		}
		got, err := r.try(ctx, token)
		kind := iothub.KindOf(err)
		if err == nil || attempt >= r.d.opts.Attempts || kind != iothub.ServerError && kind != iothub.Lost {
			return got, err
		}
		if err := sleep(ctx, r.d.opts.RetryDelay); err != nil {
			return found{}, err
		}
	}
}

// turn waits until the hub's allowance has room for a page. Where that is too long, the error is as if the hub had refused.
func (r *reader) turn(ctx context.Context) error {
	if !r.metered {
		return nil
	}
	if len(r.slots) == 0 {
		pages := min(maxQuerySlots, max(1, int(r.lane.rates[pace.Queries]*querySlots.Seconds())))
		g, err := r.lane.pacer.reserve(ctx, pace.Queries, pace.Ask{Run: r.run, Weight: r.weight, Costs: slices.Repeat([]int{1}, pages)})
		if err != nil {
			return err
		}
		if r.slots = g.slots; len(r.slots) == 0 {
			r.slots = []pace.Slot{{At: g.again}} // the run has taken its part of the horizon, and what it took is to come
		}
	}
	slot := r.slots[0]
	wait := slot.At.Sub(r.d.now())
	r.slots = r.slots[1:]
	switch {
	case wait <= 0:
		return nil
	case r.mayNotWait(wait):
		r.missed = slot
		return &iothub.Error{Kind: iothub.Throttled, Op: iothub.OpQuery, Message: usedUp, Wait: max(wait, time.Second)} // as queues delay
	}
	return sleep(ctx, wait)
}

// mayNotWait reports whether a wait is too long for this stretch, or for as many as there are.
func (r *reader) mayNotWait(wait time.Duration) bool {
	waiting := r.d.planners.Load()
	return wait > time.Second && waiting > maxPatient || waiting > maxPlanners || r.d.now().Add(wait).After(r.until)
}

// try gives up a query that takes longer than half a lease.
func (r *reader) try(ctx context.Context, token string) (found, error) {
	within := r.d.opts.Lease / 2
	limited, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	got, err := r.source(limited, token)
	if iothub.KindOf(err) == iothub.Canceled && ctx.Err() == nil {
		err = &iothub.Error{Kind: iothub.Lost, Op: iothub.OpQuery, Message: fmt.Sprintf("no answer within %s", within), Sent: true}
	}
	return got, err
}

// patient reports whether to wait for a throttled hub within the stretch, and how long: a new stretch would have to recall
// all that was selected. Only few stretches of a process may wait, so that other messages keep flowing.
func (r *reader) patient(err error) (time.Duration, bool) {
	if iothub.KindOf(err) != iothub.Throttled || r.blocked || r.d.planners.Load() > maxPatient {
		return 0, false
	}
	wait := max(waitOf(err), throttledPlan)
	return wait, wait <= r.d.opts.Lease/3 && r.d.now().Add(wait).Before(r.until)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
