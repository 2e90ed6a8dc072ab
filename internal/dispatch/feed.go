package dispatch

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

const (
	maxFed    = 16 // stored shards that are opened at once
	feedAhead = 32 // that are read at once
	feedTries = 10 // at a run whose row others write too
	feedPause = 10 * time.Millisecond
	feedLook  = 200 * time.Millisecond // before somebody who found nothing looks again
	fedFor    = 2 * time.Second        // how long a run counts as fed after a process took shards for itself
)

// fed reports whether somebody opens the run's shards for himself. Shards in the queue would only take from him what the hub
// allows, and find his process busy.
func (d *Dispatcher) fed(run *job.Run) bool { return d.now().Before(run.FedUntil) }

// feeder opens stored shards of a run for free slots of its process: as a part of a planner, or for a message of its own.
type feeder struct {
	d       *Dispatcher
	run     *job.Run // as it was last read or stored
	local   *local
	stored  int       // shards that are known to be stored
	stopped bool      // the run wants no more devices for now
	feedAt  time.Time // when there may be something to open
	offerAt time.Time // when to see whether others should help
	waited  bool      // for the hub's allowance, while others may have opened shards

	ahead []*job.Shard // stored, not opened, and read after run was
}

// feed takes stored shards that nobody has opened, as many as this process has room for. One feeder for each run is enough.
func (d *Dispatcher) feed(ctx context.Context, m message, in Delivery) error {
	run, err := d.wants(ctx, m)
	if run == nil || run.Rollout != nil || run.Jittered() || err != nil {
		return err
	}
	if d.planners.Load() > maxPatient || !d.feeders.enterFirst(run.ID) {
		return d.passOn(ctx, m)
	}
	f := &feeder{d: d}
	err = f.work(ctx, run.ID, in.Owner)
	d.feeders.leave(run.ID)
	if f.local == nil {
		return err
	}
	if err == nil {
		err = f.handOver(ctx)
	}
	err = errors.Join(err, f.local.wait())
	if err == nil && !f.stopped && f.left() == 0 {
		_, err = d.advance(ctx, run.ID)
	}
	return err
}

// work opens shards until none is left, the time is over, or the process has had no room for a while.
func (f *feeder) work(ctx context.Context, runID, owner string) error {
	f.d.planners.Add(1)
	defer f.d.planners.Add(-1)
	run, err := f.d.store.Run(ctx, runID)
	if err != nil {
		return err
	}
	op, err := f.d.operation(ctx, run)
	if err != nil {
		return err
	}
	f.run, f.stored, f.local = run, run.Planned, f.d.newLocal(op, owner)
	beat := time.NewTicker(planBeat)
	defer beat.Stop()
	for took := f.d.now(); ; {
		now := f.d.now()
		switch {
		case now.Before(f.feedAt):
		case f.local.free():
			err = f.takeNext(ctx)
		default:
			err = f.offer(ctx)
		}
		if err != nil || f.stopped || !f.local.accepting() {
			return err
		}
		if f.local.under.Load() > 0 {
			took = now
		}
		if now.Sub(took) > fedFor {
			return nil
		}
		select {
		case <-f.local.freed:
		case <-beat.C:
			err = f.look(ctx)
		case <-ctx.Done():
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

// left is how many stored shards nobody has opened, as far as is known. Those of a rollout or with a jitter are not for feeders.
func (f *feeder) left() int {
	if f.run.Rollout != nil || f.run.Jittered() {
		return 0
	}
	return max(0, f.stored-f.run.Enqueued)
}

// look watches whether the run still wants devices.
func (f *feeder) look(ctx context.Context) error {
	run, err := f.d.runs.get(ctx, f.run.ID, runAge)
	if err != nil {
		return err
	}
	f.local.op.guard.saw(run)
	f.stored = max(f.stored, run.Planned)
	if run.Status == job.StatusRunning {
		return nil
	}
	err = f.refresh(ctx) // the first view may be old
	f.stopped = f.run.Status != job.StatusRunning
	return err
}

// refresh reads the run again.
func (f *feeder) refresh(ctx context.Context) error {
	run, err := f.d.store.Run(ctx, f.run.ID)
	if err == nil {
		f.run, f.ahead, f.waited = run, nil, false
		f.stored = max(f.stored, run.Planned)
	}
	return err
}

// takeNext opens the next stored shards for free slots of this process.
func (f *feeder) takeNext(ctx context.Context) error {
	o := opening{f: f, mine: f.local.reserve(min(maxFed, f.share()))}
	if err := f.open(ctx, &o); err != nil {
		f.local.release(o.mine)
		return err
	}
	err := o.start(ctx)
	if lost := o.giveBack(ctx); lost != nil {
		f.d.opts.Logger.WarnContext(ctx, "slots of the hub's allowance that nobody uses are lost", "run", f.run.ID, "error", lost)
	}
	return err
}

// starves reports whether stored shards could be called now. Before a long list is stored to its end, its first devices are called.
func (f *feeder) starves(now time.Time) bool {
	return f.left() > 0 && !now.Before(f.feedAt) && f.local.free()
}

// share is how many shards to take at once. Where others were asked to help, each leaves the others something towards the end.
func (f *feeder) share() int {
	left := f.left()
	if f.run.OfferedAt.IsZero() || left == 0 {
		return maxFed
	}
	return 1 + left/8
}

// open writes an opening of stored shards. After a conflict it begins anew with what is next by then, and with the same slots of
// the hub's allowance: who opened shards may be calling their devices, and who amended them wrote the run too.
func (f *feeder) open(ctx context.Context, o *opening) error {
	for try := 1; o.mine > 0; try++ {
		if try > 1 || f.waited || !f.run.Calling(f.d.now()) {
			if err := f.refresh(ctx); err != nil {
				return err
			}
		}
		if f.stopped = f.run.Status != job.StatusRunning; f.stopped {
			return nil
		}
		if now := f.d.now(); !f.run.Calling(now) { // a supervision is about to stop or to pause the run, or to prolong its window
			f.feedAt = now.Add(superviseEvery)
			return nil
		}
		if err := f.read(ctx); err != nil {
			return err
		}
		o.shards = f.ahead[:min(o.mine, len(f.ahead))]
		o.shards = o.shards[:writableShards(o.shards)]
		if len(o.shards) == 0 {
			f.feedAt = f.d.now().Add(feedLook)
			return nil
		}
		if err := o.reserve(ctx); err != nil {
			return err
		}
		err := o.write(ctx)
		if err == nil {
			f.ahead = f.ahead[len(o.opened):]
			return nil
		}
		o.opened, o.taken, f.ahead = nil, 0, nil
		if !errors.Is(err, job.ErrConflict) {
			return err
		}
		if try == feedTries {
			return f.refresh(ctx) // others open them
		}
		if err := sleep(ctx, rand.N(feedPause<<min(try, 5))); err != nil {
			return err
		}
	}
	return nil
}

// read has the next stored shards ready.
func (f *feeder) read(ctx context.Context) error {
	if len(f.ahead) > 0 && f.ahead[0].Number == f.run.Enqueued {
		return nil
	}
	var err error
	f.ahead, err = f.d.store.Shards(ctx, f.run.ID, tablestore.ShardQuery{From: f.run.Enqueued, Max: feedAhead, Always: -1})
	f.stored = max(f.stored, f.run.Enqueued+len(f.ahead))
	return err
}

// feeders counts the planners and feeders of each run in this process.
type feeders struct {
	mu   sync.Mutex
	run  map[string]int
	held atomic.Int32 // offers that wait to be passed on
}

// enter counts one more of a run.
func (f *feeders) enter(run string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.add(run)
}

func (f *feeders) add(run string) {
	if f.run == nil {
		f.run = map[string]int{}
	}
	f.run[run]++
}

// enterFirst counts one of a run that has none, and reports whether it did.
func (f *feeders) enterFirst(run string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.run[run] > 0 {
		return false
	}
	f.add(run)
	return true
}

// leave forgets one of a run.
func (f *feeders) leave(run string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.run[run]--; f.run[run] == 0 {
		delete(f.run, run)
	}
}
