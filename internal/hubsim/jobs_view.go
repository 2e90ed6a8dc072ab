package hubsim

import (
	"encoding/json"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/jobsim"
	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

// jobDocument is a job as the API shows it (JobResponse).
type jobDocument struct {
	JobID     string          `json:"jobId"`
	Condition string          `json:"queryCondition"`
	Created   string          `json:"createdTime"`
	Start     string          `json:"startTime"`
	End       string          `json:"endTime,omitempty"`
	Max       int64           `json:"maxExecutionTimeInSeconds"`
	Type      string          `json:"type"`
	Method    json.RawMessage `json:"cloudToDeviceMethod,omitempty"`
	Twin      json.RawMessage `json:"updateTwin,omitempty"`
	Status    string          `json:"status"`
	Reason    string          `json:"failureReason,omitempty"`
	// Statistics are shown from the start of the job (a guess: perhaps only at its end).
	Statistics *jobsim.Counts `json:"deviceJobStatistics,omitempty"`
}

func newJobDocument(v jobsim.View) jobDocument {
	d := jobDocument{
		JobID: v.ID, Condition: v.Condition, Created: quoted(v.Created), Start: quoted(v.Start), Max: int64(v.MaxExecution.Seconds()),
		Type: v.Type, Method: v.Method, Twin: v.Twin, Status: v.Status, Reason: v.FailureReason,
	}
	if !v.Ended.IsZero() {
		d.End = quoted(v.Ended)
	}
	if v.Started {
		d.Statistics = &v.Counts
	}
	return d
}

// rowDocument is a device of a job as queries over devices.jobs see it.
type rowDocument jobsim.Row

type rowJSON struct {
	DeviceID string `json:"deviceId"`
	ModuleID string `json:"moduleId,omitempty"` // a guess
	JobID    string `json:"jobId"`
	Type     string `json:"jobType"`
	Status   string `json:"status"`
	// Start and End name no zone, Created and Updated do: so the documentation shows them.
	Start   string `json:"startTimeUtc"`
	End     string `json:"endTimeUtc,omitempty"`
	Created string `json:"createdDateTimeUtc"`
	Updated string `json:"lastUpdatedDateTimeUtc"`
	Outcome struct {
		Response *methodResponse `json:"deviceMethodResponse"`
	} `json:"outcome"`
	Error *jobsim.Fault `json:"error,omitempty"`
}

type methodResponse struct {
	Status  int             `json:"status"`
	Payload json.RawMessage `json:"payload"`
}

func (d *rowDocument) json() rowJSON {
	device, module, _ := strings.Cut(d.DeviceID, "/")
	row := rowJSON{
		DeviceID: device, ModuleID: module, JobID: d.JobID, Type: d.Type, Status: d.Status, Start: zoneless(d.Start),
		Created: quoted(d.Created), Updated: quoted(d.Updated), Error: d.Outcome.Fault,
	}
	if !d.End.IsZero() {
		row.End = zoneless(d.End)
	}
	if payload := d.Outcome.Payload; payload != nil {
		row.Outcome.Response = &methodResponse{Status: d.Outcome.Status, Payload: payload}
	}
	return row
}

func (d *rowDocument) append(buf []byte) []byte {
	row := d.json()
	if row.Outcome.Response != nil && !json.Valid(row.Outcome.Response.Payload) {
		row.Outcome.Response.Payload = json.RawMessage("null")
	}
	// What is left can always be encoded.
	text, _ := json.Marshal(row)
	return append(buf, text...)
}

// Lookup implements twinquery.Document.
func (d *rowDocument) Lookup(path []string) (any, bool) {
	if len(path) == 1 {
		switch path[0] {
		case "jobId":
			return d.JobID, true
		case "deviceId":
			device, _, _ := strings.Cut(d.DeviceID, "/")
			return device, true
		case "status":
			return d.Status, true
		case "jobType":
			return d.Type, true
		}
	}
	return twinquery.Map(d.All()).Lookup(path)
}

// All implements twinquery.Document.
func (d *rowDocument) All() map[string]any {
	var all map[string]any
	// What append writes can always be read again.
	_ = json.Unmarshal(d.append(nil), &all)
	return all
}
