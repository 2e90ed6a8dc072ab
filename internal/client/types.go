package client

import (
	"encoding/json"
	"fmt"
	"time"
)

// Job is a job as the service shows it: IoT Hub's members and ours
// (https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-jobs).
type Job struct {
	ID             string `json:"jobId"`
	Type           string `json:"type"`   // scheduleDeviceMethod, scheduleUpdateTwin or scheduleSteps
	Status         string `json:"status"` // scheduled, running, blocked, paused, stopping, completed, failed, cancelled
	QueryCondition string `json:"queryCondition"`
	// DeviceIDCount is the length of the explicit list that took the place of QueryCondition, 0 when none did.
	DeviceIDCount int         `json:"deviceIdCount"`
	Method        *Method     `json:"cloudToDeviceMethod"`
	UpdateTwin    *TwinUpdate `json:"updateTwin"`
	// Steps are those of a job with steps, as the service sent them.
	Steps       []json.RawMessage `json:"steps"`
	CreatedTime time.Time         `json:"createdTime"`
	StartTime   time.Time         `json:"startTime"`   // when it is due
	StartedTime time.Time         `json:"startedTime"` // when it began, zero before
	EndTime     time.Time         `json:"endTime"`     // zero until the job has ended
	// MaxExecutionTimeInSeconds is 0 when the job has no limit.
	MaxExecutionTimeInSeconds int64      `json:"maxExecutionTimeInSeconds"`
	Statistics                Statistics `json:"deviceJobStatistics"`
	// ExecutionStatistics counts the devices by the state of their execution, more finely than Statistics.
	ExecutionStatistics map[string]int `json:"executionStatistics"`
	// Awaiting counts devices in progress by what they are waited for.
	Awaiting map[string]int `json:"awaiting"`
	// FailureReasons counts the devices that ended without success by the reason.
	FailureReasons map[string]int `json:"failureReasons"`
	FailureReason  string         `json:"failureReason"` // why the job itself failed, or how an abort criterion was met
	EndReason      string         `json:"endReason"`     // how it ended, such as finished, cancelled or aborted; "" before
	StatusMessage  string         `json:"statusMessage"` // what it waits for, in words
	Warnings       []string       `json:"warnings"`
	Selection      Selection      `json:"selection"`
	RolloutStatus  RolloutStatus  `json:"rolloutStatus"`
	HubRuns        []HubRun       `json:"hubRuns"`   // of a job with hubs that has begun
	Version        int            `json:"version"`   // grows with each edit
	CreatedBy      Principal      `json:"createdBy"` // zero when the service does not know
	// Recurrence is nil of a job without a schedule. Of others Statistics are those of the latest run.
	Recurrence *Recurrence `json:"recurrence"`

	// Raw is the JSON that the service sent.
	Raw json.RawMessage `json:"-"`
}

// Selection says how far the choice of a job's devices has come.
type Selection struct {
	State string `json:"state"` // pending, selecting, complete, stopped
	Mode  string `json:"mode"`  // continuous, "" of others
	// DeviceList is whose list of devices the run has, as the service sent it; nil of jobs whose runs do not share one.
	DeviceList json.RawMessage `json:"deviceList"`
}

// Statistics are the five counts of IoT Hub's jobs; the last four add up to DeviceCount, which grows while the job
// still selects its devices.
type Statistics struct {
	DeviceCount    int `json:"deviceCount"`
	PendingCount   int `json:"pendingCount"`
	RunningCount   int `json:"runningCount"`
	SucceededCount int `json:"succeededCount"`
	FailedCount    int `json:"failedCount"`
}

// UnmarshalJSON implements [json.Unmarshaler]; it keeps the text as Raw.
func (j *Job) UnmarshalJSON(text []byte) error {
	type plain Job
	if err := json.Unmarshal(text, (*plain)(j)); err != nil {
		return err
	}
	if j.ID == "" {
		return fmt.Errorf("a job without jobId")
	}
	j.Raw = append(json.RawMessage(nil), text...)
	return nil
}

// Ended reports whether the job never changes again.
func (j *Job) Ended() bool {
	return j.Status == "completed" || j.Status == "failed" || j.Status == "cancelled"
}

// AllSucceeded reports whether the job has completed and every device accepted.
func (j *Job) AllSucceeded() bool { return j.Status == "completed" && j.Statistics.FailedCount == 0 }

// Done is the number of devices that have ended, with or without success.
func (j *Job) Done() int { return j.Statistics.SucceededCount + j.Statistics.FailedCount }

// Execution is one device of a job.
type Execution struct {
	DeviceID     string          `json:"deviceId"`
	ModuleID     string          `json:"moduleId"` // of a job over modules, else ""
	Hub          string          `json:"hub"`      // of a job with hubs, else ""
	Status       string          `json:"status"`   // queued, inProgress, succeeded, failed, timedOut, rejected, canceled, removed
	Attempts     int             `json:"attempts"`
	StartTime    time.Time       `json:"startTime"` // of the last attempt
	EndTime      time.Time       `json:"endTime"`
	NextAttempt  time.Time       `json:"nextAttemptTime"` // zero unless it waits for one
	DeviceStatus int             `json:"deviceStatus"`    // that the device answered with, 0 without an answer
	Payload      json.RawMessage `json:"payload"`         // the device's answer
	PayloadText  string          `json:"payloadText"`     // the same, where it is not JSON or was cut
	Error        ExecutionError  `json:"error"`           // why it ended without success
	Substate     string          `json:"substate"`        // what a device in progress is waited for, else ""
	AwaitedUntil time.Time       `json:"awaitedUntil"`    // when the time for that ends
	Step         int             `json:"step"`            // that it is at or ended in, from the second on; else 0

	// Raw is the JSON that the service sent.
	Raw json.RawMessage `json:"-"`
}

// Target is the device's id, or "device/module".
func (e *Execution) Target() string {
	if e.ModuleID == "" {
		return e.DeviceID
	}
	return e.DeviceID + "/" + e.ModuleID
}

// UnmarshalJSON implements [json.Unmarshaler]; it keeps the text as Raw.
func (e *Execution) UnmarshalJSON(text []byte) error {
	type plain Execution
	if err := json.Unmarshal(text, (*plain)(e)); err != nil {
		return err
	}
	e.Raw = append(json.RawMessage(nil), text...)
	return nil
}

// ExecutionError says why a device ended without success.
type ExecutionError struct {
	Code    string `json:"code"` // one of a closed set, such as deviceOffline
	Message string `json:"message"`
}

// JobPage is one page of jobs, newest first. It may be short or empty and not be the last: Continuation asks for the
// next page, "" on the last.
type JobPage struct {
	Jobs         []Job  `json:"jobs"`
	Continuation string `json:"continuationToken"`
}

// ExecutionPage is one page of executions. It may be short or empty and not be the last: Continuation asks for the next page,
// "" on the last.
type ExecutionPage struct {
	Executions   []Execution `json:"executions"`
	Continuation string      `json:"continuationToken"`
}

// Preview is what a job would do, without creating it.
type Preview struct {
	DeviceCount    int      `json:"deviceCount"`
	FirstDeviceIDs []string `json:"firstDeviceIds"` // ten at most
	Warnings       []string `json:"warnings"`
	NextRuns

	// Raw is the JSON that the service sent.
	Raw json.RawMessage `json:"-"`
}

// UnmarshalJSON implements [json.Unmarshaler]; it keeps the text as Raw.
func (p *Preview) UnmarshalJSON(text []byte) error {
	type plain Preview
	if err := json.Unmarshal(text, (*plain)(p)); err != nil {
		return err
	}
	p.Raw = append(json.RawMessage(nil), text...)
	return nil
}
