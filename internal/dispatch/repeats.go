package dispatch

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/pace"
)

// repeatSlots is how many slots for repeated calls are reserved together.
const repeatSlots = 10

// repeats holds slots of the hub's allowance for calls of a run that the hub, or the connection, failed: those of its shards were
// for the first attempts.
type repeats struct {
	mu    sync.Mutex
	slots map[pace.Operation][]pace.Slot
}

func newRepeats() *repeats { return &repeats{slots: map[pace.Operation][]pace.Slot{}} }

// take gives when the next repeated call may begin.
func (r *repeats) take(ctx context.Context, op *operation, runID string, now func() time.Time) (time.Time, error) {
	if op.lane.rates[op.kind] == 0 {
		return time.Time{}, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	slots := r.slots[op.kind]
	for len(slots) > 0 && now().Sub(slots[0].At) > slotLate {
		slots = slots[1:]
	}
	if len(slots) == 0 {
		g, err := op.lane.pacer.reserve(ctx, op.kind, pace.Ask{Run: runID, Costs: slices.Repeat([]int{op.cost}, repeatSlots)})
		if err != nil || len(g.slots) == 0 {
			return g.again, err
		}
		slots = g.slots
	}
	r.slots[op.kind] = slots[1:]
	return slots[0].At, nil
}

// pause waits before the next attempt, for its delay and for its turn in the hub's allowance, and reports whether there is one in
// this slice.
func (w *worker) pause(ctx context.Context, attempts int) bool {
	delay := min(w.d.opts.RetryDelay<<min(attempts-1, 6), 30*time.Second)
	if sleep(ctx, delay+rand.N(delay/4+1)) != nil {
		return false
	}
	at, err := w.op.repeats.take(ctx, w.op, w.run.ID, w.d.now)
	if err != nil {
		w.log.WarnContext(ctx, "no slot for a repeated call; the shard's message comes back for it", "error", err)
		return false
	}
	wait := at.Sub(w.d.now())
	if wait > hold {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.wait = max(w.wait, wait)
		return false
	}
	return wait <= 0 || sleep(ctx, wait) == nil
}
