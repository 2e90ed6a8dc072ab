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
