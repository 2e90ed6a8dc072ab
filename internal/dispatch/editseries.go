package dispatch

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// listNumbers is from how many numbers that of a new list's first row is chosen: rows of a list that a run still reads, or that
// somebody else stores at the same moment, are never met.
const listNumbers = 1 << 30

// editSeries changes a recurring job: runs that begin from now on keep to it.
func (d *Dispatcher) editSeries(ctx context.Context, rec *job.Record, e Edit, by job.Caller) (*job.Record, *job.Run, error) {
	for {
		if e.Version != AnyVersion && e.Version != rec.Version(nil) {
			return nil, nil, ErrEdited
		}
		edit, err := d.prepare(ctx, rec, e.Patch)
		if err != nil {
			return nil, nil, err
		}
		rec, err = d.step(ctx, rec, func(rec *job.Record, now time.Time) ([]job.Change, error) {
			if rec.Status.Ended() || rec.EndReason != "" {
				return nil, ErrEnded
			}
			change := rec.Change(job.ActionEdited, by, now)
			change.From, change.Note = rec.Status, edit.Note()
			edited, err := rec.EditSeries(edit, by.Principal, now)
			if err == nil && !edited {
				err = ErrEdited
			}
			change.To = rec.Status
			return []job.Change{change}, err
		})
		if errors.Is(err, ErrEdited) && e.Version == AnyVersion && ctx.Err() == nil {
			if rec, err = d.same(ctx, rec); err == nil {
				continue
			}
		}
		if err != nil {
			return nil, nil, err
		}
		run, err := d.runOf(ctx, rec)
		return rec, run, err
	}
}

// prepare decodes an edit, has the hub look at a new target, and stores a new list: nobody reads it before the edit is stored,
// and it goes with the job.
func (d *Dispatcher) prepare(ctx context.Context, rec *job.Record, patch []byte) (job.SeriesEdit, error) {
	edit, err := rec.DecodeSeriesEdit(patch, d.now())
	if err != nil {
		return edit, err
	}
	if err := d.checkCallback(edit.Next); err != nil {
		return edit, err
	}
	if faults := edit.Next.Hubs.Check(d.Hubs()); len(faults) > 0 {
		return edit, faults
	}
	if !edit.Targets() {
		return edit, nil
	}
	if edit.Warnings, err = d.CheckTarget(ctx, edit.Next); err != nil || len(edit.Next.DeviceIDs) == 0 {
		return edit, err
	}
	edit.ListFrom, edit.DeviceCount = 1+rand.IntN(listNumbers), len(edit.Next.DeviceIDs)
	edit.ListChunks, err = d.putList(ctx, rec.RunID, edit.ListFrom, edit.Next.DeviceIDs)
	return edit, err
}
