package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/pace"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

const (
	sweptAtOnce = 50 // shards
	sweepTries  = 10 // at shards that are not opened, while others write the run
)

// sweeper ends the devices of a run that wait and that the last round of its selection has not listed. It holds the plan's claim.
type sweeper struct {
	d      *Dispatcher
	runID  string
	plan   *job.Plan
	listed seen
}

// endRound goes on with the end of a round: it looks for devices that have left the target, and has the next round wait. Doing a part of
// it again after a crash changes nothing.
func (d *Dispatcher) endRound(ctx context.Context, run *job.Run, plan *job.Plan) error {
	r := plan.Rounds
	s := &sweeper{d: d, runID: run.ID, plan: plan, listed: seen{salt: salt(plan)}}
	if err := d.store.Listed(ctx, run.ID, r.Ended, r.Notes, func(print uint64) { s.listed.add(print) }); err != nil {
		return err
	}
	for until := d.now().Add(d.opts.Slice); r.Swept < r.Before; {
		wanted, err := s.next(ctx)
		if err != nil {
			return err
		}
		again := wanted && !d.now().Before(until)
		if !wanted || again {
			plan.Claim = plan.Claim.Release() // what wants it later sends a message
		} else {
			plan.Claim.Until = d.now().Add(d.opts.Lease)
		}
		if err := d.store.SavePlan(ctx, plan); err != nil || !wanted {
			return err
		}
		if again {
			return d.send(ctx, message{Kind: kindPlan, Run: run.ID}, 0)
		}
	}
	return s.end(ctx, run)
}

// end has the next round wait for its time.
func (s *sweeper) end(ctx context.Context, run *job.Run) error {
	rec, err := s.d.record(ctx, run)
	if err != nil {
		return err
	}
	r := s.plan.Rounds
	r.End(s.d.now(), time.Duration(rec.SelectionInterval), s.d.lane(run.Hub).rates[pace.Queries])
	s.plan.SendAt, s.plan.Claim = r.NextAt, s.plan.Claim.Release()
	if err := s.d.store.SavePlan(ctx, s.plan); err != nil {
		return err
	}
	if err := s.d.store.DropListed(ctx, s.runID, r.Ended); err != nil {
		return err
	}
	_, err = s.d.advance(ctx, s.runID)
	return err
}

// next looks at the next shards whose devices may wait, and reports whether the run still wants that.
func (s *sweeper) next(ctx context.Context) (wanted bool, err error) {
	r, queued := s.plan.Rounds, job.Queued
	shards, err := s.d.store.Shards(ctx, s.runID, tablestore.ShardQuery{From: r.Swept, State: &queued, Always: -1, Max: sweptAtOnce})
	if err != nil {
		return false, err
	}
	to := r.Before
	if len(shards) == sweptAtOnce {
		to = min(to, shards[len(shards)-1].Number+1)
	}
	var numbers []int
	for _, shard := range shards {
		if shard.Number < to && s.leave(shard) > 0 {
			numbers = append(numbers, shard.Number)
		}
	}
	if wanted, err = s.remove(ctx, numbers); wanted {
		r.Swept = to
	}
	return wanted, err
}

func (s *sweeper) leave(shard *job.Shard) int {
	return shard.Leave(func(id string) bool { return s.listed.holds(s.d.store.Fingerprint(s.runID, id)) }, s.d.now())
}

// remove ends the devices of some shards that have left, and reports whether the run still wants that. Those of a shard that a worker
// holds are being called, or about to be, and those of one that others keep writing may be: the next round looks at them again.
func (s *sweeper) remove(ctx context.Context, numbers []int) (wanted bool, err error) {
	for try := 0; try < sweepTries; {
		run, err := s.d.store.Run(ctx, s.runID)
		if err != nil || run.Status != job.StatusRunning {
			return false, err
		}
		early, err := s.removeOpen(ctx, run, numbers)
		if err != nil || len(early) == 0 {
			return err == nil, err
		}
		n := writableShards(shardsOf(early))
		gone := job.Counts{}
		for _, shard := range early[:n] {
			gone = gone.Plus(job.CountsOf(job.Removed, job.LeftTarget, shard.left))
		}
		run.Early = run.Early.Plus(gone)
		err = s.d.store.Amend(ctx, run, shardsOf(early[:n])...)
		switch {
		case err == nil:
			if s.plan.Rounds.Current.Removed += gone.Of(job.Removed); n == len(early) {
				return true, nil
			}
		case !errors.Is(err, job.ErrConflict):
			return false, err
		default:
			try++
		}
	}
	return true, nil
}

// departure is a shard some of whose devices have left.
type departure struct {
	*job.Shard
	left int
}

func shardsOf(departures []departure) []*job.Shard {
	shards := make([]*job.Shard, len(departures))
	for i, d := range departures {
		shards[i] = d.Shard
	}
	return shards
}

// removeOpen ends the devices that have left of those shards that were opened, and gives the others.
func (s *sweeper) removeOpen(ctx context.Context, run *job.Run, numbers []int) (early []departure, err error) {
	for _, n := range numbers {
		shard, err := s.d.store.Shard(ctx, s.runID, n)
		if err != nil {
			return nil, err
		}
		if shard.Claim.Live(s.d.now()) {
			continue
		}
		left := s.leave(shard)
		switch {
		case left == 0:
		case n >= run.Enqueued:
			early = append(early, departure{shard, left})
		default:
			write := s.d.store.SaveShard
			if shard.Done() {
				write = s.d.store.CloseShard
			}
			err := write(ctx, shard)
			if err != nil && !lostRace(err) {
				return nil, err
			}
			if err == nil {
				s.plan.Rounds.Current.Removed += left
			}
		}
	}
	return early, nil
}
