package tablestore

import (
	"context"
	"fmt"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// rowFormer is was:<job id>.<nonce>:<edits>, what a recurring job was when it had been edited so often. The runs that began
// with it read it.
const rowFormer = "was:"

func formerRows(series string) string { return rowFormer + strings.TrimSuffix(series, ".0") + ":" }

func formerRow(series string, edits int) string {
	return formerRows(series) + fmt.Sprintf("%08d", edits)
}

// formers gives what a job was before its edits, each read once.
type formers struct {
	job  *job.Record
	read map[int]*job.Former
}

func newFormers(rec *job.Record) formers { return formers{rec, map[int]*job.Former{}} }

func (s *Store) former(ctx context.Context, of formers, edits int) (*job.Former, error) {
	if f := of.read[edits]; f != nil {
		return f, nil
	}
	e, _, err := s.jobs.get(ctx, s.hub, formerRow(of.job.RunID, edits))
	if err != nil {
		return nil, fmt.Errorf("reading version %d of job %s: %w", edits+1, of.job.JobID, err)
	}
	f := &job.Former{}
	if err := e.json("Data", f); err != nil {
		return nil, err
	}
	of.read[edits] = f
	return f, nil
}

// keepFormer adds the row of what a job was before the edit that is written.
func (s *Store) keepFormer(b *batch, rec *job.Record) error {
	if rec.Outdated == nil {
		return nil
	}
	e := s.row(formerRow(rec.RunID, rec.Edits-1))
	if err := e.putJSON("Data", rec.Outdated); err != nil {
		return err
	}
	b.put(e)
	return nil
}

// forgetFormers deletes what a job was, when it is gone with all its runs.
func (s *Store) forgetFormers(ctx context.Context, series string) error {
	for {
		b, n := newBatch(), 0
		prefix := formerRows(series)
		err := s.jobs.each(ctx, query{partition: s.hub, from: prefix, to: after(prefix), columns: "RowKey", max: MaxPerWrite},
			func(e entity) (bool, error) {
				b.remove(s.hub, e.row())
				n++
				return true, nil
			})
		if err != nil || n == 0 {
			return err
		}
		if _, err := s.jobs.apply(ctx, b); err != nil {
			return err
		}
	}
}
