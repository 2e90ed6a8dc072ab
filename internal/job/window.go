package job

import (
	"fmt"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

// window reads when runs may work, nil when they always may.
func (o *object) window(now time.Time) *schedule.WindowSpec {
	const name = "maintenanceWindow"
	if !o.has(name) {
		return nil
	}
	spec, faults := schedule.DecodeWindow(o.field(name), o.members[name])
	if len(faults) == 0 {
		faults = unservedWindow(o.field(name), spec, now)
	}
	for _, f := range faults {
		o.faults.add(f.Field, f.Value, f.Rule)
	}
	return &spec
}

func unservedWindow(field string, spec schedule.WindowSpec, now time.Time) schedule.Faults {
	w, err := spec.Compile()
	if err != nil {
		return schedule.Faults{{Field: field, Rule: err.Error()}}
	}
	if _, ok := w.NextOpen(now); !ok {
		return schedule.Faults{{Field: field, Rule: "is never open from now on"}}
	}
	return nil
}

// Opening tells whether a run may begin, or go on, at now, and until when; else when the maintenance window opens next, zero for
// never. until is also zero where nothing closes for the run as a whole: without a window, with endBehavior finish for a run that
// begins at now, and where each device has the window at its own local time.
func (d Definition) Opening(now time.Time) (open bool, until time.Time, err error) {
	if d.MaintenanceWindow == nil {
		return true, time.Time{}, nil
	}
	w, err := d.MaintenanceWindow.Compile()
	if err != nil {
		return false, time.Time{}, fmt.Errorf("compiling the maintenance window of job %s: %w", d.JobID, err)
	}
	if open, until := w.Open(now); open {
		if w.End() == schedule.Finish || w.DeviceLocal() {
			until = time.Time{}
		}
		return true, until, nil
	}
	next, _ := w.NextOpen(now)
	return false, next.From, nil
}

// WindowClosed reports whether the run's maintenance window has closed at now.
func (r *Run) WindowClosed(now time.Time) bool {
	return !r.OpenUntil.IsZero() && !now.Before(r.OpenUntil)
}

// Reopens reports whether the run rests until a window opens that is open at now.
func (r *Run) Reopens(now time.Time) bool {
	return r.Pause != nil && !r.Pause.Until.IsZero() && !now.Before(r.Pause.Until)
}

// Reopen lets a run that waits for its window go on until it closes. Unlike after a person's Resume, abort criteria count on.
func (r *Run) Reopen(now, until time.Time) error {
	forgiven := r.Forgiven
	r.OpenUntil = until
	err := r.Resume(now)
	r.Forgiven = forgiven
	return err
}
