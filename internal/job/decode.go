package job

import (
	"bytes"
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
	o := newObject("body", bytes.TrimSpace(body), &faults)
	if o == nil {
		return Definition{}, faults
	}
	o.only("jobId", "type", "cloudToDeviceMethod", "updateTwin", "queryCondition", "deviceIds", "startTime",
		"maxExecutionTimeInSeconds")
	def := Definition{
		JobID:                     o.text("jobId"),
		Type:                      Type(o.text("type")),
		QueryCondition:            o.text("queryCondition"),
		StartTime:                 o.instant("startTime"),
		MaxExecutionTimeInSeconds: o.integer("maxExecutionTimeInSeconds", 0, 1, MaxExecutionSecs),
	}
	if o.has("jobId") {
		faults = append(faults, CheckJobID("jobId", def.JobID)...)
	}
	if def.StartTime.After(now.Add(MaxStartAhead)) {
		o.fault("startTime", o.members["startTime"], "must be within ten years from now")
	}
	o.operation(&def)
	o.target(&def)
	if len(faults) > 0 {
		return Definition{}, faults
	}
	return def, nil
}

// operation reads the member that belongs to the job's type and refuses the other.
func (o *object) operation(def *Definition) {
	switch def.Type {
	case TypeMethod:
		def.Method = o.method()
		o.absent("updateTwin", "goes with type scheduleUpdateTwin only")
	case TypeTwin:
		def.UpdateTwin = o.twin()
		o.absent("cloudToDeviceMethod", "goes with type scheduleDeviceMethod only")
	default:
		o.fault("type", o.members["type"], `must be "scheduleDeviceMethod" or "scheduleUpdateTwin"`)
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
	m := o.nested("cloudToDeviceMethod")
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
	if len(call.Payload) > MaxMethodPayload {
		m.fault("payload", nil, fmt.Sprintf("has %d bytes; IoT Hub takes at most %d", len(call.Payload), MaxMethodPayload))
	}
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
	condition, err := twinquery.ParseCondition(text)
	switch {
	case err != nil:
		o.fault("queryCondition", o.members["queryCondition"], err.Error())
	case condition.Source != twinquery.Devices:
		o.fault("queryCondition", o.members["queryCondition"], "must select devices; modules are not supported yet")
	}
}

func (o *object) deviceIDs() []string {
	var ids []string
	if err := json.Unmarshal(o.members["deviceIds"], &ids); err != nil {
		o.fault("deviceIds", o.members["deviceIds"], "must be an array of strings")
		return nil
	}
	if len(ids) == 0 || len(ids) > MaxDeviceIDs {
		o.fault("deviceIds", nil, fmt.Sprintf("has %d ids; must have 1 to %d", len(ids), MaxDeviceIDs))
		return nil
	}
	seen := make(map[string]int, len(ids))
	for i, id := range ids {
		name := fmt.Sprintf("deviceIds[%d]", i)
		if !DeviceID(id) {
			o.fault(name, json.RawMessage(id), deviceIDRule)
		} else if first, twice := seen[id]; twice {
			o.fault(name, json.RawMessage(id), fmt.Sprintf("repeats deviceIds[%d]", first))
		}
		if len(*o.faults) >= maxListFaults {
			o.fault("deviceIds", nil, "has more faults; these are the first")
			return nil
		}
		seen[id] = i
	}
	return ids
}

const (
	maxListFaults = 20
	deviceIDRule  = "must be 1 to 128 letters, digits and - : . + % _ # * ? ! ( ) , = @ ; $ '"
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
	ok := id != "" && len(id) <= MaxJobIDLen
	for _, c := range id {
		ok = ok && (letterOrDigit(c) || c == '-')
	}
	if ok {
		return nil
	}
	return Faults{{Field: field, Value: shown(id), Rule: fmt.Sprintf("must be 1 to %d ASCII letters, digits and -", MaxJobIDLen)}}
}

// Hash tells one definition from another, whatever id and white space it was sent with.
func (d Definition) Hash() (string, error) {
	d.JobID = ""
	text, err := json.Marshal(d)
	if err != nil {
		return "", fmt.Errorf("hashing the definition: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16]), nil
}
