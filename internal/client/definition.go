package client

import (
	"encoding/json"
	"time"
)

// Definition is what a new job does, to which devices and when. Zero fields are left out; openapi.yaml of the service
// describes each, with its limits.
type Definition struct {
	JobID          string      `json:"jobId,omitempty"`
	Type           string      `json:"type,omitempty"` // TypeMethod, TypeTwin or TypeSteps
	Method         *Method     `json:"cloudToDeviceMethod,omitempty"`
	UpdateTwin     *TwinUpdate `json:"updateTwin,omitempty"`
	Confirm        *Confirm    `json:"confirm,omitempty"`
	QueryCondition string      `json:"queryCondition,omitempty"` // the WHERE part of a twin query, "*" for all devices
	DeviceIDs      []string    `json:"deviceIds,omitempty"`      // instead of QueryCondition
	StartTime      time.Time   `json:"startTime,omitzero"`
	Schedule       *Schedule   `json:"schedule,omitempty"` // instead of StartTime
	// MaintenanceWindow is when runs may work, nil for always.
	MaintenanceWindow *Window `json:"maintenanceWindow,omitempty"`
	// MaxExecutionTimeInSeconds counts from the start.
	MaxExecutionTimeInSeconds int64 `json:"maxExecutionTimeInSeconds,omitempty"`
	// Notifications is who is called when the job has ended.
	Notifications *Notifications `json:"notifications,omitempty"`
	Rollout       *Rollout       `json:"rollout,omitempty"`
	MaxDevices    int            `json:"maxDevices,omitempty"`
	Priority      int            `json:"priority,omitempty"` // 1 to 10, 5 unless given
	Hubs          Hubs           `json:"hubs,omitempty"`
	// Exclusive keeps the job from a device that another exclusive job works on, from its first call until its execution has ended.
	Exclusive bool `json:"exclusive,omitempty"`
	// Selection is snapshot, the default, or continuous.
	Selection         string `json:"selection,omitempty"`
	SelectionInterval string `json:"selectionInterval,omitempty"` // ISO 8601, between rounds of a continuous selection
	Endless           bool   `json:"endless,omitempty"`           // of a continuous job without a time limit
	// Abort ends the job early when too many devices fail.
	Abort *Abort `json:"abort,omitempty"`
	// Retry has devices called again that ended without success.
	Retry *Retry `json:"retry,omitempty"`
	// Timeout bounds how long a device may take.
	Timeout *Timeout `json:"timeout,omitempty"`
	// DeliveryGuarantee is atLeastOnce, the default, or atMostOnce.
	DeliveryGuarantee string `json:"deliveryGuarantee,omitempty"`
}

// Confirm has the devices of a twin update waited for until they report what is desired.
type Confirm struct {
	Properties []string `json:"properties,omitempty"` // paths below desired, all that are set unless given
	Within     string   `json:"within,omitempty"`     // ISO 8601
}

// Timeout bounds how long a device may take; durations are ISO 8601.
type Timeout struct {
	NotStarted string `json:"notStarted,omitempty"` // from the start of the run to the first call
	InProgress string `json:"inProgress,omitempty"` // of one call
}

// Retry says which failures have a device called again.
type Retry struct {
	Criteria []RetryCriterion `json:"criteria"`
}

// RetryCriterion says how often, and until when, devices are called again after a kind of failure. Durations are ISO 8601.
type RetryCriterion struct {
	FailureType     string `json:"failureType,omitempty"` // all unless given
	NumberOfRetries int    `json:"numberOfRetries,omitempty"`
	Until           string `json:"until,omitempty"` // from the start of the run
	Delay           string `json:"delay,omitempty"` // before the first retry
}

// Abort ends a job early when one of its criteria is met.
type Abort struct {
	Criteria []AbortCriterion `json:"criteria"`
}

// AbortCriterion is met when so many percent of the devices that were called and have ended did so without success.
type AbortCriterion struct {
	FailureType                string  `json:"failureType,omitempty"` // failed, timedOut, rejected or all
	ThresholdPercentage        float64 `json:"thresholdPercentage"`
	MinNumberOfExecutedDevices int     `json:"minNumberOfExecutedDevices,omitempty"`
	Action                     string  `json:"action,omitempty"`
	Over                       string  `json:"over,omitempty"` // run or batch
}

// Notifications says who is called when something happens to a job.
type Notifications struct {
	CallbackURL string   `json:"callbackUrl"`
	Events      []string `json:"events,omitempty"` // started, completed, failed, cancelled; none means the three ends
}

// The operations of a job.
const (
	TypeMethod = "scheduleDeviceMethod"
	TypeTwin   = "scheduleUpdateTwin"
	TypeSteps  = "scheduleSteps"
)

// Method is a call of a direct method.
type Method struct {
	Name                     string          `json:"methodName"`
	Payload                  json.RawMessage `json:"payload,omitempty"`
	ResponseTimeoutInSeconds int             `json:"responseTimeoutInSeconds,omitempty"`
	ConnectTimeoutInSeconds  int             `json:"connectTimeoutInSeconds,omitempty"`
}

// TwinUpdate is a merge patch of tags and desired properties; null deletes a key.
type TwinUpdate struct {
	Tags       json.RawMessage `json:"tags,omitempty"`
	Properties *TwinProperties `json:"properties,omitempty"`
}

// TwinProperties holds the desired properties of a TwinUpdate.
type TwinProperties struct {
	Desired json.RawMessage `json:"desired,omitempty"`
}
