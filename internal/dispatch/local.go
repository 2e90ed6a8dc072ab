package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/pace"
)

// local carries shards out in the invocation that opened them, without a message: as many as the process has free slots
// for. The shards are claimed from their first row on; when the process dies, the supervisor finds them by their leases.
type local struct {
	d     *Dispatcher
	op    *operation
	owner string
	until time.Time     // no new call starts from here on
	freed chan struct{} // tells that a slot may be free again

	calls sync.WaitGroup
	under atomic.Int32 // shards under way
	mu    sync.Mutex
	errs  []error
}

func (d *Dispatcher) newLocal(op *operation, owner string) *local {
	return &local{d: d, op: op, owner: owner, until: d.now().Add(d.opts.Slice), freed: make(chan struct{}, 1)}
}

// accepting reports whether a shard that begins now has time.
func (l *local) accepting() bool {
	return !l.d.opts.QueueOnly && l.d.now().Before(l.until.Add(-l.d.opts.Slice/6))
}

// held reports whether the hub, or an abort criterion, holds calls back for longer than a worker waits.
func (l *local) held() bool { return l.op.lane.gate.closed() > hold || l.op.guard.holds() != nil }

// free reports whether there is a slot, and room for the calls of some shards, so that one write opens several.
func (l *local) free() bool {
	return len(l.d.slots) < cap(l.d.slots) && l.op.lane.gate.drained() && l.accepting() && !l.held()
}

// reserve takes up to n free slots, as many as the gate has room for, and gives how many. Messages that wait for a slot go
// first.
func (l *local) reserve(n int) int {
	if !l.accepting() || l.held() {
		return 0
	}
	n = min(max(0, n), (max(0, l.op.lane.gate.room())+job.ShardSize-1)/job.ShardSize)
	for i := range n {
		select {
		case l.d.slots <- struct{}{}:
		default:
			return i
		}
	}
	return n
}

// release gives n slots back.
func (l *local) release(n int) {
	for range n {
		<-l.d.slots
	}
	select {
	case l.freed <- struct{}{}:
	default:
	}
}

// claim makes a new shard this invocation's.
func (l *local) claim(shard *job.Shard, now time.Time) {
	shard.Claim = job.Claim{}.Take(fmt.Sprintf("%s/%d", l.owner, shard.Number), now, l.d.opts.Lease)
}

// start carries out a shard that was stored with its claim. It takes over a reserved slot.
func (l *local) start(ctx context.Context, run *job.Run, shard *job.Shard, slot pace.Slot) {
	l.under.Add(1)
	l.calls.Go(func() {
		defer l.release(1)
		defer l.under.Add(-1)
		if err := l.work(ctx, run, shard, slot); err != nil && !lostRace(err) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.errs = append(l.errs, fmt.Errorf("shard %d: %w", shard.Number, err))
		}
	})
}

func (l *local) work(ctx context.Context, run *job.Run, shard *job.Shard, slot pace.Slot) error {
	if shard.Rev == "" { // the reply that told it was lost
		stored, err := l.d.store.Shard(ctx, shard.RunID, shard.Number)
		if err != nil || stored.Claim.Owner != shard.Claim.Owner {
			return err
		}
		shard = stored
	}
	w := l.d.newWorker(run, shard, l.op, l.until)
	w.local, w.slot = true, slot
	return w.work(ctx, message{Kind: kindShard, Run: shard.RunID, Shard: shard.Number})
}

// wait waits for all shards that were started.
func (l *local) wait() error {
	l.calls.Wait()
	return errors.Join(l.errs...)
}
