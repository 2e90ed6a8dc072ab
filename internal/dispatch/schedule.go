package dispatch

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
	"github.com/fleetjobs/fleetjobs/internal/telemetry/tracectx"
	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

// What a request meets that is not wrong in itself.
var (
	ErrIDTaken   = errors.New("the job id is taken by a job with another definition")
	ErrKeyReused = errors.New("the Idempotency-Key was used with another definition")
	ErrEnded     = errors.New("the job has ended")
	ErrNotEnded  = errors.New("the job has not ended yet")
	// ErrNotWaiting says that a device's execution has ended or may be under way.
	ErrNotWaiting = errors.New("the device does not wait to be called")
)

// uploadTime is how long the creation of a job may take before its rows are swept.
const uploadTime = time.Hour

// Create stores a job and, when it is due soon, starts it. With an id in def, or with an idempotency key, a repeated request
// gives the job that the first one made. The error is job.Faults when the hub refuses the target.
func (d *Dispatcher) Create(ctx context.Context, def job.Definition, key string, by job.Caller) (*job.Record, error) {
	hash, err := def.Hash()
	if err != nil {
		return nil, err
	}
	rec := &job.Record{Definition: def, Hash: hash, KeyHash: keyHash(key), CreatedBy: by.Principal}
	if old, err := d.existing(ctx, rec); old != nil || err != nil {
		return old, err
	}
	if err := d.checkCallback(def); err != nil {
		return nil, err
	}
	if faults := def.Hubs.Check(d.Hubs()); len(faults) > 0 {
		return nil, faults
	}
	if rec.Warnings, err = d.CheckTarget(ctx, def); err != nil {
		return nil, err
	}
	now := d.now()
	rec.CreatedAt, rec.Status, rec.Trace = now, job.StatusScheduled, tracectx.Traceparent(ctx)
	if rec.JobID == "" {
		rec.JobID = uuid.NewString()
	}
	if err := d.due(rec, now); err != nil {
		return nil, err
	}
	if err := d.upload(ctx, rec); err != nil {
		return nil, err
	}
	created := rec.Change(job.ActionCreated, by, now)
	created.To = rec.Status
	if err := d.store.CreateJob(ctx, rec, created); err != nil {
		if errors.Is(err, job.ErrExists) {
			old, err := d.existing(ctx, rec) // somebody else was faster
			if old == nil && err == nil {
				err = job.ErrConflict // and that job was deleted by now, or has this id and another key
			}
			return old, err
		}
		return nil, err
	}
	if rec.StartTime.Before(now.Add(2 * d.opts.Tick)) {
		begin := d.start
		if rec.Series != nil {
			begin = d.dueSeries
		}
		if err := begin(ctx, rec); err != nil {
			d.opts.Logger.WarnContext(ctx, "the job is stored; the timer will start it", "job", rec.JobID, "error", err)
		}
	}
	return rec, nil
}

// due says when a new job starts, and gives it the id of its run.
func (d *Dispatcher) due(rec *job.Record, now time.Time) error {
	if rec.Schedule != nil {
		rec.RunID = job.SeriesID(rec.JobID, nonce())
		return rec.Recurs(now)
	}
	rec.RunID = rec.JobID + "." + nonce()
	if rec.StartTime.IsZero() {
		rec.StartTime = now
	}
	open, at, err := rec.Opening(rec.StartTime)
	if err == nil && !open && !at.IsZero() {
		rec.StartTime = at
	}
	return err
}

func nonce() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}

func keyHash(key string) string {
	if key == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}

// existing gives the job that an earlier request of the same content made, nil when there is none.
func (d *Dispatcher) existing(ctx context.Context, rec *job.Record) (*job.Record, error) {
	id, taken := rec.JobID, ErrIDTaken
	if rec.KeyHash != "" {
		var err error
		if id, err = d.store.JobByKey(ctx, rec.KeyHash); err != nil {
			return none(err)
		}
		taken = ErrKeyReused
	}
	if id == "" {
		return nil, nil
	}
	old, err := d.store.Job(ctx, id)
	if err != nil {
		return none(err)
	}
	if old.Hash != rec.Hash {
		return nil, taken
	}
	return old, nil
}

func none(err error) (*job.Record, error) {
	if errors.Is(err, job.ErrNotFound) {
		return nil, nil
	}
	return nil, err
}

// upload stores an explicit target in rows of its own, before the job that refers to them.
func (d *Dispatcher) upload(ctx context.Context, rec *job.Record) error {
	ids := rec.DeviceIDs
	if len(ids) == 0 {
		return nil
	}
	// The sweep must never meet an upload that goes on, nor the creation after it.
	ctx, cancel := context.WithTimeout(ctx, uploadTime/2)
	defer cancel()
	if err := d.store.BeginUpload(ctx, rec.RunID, rec.CreatedAt.Add(uploadTime)); err != nil {
		return err
	}
	rec.DeviceCount, rec.DeviceIDs = len(ids), nil
	var err error
	rec.ListChunks, err = d.putList(ctx, rec.RunID, 0, ids)
	return err
}

// putList stores a list of devices in rows from a number on, and gives how many rows it has.
func (d *Dispatcher) putList(ctx context.Context, runID string, from int, ids []string) (int, error) {
	chunks := (len(ids) + tablestore.ListChunk - 1) / tablestore.ListChunk
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(startsAtOnce)
	for n := range chunks {
		part := ids[n*tablestore.ListChunk : min(len(ids), (n+1)*tablestore.ListChunk)]
		g.Go(func() error { return d.store.PutList(ctx, runID, from+n, part) })
	}
	return chunks, g.Wait()
}

// CheckTarget asks the hub about a condition with constructs that our parser does not know. A refusal is job.Faults; when
// the hub can not be asked, the job is accepted with a warning.
func (d *Dispatcher) CheckTarget(ctx context.Context, def job.Definition) ([]string, error) {
	if def.QueryCondition == "" {
		return nil, nil
	}
	condition, err := twinquery.ParseCondition(def.QueryCondition)
	if err != nil {
		return nil, fmt.Errorf("queryCondition: %w", err)
	}
	doubts, warnings := doubtful(condition)
	if doubts == nil {
		return warnings, nil
	}
	_, err = d.ask(ctx, d.previewed(def)[0], selection(condition), 1)
	switch iothub.KindOf(err) {
	case iothub.None:
		return warnings, err
	case iothub.Rejected:
		return nil, job.Faults{{
			Field: "queryCondition", Value: doubts.Text, Rule: fmt.Sprintf("%s; and the hub refused it: %v", doubts, err),
		}}
	default:
		return append(warnings, fmt.Sprintf("queryCondition: only the hub can judge %q, and it could not be asked: %v", doubts.Text, err)), nil
	}
}

const maxWarnings = 5

// doubtful gives the first construct that only the hub can judge, nil when there is none, and a warning for each field that
// no device has.
func doubtful(c *twinquery.Condition) (*twinquery.Unknown, []string) {
	var first *twinquery.Unknown
	var warnings []string
	for i, u := range c.Unknown {
		switch {
		case u.Kind != twinquery.UnknownField:
			if first == nil {
				first = &c.Unknown[i]
			}
		case len(warnings) < maxWarnings:
			warnings = append(warnings, "queryCondition: "+u.String())
		}
	}
	return first, warnings
}

// Get gives a job with its run's state as it is now.
func (d *Dispatcher) Get(ctx context.Context, id string) (*job.Record, *job.Run, error) {
	rec, err := d.store.Job(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	run, err := d.runOf(ctx, rec)
	return rec, run, err
}

// runOf gives the run of a job, as the job tells it when the run has no rows yet or no more.
func (d *Dispatcher) runOf(ctx context.Context, rec *job.Record) (*job.Run, error) {
	if id := rec.LastRun(); id != "" {
		run, err := d.store.Run(ctx, id)
		if !errors.Is(err, job.ErrNotFound) {
			return run, err
		}
	}
	run := rec.NewRun()
	run.Status, run.EndReason, run.FailureReason = rec.Status, rec.EndReason, rec.FailureReason
	run.EndedAt, run.Pause = rec.EndedAt, rec.Pause
	return &run, nil
}

// Cancel ends a job: at once when it has not begun, else as soon as the calls in flight have ended. Cancelling a job that was
// cancelled already changes nothing; ErrEnded says that it ended otherwise.
func (d *Dispatcher) Cancel(ctx context.Context, id string, by job.Caller) (*job.Record, *job.Run, error) {
	for {
		rec, err := d.store.Job(ctx, id)
		if err != nil {
			return nil, nil, err
		}
		if rec.Series != nil {
			return d.cancelSeries(ctx, rec, by)
		}
		if rec.Active || rec.Status.Ended() {
			return d.cancelRun(ctx, rec, rec.RunID, by)
		}
		from := rec.Status
		rec.Status, rec.EndReason, rec.EndedAt, rec.Pause = job.StatusCancelled, job.EndCancelled, d.now(), nil
		d.owe(rec)
		cancelled := rec.Change(job.ActionCancelled, by, rec.EndedAt)
		cancelled.From, cancelled.To = from, rec.Status
		err = d.store.SaveJob(ctx, rec, from, cancelled)
		if errors.Is(err, job.ErrConflict) && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		d.tell(ctx, rec)
		run, err := d.runOf(ctx, rec)
		return rec, run, err
	}
}

// cancelRun cancels a run that has rows of its own. The entry of the audit trail is stored with the run, and reflect shows it.
func (d *Dispatcher) cancelRun(ctx context.Context, rec *job.Record, runID string, by job.Caller) (*job.Record, *job.Run, error) {
	if rec.EndReason == job.EndCancelled && !rec.Active {
		run, err := d.runOf(ctx, rec)
		return rec, run, err
	}
	run, err := d.change(ctx, runID, func(run *job.Run) (bool, error) {
		if run.EndReason == job.EndCancelled {
			return false, nil
		}
		if run.Status.Ended() || run.Status == job.StatusStopping {
			return false, ErrEnded
		}
		next := job.StatusStopping
		if run.StartedAt.IsZero() {
			next = job.StatusCancelled
		}
		cancelled := rec.Change(job.ActionCancelled, by, d.now())
		cancelled.From, cancelled.To = run.Status, next
		run.EndReason = job.EndCancelled
		run.Enter(cancelled)
		return true, run.Become(next, cancelled.At)
	})
	if err != nil {
		if errors.Is(err, job.ErrNotFound) && rec.Status.Ended() {
			err = ErrEnded
		}
		return nil, nil, err
	}
	if err := d.enterWhole(ctx, run); err != nil {
		return nil, nil, err
	}
	if run.Status == job.StatusStopping {
		if err := d.wake(ctx, run); err != nil {
			return nil, nil, err
		}
	}
	return rec, run, nil
}

// Delete forgets an ended job, with the deliveries that are pending, and has the rows of its run deleted.
func (d *Dispatcher) Delete(ctx context.Context, id string, by job.Caller) error {
	rec, err := d.forget(ctx, id, by)
	for errors.Is(err, job.ErrConflict) && ctx.Err() == nil { // the outcome of a delivery was stored meanwhile
		rec, err = d.forget(ctx, id, by)
	}
	if err != nil {
		return err
	}
	if err := d.send(ctx, message{Kind: kindPurge, Run: rec.RunID}, 0); err != nil {
		d.opts.Logger.WarnContext(ctx, "the job is deleted; the timer will sweep its rows", "job", id, "error", err)
	}
	return nil
}

func (d *Dispatcher) forget(ctx context.Context, id string, by job.Caller) (*job.Record, error) {
	rec, err := d.store.Job(ctx, id)
	if err != nil {
		return nil, err
	}
	if !rec.Status.Ended() {
		return nil, ErrNotEnded
	}
	deleted := rec.Change(job.ActionDeleted, by, d.now())
	deleted.From = rec.Status
	return rec, d.store.DeleteJob(ctx, rec, deleted.At, deleted)
}
