package dispatch

import (
	"context"
	"errors"
	"fmt"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// errUnpooled says that a part's devices are to be put in an order by chance and were not all read for that.
var errUnpooled = errors.New("the devices are not in their order yet")

// poolPage is how many devices a page of a pool has.
const poolPage = 1000

// shuffled gives the devices of a part in an order by chance, once its pool is complete.
func (t *target) shuffled() (source, bool, error) {
	if t.pool == nil || !t.pool.Done {
		return nil, false, errUnpooled
	}
	bucket, ids := -1, []string(nil)
	return t.listed(func(ctx context.Context, continuation string) (found, error) {
		var b, from int
		if continuation != "" {
			if _, err := fmt.Sscanf(continuation, "%d/%d", &b, &from); err != nil {
				return found{}, fmt.Errorf("run %s: reading the continuation %q of a pool: %w", t.run, continuation, err)
			}
		}
		if b != bucket {
			stored, err := t.d.store.Pool(ctx, t.run, b)
			if err != nil {
				return found{}, err
			}
			bucket, ids = b, job.Shuffle(t.rec.JobID, stored)
		}
		to := min(from+poolPage, len(ids))
		got := found{devices: ids[min(from, to):to]}
		switch {
		case to < len(ids):
			got.next = fmt.Sprintf("%d/%d", b, to)
		case b+1 < t.pool.Buckets:
			got.next = fmt.Sprintf("%d/0", b+1)
		}
		return got, nil
	})
}

// unordered gives the devices of a part as the query or the list has them, by their ids alone.
func (t *target) unordered() (source, bool, error) {
	if t.rec.ListChunks > 0 {
		return t.d.listSource(t.rec), false, nil
	}
	condition, err := t.condition("")
	if err != nil {
		return nil, false, err
	}
	return t.idSource(condition, nil), true, nil
}

// gathering reads a part into its pool.
type gathering struct {
	p     *planner
	r     *reader
	ids   []string // read and not stored
	bytes int      // of them
	pool  job.Pool // as it is to be stored with them
}

// gather reads the part that comes next into its pool until that is complete, the time is over, or the hub wants a pause.
func (p *planner) gather(ctx context.Context, r *reader) error {
	p.d.planners.Add(1)
	defer p.d.planners.Add(-1)
	g := &gathering{p: p, r: r}
	if p.plan.Pool != nil {
		g.pool = *p.plan.Pool
	}
	var err error
	if r.source, r.metered, err = r.target.unordered(); err != nil {
		return p.failed(ctx, err, r.missed)
	}
	for !g.pool.Done && !p.stopped && p.d.now().Before(p.until) {
		if err := g.read(ctx); err != nil {
			if iothub.KindOf(err) == iothub.Rejected { // a lost token has reading begin anew; without one it is the target
				p.at.token, g.pool.Next = g.pool.Next, ""
			}
			if stored := g.store(ctx); stored != nil {
				return stored
			}
			return p.failed(ctx, err, r.missed)
		}
		if g.pool.Done || len(g.ids) >= tablestore.PoolWrite-job.ShardSize || g.bytes >= tablestore.PoolBytes {
			if err := g.store(ctx); err != nil {
				return err
			}
		}
		if err := p.look(ctx); err != nil {
			return err
		}
	}
	if err := g.store(ctx); err != nil {
		return err
	}
	if err := p.quit(ctx); err != nil || p.stopped {
		return err
	}
	return p.d.send(ctx, message{Kind: kindPlan, Run: p.run.ID}, 0)
}

// read takes a page.
func (g *gathering) read(ctx context.Context) error {
	for {
		got, err := g.r.ask(ctx, g.pool.Next)
		if wait, patient := g.r.patient(err); patient {
			if err := sleep(ctx, wait); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		g.r.blocked = false
		g.ids = append(g.ids, got.devices...)
		for _, id := range got.devices {
			g.bytes += len(id) + 1
		}
		g.pool.Next, g.pool.Done = got.next, got.next == ""
		return g.p.answered(ctx)
	}
}

// store writes what was read, and renews the claim.
func (g *gathering) store(ctx context.Context) error {
	p := g.p
	if p.plan.Pool != nil && *p.plan.Pool == g.pool && len(g.ids) == 0 {
		return nil
	}
	if g.pool.Buckets == 0 {
		if g.pool.Buckets = job.PoolBuckets; g.pool.Done {
			g.pool.Buckets = 1 // all of them are here
		}
	}
	plan, pool := *p.plan, g.pool
	pool.Writes++
	plan.Pool, plan.Part, plan.Continuation = &pool, p.at.part, ""
	countChosen(&plan, p.run.Rollout.Chosen(), nil)
	plan.Claim.Until = p.d.now().Add(p.d.opts.Lease)
	buckets := make([][]string, pool.Buckets)
	for _, id := range g.ids {
		n := job.Bucket(job.Lot(g.r.target.rec.JobID, id), pool.Buckets)
		buckets[n] = append(buckets[n], id)
	}
	if err := p.d.store.SavePool(ctx, &plan, buckets); err != nil {
		return err
	}
	p.plan, g.pool, g.ids, g.bytes = &plan, pool, nil, 0
	return nil
}
