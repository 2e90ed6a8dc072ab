package tablestore

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// Row keys of a run's partition. An open row stands for a shard that was enqueued and has not ended, a done row for one
// that ended and is not counted in the run's row yet. Underway reads both with one query: no other key may lie between.
const (
	rowList  = "chunk:"
	rowDone  = "done:"
	rowOpen  = "open:"
	rowParts = "parts"
	rowPlan  = "plan"
	rowRun   = "run"
	rowShard = "shard:"
)

func numbered(prefix string, n int) string { return fmt.Sprintf("%s%08d", prefix, n) }

// after is the first key that does not begin with prefix, which ends in ':'.
func after(prefix string) string { return strings.TrimSuffix(prefix, ":") + ";" }

func number(key string) (int, error) {
	_, digits, _ := strings.Cut(key, ":")
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0, fmt.Errorf("reading row key %q: %w", key, err)
	}
	return n, nil
}

func (s *Store) shardEntity(shard *job.Shard) (entity, error) {
	e := newEntity(shard.RunID, numbered(rowShard, shard.Number))
	packed, err := s.packer.pack(shard.Executions)
	if err != nil {
		return nil, err
	}
	if err := e.putBytes("Data", packed); err != nil {
		return nil, err
	}
	if err := e.putBytes("Prints", fingerprints(shard.RunID, shard.Executions)); err != nil {
		return nil, err
	}
	e["Devices"] = len(shard.Executions)
	e["Closed"] = shard.Closed
	if ended := shard.Ended(); ended.Total() > 0 && !shard.Closed {
		if err := e.putJSON("Ended", ended); err != nil {
			return nil, err
		}
	}
	if shard.Part > 0 {
		e["Part"] = shard.Part
	}
	if shard.AtOnce > 0 {
		e["AtOnce"] = shard.AtOnce
	}
	putClaim(e, shard.Claim)
	counts := job.Count(shard.Executions)
	for _, state := range job.ExecutionStates() {
		if n := counts.Of(state); n > 0 {
			e[stateColumn(state)] = n
		}
	}
	return e, nil
}

// stateColumn holds the number of executions in a state; it is absent when that is 0, so that listings by state read
// only rows that have some.
func stateColumn(state job.ExecutionState) string { return "N_" + state.String() }

func putClaim(e entity, c job.Claim) {
	e["Owner"], e["Lost"] = c.Owner, c.Lost
	e["Until"] = ""
	e.putTime("Until", c.Until)
}

func claimOf(e entity) job.Claim {
	return job.Claim{Owner: e.text("Owner"), Until: e.time("Until"), Lost: e.int("Lost")}
}

func (s *Store) shardOf(runID string, e entity) (*job.Shard, error) {
	n, err := number(e.row())
	if err != nil {
		return nil, err
	}
	data, err := e.bytes("Data")
	if err != nil {
		return nil, err
	}
	executions, err := s.packer.unpack(data)
	if err != nil {
		return nil, fmt.Errorf("reading shard %d of run %s: %w", n, runID, err)
	}
	return &job.Shard{
		RunID: runID, Number: n, Part: e.int("Part"), AtOnce: e.int("AtOnce"), Executions: executions, Closed: e.flag("Closed"), Claim: claimOf(e),
	}, nil
}

// Shard reads one shard.
func (s *Store) Shard(ctx context.Context, runID string, n int) (*job.Shard, error) {
	e, rev, err := s.runs.get(ctx, runID, numbered(rowShard, n))
	if err != nil {
		return nil, err
	}
	shard, err := s.shardOf(runID, e)
	if err != nil {
		return nil, err
	}
	shard.Rev = rev
	return shard, nil
}

// ClaimShard stores the shard's claim alone, if the row is as it was read.
func (s *Store) ClaimShard(ctx context.Context, shard *job.Shard) error {
	e := newEntity(shard.RunID, numbered(rowShard, shard.Number))
	putClaim(e, shard.Claim)
	rev, err := s.runs.merge(ctx, e, shard.Rev)
	if err != nil {
		return err
	}
	shard.Rev = rev
	return nil
}

// SaveShard stores outcomes and claim of a shard that goes on, if the row is as it was read, and then the counts for the
// run's progress, which may lag: the shard's row is the truth.
func (s *Store) SaveShard(ctx context.Context, shard *job.Shard) error {
	e, err := s.shardEntity(shard)
	if err != nil {
		return err
	}
	rev, err := s.runs.replace(ctx, e, shard.Rev)
	if err != nil {
		return err
	}
	shard.Rev = rev
	progress := newEntity(shard.RunID, numbered(rowOpen, shard.Number))
	if err := progress.putJSON("Counts", job.Count(shard.Executions)); err != nil {
		return err
	}
	if at := shard.WakeAt(); !at.IsZero() {
		Underway{CheckAt: at, WakeAt: at}.put(progress)
	}
	err = s.runs.mergeExisting(ctx, progress)
	if errors.Is(err, job.ErrNotFound) {
		return nil // closed by somebody else meanwhile
	}
	return err
}

// Amend stores the outcomes of up to MaxPerWrite shards that were not opened yet, if they and the run are as they were read, so that
// whoever opens one at the same moment fails and reads it again.
func (s *Store) Amend(ctx context.Context, run *job.Run, shards ...*job.Shard) error {
	r, err := runEntity(run)
	if err != nil {
		return err
	}
	b := newBatch()
	b.replace(r, run.Rev)
	for _, shard := range shards {
		e, err := s.shardEntity(shard)
		if err != nil {
			return err
		}
		b.replace(e, shard.Rev)
	}
	_, err = s.runs.apply(ctx, b)
	return err
}

// CloseShard stores the end of a shard and, in the same transaction, turns its open row into a done row.
func (s *Store) CloseShard(ctx context.Context, shard *job.Shard) error {
	return s.CloseShards(ctx, []*job.Shard{shard})
}

// MaxClosed is how many shards one CloseShards takes: each has three rows.
const MaxClosed = maxBatch / 3

// CloseShards is CloseShard for shards of one run, all of them or, with an error, none. Shards with the longest answers may be
// too much for one transaction: they are to be closed one by one.
func (s *Store) CloseShards(ctx context.Context, shards []*job.Shard) error {
	b := newBatch()
	for _, shard := range shards {
		closed := *shard
		closed.Closed = true
		e, err := s.shardEntity(&closed)
		if err != nil {
			return err
		}
		done := newEntity(shard.RunID, numbered(rowDone, shard.Number))
		if err := done.putJSON("Counts", job.Count(shard.Executions)); err != nil {
			return err
		}
		b.replace(e, shard.Rev)
		b.remove(shard.RunID, numbered(rowOpen, shard.Number))
		b.put(done)
	}
	revs, err := s.runs.applyAll(ctx, b)
	if err != nil {
		return err
	}
	for i, shard := range shards {
		shard.Rev, shard.Closed = revs[3*i], true
	}
	return nil
}

// Underway is a shard that was enqueued and is not counted in the run's row yet.
type Underway struct {
	Number  int
	Devices int
	// Part and Limited are known of shards of a run that holds devices apart: the part of its target, and whether that limits calls.
	Part    int
	Limited bool
	Done    bool
	Counts  job.Counts
	// CheckAt is when the supervisor looks whether anybody still works on an open shard; Checks is how often it did.
	CheckAt time.Time
	Checks  int
	// WakeAt is when a shard goes on whose devices all waited for their next attempts when it was last stored; zero without.
	WakeAt time.Time
}

// put writes what the supervisor is to know of an open shard.
func (u Underway) put(e entity) {
	e.putTime("CheckAt", u.CheckAt)
	e["Checks"] = u.Checks
	if !u.WakeAt.IsZero() {
		e.putTime("WakeAt", u.WakeAt)
	}
}

// Underway lists the shards of a run between enqueueing and roll-up, done ones first.
func (s *Store) Underway(ctx context.Context, runID string) ([]Underway, error) {
	var all []Underway
	q := query{partition: runID, from: rowDone, to: after(rowOpen), columns: "RowKey,Devices,Counts,CheckAt,Checks,WakeAt,Part,Limited"}
	err := s.runs.each(ctx, q, func(e entity) (bool, error) {
		u := Underway{Devices: e.int("Devices"), CheckAt: e.time("CheckAt"), Checks: e.int("Checks"), WakeAt: e.time("WakeAt")}
		u.Part, u.Limited = e.int("Part"), e.flag("Limited")
		var err error
		if u.Number, err = number(e.row()); err != nil {
			return false, err
		}
		u.Done = strings.HasPrefix(e.row(), rowDone)
		if e["Counts"] != nil {
			if err := e.json("Counts", &u.Counts); err != nil {
				return false, err
			}
		}
		all = append(all, u)
		return true, nil
	})
	return all, err
}

// MarkChecked stores when an open shard is to be looked at next.
func (s *Store) MarkChecked(ctx context.Context, runID string, u Underway) error {
	e := newEntity(runID, numbered(rowOpen, u.Number))
	u.put(e)
	err := s.runs.mergeExisting(ctx, e)
	if errors.Is(err, job.ErrNotFound) {
		return nil // it ended meanwhile
	}
	return err
}

// ShardQuery selects the shards of a listing.
type ShardQuery struct {
	From   int                 // first shard number
	State  *job.ExecutionState // only shards that hold executions in this state
	Always int                 // shards from this number on are listed whatever State says; negative: none
	Max    int                 // shards
}

// shardColumns are what shardOf reads: all but the fingerprints, which are two thirds of a shard that nobody has opened yet.
func shardColumns() string {
	columns := []string{"RowKey", "Part", "AtOnce", "Closed", "Owner", "Until", "Lost"}
	for i := range dataChunks {
		columns = append(columns, chunkName("Data", i))
	}
	return strings.Join(columns, ",")
}

// Shards lists shards in order.
func (s *Store) Shards(ctx context.Context, runID string, sq ShardQuery) ([]*job.Shard, error) {
	q := query{partition: runID, from: numbered(rowShard, sq.From), to: after(rowShard), max: sq.Max, columns: shardColumns()}
	if sq.State != nil {
		q.filter = stateColumn(*sq.State) + " gt 0"
		if sq.Always >= 0 {
			q.filter += fmt.Sprintf(" or RowKey ge '%s'", numbered(rowShard, sq.Always))
		}
	}
	var shards []*job.Shard
	err := s.runs.each(ctx, q, func(e entity) (bool, error) {
		shard, err := s.shardOf(runID, e)
		shards = append(shards, shard)
		return true, err
	})
	return shards, err
}

// eachPrint calls yield with the fingerprints of every shard.
func (s *Store) eachPrint(ctx context.Context, runID string, yield func(shard int, prints []byte) bool) error {
	q := query{partition: runID, from: rowShard, to: after(rowShard), columns: "RowKey,Prints"}
	return s.runs.each(ctx, q, func(e entity) (bool, error) {
		n, err := number(e.row())
		if err != nil {
			return false, err
		}
		prints, err := base64.StdEncoding.DecodeString(e.text("Prints"))
		if err != nil {
			return false, fmt.Errorf("reading the fingerprints of shard %d: %w", n, err)
		}
		return yield(n, prints), nil
	})
}

// Find gives the execution of a device, the last one where it had left and come back, or job.ErrNotFound.
func (s *Store) Find(ctx context.Context, runID, deviceID string) (job.Execution, int, error) {
	want := fingerprint(runID, deviceID)
	var candidates []int
	err := s.eachPrint(ctx, runID, func(n int, prints []byte) bool {
		for ; len(prints) >= 8; prints = prints[8:] {
			if found := binary.BigEndian.Uint64(prints); found == want || found == ^want {
				candidates = append(candidates, n)
				break
			}
		}
		return true
	})
	if err != nil {
		return job.Execution{}, 0, err
	}
	for _, n := range slices.Backward(candidates) {
		shard, err := s.Shard(ctx, runID, n)
		if err != nil {
			return job.Execution{}, 0, err
		}
		for _, e := range shard.Executions {
			if e.DeviceID == deviceID {
				return e, n, nil
			}
		}
	}
	return job.Execution{}, 0, fmt.Errorf("device %s in run %s: %w", deviceID, runID, job.ErrNotFound)
}
