package job

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

// Edited holds the members of a definition that can be changed while the job waits or runs.
type Edited struct {
	MaxExecutionTimeInSeconds int64    `json:"maxExecutionTimeInSeconds,omitempty"`
	Rollout                   *Rollout `json:"rollout,omitempty"`
	Abort                     *Abort   `json:"abort,omitempty"`
	Priority                  int      `json:"priority,omitempty"`
	// MaintenanceWindow says when the run may work from now on.
	MaintenanceWindow *schedule.WindowSpec `json:"maintenanceWindow,omitempty"`
}

// editable gives the present members.
func (d *Definition) editable() Edited {
	return Edited{
		MaxExecutionTimeInSeconds: d.MaxExecutionTimeInSeconds, Rollout: d.Rollout, Abort: d.Abort, Priority: d.Priority,
		MaintenanceWindow: d.MaintenanceWindow,
	}
}

// put takes over edited members.
func (d *Definition) put(e Edited) {
	d.MaxExecutionTimeInSeconds, d.Rollout, d.Abort, d.MaintenanceWindow = e.MaxExecutionTimeInSeconds, e.Rollout, e.Abort, e.MaintenanceWindow
	d.Priority = e.Priority
}

// Edit gives d with what a merge patch (RFC 7396) of its editable members changes at now. The error, if any, is Faults.
func (d Definition) Edit(patch []byte, now time.Time) (Definition, error) {
	if err := checkText(patch); err != nil {
		return d, err
	}
	var faults Faults
	o := newObject("body", patch, &faults)
	if o == nil {
		return d, faults
	}
	o.onlyEditable("maxExecutionTimeInSeconds", "rollout", "abort", "maintenanceWindow", "priority")
	if len(o.members) == 0 {
		o.fault("", patch, "must have at least one of maxExecutionTimeInSeconds, rollout, abort, maintenanceWindow and priority")
	}
	if len(faults) > 0 {
		return d, faults
	}
	before, err := json.Marshal(d.editable())
	if err != nil {
		return d, fmt.Errorf("editing a definition: %w", err)
	}
	m := newObject("body", mergePatch(before, patch), &faults)
	if m == nil {
		return d, faults
	}
	next := Edited{
		MaxExecutionTimeInSeconds: m.integer("maxExecutionTimeInSeconds", 0, 1, MaxExecutionSecs),
		Rollout:                   m.rollout(),
		Abort:                     m.abort(),
		Priority:                  m.priority(),
		MaintenanceWindow:         m.window(now),
	}
	if !reflect.DeepEqual(next.MaintenanceWindow, d.MaintenanceWindow) && (localWindow(d.MaintenanceWindow) || localWindow(next.MaintenanceWindow)) {
		m.fault("maintenanceWindow", nil, "cannot be edited where it is at each device's local time")
	}
	if next.MaxExecutionTimeInSeconds == 0 && d.MaxExecutionTimeInSeconds > 0 && d.Retry != nil {
		m.fault("maxExecutionTimeInSeconds", nil, "must stay: the job's retries end with it")
	}
	if next.MaxExecutionTimeInSeconds == 0 && d.Selection == SelectContinuous && !d.Endless {
		m.fault("maxExecutionTimeInSeconds", nil, "must stay: a continuous job ends with it")
	}
	m.sameBatches(d.Rollout, next.Rollout)
	if len(faults) > 0 {
		return d, faults
	}
	d.put(next)
	return d, nil
}

// onlyEditable refuses members that cannot be edited, and says so of those that a job has.
func (o *object) onlyEditable(names ...string) {
	known := slices.Clone(names)
	for _, name := range slices.Sorted(maps.Keys(o.members)) {
		if !slices.Contains(names, name) && slices.Contains(definitionMembers(), name) {
			o.fault(name, o.members[name], "can be edited of a recurring job only; of this one "+strings.Join(names, ", ")+" can")
			known = append(known, name)
		}
	}
	o.only(known...)
}

// sameBatches refuses edits that would move devices between batches, or go round an approval.
func (o *object) sameBatches(before, after *Rollout) {
	if (before == nil) != (after == nil) {
		o.fault("rollout", nil, "can neither be added nor be taken away")
	}
	if before == nil || after == nil {
		return
	}
	same := slices.EqualFunc(before.Batches, after.Batches, func(a, b BatchPolicy) bool {
		approval := a.Gate != nil && a.Gate.Approval
		return a.sameDevices(&b) && (!approval || b.Gate != nil && b.Gate.Approval)
	})
	if !same {
		o.fault("rollout.batches", nil, "must have the same devices and no fewer approvals: only thresholds and times can be edited")
	}
	if before.Order != after.Order || before.OrderBy != after.OrderBy || before.SpreadBy != after.SpreadBy || before.MaxPerValue != after.MaxPerValue {
		o.fault("rollout", nil, "keeps its order, orderBy, spreadBy and maxConcurrencyPerValue: they cannot be edited")
	}
}

// mergePatch applies a merge patch (RFC 7396). Both texts are valid JSON.
func mergePatch(target, patch json.RawMessage) json.RawMessage {
	var changes map[string]json.RawMessage
	if err := json.Unmarshal(patch, &changes); err != nil || changes == nil {
		return patch // no object: it takes the place
	}
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(target, &members); err != nil || members == nil {
		members = map[string]json.RawMessage{}
	}
	for name, change := range changes {
		if isNull(change) {
			delete(members, name)
			continue
		}
		members[name] = mergePatch(members[name], change)
	}
	merged, err := json.Marshal(members)
	if err != nil {
		return patch // cannot be: its parts are valid
	}
	return merged
}

func localWindow(w *schedule.WindowSpec) bool { return w != nil && w.TimeZone == schedule.DeviceZone }

// TakeOver has the run go on by an edited definition.
func (r *Run) TakeOver(d *Definition) {
	e := d.editable()
	if r.Rollout != nil && e.Rollout != nil {
		r.Rollout.Policy = *e.Rollout.Clone()
	}
	r.Failure = d.FailurePolicy.orNil()
	r.countOutcomes()
	if r.Priority != e.Priority {
		r.Priority = cmp.Or(e.Priority, DefaultPriority) // in words: a ledger takes 0 for what it was
	}
	if !r.StartedAt.IsZero() {
		r.Deadline = time.Time{}
		if e.MaxExecutionTimeInSeconds > 0 {
			r.Deadline = r.Since().Add(time.Duration(e.MaxExecutionTimeInSeconds) * time.Second)
		}
	}
	r.Edits++
	r.Edited = &e
}

// NewWindow has the next supervision find out whether the maintenance window, which was edited, is open. Until then no call begins.
func (r *Run) NewWindow() {
	switch {
	case r.StartedAt.IsZero():
	case r.Pause != nil && !r.Pause.Until.IsZero():
		r.Pause.Until = r.StartedAt
	default:
		r.OpenUntil = r.StartedAt
	}
}

// Version is that of what can be edited, as the job and its run, nil for none, know it: 1, and one more for each edit.
func (r *Record) Version(run *Run) int {
	if run == nil {
		return 1 + r.Edits
	}
	return 1 + max(r.Edits, run.Edits)
}

// Latest gives the job's definition with what was edited in its run.
func (r *Record) Latest(run *Run) Definition {
	d := r.Definition
	if run != nil && run.Edited != nil && run.Edits > r.Edits {
		d.put(*run.Edited)
	}
	return d
}
