package dispatch

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

// Preview says what a job would target.
type Preview struct {
	DeviceCount int
	FirstIDs    []string
	Hubs        []HubPreview // of a job with hubs
	Warnings    []string
}

// HubPreview is what a job would target at one hub.
type HubPreview struct {
	Hub         string
	DeviceCount int
}

const previewIDs = 10

// Preview counts the devices that def targets and gives the first ten, without storing anything.
func (d *Dispatcher) Preview(ctx context.Context, def job.Definition) (Preview, error) {
	if err := d.checkCallback(def); err != nil {
		return Preview{}, err
	}
	if faults := def.Hubs.Check(d.Hubs()); len(faults) > 0 {
		return Preview{}, faults
	}
	if def.QueryCondition == "" {
		return Preview{DeviceCount: len(def.DeviceIDs), FirstIDs: def.DeviceIDs[:min(previewIDs, len(def.DeviceIDs))]}, nil
	}
	warnings, err := d.CheckTarget(ctx, def)
	if err != nil {
		return Preview{}, err
	}
	condition, err := twinquery.ParseCondition(def.QueryCondition)
	if err != nil {
		return Preview{}, fmt.Errorf("queryCondition: %w", err)
	}
	p := Preview{Warnings: warnings}
	for _, hub := range d.previewed(def) {
		count, err := d.previewAt(ctx, hub, condition, &p)
		if err != nil {
			return Preview{}, err
		}
		p.DeviceCount += count
		if def.Hubs != nil {
			p.Hubs = append(p.Hubs, HubPreview{hub, count})
		}
	}
	return p, nil
}

// previewed gives the hubs at which a job would work, "" for the default one of a job that names none.
func (d *Dispatcher) previewed(def job.Definition) []string {
	if def.Hubs == nil {
		return []string{""}
	}
	return def.Hubs.Among(d.Hubs())
}

// previewAt counts the devices at one hub, and adds the first of them to p.
func (d *Dispatcher) previewAt(ctx context.Context, hub string, condition *twinquery.Condition, p *Preview) (int, error) {
	count, err := d.ask(ctx, hub, condition.Query("COUNT() AS numberOfDevices"), 1)
	if err != nil {
		return 0, fmt.Errorf("counting the target: %w", err)
	}
	if most := previewIDs - len(p.FirstIDs); most > 0 {
		first, err := d.ask(ctx, hub, selection(condition), most)
		if err != nil {
			return 0, fmt.Errorf("selecting the first devices of the target: %w", err)
		}
		ids, err := targetIDs(first.Rows[:min(most, len(first.Rows))], condition.Source)
		if err != nil {
			return 0, err
		}
		p.FirstIDs = append(p.FirstIDs, ids...)
	}
	if len(count.Rows) == 0 {
		return 0, nil
	}
	var row struct{ NumberOfDevices int }
	if err := json.Unmarshal(count.Rows[0], &row); err != nil {
		return 0, fmt.Errorf("reading the count of the target: %w", err)
	}
	return row.NumberOfDevices, nil
}
