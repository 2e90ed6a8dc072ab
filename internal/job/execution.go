package job

import (
	"encoding/json"
	"time"
)

// AnswerLimit is how many bytes of a device's answer, or of an error's text, are kept. Longer ones are cut and marked.
const AnswerLimit = 4096

// ShardSize is how many executions a shard holds at most: a page of IoT Hub's query language, which ends at 100 rows
// (https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-query-language).
const ShardSize = 100

// Execution is one device or module in one run. Times are whole milliseconds.
type Execution struct {
	// DeviceID is the id of the device, or of a module as TargetID gives it.
	DeviceID string
	State    ExecutionState
	Reason   Reason
	// Attempts counts calls that may have reached the device. A throttled call is none.
	Attempts int
	// StartedAt is the start of the last attempt, also of one that Undo took back unless it was the first; zero before the
	// first. EndedAt is zero until the state is final.
	StartedAt, EndedAt time.Time
	// NextAttemptAt is when an execution that waits, for a retry or by the job's jitter, is called, or one that is Awaiting looked after;
	// zero of others.
	NextAttemptAt time.Time
	// StatusCode is the status that the device answered with, 0 without an answer.
	StatusCode int
	// Answer is the payload of the device's answer, JSON, or the text of the error, cut at AnswerLimit.
	Answer []byte
	// Truncated says that Answer was cut.
	Truncated bool
	// Reached says that a call may have reached the device, until the state is final. Of runs that are not exclusive, which nobody asks, it
	// says so only where a worker died.
	Reached bool
	// Values are what the hub said of the device when it was selected, for the job's placeholders, as ReadValues gives them; nil
	// without placeholders, and once the state is final.
	Values []byte
	// Progress is nil of jobs with one call for each device, and before the first step has come to something.
	Progress *Progress
}

// Outcome is the end of one attempt.
type Outcome struct {
	State      ExecutionState
	Reason     Reason
	StatusCode int
	Answer     []byte
}

// Begin starts an attempt of a queued execution at now.
func (e *Execution) Begin(now time.Time) {
	if !e.State.CanBecome(InProgress) {
		return
	}
	e.State = InProgress
	e.Attempts++
	e.StartedAt, e.NextAttemptAt = now, time.Time{}
}

// Undo takes an attempt back that never reached the device: the execution is queued as before.
func (e *Execution) Undo() {
	if !e.State.CanBecome(Queued) || e.Awaiting() {
		return
	}
	e.State = Queued
	if e.Attempts = max(e.Attempts-1, 0); e.Attempts == 0 {
		e.StartedAt = time.Time{}
	}
}

// Requeue makes an interrupted attempt wait for the next one. The attempt counts: the device may have been called.
func (e *Execution) Requeue() {
	if e.State.CanBecome(Queued) && !e.Awaiting() {
		e.State = Queued
	}
}

// End stores the outcome, whose state is a final one, at now. An execution in a final state stays as it is.
func (e *Execution) End(o Outcome, now time.Time) {
	if !o.State.Final() || !e.State.CanBecome(o.State) {
		return
	}
	e.rest()
	e.State, e.Reason, e.StatusCode, e.EndedAt = o.State, o.Reason, o.StatusCode, now
	e.NextAttemptAt, e.Values, e.Reached = time.Time{}, nil, false
	e.Answer, e.Truncated = cutAt(o.Answer, AnswerLimit)
}

// Payload gives the device's answer as JSON, or nil when there is none or it was cut.
func (e *Execution) Payload() json.RawMessage {
	if e.Truncated || !e.answered() || !json.Valid(e.Answer) {
		return nil
	}
	return json.RawMessage(e.Answer)
}

// ErrorText gives the text of the error, "" when the device answered.
func (e *Execution) ErrorText() string {
	if e.answered() {
		return ""
	}
	return string(e.Answer)
}

func (e *Execution) answered() bool {
	return e.Reason == NoReason || e.Reason == DeviceError || e.Reason == DeviceRejected
}
