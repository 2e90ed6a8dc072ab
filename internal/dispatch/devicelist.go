package dispatch

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

const (
	lookedBack  = 10 // earlier runs that are asked for their list of devices
	shardsAPage = 10 // of an earlier run
)

// errListGone says that the list of an earlier run was deleted.
var errListGone = errors.New("the list of devices is gone")

// findList has a run that begins to select take over the list of an earlier one, if the job wants that and there is one.
func (p *planner) findList(ctx context.Context, rec *job.Record) error {
	if rec.DeviceListMaxAge == 0 || p.plan.List != nil {
		return nil
	}
	list, err := p.d.earlierList(ctx, p.run, rec)
	if list == nil {
		list = p.ownList()
		list.Target = rec.ListTarget(p.run.Hub)
	}
	p.plan.List = list
	return err
}

func (p *planner) ownList() *job.DeviceList {
	return &job.DeviceList{RunID: p.run.ID, ListedAt: p.d.now()}
}

// earlierList gives the list of the latest run before run that has one, nil if that is too old or there is none.
func (d *Dispatcher) earlierList(ctx context.Context, run *job.Run, rec *job.Record) (*job.DeviceList, error) {
	if rec.Occurrence == nil {
		return nil, nil
	}
	_, hub := job.WholeRun(run.ID)
	for n := rec.Occurrence.Number - 1; n > 0 && n >= rec.Occurrence.Number-lookedBack; n-- {
		id := rec.Occurrence.Job.RunNumber(n)
		if hub != "" {
			id = job.HubRunID(id, hub)
		}
		plan, err := d.store.Plan(ctx, id)
		if errors.Is(err, job.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if plan.List != nil && plan.List.Complete {
			return plan.LendsTo(rec.ListTarget(run.Hub), d.now(), rec.DeviceListMaxAge), nil
		}
	}
	return nil, nil
}

// runSource gives the devices of an earlier run; the continuation is the number of its next shard.
func (d *Dispatcher) runSource(list *job.DeviceList) source {
	return func(ctx context.Context, continuation string) (found, error) {
		n := 0
		if continuation != "" {
			var err error
			if n, err = strconv.Atoi(continuation); err != nil {
				return found{}, fmt.Errorf("taking over the devices of run %s: continuation %q is not a number: %w", list.From, continuation, err)
			}
		}
		shards, err := d.store.Shards(ctx, list.From, tablestore.ShardQuery{From: n, Max: shardsAPage, Always: -1})
		if err != nil {
			return found{}, err
		}
		var f found
		for _, s := range shards {
			if s.Number != n {
				return found{}, errListGone
			}
			for i := range s.Executions {
				f.devices = append(f.devices, s.Executions[i].DeviceID)
			}
			n++
		}
		if n < list.Shards {
			if f.next = strconv.Itoa(n); len(shards) < shardsAPage {
				return found{}, errListGone
			}
		}
		return f, nil
	}
}

// askHub has a run whose list was deleted meanwhile select anew. What it has taken over stays, so that no later run may have its list.
func (p *planner) askHub(ctx context.Context) error {
	plan := *p.plan
	plan.List = p.ownList()
	p.plan = &plan
	p.at = place{}
	p.marks = []mark{{len(p.pending), p.at, p.d.now()}}
	if err := p.quit(ctx); err != nil || p.stopped {
		return err
	}
	return p.d.send(ctx, message{Kind: kindPlan, Run: p.run.ID}, 0)
}
