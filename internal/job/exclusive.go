package job

import "time"

// Held lets an execution that waits to be called wait until a time, because another exclusive run works on its device. What
// its last attempt came to stays, if there was one.
func (e *Execution) Held(until time.Time) {
	if e.State != Queued {
		return
	}
	e.NextAttemptAt = until.Truncate(time.Millisecond)
	if e.Attempts == 0 {
		e.Reason = DeviceHeld
	}
}

// Reach notes that a call may have reached the device, which from then on is the run's until the execution ends, if the run is exclusive.
func (e *Execution) Reach() { e.Reached = !e.State.Final() }

// Keeps reports whether an exclusive run keeps others from calling the device.
func (e *Execution) Keeps() bool { return e.Reached && !e.State.Final() }

// Unknown reports whether e, which a worker might have called from a time on, may have been called without anything being stored of it:
// unless it has ended, or waits for its next attempt after one that began later than that.
func (e *Execution) Unknown(since time.Time) bool {
	return !e.State.Final() && (!e.Waiting() || e.StartedAt.Before(since.Truncate(time.Millisecond)))
}
