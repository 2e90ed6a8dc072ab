package dispatch

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
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

// looks has slices of one run that look at the same time at what others have share a query. Each gets the answer of one that began after
// it had asked.
type looks struct {
	mu   sync.Mutex
	runs map[string]*look // runs with a query under way, and the one after it, nil where nobody waits for that
}

type look struct {
	done chan struct{}
	rows []tablestore.Holder
	err  error
}

// at gives what read says.
func (l *looks) at(ctx context.Context, run string, read func(context.Context) ([]tablestore.Holder, error)) ([]tablestore.Holder, error) {
	l.mu.Lock()
	next, busy := l.runs[run]
	if next == nil {
		next = &look{done: make(chan struct{})}
		if l.runs == nil {
			l.runs = map[string]*look{}
		}
		l.runs[run] = next
	}
	if !busy {
		go l.drain(context.WithoutCancel(ctx), run, read)
	}
	l.mu.Unlock()
	select {
	case <-next.done:
		return next.rows, next.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// drain reads for those who wait until nobody does.
func (l *looks) drain(ctx context.Context, run string, read func(context.Context) ([]tablestore.Holder, error)) {
	for {
		l.mu.Lock()
		next := l.runs[run]
		if next == nil {
			delete(l.runs, run)
			l.mu.Unlock()
			return
		}
		l.runs[run] = nil
		l.mu.Unlock()
		next.rows, next.err = read(ctx)
		close(next.done)
	}
}

// contender is a row of another run that has devices which the slice wants.
type contender struct {
	tablestore.Holder
	common []uint64
}

// taken gives the devices among those wanted that other runs have, and for how long to leave each of them alone.
func (w *worker) taken(ctx context.Context, wanted map[uint64]int) (map[uint64]time.Duration, error) {
	taken, now := map[uint64]time.Duration{}, w.d.now()
	var lapsed, old []contender
	rows, err := w.op.lane.looks.at(ctx, w.shard.RunID, func(ctx context.Context) (rows []tablestore.Holder, err error) {
		err = w.holds.store.Holders(ctx, w.shard.RunID, func(h tablestore.Holder) { rows = append(rows, h) })
		return rows, err
	})
	if err != nil {
		return nil, err
	}
	for _, h := range rows {
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
