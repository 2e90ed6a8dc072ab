package dispatch

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

const (
	// heldAgainAfter is the least time after which a device is tried again that another run works on; up to as much again is added. It
	// grows to a quarter of the time for which the other has kept it already, up to maxHeldAgain.
	heldAgainAfter = 2 * time.Second
	maxHeldAgain   = time.Minute
	// maxInspected is how many rows of others a slice deletes because they have lapsed, or compares with their shards.
	maxInspected = 10
)

// contender is a row of another run that has devices which the slice wants.
type contender struct {
	tablestore.Holder
	common []uint64
}

// taken gives the devices among those wanted that other runs have, and for how long to leave each of them alone.
func (w *worker) taken(ctx context.Context, wanted map[uint64]int) (map[uint64]time.Duration, error) {
	taken, now := map[uint64]time.Duration{}, w.d.now()
	var lapsed, old []contender
	err := w.holds.store.Holders(ctx, w.shard.RunID, func(h tablestore.Holder) {
		c := contender{Holder: h}
		for _, print := range h.Devices {
			if _, ok := wanted[print]; ok {
				c.common = append(c.common, print)
			}
		}
		switch asks := !h.Until.IsZero(); {
		case asks && !h.Until.After(now):
			lapsed = append(lapsed, c)
		case len(c.common) > 0 && !asks && now.Sub(h.Since) > w.d.opts.Lease:
			old = append(old, c)
		default:
			c.block(taken, now)
		}
	})
	if err != nil {
		return nil, err
	}
	for n, c := range lapsed {
		gone := false
		if n < maxInspected {
			if gone, err = w.holds.store.DropHolder(ctx, c.Holder); err != nil {
				return nil, err
			}
		}
		if !gone { // or it was moved, to a row that the query may have passed before
			c.block(taken, now)
		}
	}
	rand.Shuffle(len(old), func(i, j int) { old[i], old[j] = old[j], old[i] })
	for n, c := range old {
		if n < maxInspected {
			if err := w.inspect(ctx, &c); err != nil {
				return nil, err
			}
		}
		c.block(taken, now)
	}
	return taken, nil
}

// inspect leaves of a row of what a shard keeps the devices whose executions have not ended. Of one that has ended, or is gone with its
// run, it deletes the row.
func (w *worker) inspect(ctx context.Context, c *contender) error {
	shard, err := w.d.store.Shard(ctx, c.RunID, c.Shard)
	if errors.Is(err, job.ErrNotFound) || err == nil && shard.Closed {
		c.common = nil
		_, err = w.holds.store.DropHolder(ctx, c.Holder)
		return err
	}
	if err != nil {
		return err
	}
	going := map[uint64]bool{}
	for i := range shard.Executions {
		if e := &shard.Executions[i]; !e.State.Final() {
			going[w.holds.store.HubPrint(e.DeviceID)] = true
		}
	}
	var common []uint64
	for _, print := range c.common {
		if going[print] {
			common = append(common, print)
		}
	}
	c.common = common
	return nil
}

func (c *contender) block(taken map[uint64]time.Duration, now time.Time) {
	for _, print := range c.common {
		wait := heldAgainAfter
		if !c.Since.IsZero() {
			wait = min(max(wait, now.Sub(c.Since)/4), maxHeldAgain)
		}
		taken[print] = max(taken[print], wait)
	}
}

// leave lets devices wait that others work on, and takes them out of what is asked for.
func (w *worker) leave(ask map[uint64]int, taken map[uint64]time.Duration) {
	if len(taken) == 0 {
		return
	}
	w.update(func() {
		now, share := w.d.now(), rand.Float64()
		for print, wait := range taken {
			i, ok := ask[print]
			if !ok {
				continue
			}
			delete(ask, print)
			if w.op.once {
				w.shard.Executions[i].Undo() // the mark
			}
			w.shard.Executions[i].Held(now.Add(wait + time.Duration(share*float64(wait))))
		}
	})
}
