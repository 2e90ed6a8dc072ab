package job

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

// Decode reads the JSON of a job definition at now. The error, if any, is Faults, with every fault of the body.
// It does not require a job id; CheckJobID does.
func Decode(body []byte, now time.Time) (Definition, error) {
	if err := checkText(body); err != nil {
		return Definition{}, err
	}
	var faults Faults
	o := newObject("body", body, &faults)
	if o == nil {
		return Definition{}, faults
	}
	o.only(definitionMembers()...)
	def := Definition{
		JobID:                     o.text("jobId"),
		Type:                      Type(o.text("type")),
		QueryCondition:            o.text("queryCondition"),
		StartTime:                 o.instant("startTime"),
		MaxExecutionTimeInSeconds: o.integer("maxExecutionTimeInSeconds", 0, 1, MaxExecutionSecs),
		Notifications:             o.notifications(),
		FailurePolicy:             o.failurePolicy(),
		Rollout:                   o.rollout(),
		MaxDevices:                int(o.integer("maxDevices", 0, 1, MaxDevices)),
		Priority:                  o.priority(),
		Exclusive:                 o.boolean("exclusive"),
		Hubs:                      o.hubs(),
	}
	if o.has("jobId") && !jobID(def.JobID) {
		o.fault("jobId", o.members["jobId"], jobIDRule)
	}
	if def.StartTime.After(now.Add(MaxStartAhead)) {
		o.fault("startTime", o.members["startTime"], "must be within ten years from now")
	}
	def.Schedule, def.MaintenanceWindow = o.schedule(now), o.window(now)
	o.operation(&def)
	o.target(&def)
	o.jitter(&def)
	o.divisible(&def)
	o.placeholders(&def)
	def.SelectionPolicy = o.selection(&def)
	if len(faults) > 0 {
		return Definition{}, faults
	}
	return def, nil
}

// definitionMembers are those of a definition.
func definitionMembers() []string {
	return append(append(failureMembers(), selectionMembers()...), "jobId", "type", "cloudToDeviceMethod", "updateTwin", "confirm", "steps", "queryCondition", "deviceIds", "startTime",
		"maxExecutionTimeInSeconds", "notifications", "schedule", "maintenanceWindow", "rollout", "maxDevices", "hubs", "placeholders", "priority", "exclusive")
}

// operation reads the member that belongs to the job's type and refuses the other.
func (o *object) operation(def *Definition) {
	switch def.Type {
	case TypeMethod:
		def.Method = o.method()
	case TypeTwin:
		def.UpdateTwin = o.twin()
		def.Confirm = o.confirm(def.UpdateTwin)
	case TypeSteps:
		def.Steps = o.steps()
	default:
		o.fault("type", o.members["type"], `must be "scheduleDeviceMethod", "scheduleUpdateTwin" or "scheduleSteps"`)
		return
	}
	for _, m := range []struct {
		name string
		of   Type
	}{{"cloudToDeviceMethod", TypeMethod}, {"updateTwin", TypeTwin}, {"confirm", TypeTwin}, {"steps", TypeSteps}} {
		if def.Type != m.of {
			o.absent(m.name, fmt.Sprintf("goes with type %s only", m.of))
		}
	}
}

func (o *object) absent(name, rule string) {
	if o.has(name) {
		o.fault(name, nil, rule)
	}
}

func (o *object) method() *Method {
	if !o.has("cloudToDeviceMethod") {
		o.fault("cloudToDeviceMethod", nil, "is required with type scheduleDeviceMethod")
		return nil
	}
	return o.call("cloudToDeviceMethod")
}

// call reads a method under a member's name.
func (o *object) call(name string) *Method {
	m := o.nested(name)
	if m == nil {
		return nil
	}
	m.only("methodName", "payload", "responseTimeoutInSeconds", "connectTimeoutInSeconds")
	call := &Method{
		Name:                     m.text("methodName"),
		Payload:                  m.members["payload"],
		ResponseTimeoutInSeconds: int(m.integer("responseTimeoutInSeconds", DefaultResponse, MinResponseSecs, MaxResponseSecs)),
		ConnectTimeoutInSeconds:  int(m.integer("connectTimeoutInSeconds", 0, 0, MaxConnectSecs)),
	}
	if !methodName(call.Name) {
		m.fault("methodName", m.members["methodName"],
			fmt.Sprintf("must be 1 to %d printable ASCII characters without space and without %s", MaxMethodNameLen, notInNames))
	}
	if call.Payload != nil {
		call.Payload = compact(call.Payload)
	}
	m.payloadSize("payload", call.Payload)
	return call
}

// notInNames are the characters that IoT Hub's documentation keeps out of method names.
const notInNames = `$()<>@,;:\"/[]?={}#+`

func methodName(name string) bool {
	if name == "" || len(name) > MaxMethodNameLen {
		return false
	}
	for _, c := range name {
		if c <= ' ' || c > '~' || strings.ContainsRune(notInNames, c) {
			return false
		}
	}
	return true
}

// target reads the condition or the list of devices: exactly one of both.
func (o *object) target(def *Definition) {
	switch {
	case o.has("deviceIds") && o.has("queryCondition"):
		o.fault("deviceIds", nil, "must not stand beside queryCondition: give one of both")
	case o.has("deviceIds"):
		def.DeviceIDs = o.deviceIDs()
	case o.has("queryCondition"):
		o.condition(def.QueryCondition)
	default:
		o.fault("queryCondition", nil, `is required, "*" for all devices; or give deviceIds`)
	}
}

func (o *object) condition(text string) {
	switch {
	case strings.TrimSpace(text) == "":
		o.fault("queryCondition", o.members["queryCondition"], `must not be empty; "*" means all devices`)
		return
	case len([]rune(text)) > MaxConditionChars:
		o.fault("queryCondition", o.members["queryCondition"], fmt.Sprintf("must have at most %d characters", MaxConditionChars))
		return
	}
	if _, err := twinquery.ParseCondition(text); err != nil {
		o.fault("queryCondition", o.members["queryCondition"], err.Error())
	}
}

func (o *object) deviceIDs() []string {
	var raw []json.RawMessage
	if err := json.Unmarshal(o.members["deviceIds"], &raw); err != nil {
		o.fault("deviceIds", o.members["deviceIds"], "must be an array of strings")
		return nil
	}
	if len(raw) == 0 || len(raw) > MaxDeviceIDs {
		o.fault("deviceIds", nil, fmt.Sprintf("has %d ids; must have 1 to %d", len(raw), MaxDeviceIDs))
		return nil
	}
	ids := make([]string, len(raw))
	seen := make(map[string]int, len(raw))
	for i := range raw {
		at := fmt.Sprintf("deviceIds[%d]", i)
		if err := json.Unmarshal(raw[i], &ids[i]); err != nil || !DeviceID(ids[i]) {
			o.fault(at, raw[i], deviceIDRule)
		} else if first, twice := seen[ids[i]]; twice {
			o.fault(at, raw[i], fmt.Sprintf("repeats deviceIds[%d]", first))
		} else {
			seen[ids[i]] = i
		}
		if len(*o.faults) > maxFaults {
			return nil
		}
	}
	return ids
}

const (
	deviceIDRule = "must be a string of 1 to 128 letters, digits and - : . + % _ # * ? ! ( ) , = @ ; $ '"
	jobIDRule    = "must be 1 to 64 ASCII letters, digits and -"
)

// DeviceID reports whether id can name a device
// (https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-identity-registry#device-identity-properties).
func DeviceID(id string) bool {
	if id == "" || len(id) > MaxDeviceIDLen {
		return false
	}
	for _, c := range id {
		if !letterOrDigit(c) && !strings.ContainsRune("-:.+%_#*?!(),=@;$'", c) {
			return false
		}
	}
	return true
}

func letterOrDigit(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// CheckJobID checks an id under the rule of IoT Hub's jobId.
func CheckJobID(field, id string) Faults {
	if jobID(id) {
		return nil
	}
	return Faults{{Field: field, Value: shown(id), Rule: jobIDRule}}
}

func jobID(id string) bool {
	return id != "" && len(id) <= MaxJobIDLen && !strings.ContainsFunc(id, func(c rune) bool {
		return !letterOrDigit(c) && c != '-'
	})
}

// Hash tells one definition from another, whatever id, white space and order of members it was sent with. The order of
// members matters inside payloads and patches.
func (d Definition) Hash() (string, error) {
	d.JobID = ""
	if d.FromTemplate != nil {
		return d.FromTemplate.Request, nil
	}
	text, err := json.Marshal(d)
	if err != nil {
		return "", fmt.Errorf("hashing the definition: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16]), nil
}
