package job

import "slices"

import "fmt"

// ExecutionState says how far one device has come in one run.
type ExecutionState uint8

// The states of an execution. The names are those of the API and of docs/states.md.
const (
	Queued     ExecutionState = iota // not called yet, or to be called again
	InProgress                       // a call is on its way, or the device is waited for, as the reason says
	Succeeded                        // the device, or the hub for a twin update, accepted
	Failed                           // ended without success; Reason says why
	TimedOut                         // the device did not answer in time, or its run ended before it was called
	Rejected                         // the device refused the operation
	Canceled                         // the job was cancelled, by a person or an abort criterion, before the device was called
	Removed                          // the device left the target while it waited to be called, or called again
	InDoubt                          // called, or about to be, by a worker that died; not called again (deliveryGuarantee atMostOnce)
	executionStates
)

var executionStateNames = [executionStates]string{
	"queued", "inProgress", "succeeded", "failed", "timedOut", "rejected", "canceled", "removed", "inDoubt",
}

// String gives the API's word for s.
func (s ExecutionState) String() string {
	if s < executionStates {
		return executionStateNames[s]
	}
	return fmt.Sprintf("executionState(%d)", uint8(s))
}

// ExecutionStates lists all states in their API order.
func ExecutionStates() []ExecutionState {
	all := make([]ExecutionState, executionStates)
	for i := range all {
		all[i] = ExecutionState(i)
	}
	return all
}

// ParseExecutionState is the inverse of String.
func ParseExecutionState(name string) (ExecutionState, bool) {
	for i, n := range executionStateNames {
		if n == name {
			return ExecutionState(i), true
		}
	}
	return 0, false
}

// Known reports whether s is one of the states.
func (s ExecutionState) Known() bool { return s < executionStates }

// Final reports whether an execution never leaves s.
func (s ExecutionState) Final() bool { return s != Queued && s != InProgress }

// executionTransitions is the one table of what may follow what; docs/states.md shows it.
var executionTransitions = [executionStates][]ExecutionState{
	Queued:     {InProgress, Failed, TimedOut, Canceled, Removed},
	InProgress: {Queued, Succeeded, Failed, TimedOut, Rejected, Canceled, InDoubt},
}

// CanBecome reports whether an execution in s may go to next. Staying is not a transition.
func (s ExecutionState) CanBecome(next ExecutionState) bool {
	if s >= executionStates {
		return false
	}
	return slices.Contains(executionTransitions[s], next)
}

// Status is the state of a run and, since a job has one run at a time, of its job. The words are those of IoT Hub's own
// jobs (https://learn.microsoft.com/rest/api/iothub/service/jobs), plus blocked, paused and stopping, which IoT Hub does not have.
type Status string

// The states of a run.
const (
	StatusScheduled Status = "scheduled" // waits for its start time
	StatusRunning   Status = "running"   // selects and calls devices
	StatusBlocked   Status = "blocked"   // the hub refuses or cannot be reached; goes on by itself when it is back
	StatusPaused    Status = "paused"    // no new call starts until somebody resumes it; its time limit goes on
	StatusStopping  Status = "stopping"  // about to end: no new call starts, calls in flight are waited for
	StatusCompleted Status = "completed" // every device ended, or the time limit passed
	StatusFailed    Status = "failed"    // the run could not be carried out as asked; FailureReason says why
	StatusCancelled Status = "cancelled" // ended early, by a person or an abort criterion; EndReason tells which
)

// Statuses lists all run states, in the order of a run's life.
func Statuses() []Status {
	return []Status{
		StatusScheduled, StatusRunning, StatusBlocked, StatusPaused, StatusStopping, StatusCompleted, StatusFailed, StatusCancelled,
	}
}

// Ended reports whether a run never leaves s.
func (s Status) Ended() bool {
	return s == StatusCompleted || s == StatusFailed || s == StatusCancelled
}

// runTransitions is the one table of a run's life; docs/states.md shows it.
var runTransitions = map[Status][]Status{
	StatusScheduled: {StatusRunning, StatusPaused, StatusCancelled},
	StatusRunning:   {StatusBlocked, StatusPaused, StatusStopping, StatusCompleted},
	StatusBlocked:   {StatusRunning, StatusPaused, StatusStopping},
	StatusPaused:    {StatusScheduled, StatusRunning, StatusStopping, StatusCancelled},
	StatusStopping:  {StatusCancelled, StatusCompleted, StatusFailed},
}

// CanBecome reports whether a run in s may go to next.
func (s Status) CanBecome(next Status) bool {
	return slices.Contains(runTransitions[s], next)
}

// seriesTransitions is the one table of a recurring job, whose runs follow runTransitions; docs/states.md shows it.
var seriesTransitions = map[Status][]Status{
	StatusScheduled: {StatusRunning, StatusPaused, StatusCompleted, StatusCancelled},
	StatusRunning:   {StatusScheduled, StatusPaused, StatusStopping, StatusCompleted},
	StatusPaused:    {StatusScheduled, StatusRunning, StatusCompleted, StatusCancelled},
	StatusStopping:  {StatusCancelled},
}

// CanRecur reports whether a recurring job in s may go to next.
func (s Status) CanRecur(next Status) bool {
	return slices.Contains(seriesTransitions[s], next)
}

// Reason says why an execution ended without success, or what one in progress waits for. It is a closed set, so that counts by reason stay small.
type Reason uint8

// The reasons.
const (
	NoReason             Reason = iota
	DeviceOffline               // the device was not connected within the connect timeout (IoT Hub 404103)
	DeviceNotFound              // the hub does not know the device, or it is disabled (404001)
	DeviceNoAnswer              // the device did not answer within the response timeout (504101); it may have executed
	DeviceError                 // the device's answer is no success: a status outside 200-299, or as the job's succeedOn says
	UnreadableAnswer            // the device's answer was not JSON (502101); it has executed
	RequestRejected             // the hub refused the request itself (400, 413)
	HubError                    // the hub failed again and again (5xx); the device may have executed
	ConnectionLost              // the connection broke again and again after the request was sent; the device may have executed
	NotStarted                  // the run ended by its time limit before the device was called
	JobCanceled                 // the job was cancelled before the device was called
	Abandoned                   // the workers that called it died too often; the device may have executed
	JobAborted                  // an abort criterion of the job was met before the device was called
	DeviceRejected              // the device answered as the job's rejectOn says
	StartTimedOut               // the device was not called within the job's timeout.notStarted
	ProgressTimedOut            // the call took longer than the job's timeout.inProgress; the device may have executed
	OutcomeUnknown              // the worker that called it died; the device may have executed and is not called again
	ExecutionCanceled           // a person cancelled this device's execution before it was called, or called again
	MissingParameter            // the device's twin has no value for a placeholder of the job; the device was not called
	InvalidParameter            // with the device's values the payload or patch breaks a limit; the device was not called
	AwaitingConfirmation        // in progress: the hub has the desired properties, and the device has not reported them yet
	AwaitingProperty            // in progress: the device has not reported yet what the step waits for
	NotConfirmed                // the device did not report the desired properties within the time of confirm
	WaitTimedOut                // the device did not report within its time what the step waits for
	StepsUnfinished             // the run ended by its time limit between two steps of the device
	LeftTarget                  // a continuous job's query lists the device no more; it was not called, or not called again
	DeviceHeld                  // waits: another exclusive run works on the device
	NoTimeZone                  // the device's twin names no time zone, and the job no default; the device was not called
	InvalidTimeZone             // the device's twin names something that is no time zone; the device was not called
	LocalTimeMissed             // the run began later than catchupWindow after the device's local time; the device was not called
	WindowClosed                // the maintenance window at the device's local time has closed, or comes no more; the device was not called again
	reasons
)

var reasonNames = [reasons]string{
	"", "deviceOffline", "deviceNotFound", "deviceNoAnswer", "deviceError", "unreadableAnswer", "requestRejected",
	"hubError", "connectionLost", "notStarted", "jobCanceled", "abandoned", "jobAborted",
	"deviceRejected", "startTimedOut", "progressTimedOut", "outcomeUnknown", "executionCanceled",
	"missingParameter", "invalidParameter",
	"awaitingConfirmation", "awaitingProperty", "notConfirmed", "waitTimedOut", "stepsUnfinished", "leftTarget", "deviceHeld",
	"noTimeZone", "invalidTimeZone", "localTimeMissed", "windowClosed",
}

// String gives the API's word for r; NoReason is "".
func (r Reason) String() string {
	if r < reasons {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}

// Known reports whether r is one of the reasons.
func (r Reason) Known() bool { return r < reasons }

// Reasons lists all reasons but NoReason.
func Reasons() []Reason {
	all := make([]Reason, 0, reasons-1)
	for r := NoReason + 1; r < reasons; r++ {
		all = append(all, r)
	}
	return all
}
