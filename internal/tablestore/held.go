package tablestore

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// Rows of exclusive runs lie in a partition of their hub in the table of runs. A slice asks for devices with a row <run id>:<shard>:<hash
// of the owner>, which lapses, and what its shard keeps is in a row <run id>:<shard>:kept, which does not. The second sorts behind the
// first, so that a query that meets neither passed before the slice asked: a device moves from the one to the other in one transaction.

// Asked are devices that a slice of an exclusive run is about to keep from others.
type Asked struct {
	RunID   string
	Shard   int
	Owner   string    // of the shard's claim
	Devices []uint64  // as HubPrint gives them
	Until   time.Time // from when on others may delete the row, after which Keep fails
}

// Kept are the devices that a shard of an exclusive run keeps from others, until their executions have ended.
type Kept struct {
	RunID   string
	Shard   int
	Devices []uint64
	// Since is when devices were last added: an attempt that began before says nothing of what was done to them after.
	Since time.Time
	// Rev is the store's revision of the row, "" of one that is not there.
	Rev string
}

// Holder is a row of another run: Kept, or Asked where Until is not zero.
type Holder struct {
	RunID        string
	Shard        int
	Devices      []uint64
	Until, Since time.Time
	row          string
}

// heldPartition is no run's: no job id begins so.
func (s *Store) heldPartition() string { return "held:" + s.hub }

func (a *Asked) row() string {
	return fmt.Sprintf("%s:%08d:%016x", a.RunID, a.Shard, fingerprint("", a.Owner))
}

func keptRow(runID string, shard int) string { return fmt.Sprintf("%s:%08d:kept", runID, shard) }

// HubPrint stands for a device among all of the hub.
func (s *Store) HubPrint(deviceID string) uint64 { return fingerprint("", deviceID) }

func (s *Store) heldEntity(row, runID string, shard int, devices []uint64) (entity, error) {
	e := newEntity(s.heldPartition(), row)
	e["Run"], e["Shard"] = runID, shard
	prints := make([]byte, 0, 8*len(devices))
	for _, p := range devices {
		prints = binary.BigEndian.AppendUint64(prints, p)
	}
	return e, e.putBytes("Prints", prints)
}

func printsOf(e entity) ([]uint64, error) {
	packed, err := base64.StdEncoding.DecodeString(e.text("Prints"))
	if err != nil {
		return nil, fmt.Errorf("reading what %s holds: %w", e.row(), err)
	}
	prints := make([]uint64, 0, len(packed)/8)
	for ; len(packed) >= 8; packed = packed[8:] {
		prints = append(prints, binary.BigEndian.Uint64(packed))
	}
	return prints, nil
}

// Ask tells others what a slice is about to keep, whatever was there.
func (s *Store) Ask(ctx context.Context, a Asked) error {
	e, err := s.heldEntity(a.row(), a.RunID, a.Shard, a.Devices)
	if err != nil {
		return err
	}
	e.putTime("Until", a.Until)
	return s.runs.upsert(ctx, e)
}

// Unask takes back what Ask told.
func (s *Store) Unask(ctx context.Context, a Asked) error {
	_, err := s.dropHeld(ctx, a.row())
	return err
}

// Keep stores what a shard keeps, if its row is as it was read, and takes back what the slice has asked for, in one transaction.
// job.ErrExists says that there is a row of which the caller did not know; job.ErrConflict and job.ErrNotFound that somebody else has
// written it, or that what the slice had asked for has lapsed and was deleted.
func (s *Store) Keep(ctx context.Context, a Asked, k *Kept) error {
	e, err := s.keptEntity(k)
	if err != nil {
		return err
	}
	b := newBatch()
	if k.Rev == "" {
		b.insert(e)
	} else {
		b.replace(e, k.Rev)
	}
	b.remove(s.heldPartition(), a.row())
	rev, err := s.runs.apply(ctx, b)
	if err != nil {
		return err
	}
	k.Rev = rev
	return nil
}

func (s *Store) keptEntity(k *Kept) (entity, error) {
	e, err := s.heldEntity(keptRow(k.RunID, k.Shard), k.RunID, k.Shard, k.Devices)
	if err != nil {
		return nil, err
	}
	e.putTime("Since", k.Since)
	return e, nil
}

// Kept reads what a shard keeps, or gives job.ErrNotFound.
func (s *Store) Kept(ctx context.Context, runID string, shard int) (*Kept, error) {
	e, rev, err := s.runs.get(ctx, s.heldPartition(), keptRow(runID, shard))
	if err != nil {
		return nil, err
	}
	prints, err := printsOf(e)
	return &Kept{RunID: runID, Shard: shard, Devices: prints, Since: e.time("Since"), Rev: rev}, err
}

// KeepLess stores that a shard keeps no more than k, or nothing. Where somebody else has written the row since it was read, it stays.
func (s *Store) KeepLess(ctx context.Context, k *Kept) error {
	e, err := s.keptEntity(k)
	if err != nil {
		return err
	}
	if len(k.Devices) > 0 {
		_, err = s.runs.replace(ctx, e, k.Rev)
	} else {
		b := newBatch()
		b.removeIf(e, k.Rev)
		_, err = s.runs.apply(ctx, b)
	}
	if errors.Is(err, job.ErrNotFound) || errors.Is(err, job.ErrConflict) {
		return nil
	}
	return err
}

// Holders calls yield with each row of other runs.
func (s *Store) Holders(ctx context.Context, runID string, yield func(Holder)) error {
	q := query{partition: s.heldPartition(), from: " ", to: "~", filter: "Run ne " + quoted(runID), columns: "RowKey,Run,Shard,Until,Since,Prints"}
	return s.runs.each(ctx, q, func(e entity) (bool, error) {
		prints, err := printsOf(e)
		if err == nil {
			yield(Holder{RunID: e.text("Run"), Shard: e.int("Shard"), Devices: prints, Until: e.time("Until"), Since: e.time("Since"), row: e.row()})
		}
		return true, err
	})
}

// DropHolder deletes a row that means nothing any more, and reports whether it was still there: one that was not may have become another.
func (s *Store) DropHolder(ctx context.Context, h Holder) (bool, error) {
	return s.dropHeld(ctx, h.row)
}

func (s *Store) dropHeld(ctx context.Context, row string) (bool, error) {
	b := newBatch()
	b.remove(s.heldPartition(), row)
	_, err := s.runs.apply(ctx, b)
	if errors.Is(err, job.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// DropHeld deletes all that a run holds.
func (s *Store) DropHeld(ctx context.Context, runID string) error {
	var rows []string
	q := query{partition: s.heldPartition(), from: runID + ":", to: runID + ";", columns: "RowKey"}
	err := s.runs.each(ctx, q, func(e entity) (bool, error) {
		rows = append(rows, e.row())
		return true, nil
	})
	if err != nil {
		return err
	}
	for part := range slices.Chunk(rows, maxBatch) {
		b := newBatch()
		for _, row := range part {
			b.remove(s.heldPartition(), row)
		}
		_, err := s.runs.apply(ctx, b)
		for _, row := range part {
			if !errors.Is(err, job.ErrNotFound) {
				break
			}
			if _, one := s.dropHeld(ctx, row); one != nil { // others delete too
				return one
			}
		}
		if err != nil && !errors.Is(err, job.ErrNotFound) {
			return err
		}
	}
	return nil
}
