package dispatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/archive"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

const (
	// exportsAtOnce is how many exports one process works on: a slow account must not keep supervisions waiting.
	exportsAtOnce = 2
	exportsBusy   = 5 * time.Second
	// blockShards is the default of Export.BlockShards; mostBlocks is how many blocks a run has, however many shards.
	blockShards = 20
	mostBlocks  = archive.MaxBlocks * 4 / 5
)

// Blobs keeps what is exported; *archive.Container does.
type Blobs interface {
	Name(name string) string
	Blocks(ctx context.Context, name string) (archive.Blocks, error)
	Send(ctx context.Context, name, id string, data []byte) error
	Commit(ctx context.Context, name, contentType string, ids []string) error
}

// Export says where runs go before their retention deletes them, and how they look there: executions<Extension> has all devices,
// job.json the job, in a folder for each run.
type Export struct {
	Blobs       Blobs
	Extension   string // ".csv"
	ContentType string // of the devices
	BlockShards int    // how many shards a block holds at least, 20
	// Encode gives some of the executions; first says that they stand at the beginning.
	Encode func(executions []job.Execution, first bool) ([]byte, error)
	// JobJSON gives the job as the API does.
	JobJSON func(*job.Record, *job.Run) ([]byte, error)
}

func folderOf(rec *job.Record) string { return rec.JobID + "/" + rec.RunID }

// folder names where rec is exported to, for people to read.
func (e *Export) folder(rec *job.Record) string { return e.Blobs.Name(folderOf(rec)) }

// export writes an ended run into blobs and, once they are there and hold what they must, deletes it. It may be done by several at
// once, and again after a crash: a block is named after what it holds, and what the service lists is all that is known of the
// progress. What fails is begun again when the run is listed next.
func (d *Dispatcher) export(ctx context.Context, m message) error {
	keep := d.opts.Retention
	if keep.Export == nil || keep.After == 0 {
		return nil
	}
	rec, err := d.hasEnded(ctx, m.Run)
	if err != nil {
		return err
	}
	for _, places := range []chan struct{}{d.exports, d.deliveries} { // of which exports take some
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
		default:
			return d.send(ctx, m, exportsBusy)
		}
	}
	if d.now().Sub(rec.Kept) > keep.After-putOffFor/2 { // this export goes on for long, or its message was late
		if err := d.putOff(ctx, rec); err != nil {
			return err
		}
	}
	x := exporter{Export: keep.Export, d: d, rec: rec, until: d.now().Add(d.opts.Slice)}
	done, err := x.run(ctx)
	switch {
	case err != nil:
		d.opts.Logger.WarnContext(ctx, "a run whose retention has passed could not be exported; it is kept, and the timer tries again", "run", m.Run, "error", err)
		return nil
	case !done:
		return d.send(ctx, m, 0)
	}
	return d.retire(ctx, m.Run)
}

// exporter writes one run into blobs.
type exporter struct {
	*Export
	d     *Dispatcher
	rec   *job.Record
	ended *job.Run
	until time.Time
}

// run reports whether all is there; if not, another message is to go on.
func (x *exporter) run(ctx context.Context) (done bool, err error) {
	if x.ended, err = x.d.runOf(ctx, x.rec); err != nil {
		return false, err
	}
	if done, err = x.executions(ctx); !done || err != nil {
		return false, err
	}
	text, err := x.JobJSON(x.rec, x.ended)
	if err != nil {
		return false, fmt.Errorf("encoding the job: %w", err)
	}
	one := blob{x: x, name: folderOf(x.rec) + "/job.json", kind: "application/json", blocks: 1}
	one.encode = func(context.Context, int) ([]byte, int, error) { return text, 1, nil }
	return one.write(ctx, 1)
}

// executions writes the devices of the run, of one at several hubs a blob for each. A recurring job itself has none.
func (x *exporter) executions(ctx context.Context) (bool, error) {
	if x.rec.Series != nil && x.rec.Occurrence == nil {
		return true, nil
	}
	name := folderOf(x.rec) + "/executions"
	if len(x.rec.AtHubs) == 0 {
		return x.executionsOf(ctx, x.ended, name+x.Extension)
	}
	for _, h := range x.rec.AtHubs {
		run, err := x.d.store.Run(ctx, job.HubRunID(x.rec.RunID, h.Hub))
		if errors.Is(err, job.ErrNotFound) {
			continue // it never began
		}
		if err != nil {
			return false, err
		}
		if done, err := x.executionsOf(ctx, run, name+"-"+h.Hub+x.Extension); !done || err != nil {
			return false, err
		}
	}
	return true, nil
}

// executionsOf writes the devices of a run. One that never began has none.
func (x *exporter) executionsOf(ctx context.Context, run *job.Run, name string) (bool, error) {
	plan, err := x.d.store.Plan(ctx, run.ID)
	if errors.Is(err, job.ErrNotFound) || err == nil && plan.Shards == 0 {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	each := max(cmp.Or(x.BlockShards, blockShards), (plan.Shards+mostBlocks-1)/mostBlocks)
	all := blob{x: x, name: name, kind: x.ContentType, blocks: (plan.Shards + each - 1) / each}
	all.encode = func(ctx context.Context, n int) ([]byte, int, error) {
		return x.part(ctx, run, n*each, min(each, plan.Shards-n*each))
	}
	return all.write(ctx, plan.Devices)
}

// part gives the executions of some shards, as they stand at the end of the run, and their number.
func (x *exporter) part(ctx context.Context, run *job.Run, from, shards int) ([]byte, int, error) {
	found, err := x.d.store.Shards(ctx, run.ID, tablestore.ShardQuery{From: from, Max: shards, Always: -1})
	if err != nil {
		return nil, 0, err
	}
	if len(found) != shards {
		return nil, 0, fmt.Errorf("run %s: %d of %d shards from %d on are there", run.ID, len(found), shards, from)
	}
	var executions []job.Execution
	for i, s := range found {
		if s.Number != from+i {
			return nil, 0, fmt.Errorf("run %s: shard %d is missing", run.ID, from+i)
		}
		for _, e := range s.Executions {
			if run.NeverEnqueued(s.Number) {
				e.End(run.Unreached(), run.EndedAt)
			}
			executions = append(executions, e)
		}
	}
	data, err := x.Encode(executions, from == 0)
	return data, len(executions), err
}

// blob is one blob on its way.
type blob struct {
	x      *exporter
	name   string
	kind   string
	blocks int
	encode func(ctx context.Context, n int) (data []byte, rows int, err error)
}

// label is what the id of a block says of it.
type label struct{ n, rows, size int }

func (l label) id() string { return fmt.Sprintf("%06d-%09d-%012d", l.n, l.rows, l.size) }

// read gives what a block's id says, if the block has the size that it says.
func read(b archive.Block) (label, bool) {
	var l label
	if len(b.ID) != len(label{}.id()) || b.ID[6] != '-' || b.ID[16] != '-' {
		return l, false
	}
	for _, part := range []struct {
		text string
		to   *int
	}{{b.ID[:6], &l.n}, {b.ID[7:16], &l.rows}, {b.ID[17:], &l.size}} {
		n, err := strconv.Atoi(part.text)
		if err != nil || n < 0 {
			return l, false
		}
		*part.to = n
	}
	return l, int64(l.size) == b.Size
}

// write sends the blocks that are missing and makes the blob, and reports whether it is there and holds rows rows.
func (b *blob) write(ctx context.Context, rows int) (bool, error) {
	sent, err := b.x.Blobs.Blocks(ctx, b.name)
	if err != nil || b.holds(sent.Committed, rows) {
		return err == nil, err
	}
	known := map[int]string{}
	for _, w := range sent.Waiting {
		if l, ok := read(w); ok {
			known[l.n] = w.ID
		}
	}
	ids := make([]string, b.blocks)
	for n := range ids {
		if ids[n] = known[n]; ids[n] != "" {
			continue
		}
		if !b.x.d.now().Before(b.x.until) {
			return false, nil
		}
		data, rows, err := b.encode(ctx, n)
		if err != nil {
			return false, err
		}
		ids[n] = label{n, rows, len(data)}.id()
		if err := b.x.Blobs.Send(ctx, b.name, ids[n], data); err != nil {
			return false, err
		}
	}
	if err := b.x.Blobs.Commit(ctx, b.name, b.kind, ids); err != nil {
		return false, err
	}
	sent, err = b.x.Blobs.Blocks(ctx, b.name)
	if err == nil && !b.holds(sent.Committed, rows) {
		err = fmt.Errorf("%s does not hold what was sent", b.x.Blobs.Name(b.name))
	}
	return err == nil, err
}

// holds reports whether blocks are all of the blob, in order and with rows rows together.
func (b *blob) holds(blocks []archive.Block, rows int) bool {
	if len(blocks) != b.blocks {
		return false
	}
	for n, block := range blocks {
		l, ok := read(block)
		if !ok || l.n != n {
			return false
		}
		rows -= l.rows
	}
	return rows == 0
}
