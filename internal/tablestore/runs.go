package tablestore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// MaxPerWrite is how many shards one Grow or RollUp takes: a transaction, less the run's own row.
const MaxPerWrite = maxBatch - 1

func runEntity(run *job.Run) (entity, error) {
	e := newEntity(run.ID, rowRun)
	return e, e.putJSON("Data", run)
}

func planEntity(plan *job.Plan) (entity, error) {
	e := newEntity(plan.RunID, rowPlan)
	return e, e.putJSON("Data", plan)
}

// CreateRun stores a run and its empty plan. A run that exists stays as it is.
func (s *Store) CreateRun(ctx context.Context, run *job.Run) error {
	r, err := runEntity(run)
	if err != nil {
		return err
	}
	p, err := planEntity(&job.Plan{RunID: run.ID})
	if err != nil {
		return err
	}
	b := newBatch()
	b.insert(r)
	b.insert(p)
	if _, err := s.runs.apply(ctx, b); err != nil && !errors.Is(err, job.ErrExists) {
		return err
	}
	return nil
}

// Run reads a run.
func (s *Store) Run(ctx context.Context, runID string) (*job.Run, error) {
	e, rev, err := s.runs.get(ctx, runID, rowRun)
	if err != nil {
		return nil, err
	}
	run := &job.Run{}
	if err := e.json("Data", run); err != nil {
		return nil, err
	}
	run.Rev = rev
	return run, nil
}

// SaveRun stores a run if it is as it was read.
func (s *Store) SaveRun(ctx context.Context, run *job.Run) error {
	e, err := runEntity(run)
	if err != nil {
		return err
	}
	rev, err := s.runs.replace(ctx, e, run.Rev)
	if err != nil {
		return err
	}
	run.Rev = rev
	return nil
}

// Plan reads the plan of a run.
func (s *Store) Plan(ctx context.Context, runID string) (*job.Plan, error) {
	e, rev, err := s.runs.get(ctx, runID, rowPlan)
	if err != nil {
		return nil, err
	}
	plan := &job.Plan{}
	if err := e.json("Data", plan); err != nil {
		return nil, err
	}
	plan.Rev = rev
	return plan, nil
}

// SavePlan stores a plan if it is as it was read.
func (s *Store) SavePlan(ctx context.Context, plan *job.Plan) error {
	e, err := planEntity(plan)
	if err != nil {
		return err
	}
	rev, err := s.runs.replace(ctx, e, plan.Rev)
	if err != nil {
		return err
	}
	plan.Rev = rev
	return nil
}

// Growth is what one transaction adds to a run: at most MaxPerWrite shards and opened ones together, and a plan counts as
// one more.
type Growth struct {
	Run    *job.Run     // the run that counts the opened shards; nil when none is opened
	Plan   *job.Plan    // the plan that counts the shards; nil when none is new
	Shards []*job.Shard // rows to write, whatever was there
	Opened []Underway   // shards to list as under way
	Listed *Listed      // what a round of a continuous selection listed; nil for nothing
}

// Grow stores g if run and plan are as they were read. Where a revision did not come back with the reply, run and plan are
// read again, and a shard's Rev is "".
func (s *Store) Grow(ctx context.Context, g Growth) error {
	b := newBatch()
	if g.Plan != nil {
		e, err := planEntity(g.Plan)
		if err != nil {
			return err
		}
		b.replace(e, g.Plan.Rev)
	}
	if g.Run != nil {
		e, err := runEntity(g.Run)
		if err != nil {
			return err
		}
		b.replace(e, g.Run.Rev)
	}
	for _, shard := range g.Shards {
		row, err := s.shardEntity(shard)
		if err != nil {
			return err
		}
		b.put(row)
	}
	for _, u := range g.Opened {
		row := newEntity(g.Run.ID, numbered(rowOpen, u.Number))
		row["Devices"] = u.Devices
		row.putTime("CheckAt", u.CheckAt)
		if !u.WakeAt.IsZero() {
			row.putTime("WakeAt", u.WakeAt)
		}
		if u.Counts.Total() > 0 {
			if err := row.putJSON("Counts", u.Counts); err != nil {
				return err
			}
		}
		if u.Limited {
			row["Part"], row["Limited"] = u.Part, true
		}
		b.put(row)
	}
	if g.Listed != nil {
		row, err := g.Listed.entity(g.Plan.RunID)
		if err != nil {
			return err
		}
		b.put(row)
	}
	revs, err := s.runs.applyAll(ctx, b)
	if err != nil {
		return err
	}
	return s.grown(ctx, g, revs)
}

// grown hands out the revisions of a Grow.
func (s *Store) grown(ctx context.Context, g Growth, revs []string) (err error) {
	next := func(row, run string) string {
		rev := revs[0]
		revs = revs[1:]
		if rev == "" && err == nil {
			_, rev, err = s.runs.get(ctx, run, row)
		}
		return rev
	}
	if g.Plan != nil {
		g.Plan.Rev = next(rowPlan, g.Plan.RunID)
	}
	if g.Run != nil {
		g.Run.Rev = next(rowRun, g.Run.ID)
	}
	for i, shard := range g.Shards {
		shard.Rev = revs[i]
	}
	return err
}

// RollUp stores a run that counts up to MaxPerWrite more done shards and forgets their done rows, if the run is as it was
// read.
func (s *Store) RollUp(ctx context.Context, run *job.Run, done []Underway) error {
	e, err := runEntity(run)
	if err != nil {
		return err
	}
	b := newBatch()
	b.replace(e, run.Rev)
	for _, u := range done {
		b.remove(run.ID, numbered(rowDone, u.Number))
	}
	rev, err := s.runs.apply(ctx, b)
	if err != nil {
		return err
	}
	run.Rev = rev
	return nil
}

// ShardSizes gives the number of devices of the shards from <= n < to that were not opened yet, and counts those of them that have
// ended without being called.
func (s *Store) ShardSizes(ctx context.Context, runID string, from, to int) (sizes []int, ended []job.Counts, err error) {
	q := query{partition: runID, from: numbered(rowShard, from), to: numbered(rowShard, to), columns: "RowKey,Devices,Ended"}
	err = s.runs.each(ctx, q, func(e entity) (bool, error) {
		var c job.Counts
		if e["Ended"] != nil {
			if err := e.json("Ended", &c); err != nil {
				return false, err
			}
		}
		sizes, ended = append(sizes, e.int("Devices")), append(ended, c)
		return true, nil
	})
	if err == nil && len(sizes) != to-from {
		err = fmt.Errorf("run %s: %d of the shards %d to %d are there", runID, len(sizes), from, to-1)
	}
	return sizes, ended, err
}

// Selected calls yield with the fingerprint of every device that the run's plan holds.
func (s *Store) Selected(ctx context.Context, runID string, yield func(print uint64)) error {
	return s.eachPrint(ctx, runID, func(_ int, prints []byte) bool {
		for ; len(prints) >= 8; prints = prints[8:] {
			yield(binary.BigEndian.Uint64(prints))
		}
		return true
	})
}

// FirstSelected is Selected for the first devices of the plan.
func (s *Store) FirstSelected(ctx context.Context, runID string, n int, yield func(print uint64)) error {
	return s.eachPrint(ctx, runID, func(_ int, prints []byte) bool {
		for ; len(prints) >= 8 && n > 0; prints = prints[8:] {
			yield(binary.BigEndian.Uint64(prints))
			n--
		}
		return n > 0
	})
}

// Fingerprint is what Selected gives for a device.
func (s *Store) Fingerprint(runID, deviceID string) uint64 { return fingerprint(runID, deviceID) }

// ListChunk is how many device ids one row of an explicit target holds.
const ListChunk = 1000

// PutList stores part n of an explicit target.
func (s *Store) PutList(ctx context.Context, runID string, n int, ids []string) error {
	e := newEntity(runID, numbered(rowList, n))
	if err := e.putBytes("Data", []byte(strings.Join(ids, "\n"))); err != nil {
		return err
	}
	return s.runs.upsert(ctx, e)
}

// List reads part n of an explicit target.
func (s *Store) List(ctx context.Context, runID string, n int) ([]string, error) {
	e, _, err := s.runs.get(ctx, runID, numbered(rowList, n))
	if err != nil {
		return nil, err
	}
	data, err := e.bytes("Data")
	if err != nil {
		return nil, err
	}
	return strings.Split(string(data), "\n"), nil
}

// Purge deletes rows of a run's partition, up to max, and reports whether none is left. Where others delete too, or a reply
// was lost, it reports that some are left.
func (s *Store) Purge(ctx context.Context, runID string, max int) (bool, error) {
	var keys []string
	q := query{partition: runID, from: " ", to: "~", columns: "RowKey", max: max}
	err := s.runs.each(ctx, q, func(e entity) (bool, error) {
		keys = append(keys, e.row())
		return true, nil
	})
	if err != nil {
		return false, err
	}
	for part := range slices.Chunk(keys, maxBatch) {
		b := newBatch()
		for _, key := range part {
			b.remove(runID, key)
		}
		if _, err := s.runs.apply(ctx, b); errors.Is(err, job.ErrNotFound) {
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
	return len(keys) < max, nil
}
