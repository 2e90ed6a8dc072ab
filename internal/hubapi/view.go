package hubapi

import (
	"fmt"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// IoT Hub's words for the state of a job
// (https://learn.microsoft.com/rest/api/iothub/service/jobs/get-scheduled-job).
const (
	wordUnknown   = "unknown"
	wordEnqueued  = "enqueued"
	wordQueued    = "queued"
	wordScheduled = "scheduled"
	wordRunning   = "running"
	wordCompleted = "completed"
	wordFailed    = "failed"
	wordCancelled = "cancelled"
)

// wordOf gives a job's state in the hub's words. A job that waits is scheduled when it was made for later, and queued when it
// was made for now, so that words come in the hub's order and none comes twice.
func wordOf(rec *job.Record, run *job.Run) string {
	status := run.Status
	if rec.Series != nil {
		if status = rec.Status; status == job.StatusPaused { // the job's own, not its latest run's
			return wordScheduled
		}
	}
	switch status {
	case job.StatusScheduled:
	case job.StatusPaused:
		if !rec.StartedAt.IsZero() || !run.StartedAt.IsZero() {
			return wordRunning
		}
	case job.StatusRunning, job.StatusBlocked, job.StatusStopping:
		return wordRunning
	case job.StatusCompleted:
		return wordCompleted
	case job.StatusFailed:
		return wordFailed
	case job.StatusCancelled:
		return wordCancelled
	default:
		return wordUnknown
	}
	if rec.StartTime.After(rec.CreatedAt) {
		return wordScheduled
	}
	return wordQueued
}

// jobDocument is a job as IoT Hub shows it.
type jobDocument struct {
	JobID         string          `json:"jobId"`
	Condition     string          `json:"queryCondition,omitempty"`
	Created       string          `json:"createdTime"`
	Start         string          `json:"startTime"`
	End           string          `json:"endTime,omitempty"`
	MaxTime       int64           `json:"maxExecutionTimeInSeconds"`
	Type          string          `json:"type"`
	Method        *job.Method     `json:"cloudToDeviceMethod,omitempty"`
	Twin          *job.TwinUpdate `json:"updateTwin,omitempty"`
	Status        string          `json:"status"`
	FailureReason string          `json:"failureReason,omitempty"`
	StatusMessage string          `json:"statusMessage,omitempty"`
	Statistics    *job.Statistics `json:"deviceJobStatistics,omitempty"`
}

func newJobDocument(rec *job.Record, run *job.Run) jobDocument {
	d := jobDocument{
		JobID: rec.JobID, Condition: rec.QueryCondition, Created: zoned(rec.CreatedAt), Start: zoned(rec.StartTime),
		MaxTime: rec.MaxExecutionTimeInSeconds, Type: typeWord(rec.Type), Method: rec.Method, Twin: rec.UpdateTwin,
		Status: wordOf(rec, run), FailureReason: run.FailureReason, StatusMessage: message(rec, run),
	}
	if d.Twin != nil && d.Twin.ETag == "" { // the native API does not ask for it
		twin := *d.Twin
		twin.ETag = "*"
		d.Twin = &twin
	}
	end := run.EndedAt
	if rec.Series != nil {
		end = rec.EndedAt
	}
	if !end.IsZero() {
		d.End = zoned(end)
	}
	counts := rec.Counts
	if run.Rev != "" { // else the run has no row, and the job knows more
		counts = run.Counts()
	}
	if statistics := counts.Statistics(); statistics.DeviceCount > 0 || d.Status != wordScheduled && d.Status != wordQueued {
		d.Statistics = &statistics
	}
	return d
}

// message says what the hub has no word for.
func message(rec *job.Record, run *job.Run) string {
	switch {
	case rec.Series != nil && !rec.Status.Ended():
		return "Recurs; devices and counts are those of its latest run."
	case run.Status == job.StatusPaused:
		return "Paused: starts no new calls until somebody resumes it."
	case run.Block != nil:
		return "Blocked by the hub, goes on by itself: " + run.Block.Reason
	case run.Status == job.StatusStopping && run.EndReason == job.EndCancelled:
		return "Being cancelled: starts no new calls and waits for those under way."
	case run.Status == job.StatusCompleted && run.EndReason == job.EndTimeLimit:
		return "The time limit passed."
	}
	if rec.Type == job.TypeSteps {
		return fmt.Sprintf("Carries out %d steps on each device, which IoT Hub's jobs cannot.", len(rec.Steps))
	}
	return ""
}

// typeWord gives the hub's word for a type. SDKs fail on types that they do not know; "unknown" is one of the hub's own
// (https://learn.microsoft.com/rest/api/iothub/service/jobs/get-scheduled-job).
func typeWord(t job.Type) string {
	if t == job.TypeSteps {
		return wordUnknown
	}
	return string(t)
}

const (
	timeFormat = "2006-01-02T15:04:05.0000000"
	zoneFormat = timeFormat + "Z"
)

func zoned(t time.Time) string { return t.UTC().Format(zoneFormat) }

// zoneless writes a time without a zone, as the hub writes some times of its rows
// (https://learn.microsoft.com/azure/iot-hub/query-jobs).
func zoneless(t time.Time) string { return t.UTC().Format(timeFormat) }

// Words for the state of a device in a job; "canceled" has one l here.
const (
	rowPending   = "pending"
	rowRunning   = "running"
	rowCompleted = "completed"
	rowFailed    = "failed"
	rowCanceled  = "canceled"
)

func rowWord(s job.ExecutionState) string {
	switch s {
	case job.Queued:
		return rowPending
	case job.InProgress:
		return rowRunning
	case job.Succeeded:
		return rowCompleted
	case job.Canceled:
		return rowCanceled
	}
	return rowFailed
}

// row gives a device of a job as queries over devices.jobs see it.
func row(rec *job.Record, run *job.Run, e *job.Execution) map[string]any {
	created := run.StartedAt
	if created.IsZero() {
		created = rec.CreatedAt
	}
	updated := created
	deviceID, moduleID := job.SplitTarget(e.DeviceID)
	r := map[string]any{
		"deviceId": deviceID, "jobId": rec.JobID, "jobType": typeWord(rec.Type), "status": rowWord(e.State),
		"createdDateTimeUtc": zoned(created), "startTimeUtc": zoneless(created),
		"outcome": map[string]any{"deviceMethodResponse": response(e)},
	}
	if moduleID != "" {
		r["moduleId"] = moduleID
	}
	if !e.StartedAt.IsZero() {
		r["startTimeUtc"], updated = zoneless(e.StartedAt), e.StartedAt
	}
	if !e.EndedAt.IsZero() {
		r["endTimeUtc"], updated = zoneless(e.EndedAt), e.EndedAt
	}
	r["lastUpdatedDateTimeUtc"] = zoned(updated)
	if e.State.Final() && e.Reason != job.NoReason {
		code, text := rowError(e)
		r["error"] = map[string]any{"code": code, "description": text}
	}
	return r
}

// response is what the device answered to a method, nil without an answer.
func response(e *job.Execution) any {
	if e.StatusCode == 0 {
		return nil
	}
	var payload any = e.Payload()
	if e.Payload() == nil {
		payload = nil
		if len(e.Answer) > 0 { // cut, or not JSON
			payload = string(e.Answer)
		}
	}
	return map[string]any{"status": e.StatusCode, "payload": payload}
}

// rowError names why a device ended without success: as the hub does where it has a name for it.
func rowError(e *job.Execution) (code, text string) {
	switch e.Reason {
	case job.DeviceOffline:
		code, text = "DeviceNotOnline", "Timed out waiting for device to connect."
	case job.DeviceNotFound:
		code, text = "DeviceNotFound", "The device is not registered, or disabled."
	case job.DeviceNoAnswer:
		code, text = "GatewayTimeout", "Timed out waiting for the response from device."
	case job.UnreadableAnswer:
		code, text = "InvalidDeviceResponse", "The device's answer is not JSON."
	case job.RequestRejected:
		code, text = "ArgumentInvalid", "The hub refused the request."
	case job.HubError, job.ConnectionLost:
		code, text = "ServiceUnavailable", "The hub failed again and again."
	case job.DeviceError:
		code, text = "DeviceError", "The device answered with an error status."
	case job.NotStarted:
		code, text = "JobTimedOut", "The job's time limit passed before the device was called."
	case job.JobCanceled:
		code, text = "JobCanceled", "The job was cancelled before the device was called."
	default:
		code, text = e.Reason.String(), "The device was not reached, or its answer was lost."
	}
	if told := e.ErrorText(); told != "" {
		text = told
	}
	return code, text
}
