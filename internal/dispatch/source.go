package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

// source gives a run's devices, or modules as job.TargetID names them, in stretches.
type source func(ctx context.Context, continuation string) (found, error)

// found are devices of a target.
type found struct {
	devices []string
	values  map[string][]byte // for the job's placeholders, by device; nil without
	next    string            // the continuation after them, "" after the last
}

// errTarget marks a target that can not be read and never will be.
var errTarget = errors.New("the target is not readable")

// target is what a run selects its devices from: that of its job at a hub, in parts if it has some.
type target struct {
	d     *Dispatcher
	hub   string
	run   string
	pool  *job.Pool // of the part in an order by chance
	rec   *job.Record
	parts []job.Part
	list  *job.DeviceList // nil unless runs of the job may share one
}

// source gives the devices of a part, and whether that takes queries of the hub.
func (t *target) source(part int) (source, bool, error) {
	var p job.Part
	if len(t.parts) > 0 {
		p = t.parts[part]
	}
	switch {
	case p.Shuffled:
		return t.shuffled()
	case p.DeviceIDs != nil:
		return t.listed(func(context.Context, string) (found, error) { return found{devices: p.DeviceIDs}, nil })
	case t.list.Reused():
		return t.listed(t.d.runSource(t.list))
	case t.rec.ListChunks > 0:
		return t.listed(t.d.listSource(t.rec))
	}
	condition, err := t.condition(p.Filter)
	if err != nil {
		return nil, false, err
	}
	return t.querySource(condition), true, nil
}

// condition is the job's, narrowed by a filter.
func (t *target) condition(filter string) (*twinquery.Condition, error) {
	condition, err := twinquery.ParseCondition(t.rec.QueryCondition)
	if err == nil {
		condition, err = condition.And(filter)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: job %s: queryCondition: %w", errTarget, t.rec.JobID, err)
	}
	return condition, nil
}

// after gives the place that follows on a part's page whose own continuation is next, and whether nothing does.
func (t *target) after(part int, next string) (place, bool) {
	switch {
	case next != "":
		return place{part, next}, false
	case part+1 < len(t.parts):
		return place{part: part + 1}, false
	}
	return place{}, true
}

// opensAt is when a part may be selected.
func (t *target) opensAt(part int) time.Time {
	if len(t.parts) == 0 {
		return time.Time{}
	}
	return t.parts[part].At
}

// querySource gives the devices that a condition matches.
func (t *target) querySource(condition *twinquery.Condition) source {
	return t.idSource(condition, t.rec.ParameterPaths())
}

// idSource is querySource with the values of paths.
func (t *target) idSource(condition *twinquery.Condition, paths []string) source {
	text := selection(condition, paths...)
	return func(ctx context.Context, continuation string) (found, error) {
		page, err := t.d.lane(t.hub).hub.QueryPage(ctx, text, continuation, job.ShardSize)
		if err != nil {
			return found{}, err
		}
		devices, err := targetIDs(page.Rows, condition.Source)
		if err != nil {
			return found{}, fmt.Errorf("%w: %w", errTarget, err)
		}
		values, err := valuesOf(devices, page.Rows, len(paths))
		return found{devices: devices, values: values, next: page.Continuation}, err
	}
}

// listSource reads the rows of an explicit target; the continuation is the number of the next row.
func (d *Dispatcher) listSource(rec *job.Record) source {
	return func(ctx context.Context, continuation string) (found, error) {
		n := 0
		if continuation != "" {
			var err error
			if n, err = strconv.Atoi(continuation); err != nil {
				return found{}, fmt.Errorf("run %s: continuation %q is not a number: %w", rec.RunID, continuation, err)
			}
		}
		devices, err := d.store.List(ctx, rec.ListID(), rec.ListFrom+n)
		if errors.Is(err, job.ErrNotFound) {
			err = fmt.Errorf("%w: %w", errTarget, err)
		}
		if err != nil || n+1 >= rec.ListChunks {
			return found{devices: devices}, err
		}
		return found{devices: devices, next: strconv.Itoa(n + 1)}, nil
	}
}

// selection gives the query for the ids of what a condition selects, and for what paths say of it.
func selection(c *twinquery.Condition, paths ...string) string {
	return c.Query(job.Projection(idsOf(c.Source), paths))
}

func idsOf(from twinquery.Source) string {
	if from == twinquery.Modules {
		return "deviceId, moduleId"
	}
	return "deviceId"
}

// targetIDs reads the rows of a selection. Some versions of the hub spell the key DeviceId.
func targetIDs(rows []json.RawMessage, from twinquery.Source) ([]string, error) {
	ids := make([]string, 0, len(rows))
	for _, raw := range rows {
		var row struct {
			DeviceID string `json:"deviceId"`
			ModuleID string `json:"moduleId"`
		}
		if err := json.Unmarshal(raw, &row); err != nil {
			return nil, fmt.Errorf("reading a row of the device query: %w", err)
		}
		id := row.DeviceID
		valid := job.DeviceID(id)
		if from == twinquery.Modules {
			id = row.DeviceID + "/" + row.ModuleID
			valid = job.Target(id)
		}
		if !valid {
			return nil, fmt.Errorf("reading a row of the device query: %q is not the id of a device or module", id)
		}
		ids = append(ids, id)
	}
	return ids, nil
}
