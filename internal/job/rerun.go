package job

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// RerunOf says of which run a job does the devices again, and in which states they had ended there.
type RerunOf struct {
	JobID    string   `json:"jobId"`
	RunID    string   `json:"runId"`
	Statuses []string `json:"statuses"`
}

// Rerun is a request to do the devices again that ended in one of States.
type Rerun struct {
	JobID     string // of the new job; "" lets the service make it
	States    []ExecutionState
	StartTime time.Time // zero is now
	Hub       string    // whose devices, of a run at several hubs; "" of others
	// Key makes a repeated request give the same job; "" is none.
	Key string
}

// MaxRerunDevices is how many devices a rerun takes at most.
const MaxRerunDevices = 1_000_000

// DecodeRerun reads the body of a request for a rerun at now; no body asks for those that failed or timed out. The error, if
// any, is Faults.
func DecodeRerun(body []byte, now time.Time) (Rerun, error) {
	r := Rerun{States: []ExecutionState{Failed, TimedOut}}
	if len(body) == 0 {
		return r, nil
	}
	if err := checkText(body); err != nil {
		return Rerun{}, err
	}
	var faults Faults
	o := newObject("body", body, &faults)
	if o == nil {
		return Rerun{}, faults
	}
	o.only("jobId", "statuses", "startTime", "hub")
	r.Hub = o.text("hub")
	r.JobID, r.StartTime = o.text("jobId"), o.instant("startTime")
	if o.has("jobId") && !jobID(r.JobID) {
		o.fault("jobId", o.members["jobId"], jobIDRule)
	}
	if r.StartTime.After(now.Add(MaxStartAhead)) {
		o.fault("startTime", o.members["startTime"], "must be within ten years from now")
	}
	if o.has("statuses") {
		r.States = o.finalStates("statuses")
	}
	if len(faults) > 0 {
		return Rerun{}, faults
	}
	return r, nil
}

// finalStates reads an array of final states, none twice.
func (o *object) finalStates(name string) []ExecutionState {
	var words []string
	var states []ExecutionState
	err := json.Unmarshal(o.members[name], &words)
	for _, word := range words {
		s, known := ParseExecutionState(word)
		if !known || !s.Final() || slices.Contains(states, s) {
			states = nil
			break
		}
		states = append(states, s)
	}
	if err != nil || len(states) == 0 {
		o.fault(name, o.members[name],
			`must be an array of "succeeded", "failed", "timedOut", "rejected", "canceled", "removed" and "inDoubt", none twice`)
		return nil
	}
	return states
}

// Definition makes the definition of a job that does ids again, as the job of rec did them in its run.
func (r Rerun) Definition(rec *Record, run *Run, ids []string) (Definition, error) {
	switch {
	case len(ids) == 0:
		return Definition{}, Faults{{Field: "statuses", Rule: "no device of the job has ended so"}}
	case len(ids) > MaxRerunDevices:
		return Definition{}, Faults{{Field: "statuses", Rule: fmt.Sprintf("%d devices have ended so; a rerun takes at most %d", len(ids), MaxRerunDevices)}}
	}
	if localWindow(rec.MaintenanceWindow) {
		return Definition{}, Faults{{
			Field: "maintenanceWindow", Rule: `of the job is at each device's local time, which goes with no list of devices; copy the job with a queryCondition`,
		}}
	}
	def := rec.Definition
	def.JobID, def.StartTime, def.QueryCondition, def.DeviceIDs, def.Schedule = r.JobID, r.StartTime, "", ids, nil
	def.Rollout = def.Rollout.ofList()
	def.SelectionPolicy = SelectionPolicy{} // a list is selected once
	if run.Hub != "" {
		def.Hubs = &Hubs{Names: []string{run.Hub}}
	}
	def.FromTemplate, def.CopyOf = nil, nil
	def.RerunOf = &RerunOf{JobID: rec.JobID, RunID: run.ID}
	for _, s := range r.States {
		def.RerunOf.Statuses = append(def.RerunOf.Statuses, s.String())
	}
	return def, nil
}
