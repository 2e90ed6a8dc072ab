package dispatch

import (
	"context"
	"sync"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// runCache lets all slices of a run in one process share one read of its row.
type runCache struct {
	read    func(ctx context.Context, runID string) (*job.Run, error)
	now     func() time.Time
	mu      sync.Mutex
	entries map[string]*runEntry
}

type runEntry struct {
	asked time.Time // belongs to the cache's lock

	mu   sync.Mutex
	run  *job.Run
	err  error
	read time.Time
	op   *operation
}

func newRunCache(read func(context.Context, string) (*job.Run, error), now func() time.Time) runCache {
	return runCache{read: read, now: now, entries: map[string]*runEntry{}}
}

const forgetRuns = time.Minute

// entry gives the place of a run and forgets runs that nobody asked for of late.
func (c *runCache) entry(runID string) *runEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	e, ok := c.entries[runID]
	if ok {
		e.asked = now
		return e
	}
	for id, old := range c.entries {
		if now.Sub(old.asked) > forgetRuns {
			delete(c.entries, id)
		}
	}
	e = &runEntry{asked: now}
	c.entries[runID] = e
	return e
}

// get gives a run as it was at most age ago. Callers must not change it.
func (c *runCache) get(ctx context.Context, runID string, age time.Duration) (*job.Run, error) {
	e := c.entry(runID)
	e.mu.Lock()
	defer e.mu.Unlock()
	if now := c.now(); e.read.IsZero() || now.Sub(e.read) > age {
		run, err := c.read(ctx, runID)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			now = c.now() // while storage fails, those who waited share the answer
		}
		e.run, e.err, e.read = run, err, now
	}
	return e.run, e.err
}

// operation gives what the run does to each device, prepared once by prepare.
func (c *runCache) operation(runID string, prepare func() (*operation, error)) (*operation, error) {
	e := c.entry(runID)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.op != nil {
		return e.op, nil
	}
	op, err := prepare()
	if err == nil {
		e.op = op
	}
	return op, err
}
