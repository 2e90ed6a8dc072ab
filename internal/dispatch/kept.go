package dispatch

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/pace"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// kept remembers slots of the hub's allowance that a supervision reserved for shards and could not hand out, because somebody
// else wrote the run. The next one of the process, mostly the same again, takes them.
type kept struct {
	mu  sync.Mutex
	run map[string]keptSlots
}

// keptSlots are slots for shards of these sizes.
type keptSlots struct {
	slots []pace.Slot
	sizes []int
}

// put keeps slots, and forgets those whose time is over.
func (k *kept) put(run string, now time.Time, s keptSlots) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.run == nil {
		k.run = map[string]keptSlots{}
	}
	for id, old := range k.run {
		if old.slots[len(old.slots)-1].At.Before(now) {
			delete(k.run, id)
		}
	}
	k.run[run] = s
}

// take gives what was kept and fits the first of the shards, if its time is not over, and the rest of what was kept.
func (k *kept) take(run string, now time.Time, sizes []int) (g grant, rest []pace.Slot) {
	k.mu.Lock()
	defer k.mu.Unlock()
	was := k.run[run]
	delete(k.run, run)
	g.again = now
	for i, slot := range was.slots[:min(len(was.slots), len(sizes))] {
		if sizes[i] > was.sizes[i] || slot.At.Before(now) {
			break
		}
		g.slots = append(g.slots, slot)
	}
	return g, was.slots[len(g.slots):]
}

// giveBackKept returns what is kept for a run whose shards somebody else has opened meanwhile.
func (s *supervision) giveBackKept(ctx context.Context) error {
	_, rest := s.d.kept.take(s.run.ID, s.now, nil)
	return s.giveBack(ctx, rest)
}

func (s *supervision) giveBack(ctx context.Context, slots []pace.Slot) error {
	if len(slots) == 0 {
		return nil
	}
	op, err := s.d.operation(ctx, s.run)
	if err != nil {
		return err
	}
	return op.lane.pacer.giveBack(ctx, op.kind, s.run.ID, slots)
}

// grow opens shards in their slots.
func (s *supervision) grow(ctx context.Context, opened []tablestore.Underway, g grant) error {
	err := s.d.store.Grow(ctx, tablestore.Growth{Run: s.run, Opened: opened})
	if errors.Is(err, job.ErrConflict) && !g.slots[0].At.IsZero() {
		sizes := make([]int, len(opened))
		for i, u := range opened {
			sizes[i] = u.Devices
		}
		s.d.kept.put(s.run.ID, s.now, keptSlots{g.slots, sizes})
	}
	return err
}
