package hubsim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/jobsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/throttle"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/twin"
	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

// The types of jobs.
const (
	scheduleMethod = "scheduleDeviceMethod"
	scheduleTwin   = "scheduleUpdateTwin"
)

type jobRequest struct {
	JobID     string          `json:"jobId"`
	Type      string          `json:"type"`
	Method    json.RawMessage `json:"cloudToDeviceMethod"`
	Twin      json.RawMessage `json:"updateTwin"`
	Condition string          `json:"queryCondition"`
	Start     string          `json:"startTime"`
	Max       int64           `json:"maxExecutionTimeInSeconds"`
}

// jobID is the documented form of a job's id.
var jobID = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

// parseJob reads and checks the body of a new job. A condition with faults is accepted: its job fails when it starts.
func (s *Server) parseJob(r *http.Request, id string) (jobsim.Spec, *failure) {
	body, err := readBody(r, maxBody)
	if err != nil {
		return jobsim.Spec{}, bodyFailure(err)
	}
	var request jobRequest
	if err := json.Unmarshal(body, &request); err != nil {
		return jobsim.Spec{}, badRequest("GenericBadRequest")
	}
	start, err := parseStart(request.Start)
	var f *failure
	switch {
	case !jobID.MatchString(id):
		f = argumentInvalid("The job id must have 1 to 64 letters, digits and hyphens.")
	case request.JobID != "" && request.JobID != id: // a guess
		f = argumentInvalid("jobId is not that of the path.")
	case err != nil:
		f = argumentInvalid("startTime is not a time.")
	case request.Max < 0 || request.Max > maxExecution:
		f = argumentInvalid("maxExecutionTimeInSeconds is out of range.")
	case strings.TrimSpace(request.Condition) == "":
		f = argumentInvalid("queryCondition is missing.")
	case utf8.RuneCountInString(request.Condition) > twinquery.MaxConditionLength:
		// See https://github.com/Azure/azure-iot-sdk-csharp/issues/1680.
		return jobsim.Spec{}, preconditionFailed("PreconditionFailed")
	}
	if f != nil {
		return jobsim.Spec{}, s.wrapped("BadRequest", f)
	}
	spec := jobsim.Spec{
		ID: id, Type: request.Type, Condition: request.Condition, Start: start, MaxExecution: time.Duration(request.Max) * time.Second,
	}
	switch request.Type {
	case scheduleMethod:
		spec.Method = request.Method
		spec.Call, f = s.methodJob(request.Method)
	case scheduleTwin:
		spec.Twin = request.Twin
		spec.Call, f = s.twinJob(request.Twin)
	default:
		return jobsim.Spec{}, badRequest("GenericBadRequest")
	}
	if f != nil {
		return jobsim.Spec{}, s.wrapped("BadRequest", f)
	}
	return spec, nil
}

// maxExecution only keeps durations countable; the service's limit is not known.
const maxExecution = 100 * 365 * 24 * 60 * 60

// parseStart reads a start time, with or without a zone; the zero time means now.
func parseStart(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		at, err = time.Parse("2006-01-02T15:04:05", text)
	}
	return at, err
}

type deviceCall = func(ctx context.Context, deviceID string) jobsim.Outcome

func (s *Server) methodJob(text json.RawMessage) (deviceCall, *failure) {
	var m methodRequest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, argumentInvalid("cloudToDeviceMethod is missing or no direct method.")
	}
	call, connectTimeout, f := m.check()
	if f != nil {
		return nil, f
	}
	return func(ctx context.Context, deviceID string) jobsim.Outcome {
		reply, f := s.callDevice(ctx, deviceID, call, connectTimeout)
		s.meters.Charge(throttle.Methods, s.clock.Now(), int64(len(call.Payload)), int64(len(reply.Payload)))
		if f != nil {
			return failed(f)
		}
		// A device that answers with an error has still carried out the job (a guess).
		return jobsim.Outcome{Status: reply.Status, Payload: reply.Payload}
	}, nil
}

func failed(f *failure) jobsim.Outcome {
	return jobsim.Outcome{Fault: &jobsim.Fault{Code: f.name, Description: f.text}}
}

func (s *Server) twinJob(text json.RawMessage) (deviceCall, *failure) {
	var head struct {
		ETag string `json:"etag"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, argumentInvalid("updateTwin is missing or no twin.")
	}
	if head.ETag != "*" {
		return nil, argumentInvalid("Missing or invalid etag for job type ScheduleUpdateTwin. " +
			"ScheduleUpdateTwin job type is a force update, which only accepts '*' as the Etag.")
	}
	patch, err := twin.ParsePatch(text)
	if err != nil {
		return nil, argumentInvalid("%v", err)
	}
	return func(_ context.Context, deviceID string) jobsim.Outcome {
		s.meters.Charge(throttle.TwinUpdates, s.clock.Now(), int64(len(text)), -1)
		device, ok := s.registry.Get(deviceID)
		if !ok {
			return failed(deviceNotFound(deviceID))
		}
		if _, err := device.Update(patch, false, ""); err != nil {
			return failed(twinFailure(deviceID, err))
		}
		s.updated(deviceID)
		return jobsim.Outcome{}
	}, nil
}

// jobFleet is the simulator as its own jobs see it.
type jobFleet Server

// Select implements jobsim.Fleet. Modules have the ids of registry.ModuleID.
func (f *jobFleet) Select(condition string) ([]string, error) {
	c, err := twinquery.ParseCondition(condition)
	if syntax, ok := errors.AsType[*twinquery.SyntaxError](err); ok {
		return nil, parseFailure(syntax.Line, syntax.Column, syntax.Found)
	}
	if err != nil {
		return nil, err
	}
	for _, unknown := range c.Unknown {
		if unknown.Kind != twinquery.UnknownField && !f.opt.LenientQueries {
			return nil, parseFailure(unknown.Line, unknown.Column, unknown.Text)
		}
	}
	var ids []string
	for _, device := range (*Server)(f).sorted(c.Source) {
		if v, listed := device.Indexed(); listed && c.Match(&v, f.opt.Query) {
			ids = append(ids, v.ID)
		}
	}
	return ids, nil
}

// parseFailure words a fault as the service has been seen to (https://github.com/Azure/azure-iot-sdk-csharp/issues/40).
func parseFailure(line, column int, found string) error {
	return fmt.Errorf("SQL query parse failed due to following errors: Line %d:%d Unexpected character at input %s", line, column, found)
}

// maxLate is how far, in real time, a job may fall behind its pace and catch up.
const maxLate = time.Second

// Pace implements jobsim.Fleet. The meter is asked for the time that the job should have come at, so that a busy machine does
// not make the hub slower than it is.
func (f *jobFleet) Pace(ctx context.Context, last time.Time) (time.Time, bool) {
	now := f.clock.Now()
	if earliest := now.Add(-f.clock.Scaled(maxLate)); last.Before(earliest) {
		last = earliest
	}
	due := last.Add(f.meters.Take(throttle.JobDevices, last, 1).Wait)
	return due, f.clock.Sleep(ctx, due.Sub(now))
}
