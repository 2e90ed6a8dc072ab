package dispatch

import (
	"context"
	"sync"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// closer stores the ends of shards. Shards of a run that end while an earlier write is under way share the next transaction.
type closer struct {
	store *tablestore.Store

	mu   sync.Mutex
	runs map[string][]ending // runs with a write under way, and what waits for it
}

// ending is a shard that waits for its write, whose outcome done tells.
type ending struct {
	shard *job.Shard
	done  chan error
}

func newCloser(store *tablestore.Store) closer {
	return closer{store: store, runs: map[string][]ending{}}
}

// close stores the end of a shard. One that shared a transaction which failed is written by itself.
func (c *closer) close(ctx context.Context, shard *job.Shard) error {
	c.mu.Lock()
	waiting, busy := c.runs[shard.RunID]
	if busy {
		own := ending{shard, make(chan error, 1)}
		c.runs[shard.RunID] = append(waiting, own)
		c.mu.Unlock()
		if <-own.done == nil {
			return nil
		}
		return c.store.CloseShard(ctx, shard)
	}
	c.runs[shard.RunID] = nil
	c.mu.Unlock()
	err := c.store.CloseShard(ctx, shard)
	go c.drain(context.WithoutCancel(ctx), shard.RunID)
	return err
}

// drain writes what waits until nothing does.
func (c *closer) drain(ctx context.Context, runID string) {
	for {
		c.mu.Lock()
		waiting := c.runs[runID]
		if len(waiting) == 0 {
			delete(c.runs, runID)
			c.mu.Unlock()
			return
		}
		n := min(len(waiting), tablestore.MaxClosed)
		c.runs[runID] = waiting[n:]
		c.mu.Unlock()
		shards := make([]*job.Shard, n)
		for i, e := range waiting[:n] {
			shards[i] = e.shard
		}
		err := c.store.CloseShards(ctx, shards)
		for _, e := range waiting[:n] {
			e.done <- err
		}
	}
}
