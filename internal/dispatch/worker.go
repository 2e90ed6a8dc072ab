package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/pace"
)

// hold is how long a call waits for a throttled hub inside an invocation. A longer wait goes back to the queue.
const hold = 2 * time.Second

// spread is the least time for which calls are kept apart.
const spread = time.Millisecond

// worker calls the devices of one claimed shard. The shard's executions belong to mu.
type worker struct {
	d     *Dispatcher
	log   *slog.Logger
	op    *operation
	shard *job.Shard
	owner string
	until time.Time // no new call starts from here on
	slot  pace.Slot // of the hub's allowance, over which calls are spread
	first time.Time // when the first call began, or could
	rolls bool      // the run has a rollout
	local bool      // the invocation that works sees to the end of the run itself
	watch *sliceWatch
	run   *job.Run  // as it was when the slice began
	share float64   // of the jitter of retries
	holds *holdings // nil unless the run is exclusive

	mu    sync.Mutex
	dirty bool
	wait  time.Duration // how long the hub asked to wait when the slice was handed back
	fault error         // of the hub, not of a device
	ok    bool          // a call got through to the hub
	stop  context.CancelFunc
	lapse *time.Timer // stops the slice shortly before the claim ends
}

func (d *Dispatcher) newWorker(run *job.Run, shard *job.Shard, op *operation, until time.Time) *worker {
	for _, end := range []time.Time{run.Deadline, run.OpenUntil} {
		if !end.IsZero() && end.Before(until) {
			until = end
		}
	}
	return &worker{
		d: d, run: run, share: rand.Float64(), op: op, shard: shard, owner: shard.Claim.Owner, until: until,
		rolls: run.Rollout != nil, watch: d.observe.watch(run, shard),
		log: d.opts.Logger,
	}
}

// work calls the devices, stores their outcomes as they come, and hands back what is left.
func (w *worker) work(ctx context.Context, m message) error {
	if err := w.bound(ctx); err != nil {
		return err
	}
	ctx, ended := w.watch.begin(ctx)
	defer ended()
	starting, stop := context.WithTimeout(ctx, w.until.Sub(w.d.now()))
	defer stop()
	w.stop = stop
	w.lapse = time.AfterFunc(w.safe(), stop) // whatever else waits for storage
	defer w.lapse.Stop()
	if err := w.hold(ctx, m.Probe); err != nil {
		if w.op.once { // surely nobody was called
			w.shard.Unmark()
			return errors.Join(err, w.store(ctx))
		}
		return err // the claim runs out
	}
	if lost := w.keep(ctx, starting, m.Probe); lost != nil {
		return w.orMerge(ctx, lost, m)
	}
	return w.finish(ctx, m)
}

// safe is how long the claim allows new calls, with a margin for clocks that differ. w.mu is held, or not needed yet.
func (w *worker) safe() time.Duration { return w.shard.Claim.Until.Sub(w.d.now()) - w.d.opts.Lease/6 }

// keep runs the calls and, beside them, stores outcomes, renews the claim and watches the run. It returns when the last
// call has ended; the error says that the claim could not be kept.
func (w *worker) keep(ctx, starting context.Context, probe bool) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.callAll(ctx, starting, probe)
	}()
	ticker := time.NewTicker(min(runAge, w.d.opts.Flush, w.d.opts.Lease/6))
	defer ticker.Stop()
	stored := w.d.now()
	var lost error
	for {
		select {
		case <-done:
			return lost
		case <-ticker.C:
		}
		now := w.d.now()
		if lost == nil && (now.Sub(stored) >= w.d.opts.Flush || w.op.guard.holds() != nil) {
			if lost = w.flush(ctx, now); lost == nil {
				stored = now
			}
		}
		if lost != nil || !w.running(ctx, probe) {
			w.stop()
		}
	}
}

// running reports whether the run still wants calls, as it was within runAge.
func (w *worker) running(ctx context.Context, probe bool) bool {
	run, err := w.d.runs.get(ctx, w.shard.RunID, runAge)
	if err != nil {
		return !lostRace(err) // storage out of reach: the lease ends the slice if it stays so
	}
	w.op.guard.saw(run)
	return run.Calling(w.d.now()) || probe && run.Status == job.StatusBlocked
}

// callAll starts a call for each device that has no final state. A probe calls one first, and the others only when that
// one got through.
func (w *worker) callAll(ctx, starting context.Context, probe bool) {
	if w.op.waits() {
		w.look(ctx, starting, probe)
		return
	}
	todo := w.callable(w.todo(probe))
	if probe && len(todo) > 0 {
		w.call(ctx, starting, todo[0])
		w.mu.Lock()
		ok := w.ok
		w.mu.Unlock()
		if !ok {
			return
		}
		if err := w.d.unblock(ctx, w.shard.RunID); err != nil {
			w.log.WarnContext(ctx, "the hub is back, but the run could not be unblocked", "error", err)
			return
		}
		todo = todo[1:]
	}
	var calls sync.WaitGroup
	seats := seatsOf(w.shard)
	w.first = latest(w.slot.At, w.d.now()) // who comes late does not catch up: the hub would feel it
	for n, i := range todo {
		at := w.first.Add(w.slot.For / time.Duration(len(todo)) * time.Duration(n))
		if early := at.Sub(w.d.now()); early > spread && sleep(starting, early) != nil {
			break
		}
		if !seats.take(starting) {
			break
		}
		calls.Go(func() {
			defer seats.give()
			w.call(ctx, starting, i)
		})
	}
	calls.Wait()
}

// call makes attempts on one device until its outcome stands or the slice stops.
func (w *worker) call(ctx, starting context.Context, i int) {
	e := &w.shard.Executions[i]
	do := w.op.do
	if w.op.bind != nil {
		do, _ = w.op.bind(e)
	}
	for {
		wait, err := w.enter(starting)
		if err != nil {
			return
		}
		if wait > 0 {
			w.handBack(wait)
			return
		}
		started := w.d.now()
		if w.run.TooLate(started) && w.endUncalled(e) {
			return
		}
		w.update(func() { w.begin(e, started) })
		outcome, err := w.limited(ctx, e.DeviceID, do)
		w.reached(e, err)
		v := final
		if err != nil {
			v, outcome = judge(err)
		}
		if v == throttled {
			w.update(func() { w.undo(e) })
			w.op.lane.gate.throttled(started, waitOf(err))
			if err := w.op.lane.pacer.throttled(ctx, w.op.kind, waitOf(err)); err != nil {
				w.log.Warn("the ledger did not learn that the hub throttles; the next refusal tells it", "error", err)
			}
			continue
		}
		settled := w.settle(e, v, outcome, err) // before the next call begins, which this outcome may hold back
		w.op.lane.gate.leave()
		if settled || !w.pause(starting, e.Tries()) {
			return
		}
	}
}

// attempt makes one call. A panic in it is that call's error: in a goroutine of its own it would end the process, and every
// neighbour with it.
func (w *worker) attempt(ctx context.Context, deviceID string, do call) (outcome job.Outcome, err error) {
	defer func() {
		if v := recover(); v != nil {
			w.log.ErrorContext(ctx, "calling a device panicked", "device", deviceID, "panic", v, "stack", string(debug.Stack()))
			err = fmt.Errorf("calling the device: panic: %v", v)
		}
	}()
	return do(ctx, deviceID)
}

// settle stores in memory what an attempt came to and reports whether the device is done with for this slice.
func (w *worker) settle(e *job.Execution, v verdict, outcome job.Outcome, err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dirty = true
	if w.op.once {
		v, outcome = onceOnly(v, outcome, err)
	}
	switch {
	case v == hubFault:
		e.Undo()
		w.fault = err
		w.stop()
		return true
	case v == stopped:
		e.Requeue()
		return true
	case v == again && e.Tries() < w.d.opts.Attempts:
		e.Requeue()
		return false
	}
	w.ok = true
	if at, again := w.retries(e, outcome); again {
		e.Wait(outcome, at)
		return true
	}
	w.op.settle(w.shard.Number, e, outcome, w.d.now())
	return true
}

func (w *worker) update(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dirty = true
	change()
}

func (w *worker) handBack(wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wait = max(w.wait, wait)
	w.stop()
}
