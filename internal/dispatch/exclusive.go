package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// How two exclusive runs stay apart: a slice first asks for the devices that it is about to call, in a row, and then reads the rows of
// other runs. A device that another has in one it leaves alone. Of two slices the one that reads later sees the other's row, whatever
// comes in between, so that never both go on. Both may leave a device alone; they come back after different times. What is left the
// slice moves to the row of what its shard keeps, and only then calls. That row does not lapse: whoever dies, the devices stay the run's,
// until they have ended or are known not to have been reached. The row of what is asked for lapses, and is deleted by whoever wants
// a device in it, before he goes on; the move fails then. So no clock has to be right for two runs to stay apart.
// Nobody waits for a device in order to go on with another, so there is no deadlock.

// holdings is what a shard of an exclusive run holds while a slice works on it.
type holdings struct {
	store  *tablestore.Store
	prints []uint64 // of the shard's executions
	asked  tablestore.Asked
	row    *tablestore.Kept // as it is stored, nil when it was not read and not written
	kept   map[uint64]bool  // what of it is the run's
	mine   map[int]bool     // executions that this slice may call
	ended  int              // executions that had ended when the slice began
	old    bool             // row is that of an earlier slice, and this one called none of its devices
}

// may reports whether the slice may call the execution at a place; one of a run that is not exclusive may call all.
func (h *holdings) may(i int) bool { return h == nil || h.mine[i] }

// hold takes the devices that the slice is about to call for its run, and lets those wait that another exclusive run works on.
func (w *worker) hold(ctx context.Context, probe bool) error {
	if !w.run.Exclusive {
		return nil
	}
	h := &holdings{store: w.op.lane.pacer.store, kept: map[uint64]bool{}, mine: map[int]bool{}, ended: len(w.shard.Executions) - w.shard.Left()}
	var wanted []int
	if !w.op.waits() {
		wanted = w.todo(probe)
	}
	reached := map[int]bool{}
	for i := range w.shard.Executions {
		h.prints = append(h.prints, h.store.HubPrint(w.shard.Executions[i].DeviceID))
		if w.shard.Executions[i].Keeps() {
			reached[i] = true
		}
	}
	w.holds = h
	if len(reached) > 0 && len(wanted) > 0 {
		if err := w.recall(ctx); err != nil {
			return err
		}
	}
	ask := map[uint64]int{}
	for _, i := range wanted {
		if reached[i] && h.kept[h.prints[i]] {
			h.mine[i] = true
		} else { // also what may be of a worker that is not dead, and about to free it
			ask[h.prints[i]] = i
		}
	}
	if len(ask) == 0 {
		return nil
	}
	return w.ask(ctx, ask)
}

// recall reads what the shard keeps. A device that a dead worker was about to call, and of which it stored nothing, may have been reached.
func (w *worker) recall(ctx context.Context) error {
	h := w.holds
	row, err := h.store.Kept(ctx, w.shard.RunID, w.shard.Number)
	if errors.Is(err, job.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	h.row = row
	kept := setOf(row.Devices)
	w.update(func() {
		for i, print := range h.prints {
			if e := &w.shard.Executions[i]; kept[print] && w.keeps(e, row.Since) {
				e.Reach()
				h.kept[print] = true
			}
		}
	})
	return nil
}

// keeps reports whether the device of an execution that stands in the row of what the shard keeps is to stay in it. Where no device is
// called twice, the claim has ended all of which nothing is known.
func (w *worker) keeps(e *job.Execution, since time.Time) bool {
	return e.Keeps() || !w.op.once && e.Unknown(since)
}

func setOf(prints []uint64) map[uint64]bool {
	set := make(map[uint64]bool, len(prints))
	for _, p := range prints {
		set[p] = true
	}
	return set
}

// ask asks for devices and keeps those that nobody else has.
func (w *worker) ask(ctx context.Context, ask map[uint64]int) error {
	h := w.holds
	h.asked = tablestore.Asked{RunID: w.shard.RunID, Shard: w.shard.Number, Owner: w.owner, Until: w.askedUntil()}
	for print := range ask {
		h.asked.Devices = append(h.asked.Devices, print)
	}
	if err := h.store.Ask(ctx, h.asked); err != nil {
		return err
	}
	taken, err := w.taken(ctx, ask)
	if err != nil {
		w.unask(ctx)
		return err
	}
	w.leave(ask, taken)
	if len(ask) == 0 {
		w.unask(ctx)
		return nil
	}
	err = w.take(ctx, ask)
	if lostRace(err) { // what was asked for has lapsed, or the shard is another worker's
		for print := range ask {
			taken[print] = heldAgainAfter
		}
		w.leave(ask, taken)
		w.unask(ctx)
		return nil
	}
	return err
}

// askedUntil is when what the slice asks for lapses: with its claim, and a margin for clocks that differ.
func (w *worker) askedUntil() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.shard.Claim.Until.Add(w.d.opts.Lease / 6)
}

func (w *worker) unask(ctx context.Context) {
	if err := w.holds.store.Unask(ctx, w.holds.asked); err != nil {
		w.log.WarnContext(ctx, "what the slice had asked for its run could not be taken back; it lapses", "error", err)
	}
}

// take moves devices from what is asked for to what the shard keeps.
func (w *worker) take(ctx context.Context, ask map[uint64]int) error {
	h := w.holds
	row := w.more(ask)
	err := h.store.Keep(ctx, h.asked, row)
	if errors.Is(err, job.ErrExists) && h.row == nil { // of a slice that died
		if err := w.recall(ctx); err != nil {
			return err
		}
		row = w.more(ask)
		err = h.store.Keep(ctx, h.asked, row)
	}
	if err != nil {
		return err
	}
	h.row = row
	for print, i := range ask {
		h.kept[print], h.mine[i] = true, true
	}
	return nil
}

// more gives the row of what the shard keeps with further devices.
func (w *worker) more(ask map[uint64]int) *tablestore.Kept {
	h := w.holds
	more := &tablestore.Kept{RunID: w.shard.RunID, Shard: w.shard.Number, Since: w.d.now()}
	if h.row != nil {
		more.Rev = h.row.Rev
	}
	for print := range h.kept {
		more.Devices = append(more.Devices, print)
	}
	for print, i := range ask {
		if !h.kept[print] {
			more.Devices = append(more.Devices, print)
		}
		// An earlier attempt is earlier, whatever the clock of its process said.
		more.Since = latest(more.Since, w.shard.Executions[i].StartedAt.Add(time.Millisecond))
	}
	return more
}

// reached notes that an attempt may have reached its device. w.mu is not held.
func (w *worker) reached(e *job.Execution, err error) {
	if w.holds == nil {
		return
	}
	if he, ok := errors.AsType[*iothub.Error](err); ok && !he.MayHaveExecuted() {
		return
	}
	w.update(e.Reach)
}

// letGo frees the devices that the shard need not keep any more, once its outcomes are stored. What fails is found out by whoever
// wants such a device, and by the next slice.
func (w *worker) letGo(ctx context.Context, stored *job.Shard) {
	if w.holds == nil {
		return
	}
	if err := w.keepLess(ctx, stored); err != nil {
		w.log.WarnContext(ctx, "devices that the shard keeps for its run could not be freed; who wants one finds out", "error", err)
	}
}

// review reads what earlier slices have left to the shard, where this one has ended executions without a call. It does so before their
// outcomes are stored and the claim is given back: what the next slice adds is its own.
func (w *worker) review(ctx context.Context) {
	h := w.holds
	if h == nil || h.row != nil || len(w.shard.Executions)-w.shard.Left() == h.ended {
		return
	}
	row, err := h.store.Kept(ctx, w.shard.RunID, w.shard.Number)
	switch {
	case err == nil:
		h.row, h.kept, h.old = row, setOf(row.Devices), true
	case !errors.Is(err, job.ErrNotFound):
		w.log.WarnContext(ctx, "what the shard keeps for its run could not be read; who wants such a device finds out", "error", err)
	}
}

func (w *worker) keepLess(ctx context.Context, stored *job.Shard) error {
	h := w.holds
	if h.row == nil {
		return nil
	}
	less := *h.row
	less.Devices = nil
	for i := range stored.Executions {
		e := &stored.Executions[i]
		if h.kept[h.prints[i]] && (e.Keeps() || h.old && w.keeps(e, h.row.Since)) {
			less.Devices = append(less.Devices, h.prints[i])
		}
	}
	if len(less.Devices) == len(h.row.Devices) {
		return nil
	}
	return h.store.KeepLess(ctx, &less)
}
