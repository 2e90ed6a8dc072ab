package api

import (
	"encoding/json"
	"fmt"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

type executionError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// executionView is an execution in JSON. openapi.yaml describes each member.
type executionView struct {
	DeviceID     string          `json:"deviceId"`
	ModuleID     string          `json:"moduleId,omitempty"`
	Hub          string          `json:"hub,omitempty"`
	Status       string          `json:"status"`
	Attempts     int             `json:"attempts"`
	StartTime    instant         `json:"startTime,omitzero"`
	EndTime      instant         `json:"endTime,omitzero"`
	NextAttempt  instant         `json:"nextAttemptTime,omitzero"`
	DeviceStatus int             `json:"deviceStatus,omitempty"`
	Payload      json.RawMessage `json:"payload,omitempty"`
	PayloadText  string          `json:"payloadText,omitempty"`
	Truncated    bool            `json:"truncated,omitempty"`
	Error        *executionError `json:"error,omitempty"`

	Substate     string     `json:"substate,omitempty"`
	AwaitedUntil instant    `json:"awaitedUntil,omitzero"`
	Step         int        `json:"step,omitempty"`
	Steps        []stepView `json:"steps,omitempty"`
}

// stepView is a step that succeeded.
type stepView struct {
	Step         int             `json:"step"`
	EndTime      instant         `json:"endTime"`
	DeviceStatus int             `json:"deviceStatus,omitempty"`
	Payload      json.RawMessage `json:"payload,omitempty"`
	PayloadText  string          `json:"payloadText,omitempty"`
	Truncated    bool            `json:"truncated,omitempty"`
}

// addSteps tells how far an execution has come that does more than one thing, and what it waits for.
func (v *executionView) addSteps(e *job.Execution) {
	if e.Awaiting() {
		v.Substate, v.AwaitedUntil = e.Reason.String(), instant(e.Progress.Until)
	}
	if e.Progress == nil || len(e.Progress.Results) == 0 && e.At() == 0 {
		return
	}
	v.Step = e.At() + 1
	for i := range e.Progress.Results {
		r := &e.Progress.Results[i]
		s := stepView{Step: i + 1, EndTime: instant(r.EndedAt), DeviceStatus: r.StatusCode, Payload: r.Payload(), Truncated: r.Truncated}
		if s.Payload == nil {
			s.PayloadText = string(r.Answer)
		}
		v.Steps = append(v.Steps, s)
	}
}

func viewOf(e *job.Execution) executionView {
	whole := e
	if !e.State.Final() && !e.Waiting() {
		e = &job.Execution{DeviceID: e.DeviceID, State: e.State, Attempts: e.Attempts, StartedAt: e.StartedAt}
	}
	deviceID, moduleID := job.SplitTarget(e.DeviceID)
	v := executionView{
		DeviceID: deviceID, ModuleID: moduleID, Status: e.State.String(), Attempts: e.Attempts,
		StartTime: instant(e.StartedAt), EndTime: instant(e.EndedAt), NextAttempt: instant(e.NextAttemptAt), DeviceStatus: e.StatusCode,
		Payload: e.Payload(), Truncated: e.Truncated,
	}
	text := e.ErrorText()
	if answered := text == "" && len(e.Answer) > 0; answered && v.Payload == nil {
		v.PayloadText = string(e.Answer)
	}
	if e.Reason != job.NoReason {
		if text == "" {
			text = reasonText(e)
		}
		v.Error = &executionError{Code: e.Reason.String(), Message: text}
	}
	v.addSteps(whole)
	return v
}

// reasonText is the message of reasons that bring no text of their own.
func reasonText(e *job.Execution) string {
	switch e.Reason {
	case job.StartTimedOut:
		return "the device was not called within the job's timeout.notStarted"
	case job.DeviceHeld:
		return "another exclusive run works on the device; it is tried again at nextAttemptTime"
	case job.ExecutionCanceled:
		return "the device's execution was cancelled before it was called, or called again"
	case job.DeviceRejected:
		return fmt.Sprintf("the device refused with status %d", e.StatusCode)
	case job.DeviceError:
		if e.StatusCode >= 200 && e.StatusCode < 300 {
			return fmt.Sprintf("the device's answer, with status %d, is no success by the job's succeedOn", e.StatusCode)
		}
		return fmt.Sprintf("the device answered with status %d", e.StatusCode)
	case job.NoTimeZone:
		return "the device's twin names no time zone, and the job has no defaultTimeZone"
	case job.InvalidTimeZone:
		return "what the device's twin names as its time zone is none"
	case job.LocalTimeMissed:
		return "the run began later than its catchupWindow after the device's local time"
	case job.WindowClosed:
		return "the maintenance window at the device's local time has closed"
	case job.NotStarted:
		return "the job's time limit passed before the device was called"
	case job.StepsUnfinished:
		return fmt.Sprintf("the job's time limit passed before step %d", e.At()+1)
	case job.JobCanceled:
		if e.Progress != nil {
			return "the job was cancelled before the device had done all of it"
		}
		return "the job was cancelled before the device was called"
	case job.JobAborted:
		if e.Progress != nil {
			return "an abort criterion of the job was met before the device had done all of it"
		}
		return "an abort criterion of the job was met before the device was called"
	}
	return e.Reason.String()
}
