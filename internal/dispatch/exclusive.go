package dispatch

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// How two exclusive runs stay apart: a slice first tells which devices it is about to work on, in one row, and then reads what slices
// of other runs have told. A device that another has told of it leaves alone. Of two slices the one that reads later sees the other's
// row, whatever comes in between, so that never both call. Both may leave a device alone; they come back after different times.
// Nobody waits while he holds something, so there is no deadlock; a row lapses with the claim of its shard, so that a dead slice
// holds nothing for long.

const (
	// heldAgainAfter is the least time after which a device is tried again that another run works on; up to as much again is added.
	heldAgainAfter = 2 * time.Second
)

// holdings is what a worker of an exclusive run has told others.
type holdings struct {
	store *tablestore.Store
	held  tablestore.Held
	mine  map[int]bool // executions that this slice may call
}

// may reports whether the slice may call the execution at a place; one of a run that is not exclusive may call all.
func (h *holdings) may(i int) bool { return h == nil || h.mine[i] }

// hold takes the devices that the slice is about to call for its run, and lets those wait that another exclusive run works on.
func (w *worker) hold(ctx context.Context, probe bool) error {
	if !w.run.Exclusive || w.op.waits() {
		return nil
	}
	h := &holdings{store: w.op.lane.pacer.store, mine: map[int]bool{}}
	h.held = tablestore.Held{RunID: w.shard.RunID, Shard: w.shard.Number, Owner: w.owner}
	at := map[uint64]int{}
	for _, i := range w.todo(probe) {
		print := h.store.HubPrint(w.shard.Executions[i].DeviceID)
		h.held.Devices = append(h.held.Devices, print)
		h.mine[i], at[print] = true, i
	}
	w.holds = h
	if len(at) == 0 {
		return nil
	}
	h.held.Until = w.heldUntil()
	if err := h.store.Hold(ctx, h.held); err != nil {
		return err
	}
	taken := map[uint64]bool{}
	err := h.store.HeldByOthers(ctx, w.shard.RunID, w.d.now(), func(print uint64) {
		if _, ours := at[print]; ours {
			taken[print] = true
		}
	})
	if err != nil || len(taken) == 0 {
		return err
	}
	w.leave(at, taken)
	if len(h.held.Devices) == 0 {
		return nil // work lets go of the row
	}
	return h.store.Hold(ctx, h.held)
}

// leave lets devices wait that others work on.
func (w *worker) leave(at map[uint64]int, taken map[uint64]bool) {
	w.update(func() {
		again := w.d.now().Add(heldAgainAfter + rand.N(heldAgainAfter))
		for print := range taken {
			i := at[print]
			delete(w.holds.mine, i)
			if w.op.once {
				w.shard.Executions[i].Undo() // the mark
			}
			w.shard.Executions[i].Held(again)
		}
	})
	left := w.holds.held.Devices[:0]
	for _, print := range w.holds.held.Devices {
		if !taken[print] {
			left = append(left, print)
		}
	}
	w.holds.held.Devices = left
}

// heldUntil is when what the slice holds lapses: with its claim, and a margin for clocks that differ.
func (w *worker) heldUntil() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.shard.Claim.Until.Add(w.d.opts.Lease / 6)
}

// holdOn renews what the slice holds after its claim was renewed. Should that fail the slice stops.
func (w *worker) holdOn(ctx context.Context) {
	h := w.holds
	if h == nil || len(h.held.Devices) == 0 || !h.held.Until.Before(w.heldUntil()) {
		return
	}
	held := h.held
	held.Until = w.heldUntil()
	if err := h.store.Hold(ctx, held); err != nil {
		w.log.WarnContext(ctx, "what the slice holds for its run could not be renewed; it stops", "error", err)
		w.stop()
		return
	}
	h.held = held
}

// letGo frees what the slice holds, once its outcomes are stored. What fails lapses.
func (w *worker) letGo(ctx context.Context) {
	if w.holds == nil || w.holds.held.Until.IsZero() {
		return
	}
	if err := w.holds.store.LetGo(ctx, w.holds.held); err != nil {
		w.log.WarnContext(ctx, "what the slice holds for its run could not be freed; it lapses", "error", err)
	}
}
