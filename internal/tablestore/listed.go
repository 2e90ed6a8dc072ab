package tablestore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// Rows that hold the fingerprints of what a round of a continuous selection has listed. No other key may lie between them.
const rowRound = "round:"

func roundKey(round, part int) string { return fmt.Sprintf("%s%08d:%08d", rowRound, round, part) }

// Listed is a part of what a round of a continuous selection has listed, by its fingerprints.
type Listed struct {
	Round, Part int
	Prints      []uint64
}

func (l *Listed) entity(runID string) (entity, error) {
	e := newEntity(runID, roundKey(l.Round, l.Part))
	data := make([]byte, 0, 8*len(l.Prints))
	for _, print := range l.Prints {
		data = binary.BigEndian.AppendUint64(data, print)
	}
	return e, e.putBytes("Data", data)
}

// Listed calls yield with the fingerprint of every device in the parts of a round.
func (s *Store) Listed(ctx context.Context, runID string, round, parts int, yield func(print uint64)) error {
	n := 0
	q := query{partition: runID, from: roundKey(round, 0), to: roundKey(round, parts)}
	err := s.runs.each(ctx, q, func(e entity) (bool, error) {
		data, err := e.bytes("Data")
		for ; len(data) >= 8; data = data[8:] {
			yield(binary.BigEndian.Uint64(data))
		}
		n++
		return true, err
	})
	if err == nil && n != parts {
		err = fmt.Errorf("run %s: %d of the %d parts of round %d are there", runID, n, parts, round)
	}
	return err
}

// DropListed forgets what the rounds before a round have listed.
func (s *Store) DropListed(ctx context.Context, runID string, before int) error {
	var keys []string
	q := query{partition: runID, from: rowRound, to: roundKey(before, 0), columns: "RowKey"}
	err := s.runs.each(ctx, q, func(e entity) (bool, error) {
		keys = append(keys, e.row())
		return true, nil
	})
	if err != nil {
		return err
	}
	for part := range slices.Chunk(keys, maxBatch) {
		b := newBatch()
		for _, key := range part {
			b.remove(runID, key)
		}
		if _, err := s.runs.apply(ctx, b); err != nil && !errors.Is(err, job.ErrNotFound) { // somebody else forgets them too
			return err
		}
	}
	return nil
}
