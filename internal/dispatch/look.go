package dispatch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/pace"
)

// look asks the hub what the devices report that are waited for, by one query for as many of them as its length allows: all that
// are due, and those that soon would be.
func (w *worker) look(ctx, starting context.Context, probe bool) {
	now := w.d.now()
	w.first = latest(w.slot.At, now)
	ids := w.awaited(now, probe)
	if early := w.slot.At.Sub(now); len(ids) > 0 && early > spread && sleep(starting, early) != nil {
		return
	}
	for first := true; len(ids) > 0 && starting.Err() == nil; first = false {
		if !first && !w.mayAsk(ctx, starting, hold) {
			return
		}
		q, n := reportedQuery(w.op.seq.Names(w.op.at.Step), ids)
		rows, err := w.report(ctx, starting, q)
		if err != nil {
			w.unseen(ctx, ids[:n], err)
			return
		}
		w.seen(ids[:n], rows)
		ids = ids[n:]
		if probe {
			if err := w.d.unblock(ctx, w.shard.RunID); err != nil {
				w.log.WarnContext(ctx, "the hub is back, but the run could not be unblocked", "error", err)
				return
			}
			probe = false
		}
	}
}

// awaited begins waits whose turn has come, and lists the devices to ask for now, modules after devices.
func (w *worker) awaited(now time.Time, probe bool) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ids []string
	for i := range w.shard.Executions {
		e := &w.shard.Executions[i]
		if e.State.Final() || !w.op.does(e) {
			continue
		}
		if e.State != job.InProgress && (probe || e.Due(now)) {
			w.op.seq.Await(e, now)
			w.dirty = true
		}
		if e.Awaiting() && (probe || !e.NextAttemptAt.After(now.Add(w.d.opts.LookDelay))) {
			ids = append(ids, e.DeviceID)
		}
	}
	slices.SortStableFunc(ids, func(a, b string) int { return strings.Count(a, "/") - strings.Count(b, "/") })
	return ids
}

// mayAsk takes a further query out of the hub's allowance. Where that is too far off, the shard comes back for it.
func (w *worker) mayAsk(ctx, starting context.Context, patience time.Duration) bool {
	g, err := w.op.lane.pacer.reserve(ctx, pace.Queries, pace.Ask{Run: w.shard.RunID, Weight: w.run.Priority, Costs: []int{1}})
	if err != nil {
		w.log.WarnContext(ctx, "no query could be reserved; the shard comes back for it", "error", err)
		w.handBack(hold)
		return false
	}
	at := g.again
	if len(g.slots) > 0 {
		at = g.slots[0].At
	}
	wait := at.Sub(w.d.now())
	if wait > patience {
		w.handBack(wait)
		return false
	}
	return wait <= 0 || sleep(starting, wait) == nil
}

// report gives what a query's devices report, by their ids, again a few times while the hub fails.
func (w *worker) report(ctx, starting context.Context, q reportQuery) (map[string]map[string]any, error) {
	for attempt := 1; ; attempt++ {
		rows, err := w.rows(ctx, starting, q)
		kind := iothub.KindOf(err)
		again := kind == iothub.ServerError || kind == iothub.Lost
		if !again || attempt >= w.d.opts.Attempts {
			return rows, err
		}
		if !w.pause(starting, attempt) || !w.mayAsk(ctx, starting, lookPatience) {
			return nil, &iothub.Error{Kind: iothub.Canceled, Op: iothub.OpQuery}
		}
	}
}

// lookPatience is how long the next page of an answer, or another try, is waited for: half an answer would be worth nothing.
const lookPatience = 15 * time.Second

func (w *worker) rows(ctx, starting context.Context, q reportQuery) (map[string]map[string]any, error) {
	found := map[string]map[string]any{}
	for token := ""; ; {
		page, err := w.page(ctx, q.text, token)
		if err != nil {
			return nil, err
		}
		if err := q.read(found, page.Rows); err != nil {
			return nil, &iothub.Error{Kind: iothub.ServerError, Op: iothub.OpQuery, Message: err.Error()}
		}
		if token = page.Continuation; token == "" {
			return found, nil
		}
		if !w.mayAsk(ctx, starting, lookPatience) {
			return nil, &iothub.Error{Kind: iothub.Canceled, Op: iothub.OpQuery}
		}
	}
}

// page gives up a query that takes longer than half a lease.
func (w *worker) page(ctx context.Context, query, token string) (iothub.Page, error) {
	within := w.d.opts.Lease / 2
	limited, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	page, err := w.op.lane.hub.QueryPage(limited, query, token, job.ShardSize)
	if iothub.KindOf(err) == iothub.Canceled && ctx.Err() == nil {
		err = &iothub.Error{Kind: iothub.Lost, Op: iothub.OpQuery, Message: fmt.Sprintf("no answer within %s", within), Sent: true}
	}
	return page, err
}

// seen settles the devices of a query. One that is not in the answer reports nothing.
func (w *worker) seen(ids []string, rows map[string]map[string]any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dirty, w.ok = true, true
	now := w.d.now()
	asked := w.waitingOf(ids)
	again := w.op.seq.LookAgain(asked, now)
	for _, e := range asked {
		outcome, over := w.op.seq.Look(e, rows[e.DeviceID], now, again)
		if over {
			w.over(e, outcome)
		}
	}
}

// over ends a wait. w.mu is held.
func (w *worker) over(e *job.Execution, outcome job.Outcome) {
	if at, again := w.retries(e, outcome); again {
		e.Wait(outcome, at)
		return
	}
	w.op.settle(w.shard.Number, e, outcome, w.d.now())
}

// unseen says what a query without an answer means: for none of the devices anything, unless the hub will never answer it.
func (w *worker) unseen(ctx context.Context, ids []string, err error) {
	switch iothub.KindOf(err) {
	case iothub.Canceled:
	case iothub.Throttled:
		if err := w.op.lane.pacer.throttled(ctx, pace.Queries, waitOf(err)); err != nil {
			w.log.WarnContext(ctx, "the ledger did not learn that the hub throttles; the next refusal tells it", "error", err)
		}
		w.handBack(max(waitOf(err), throttledPlan))
	case iothub.Rejected:
		_, outcome := judge(err)
		w.update(func() {
			for _, e := range w.waitingOf(ids) {
				w.over(e, outcome)
			}
		})
	default:
		w.update(func() { w.fault = err })
		w.stop()
	}
}

// waitingOf gives the executions of ids. w.mu is held.
func (w *worker) waitingOf(ids []string) []*job.Execution {
	found := make([]*job.Execution, 0, len(ids))
	for i := range w.shard.Executions {
		if e := &w.shard.Executions[i]; slices.Contains(ids, e.DeviceID) {
			found = append(found, e)
		}
	}
	return found
}
