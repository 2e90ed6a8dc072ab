package job

import (
	"time"

	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

// Timeout bounds how long an execution may take; 0 is no bound.
type Timeout struct {
	// NotStarted is the time from the start of the run within which a device must be called first.
	NotStarted schedule.Duration `json:"notStarted,omitempty"`
	// InProgress is how long one call may take.
	InProgress schedule.Duration `json:"inProgress,omitempty"`
}

// CallsBy is until when devices must be called first, zero without a bound.
func (r *Run) CallsBy() time.Time {
	if r.Failure == nil || r.Failure.Timeout == nil || r.Failure.Timeout.NotStarted == 0 {
		return time.Time{}
	}
	return r.Since().Add(time.Duration(r.Failure.Timeout.NotStarted))
}

// TooLate reports whether devices that were not called yet must not be called any more at now.
func (r *Run) TooLate(now time.Time) bool {
	by := r.CallsBy()
	return !by.IsZero() && !now.Before(by)
}

// EndUncalled ends executions that were never called.
func (s *Shard) EndUncalled(now time.Time) {
	for i := range s.Executions {
		s.Executions[i].EndUncalled(now)
	}
}

// EndUncalled ends e if it was never called, because it is too late for that, and reports whether it has.
func (e *Execution) EndUncalled(now time.Time) bool {
	if e.State != Queued || e.Attempts > 0 {
		return false
	}
	e.End(Outcome{State: TimedOut, Reason: StartTimedOut}, now)
	return true
}

// timeout reads the member of the same name.
func (o *object) timeout() *Timeout {
	t := o.nested("timeout")
	if t == nil {
		return nil
	}
	t.only("notStarted", "inProgress")
	if !t.has("notStarted") && !t.has("inProgress") {
		o.fault("timeout", o.members["timeout"], "must have notStarted, inProgress, or both")
	}
	return &Timeout{
		NotStarted: t.durationOr("notStarted", 0, MaxNotStarted), InProgress: t.durationOr("inProgress", 0, MaxInProgress),
	}
}
