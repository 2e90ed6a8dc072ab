package hubapi

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

// maxBody bounds a body in bytes: a job with the largest payload or patch has some 200 KiB.
const maxBody = 1 << 20

func readBody(r *request) ([]byte, error) {
	return io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
}

// jobRequest is the body of a new job. Names of members have no case, and unknown ones say nothing: SDKs send whole twins.
type jobRequest struct {
	JobID     string         `json:"jobId"`
	Type      string         `json:"type"`
	Method    *methodRequest `json:"cloudToDeviceMethod"`
	Twin      *twinRequest   `json:"updateTwin"`
	Condition string         `json:"queryCondition"`
	Start     string         `json:"startTime"`
	MaxTime   int64          `json:"maxExecutionTimeInSeconds"`
}

type methodRequest struct {
	Name     string          `json:"methodName"`
	Payload  json.RawMessage `json:"payload"`
	Response *int64          `json:"responseTimeoutInSeconds"`
	Connect  *int64          `json:"connectTimeoutInSeconds"`
}

type twinRequest struct {
	ETag       string                     `json:"etag"`
	Tags       map[string]json.RawMessage `json:"tags"`
	Properties struct {
		Desired map[string]json.RawMessage `json:"desired"`
	} `json:"properties"`
}

// ParseJob reads a job of an id as IoT Hub takes it, and gives it in the form of the native API, whose rules hold for both. Errors
// are job.Faults, or say what the hub would answer.
func ParseJob(body []byte, id string, now time.Time) (job.Definition, error) {
	var q jobRequest
	if err := json.Unmarshal(body, &q); err != nil {
		return job.Definition{}, badRequest("GenericBadRequest")
	}
	start, ok := parseStart(q.Start)
	switch {
	case q.JobID != "" && q.JobID != id:
		return job.Definition{}, invalidJob("jobId is not that of the path.")
	case !ok:
		return job.Definition{}, invalidJob("startTime is not a time, such as 2026-12-01T02:00:00Z.")
	case utf8.RuneCountInString(q.Condition) > twinquery.MaxConditionLength:
		// See https://github.com/Azure/azure-iot-sdk-csharp/issues/1680.
		return job.Definition{}, &failure{status: http.StatusPreconditionFailed, name: "PreconditionFailed", text: "PreconditionFailed"}
	}
	native := map[string]any{"jobId": id, "queryCondition": q.Condition, "placeholders": false} // the hub knows none
	if !start.IsZero() {
		native["startTime"] = start.Format(time.RFC3339Nano)
	}
	if q.MaxTime != 0 {
		native["maxExecutionTimeInSeconds"] = q.MaxTime
	}
	if err := q.operation(native); err != nil {
		return job.Definition{}, err
	}
	text, err := json.Marshal(native)
	if err != nil {
		return job.Definition{}, badRequest("GenericBadRequest")
	}
	return job.Decode(text, now)
}

// operation adds what the job does to its native form.
func (q *jobRequest) operation(native map[string]any) error {
	switch {
	case strings.EqualFold(q.Type, string(job.TypeMethod)):
		native["type"] = job.TypeMethod
		if q.Method == nil {
			return invalidJob("cloudToDeviceMethod is missing.")
		}
		native["cloudToDeviceMethod"] = q.Method.native()
	case strings.EqualFold(q.Type, string(job.TypeTwin)):
		native["type"] = job.TypeTwin
		if q.Twin == nil || q.Twin.ETag != "*" {
			// The hub's own words: see https://github.com/MicrosoftDocs/azure-docs/issues/29484.
			return invalidJob("Missing or invalid etag for job type ScheduleUpdateTwin. " +
				"ScheduleUpdateTwin job type is a force update, which only accepts '*' as the Etag.")
		}
		native["updateTwin"] = q.Twin.native()
	default:
		return badRequest("GenericBadRequest")
	}
	return nil
}

func (m *methodRequest) native() map[string]any {
	call := map[string]any{"methodName": m.Name}
	if m.Payload != nil {
		call["payload"] = m.Payload
	}
	if m.Response != nil {
		call["responseTimeoutInSeconds"] = *m.Response
	}
	if m.Connect != nil {
		call["connectTimeoutInSeconds"] = *m.Connect
	}
	return call
}

// native gives the patch alone. $metadata and $version, which SDKs send along, say nothing in a patch
// (https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-device-twins).
func (t *twinRequest) native() map[string]any {
	patch := map[string]any{"etag": "*"}
	strip := func(part map[string]json.RawMessage) map[string]json.RawMessage {
		delete(part, "$metadata")
		delete(part, "$version")
		return part
	}
	if t.Tags != nil {
		patch["tags"] = strip(t.Tags)
	}
	if t.Properties.Desired != nil {
		patch["properties"] = map[string]any{"desired": strip(t.Properties.Desired)}
	}
	return patch
}

// parseStart reads a start time. Without a zone it is UTC, as .NET and Python send it; none, and the zero time, mean now.
func parseStart(text string) (time.Time, bool) {
	if text == "" {
		return time.Time{}, true
	}
	t, err := time.Parse(time.RFC3339, strings.ToUpper(text))
	if err != nil {
		t, err = time.Parse("2006-01-02T15:04:05", strings.ToUpper(text))
	}
	if t = t.UTC(); t.Year() <= 1 {
		t = time.Time{}
	}
	return t, err == nil
}

// parseQueryBody reads the body of a query.
func parseQueryBody(body []byte) (string, error) {
	var q struct {
		Query *string `json:"query"`
	}
	if err := json.Unmarshal(bytes.TrimSpace(body), &q); err != nil {
		return "", badRequest("ArgumentInvalid")
	}
	if q.Query == nil || *q.Query == "" {
		return "", badRequest("ArgumentNull")
	}
	return *q.Query, nil
}
