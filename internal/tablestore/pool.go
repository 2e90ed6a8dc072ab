package tablestore

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// PoolWrite is how many ids one SavePool takes at most, and PoolBytes how long they may be together: a transaction.
const (
	PoolWrite = 20_000
	PoolBytes = 2 << 20
)

// poolRows is how many numbers each write has for the rows of a bucket.
const poolRows = PoolWrite/ListChunk + 1

func poolKey(bucket int) string { return fmt.Sprintf("pool:%03d:", bucket) }

// SavePool stores a plan whose pool counts one write more, and the ids of that write by bucket, if the plan is as it was read.
func (s *Store) SavePool(ctx context.Context, plan *job.Plan, buckets [][]string) error {
	p, err := planEntity(plan)
	if err != nil {
		return err
	}
	b := newBatch()
	b.replace(p, plan.Rev)
	for n, ids := range buckets {
		row := plan.Pool.Writes * poolRows
		for chunk := range slices.Chunk(ids, ListChunk) {
			e := newEntity(plan.RunID, numbered(poolKey(n), row))
			if err := e.putBytes("Data", []byte(strings.Join(chunk, "\n"))); err != nil {
				return err
			}
			b.put(e)
			row++
		}
	}
	rev, err := s.runs.apply(ctx, b)
	if err == nil {
		plan.Rev = rev
	}
	return err
}

// Pool reads the ids of a bucket.
func (s *Store) Pool(ctx context.Context, runID string, bucket int) ([]string, error) {
	var ids []string
	q := query{partition: runID, from: poolKey(bucket), to: after(poolKey(bucket))}
	err := s.runs.each(ctx, q, func(e entity) (bool, error) {
		data, err := e.bytes("Data")
		if err == nil {
			ids = append(ids, strings.Split(string(data), "\n")...)
		}
		return true, err
	})
	return ids, err
}
