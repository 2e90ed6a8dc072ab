package api

import (
	"context"
	"net/http"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

const (
	executionsPerPage    = 100
	maxExecutionsPerPage = 1000
	rowsPerFile          = 1000 // of CSV
	maxRowsPerFile       = 10_000
)

type executionPage struct {
	Executions        []executionView `json:"executions"`
	ContinuationToken string          `json:"continuationToken,omitempty"`
}

// executions lists the devices of a job, or, with deviceId, gives one.
func (h *handler) executions(ctx context.Context, r *request) (*answer, error) {
	asCSV := prefersCSV(r.Header.Values("Accept"))
	size, most := executionsPerPage, maxExecutionsPerPage
	if asCSV {
		size, most = rowsPerFile, maxRowsPerFile
	}
	want := wanted{
		state: stateParam(r.query),
		size:  r.query.integer("pageSize", size, most),
	}
	deviceParam(r)
	if err := r.query.err(); err != nil {
		return nil, err
	}
	if r.deviceID != "" {
		return h.find(ctx, r, r.query.text("moduleId"))
	}
	s, err := h.executing(ctx, r)
	if err != nil {
		return nil, err
	}
	views, token, err := h.pages(ctx, r, s, want)
	if err != nil {
		return nil, err
	}
	a, err := executionsAnswer(r, s, executionPage{views, token}, asCSV)
	if err == nil {
		h.linkNext(a, r, token)
	}
	return a, err
}

// executing reads the run whose executions r wants: of a recurring job the latest, unless r names another.
func (h *handler) executing(ctx context.Context, r *request) (state, error) {
	if r.runID != "" {
		return h.currentRun(ctx, r)
	}
	return h.current(ctx, r)
}

func executionsAnswer(r *request, s state, page executionPage, asCSV bool) (*answer, error) {
	if asCSV {
		return csvAnswer(r.jobID, page.Executions, s.rec.Hubs != nil)
	}
	a, err := taggedJSON(page)
	if err == nil {
		a.header.Set("Vary", "Accept")
	}
	return a, err
}

// execution gives one device of a job, or with moduleId one module.
func (h *handler) execution(ctx context.Context, r *request) (*answer, error) {
	moduleParam(r)
	if err := r.query.err(); err != nil {
		return nil, err
	}
	return h.find(ctx, r, r.query.text("moduleId"))
}

func (h *handler) find(ctx context.Context, r *request, moduleID string) (*answer, error) {
	s, err := h.executing(ctx, r)
	if err != nil {
		return nil, err
	}
	if !job.DeviceID(r.deviceID) {
		return nil, problemOf(unknownExecution, "the device is not among those that the job has selected")
	}
	at, e, err := h.locate(ctx, r, s, job.TargetID(r.deviceID, moduleID))
	if err != nil {
		return nil, err
	}
	v := viewAt(at.hub, &e)
	if prefersCSV(r.Header.Values("Accept")) {
		return csvAnswer(r.jobID, []executionView{v}, s.rec.Hubs != nil)
	}
	a, err := taggedJSON(v)
	if err == nil {
		a.header.Set("Vary", "Accept")
	}
	return a, err
}

// moduleParam checks moduleId, which names a module of the device.
func moduleParam(r *request) {
	if id := r.query.text("moduleId"); r.query.has("moduleId") && !job.DeviceID(id) {
		r.query.fault("moduleId", id, "must be a module id: "+idRule)
	}
}

const idRule = "1 to 128 letters, digits and - : . + % _ # * ? ! ( ) , = @ ; $ '"

// deviceParam reads deviceId, which stands alone or beside moduleId.
func deviceParam(r *request) {
	moduleParam(r)
	if !r.query.has("deviceId") {
		if r.query.has("moduleId") {
			r.query.fault("moduleId", r.query.text("moduleId"), "must stand beside deviceId")
		}
		return
	}
	r.deviceID = r.query.text("deviceId")
	if !job.DeviceID(r.deviceID) {
		r.query.fault("deviceId", r.deviceID, "must be a device id: "+idRule)
	}
	for _, other := range []string{"status", "pageSize", "continuationToken"} {
		if r.query.has(other) {
			r.query.fault(other, r.query.text(other), "must not stand beside deviceId")
		}
	}
}

// stateParam reads the status filter, nil when there is none.
func stateParam(p *params) *job.ExecutionState {
	all := job.ExecutionStates()
	words := make([]string, len(all))
	for i, s := range all {
		words[i] = s.String()
	}
	s, ok := job.ParseExecutionState(choice(p, "status", words))
	if !ok {
		return nil
	}
	return &s
}

// csvAnswer gives executions as a file with a header row, with the hub in the last column where the job names any.
func csvAnswer(jobID string, views []executionView, withHub bool) (*answer, error) {
	body, err := encodeCSV(views, withHub)
	if err != nil {
		return nil, err
	}
	header := http.Header{}
	header.Set("Vary", "Accept")
	header.Set("Content-Disposition", `attachment; filename="`+jobID+`-executions.csv"`)
	return &answer{status: http.StatusOK, kind: csvType, body: body, header: header, tagged: true}, nil
}
