package dispatch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/pace"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

const (
	// slotAhead is how long before its slot a shard's message is to arrive: the host polls a queue about once a second.
	slotAhead = 2 * time.Second
	// slotLead is how far ahead of now a slot must be whose message is to go through the queue.
	slotLead = 1500 * time.Millisecond
	// slotLate is how late a shard may begin and keep its slot.
	slotLate = time.Second
	// ledgerTries is how often a ledger is read again that somebody else writes too. The pause between two of them doubles five
	// times: so many processes take turns.
	ledgerTries = 20
	ledgerPause = 10 * time.Millisecond
)

// pacer hands out slots of the hub's allowances, which all processes share by ledgers in storage. An allowance without
// limit costs nothing.
type pacer struct {
	store *tablestore.Store
	rates pace.Rates
	now   func() time.Time

	mu    sync.Mutex
	noted map[pace.Operation]time.Time // when the ledger last learnt of a refusal
	turns turns
}

// turns lets one reservation of an operation at a time leave the process: those of other processes are contention enough.
type turns struct{ methods, twinUpdates, queries sync.Mutex }

func (t *turns) of(op pace.Operation) *sync.Mutex {
	switch op {
	case pace.Methods:
		return &t.methods
	case pace.TwinUpdates:
		return &t.twinUpdates
	default:
		return &t.queries
	}
}

// grant is what a run got of an allowance: slots for its first operations in order, and when to ask for more if some are
// missing.
type grant struct {
	slots []pace.Slot
	again time.Time
}

// reserve asks for slots of an operation's allowance, whose rate it fills in.
func (p *pacer) reserve(ctx context.Context, op pace.Operation, ask pace.Ask) (grant, error) {
	ask.Rate = p.rates[op]
	if ask.Rate == 0 || len(ask.Costs) == 0 {
		return grant{slots: make([]pace.Slot, len(ask.Costs))}, nil
	}
	turn := p.turns.of(op)
	turn.Lock()
	defer turn.Unlock()
	for try := 1; ; try++ {
		ledger, rev, err := p.store.Ledger(ctx, op)
		if err != nil {
			return grant{}, err
		}
		known := ledger.Knows(p.now(), ask.Run)
		var g grant
		g.slots, g.again = ledger.Reserve(p.now(), ask)
		if len(g.slots) == 0 && known {
			return g, nil
		}
		err = p.store.SaveLedger(ctx, op, ledger, rev)
		switch {
		case !errors.Is(err, job.ErrConflict):
			return g, err
		case try == ledgerTries: // no race for a run, which somebody else would go on with
			return grant{}, fmt.Errorf("reserving %s of the hub's allowance: the ledger was changed %d times meanwhile", op, try)
		}
		if err := sleep(ctx, rand.N(ledgerPause<<min(try, 5))); err != nil {
			return grant{}, err
		}
	}
}

// giveBack returns slots of an operation's allowance that a run reserved and does not use. It is no fault if others write the ledger
// all the time: the slots are lost then.
func (p *pacer) giveBack(ctx context.Context, op pace.Operation, run string, slots []pace.Slot) error {
	if p.rates[op] == 0 || len(slots) == 0 {
		return nil
	}
	turn := p.turns.of(op)
	turn.Lock()
	defer turn.Unlock()
	for try := 1; ; try++ {
		ledger, rev, err := p.store.Ledger(ctx, op)
		if err != nil || !ledger.Return(run, slots) {
			return err
		}
		err = p.store.SaveLedger(ctx, op, ledger, rev)
		switch {
		case !errors.Is(err, job.ErrConflict):
			return err
		case try == ledgerTries:
			return nil
		}
		if err := sleep(ctx, rand.N(ledgerPause<<min(try, 5))); err != nil {
			return err
		}
	}
}

// throttled tells the ledger that the hub refused an operation, once a second at most.
func (p *pacer) throttled(ctx context.Context, op pace.Operation, wait time.Duration) error {
	if p.rates[op] == 0 || !p.news(op) {
		return nil
	}
	for try := 1; ; try++ {
		ledger, rev, err := p.store.Ledger(ctx, op)
		if err != nil || !ledger.Throttle(p.now(), wait) {
			return err
		}
		err = p.store.SaveLedger(ctx, op, ledger, rev)
		if !errors.Is(err, job.ErrConflict) || try == ledgerTries {
			return err
		}
		if err := sleep(ctx, rand.N(ledgerPause<<min(try, 5))); err != nil {
			return err
		}
	}
}

func (p *pacer) news(op pace.Operation) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if now.Sub(p.noted[op]) < time.Second {
		return false
	}
	p.noted[op] = now
	return true
}

const (
	previews       = "previews" // all of them are one user of the allowance, beside the runs
	patientPreview = 5 * time.Second
)

// ask makes a query to a hub for somebody who waits for the answer. Where the hub's allowance leaves none within a few seconds, the
// error is as if the hub had refused.
func (d *Dispatcher) ask(ctx context.Context, hub, query string, most int) (iothub.Page, error) {
	lane := d.lane(hub)
	g, err := lane.pacer.reserve(ctx, pace.Queries, pace.Ask{Run: previews, Costs: []int{1}})
	if err != nil {
		return iothub.Page{}, err
	}
	at := g.again
	if len(g.slots) > 0 {
		at = g.slots[0].At
	}
	if wait := at.Sub(d.now()); wait > patientPreview {
		return iothub.Page{}, &iothub.Error{Kind: iothub.Throttled, Op: iothub.OpQuery, Message: usedUp, Wait: wait}
	} else if wait > 0 {
		if err := sleep(ctx, wait); err != nil {
			return iothub.Page{}, err
		}
	}
	return lane.hub.QueryPage(ctx, query, "", most)
}

const usedUp = "the hub's allowance of queries is used up"

// costs gives what calling all devices of shards of the given sizes takes of an operation's allowance.
func (o *operation) costs(sizes []int) []int {
	costs := make([]int, len(sizes))
	for i, n := range sizes {
		if costs[i] = n * o.cost; o.waits() {
			costs[i] = 1 // query
		}
	}
	return costs
}
