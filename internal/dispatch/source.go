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

// source gives a run's devices in stretches. next is the continuation after them, "" after the last.
type source func(ctx context.Context, continuation string) (devices []string, next string, err error)

// errTarget marks a target that can not be read and never will be.
var errTarget = errors.New("the target is not readable")

// source gives the devices that a job names or its condition matches.
func (d *Dispatcher) source(rec *job.Record) (source, error) {
	if rec.ListChunks > 0 {
		return d.listSource(rec), nil
	}
	condition, err := twinquery.ParseCondition(rec.QueryCondition)
	if err != nil {
		return nil, fmt.Errorf("%w: job %s: queryCondition: %w", errTarget, rec.JobID, err)
	}
	text := condition.Query("deviceId")
	return func(ctx context.Context, continuation string) ([]string, string, error) {
		page, err := d.hub.QueryPage(ctx, text, continuation, job.ShardSize)
		if err != nil {
			return nil, "", err
		}
		devices, err := deviceIDs(page.Rows)
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

// deviceIDs reads the rows of SELECT deviceId. Some versions of the hub spell the key DeviceId.
func deviceIDs(rows []json.RawMessage) ([]string, error) {
	ids := make([]string, 0, len(rows))
	for _, raw := range rows {
		var row struct {
			DeviceID string `json:"deviceId"`
		}
		if err := json.Unmarshal(raw, &row); err != nil {
			return nil, fmt.Errorf("reading a row of the device query: %w", err)
		}
		if !job.DeviceID(row.DeviceID) {
			return nil, fmt.Errorf("reading a row of the device query: %q is not a device id", row.DeviceID)
		}
		ids = append(ids, row.DeviceID)
	}
	return ids, nil
}
