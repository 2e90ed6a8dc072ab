package api

import (
	"fmt"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

// instant is a time in JSON: RFC 3339, UTC, milliseconds.
type instant time.Time

const instantFormat = "2006-01-02T15:04:05.000Z"

func (t instant) String() string { return time.Time(t).UTC().Format(instantFormat) }

// MarshalJSON implements [encoding/json.Marshaler].
func (t instant) MarshalJSON() ([]byte, error) { return []byte(`"` + t.String() + `"`), nil }

// IsZero lets omitzero leave out what has not happened.
func (t instant) IsZero() bool { return time.Time(t).IsZero() }

// state is a job at one moment.
type state struct {
	rec    *job.Record
	run    *job.Run
	counts job.Counts
}

// stateOf joins a job and its run. When the run has no row, run is nil or was made from the job, which then knows more.
func stateOf(rec *job.Record, run *job.Run) state {
	if stored := run != nil && run.Rev != ""; !stored {
		r := rec.NewRun()
		r.Status, r.EndReason, r.FailureReason = rec.Status, rec.EndReason, rec.FailureReason
		r.Pause, r.StartedAt, r.EndedAt, r.Devices = rec.Pause, rec.StartedAt, rec.EndedAt, rec.Devices
		r.Rounds, r.List = rec.Rounds, rec.List
		return state{rec: rec, run: &r, counts: rec.Counts}
	}
	return state{rec: rec, run: run, counts: run.Counts()}
}

type blockView struct {
	Reason  string  `json:"reason"`
	Code    string  `json:"code,omitempty"`
	Since   instant `json:"since"`
	ProbeAt instant `json:"probeAt"`
}

// jobView is a job in JSON: IoT Hub's members, then ours. openapi.yaml describes each.
type jobView struct {
	JobID                     string          `json:"jobId"`
	Type                      job.Type        `json:"type"`
	Status                    job.Status      `json:"status"`
	StatusMessage             string          `json:"statusMessage"`
	QueryCondition            string          `json:"queryCondition,omitempty"`
	Method                    *job.Method     `json:"cloudToDeviceMethod,omitempty"`
	UpdateTwin                *job.TwinUpdate `json:"updateTwin,omitempty"`
	Confirm                   *job.Confirm    `json:"confirm,omitempty"`
	Steps                     []job.Step      `json:"steps,omitempty"`
	CreatedTime               instant         `json:"createdTime"`
	StartTime                 instant         `json:"startTime"`
	EndTime                   instant         `json:"endTime,omitzero"`
	MaxExecutionTimeInSeconds int64           `json:"maxExecutionTimeInSeconds,omitempty"`
	FailureReason             string          `json:"failureReason,omitempty"`
	Statistics                job.Statistics  `json:"deviceJobStatistics"`

	RunID               string            `json:"runId"`
	DeviceIDCount       int               `json:"deviceIdCount,omitempty"`
	StartedTime         instant           `json:"startedTime,omitzero"`
	EndReason           job.EndReason     `json:"endReason,omitempty"`
	ExecutionStatistics map[string]int    `json:"executionStatistics"`
	FailureReasons      map[string]int    `json:"failureReasons,omitempty"`
	Awaiting            map[string]int    `json:"awaiting,omitempty"`
	Selection           selection         `json:"selection"`
	Blocked             *blockView        `json:"blocked,omitempty"`
	Paused              *pauseView        `json:"paused,omitempty"`
	Waiting             *waitingView      `json:"waiting,omitempty"`
	Warnings            []string          `json:"warnings,omitempty"`
	Rollout             *job.Rollout      `json:"rollout,omitempty"`
	RolloutStatus       *rolloutView      `json:"rolloutStatus,omitempty"`
	MaxDevices          int               `json:"maxDevices,omitempty"`
	Placeholders        bool              `json:"placeholders,omitempty"`
	Endless             bool              `json:"endless,omitempty"`
	Priority            int               `json:"priority,omitempty"`
	Exclusive           bool              `json:"exclusive,omitempty"`
	DeviceListMaxAge    schedule.Duration `json:"deviceListMaxAge,omitzero"`
	Version             int               `json:"version"`
	CreatedBy           job.Principal     `json:"createdBy,omitzero"`

	Notifications *job.Notifications `json:"notifications,omitempty"`
	Deliveries    []deliveryView     `json:"deliveries,omitempty"`

	Schedule          *schedule.Spec       `json:"schedule,omitempty"`
	MaintenanceWindow *schedule.WindowSpec `json:"maintenanceWindow,omitempty"`
	Recurrence        *recurrenceView      `json:"recurrence,omitempty"`
	job.FailurePolicy
	RerunOf      *job.RerunOf      `json:"rerunOf,omitempty"`
	FromTemplate *job.FromTemplate `json:"fromTemplate,omitempty"`
	CopyOf       *job.CopyOf       `json:"copyOf,omitempty"`
	Hubs         *job.Hubs         `json:"hubs,omitempty"`
	HubRuns      []hubRunView      `json:"hubRuns,omitempty"`
}

func (s state) view() *jobView {
	v := &jobView{
		JobID: s.rec.JobID, Type: s.rec.Type, Status: s.run.Status, StatusMessage: s.message(),
		QueryCondition: s.rec.QueryCondition, Method: s.rec.Method, UpdateTwin: s.rec.UpdateTwin,
		CreatedTime: instant(s.rec.CreatedAt), StartTime: instant(s.rec.StartTime), EndTime: instant(s.run.EndedAt),
		MaxExecutionTimeInSeconds: s.rec.MaxExecutionTimeInSeconds, FailureReason: s.run.FailureReason,
		Statistics: s.counts.Statistics(),

		RunID: s.rec.RunID, DeviceIDCount: s.rec.DeviceCount, StartedTime: instant(s.run.StartedAt), EndReason: s.run.EndReason,
		ExecutionStatistics: s.counts.StateMap(), FailureReasons: s.counts.ReasonMap(), Awaiting: s.counts.AwaitingMap(),
		Selection: s.selection(), Paused: pauseOf(s.run.Pause), Warnings: s.rec.Warnings,
		CreatedBy: s.rec.CreatedBy,

		Notifications: s.rec.Notifications.Redacted(), Deliveries: deliveryViews(s.rec.Deliveries),
		FailurePolicy: s.rec.FailurePolicy, RerunOf: s.rec.RerunOf,
		FromTemplate: s.rec.FromTemplate.Shown(), CopyOf: s.rec.CopyOf,
	}
	v.Confirm, v.Steps = s.rec.Confirm, s.rec.Steps
	v.MaxDevices, v.Placeholders, v.Endless, v.Version = s.rec.MaxDevices, s.rec.Placeholders, s.rec.Endless, s.rec.Version(s.run)
	v.Hubs, v.HubRuns = s.rec.Hubs, s.hubRuns()
	v.Priority, v.Exclusive, v.Waiting = s.rec.Priority, s.rec.Exclusive, waitingOf(s.run)
	v.DeviceListMaxAge = s.rec.DeviceListMaxAge
	v.Rollout, v.RolloutStatus = s.rollout()
	if b := s.run.Block; b != nil {
		v.Blocked = &blockView{Reason: b.Reason, Code: b.Code, Since: instant(b.Since), ProbeAt: instant(b.ProbeAt)}
	}
	v.MaintenanceWindow = s.rec.MaintenanceWindow
	if s.rec.Series != nil {
		s.recur(v)
	}
	return v
}

// message says in one sentence where the job stands. It says nothing that changes with time alone, so that the ETag does
// not either.
func (s state) message() string {
	st := s.counts.Statistics()
	ended, unreached := st.SucceededCount+st.FailedCount, s.unreached()
	switch s.run.Status {
	case job.StatusScheduled:
		if w := waitingOf(s.run); w != nil {
			return w.Reason
		}
		at := s.rec.StartTime
		if s.run.StartAt.After(at) {
			at = s.run.StartAt // its maintenance window was closed
		}
		return "Waits for its start time, " + instant(at).String() + "."
	case job.StatusRunning:
		if s.run.Rounds.Waits() && !s.run.PlanDone {
			return fmt.Sprintf("Looks for further devices at %s; %d of %d have ended.", instant(s.run.Rounds.NextAt), ended, st.DeviceCount)
		}
		if !s.run.PlanDone {
			return fmt.Sprintf("Selects devices, %d so far; %d of them have ended.", st.DeviceCount, ended)
		}
		return fmt.Sprintf("Calls devices; %d of %d have ended.", ended, st.DeviceCount)
	case job.StatusBlocked:
		if b := s.run.Block; b != nil {
			return fmt.Sprintf("Blocked by the hub and asks it again at %s; no device is at fault: %s", instant(b.ProbeAt), b.Reason)
		}
		return "Blocked by the hub."
	case job.StatusPaused:
		return s.pausedMessage()
	case job.StatusStopping:
		return fmt.Sprintf("Starts no new calls and waits for those under way, %d at most.", st.RunningCount)
	case job.StatusCompleted:
		if s.run.EndReason == job.EndTimeLimit {
			return fmt.Sprintf("The time limit passed; %d devices were not called. %d of %d succeeded.", unreached, st.SucceededCount, st.DeviceCount)
		}
		if st.DeviceCount == 0 {
			return "No device matched the target."
		}
		return fmt.Sprintf("Every device has ended; %d of %d succeeded.", st.SucceededCount, st.DeviceCount)
	case job.StatusFailed:
		return "The job could not be carried out: " + s.run.FailureReason
	case job.StatusCancelled:
		if s.run.EndReason == job.EndAborted {
			return fmt.Sprintf("Aborted: %s; %d devices were not called.", s.run.FailureReason, unreached)
		}
		return fmt.Sprintf("Cancelled; %d devices were not called. %d of %d succeeded.", unreached, st.SucceededCount, st.DeviceCount)
	}
	return ""
}

// unreached is the number of devices that the run ended without calling.
func (s state) unreached() int {
	return s.counts.ByReason[job.NotStarted] + s.counts.ByReason[job.JobCanceled] + s.counts.ByReason[job.JobAborted] +
		s.counts.ByReason[job.StartTimedOut]
}
