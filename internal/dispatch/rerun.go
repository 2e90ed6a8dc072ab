package dispatch

import (
	"context"
	"errors"
	"slices"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// rerunShards is how many shards are read at once to find the devices of a rerun.
const rerunShards = 100

// Rerun creates a job that does again what an ended run of rec did to the devices that ended as r says. ErrNotEnded says that
// the run has not ended.
func (d *Dispatcher) Rerun(ctx context.Context, rec *job.Record, run *job.Run, r job.Rerun, by job.Caller) (*job.Record, error) {
	if !run.Status.Ended() {
		return nil, ErrNotEnded
	}
	run, err := d.rerunAt(ctx, run, r.Hub)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, state := range r.States {
		found, err := d.endedAs(ctx, run, state)
		if err != nil {
			return nil, err
		}
		ids = append(ids, found...)
	}
	def, err := r.Definition(rec, run, ids)
	if err != nil {
		return nil, err
	}
	return d.Create(ctx, def, r.Key, by)
}

// endedAs lists the devices of an ended run that are in a final state.
func (d *Dispatcher) endedAs(ctx context.Context, run *job.Run, state job.ExecutionState) ([]string, error) {
	q := tablestore.ShardQuery{State: &state, Always: -1, Max: rerunShards}
	if state == run.Unreached().State {
		q.Always = run.Enqueued
	}
	var ids []string
	for {
		shards, err := d.store.Shards(ctx, run.ID, q)
		if err != nil {
			return nil, err
		}
		for _, s := range shards {
			if run.NeverEnqueued(s.Number) {
				s.EndRest(run.Unreached(), run.EndedAt)
			}
			for _, e := range s.Executions {
				if e.State == state {
					ids = append(ids, e.DeviceID)
				}
			}
			q.From = s.Number + 1
		}
		if len(shards) < q.Max {
			return ids, nil
		}
	}
}

// CancelExecution keeps a device from being called, or from being called again, while it waits: ErrNotWaiting says that it
// has ended or may be called right now. Doing it twice changes nothing.
func (d *Dispatcher) CancelExecution(ctx context.Context, runID, deviceID string, by job.Caller) (job.Execution, error) {
	for {
		e, changed, err := d.cancelExecution(ctx, runID, deviceID)
		if errors.Is(err, job.ErrConflict) && ctx.Err() == nil {
			continue
		}
		if err == nil && changed {
			err = d.enterCancelled(ctx, runID, deviceID, by)
		}
		return e, err
	}
}

// enterCancelled tells the audit trail of a device that will not be called.
func (d *Dispatcher) enterCancelled(ctx context.Context, runID, deviceID string, by job.Caller) error {
	runID, hub := job.WholeRun(runID)
	if hub != "" {
		deviceID += " at " + hub
	}
	run, err := d.change(ctx, runID, func(run *job.Run) (bool, error) {
		rec, err := d.record(ctx, run)
		if err != nil {
			return false, err
		}
		c := rec.Change(job.ActionEdited, by, d.now())
		c.RunID, c.From, c.To, c.Note = run.ID, run.Status, run.Status, job.Note([]byte("cancelled the execution of "+deviceID))
		run.Enter(c)
		return true, nil
	})
	if err != nil {
		return err
	}
	return d.reflect(ctx, run)
}

// cancelExecution reports also whether it was this call that ended the execution.
func (d *Dispatcher) cancelExecution(ctx context.Context, runID, deviceID string) (job.Execution, bool, error) {
	run, err := d.store.Run(ctx, runID)
	if err != nil {
		return job.Execution{}, false, err
	}
	_, n, err := d.store.Find(ctx, runID, deviceID)
	if err != nil {
		return job.Execution{}, false, err
	}
	shard, err := d.store.Shard(ctx, runID, n)
	if err != nil {
		return job.Execution{}, false, err
	}
	i := slices.IndexFunc(shard.Executions, func(e job.Execution) bool { return e.DeviceID == deviceID })
	e := &shard.Executions[i] // Find has seen it there
	switch {
	case e.Reason == job.ExecutionCanceled && e.State.Final():
		return *e, false, nil
	case run.Status.Ended() || run.Status == job.StatusStopping || shard.Claim.Live(d.now()) || e.State != job.Queued && !e.Awaiting():
		return job.Execution{}, false, ErrNotWaiting
	}
	e.End(job.Outcome{State: job.Canceled, Reason: job.ExecutionCanceled}, d.now())
	switch {
	case n >= run.Enqueued: // whoever opens the shard must see it
		run.Early = run.Early.Plus(job.CountsOf(e.State, e.Reason, 1))
		return *e, true, d.store.Amend(ctx, run, shard)
	case shard.Done():
		return *e, true, d.store.CloseShard(ctx, shard)
	}
	return *e, true, d.store.SaveShard(ctx, shard)
}
