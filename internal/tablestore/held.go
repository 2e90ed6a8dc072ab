package tablestore

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// Held are the devices that a slice of an exclusive run works on. Each has a row in a partition of its hub in the table of runs:
// <run id>:<shard>:<hash of the owner>, so that one who has lost the shard's claim takes back nothing of the next owner's.
type Held struct {
	RunID   string
	Shard   int
	Owner   string    // of the shard's claim
	Devices []uint64  // as HubPrint gives them
	Until   time.Time // when the row means nothing any more
}

// heldPartition is no run's: no job id begins so.
func (s *Store) heldPartition() string { return "held:" + s.hub }

func (h *Held) row() string {
	return fmt.Sprintf("%s:%08d:%016x", h.RunID, h.Shard, fingerprint("", h.Owner))
}

// HubPrint stands for a device among all of the hub.
func (s *Store) HubPrint(deviceID string) uint64 { return fingerprint("", deviceID) }

// Hold tells others what a slice works on, whatever was there.
func (s *Store) Hold(ctx context.Context, h Held) error {
	e := newEntity(s.heldPartition(), h.row())
	e["Run"] = h.RunID
	e.putTime("Until", h.Until)
	prints := make([]byte, 0, 8*len(h.Devices))
	for _, p := range h.Devices {
		prints = binary.BigEndian.AppendUint64(prints, p)
	}
	if err := e.putBytes("Prints", prints); err != nil {
		return err
	}
	return s.runs.upsert(ctx, e)
}

// LetGo takes back what Hold told.
func (s *Store) LetGo(ctx context.Context, h Held) error { return s.dropHeld(ctx, h.row(), "") }

func (s *Store) dropHeld(ctx context.Context, row, rev string) error {
	b := newBatch()
	if rev == "" {
		b.remove(s.heldPartition(), row)
	} else {
		b.removeIf(newEntity(s.heldPartition(), row), rev)
	}
	_, err := s.runs.apply(ctx, b)
	if errors.Is(err, job.ErrNotFound) || errors.Is(err, job.ErrConflict) {
		return nil
	}
	return err
}

// maxLapsed is how many rows of dead slices HeldByOthers deletes.
const maxLapsed = 10

// HeldByOthers calls yield with each device that a slice of another run works on at now. Rows that have lapsed are deleted, unless they
// are renewed at that moment.
func (s *Store) HeldByOthers(ctx context.Context, runID string, now time.Time, yield func(print uint64)) error {
	var lapsed []string
	q := query{partition: s.heldPartition(), from: " ", to: "~", filter: "Run ne " + quoted(runID), columns: "RowKey,Until,Prints"}
	err := s.runs.each(ctx, q, func(e entity) (bool, error) {
		if !e.time("Until").After(now) {
			lapsed = append(lapsed, e.row())
			return true, nil
		}
		prints, err := base64.StdEncoding.DecodeString(e.text("Prints"))
		if err != nil {
			return false, fmt.Errorf("reading what %s holds: %w", e.row(), err)
		}
		for ; len(prints) >= 8; prints = prints[8:] {
			yield(binary.BigEndian.Uint64(prints))
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	for _, row := range lapsed[:min(len(lapsed), maxLapsed)] {
		e, rev, err := s.runs.get(ctx, s.heldPartition(), row)
		if errors.Is(err, job.ErrNotFound) || err == nil && e.time("Until").After(now) {
			continue
		}
		if err == nil {
			err = s.dropHeld(ctx, row, rev)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
