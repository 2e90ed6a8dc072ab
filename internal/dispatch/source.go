package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

// source gives a run's devices, or modules as job.TargetID names them, in stretches. next is the continuation after them, "" after the last.
type source func(ctx context.Context, continuation string) (devices []string, next string, err error)

// errTarget marks a target that can not be read and never will be.
var errTarget = errors.New("the target is not readable")

// source gives the devices that a job names or its condition matches at a hub.
func (d *Dispatcher) source(rec *job.Record, hub string) (source, error) {
	if rec.ListChunks > 0 {
		return d.listSource(rec), nil
	}
	condition, err := twinquery.ParseCondition(rec.QueryCondition)
	if err != nil {
		return nil, fmt.Errorf("%w: job %s: queryCondition: %w", errTarget, rec.JobID, err)
	}
	text := selection(condition)
	return func(ctx context.Context, continuation string) ([]string, string, error) {
		page, err := d.lane(hub).hub.QueryPage(ctx, text, continuation, job.ShardSize)
		if err != nil {
			return nil, "", err
		}
		devices, err := targetIDs(page.Rows, condition.Source)
		if err != nil {
			return nil, "", fmt.Errorf("%w: %w", errTarget, err)
		}
		return devices, page.Continuation, nil
	}, nil
}

// listSource reads the rows of an explicit target; the continuation is the number of the next row.
func (d *Dispatcher) listSource(rec *job.Record) source {
	return func(ctx context.Context, continuation string) ([]string, string, error) {
		n := 0
		if continuation != "" {
			var err error
			if n, err = strconv.Atoi(continuation); err != nil {
				return nil, "", fmt.Errorf("run %s: continuation %q is not a number: %w", rec.RunID, continuation, err)
			}
		}
		devices, err := d.store.List(ctx, rec.ListID(), n)
		if errors.Is(err, job.ErrNotFound) {
			err = fmt.Errorf("%w: %w", errTarget, err)
		}
		if err != nil || n+1 >= rec.ListChunks {
			return devices, "", err
		}
		return devices, strconv.Itoa(n + 1), nil
	}
}

// selection gives the query for the ids of what a condition selects.
func selection(c *twinquery.Condition) string {
	if c.Source == twinquery.Modules {
		return c.Query("deviceId, moduleId")
	}
	return c.Query("deviceId")
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
