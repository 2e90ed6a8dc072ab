package dispatch

import (
	"context"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// Copy creates a job like that of rec, whose run is run, with other members as c says.
func (d *Dispatcher) Copy(ctx context.Context, rec *job.Record, run *job.Run, c job.Copy, by job.Caller) (*job.Record, error) {
	def, err := c.Definition(rec, run, func() ([]string, error) { return d.list(ctx, rec) }, d.now())
	if err != nil {
		return nil, err
	}
	return d.Create(ctx, def, c.Key, by)
}

// list reads the explicit target of a job.
func (d *Dispatcher) list(ctx context.Context, rec *job.Record) ([]string, error) {
	var ids []string
	for n := range rec.ListChunks {
		part, err := d.store.List(ctx, rec.ListID(), rec.ListFrom+n)
		if err != nil {
			return nil, err
		}
		ids = append(ids, part...)
	}
	return ids, nil
}
