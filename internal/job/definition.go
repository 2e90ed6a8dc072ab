package job

import (
	"encoding/json"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

// Type is the operation of a job, under IoT Hub's names where it has one.
type Type string

// The operations.
const (
	TypeMethod Type = "scheduleDeviceMethod"
	TypeTwin   Type = "scheduleUpdateTwin"
	TypeSteps  Type = "scheduleSteps" // ours
)

// Types lists the operations.
func Types() []Type { return []Type{TypeMethod, TypeTwin, TypeSteps} }

// Definition is what a user asks for. Its JSON is a superset of IoT Hub's job
// (https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-jobs).
type Definition struct {
	JobID      string      `json:"jobId,omitempty"`
	Type       Type        `json:"type"`
	Method     *Method     `json:"cloudToDeviceMethod,omitempty"`
	UpdateTwin *TwinUpdate `json:"updateTwin,omitempty"`
	// Confirm has devices report what UpdateTwin desires; nil where the hub's word is enough.
	Confirm *Confirm `json:"confirm,omitempty"`
	// Steps are the operations of TypeSteps.
	Steps          []Step `json:"steps,omitempty"`
	QueryCondition string `json:"queryCondition,omitempty"`
	// DeviceIDs is the explicit target, instead of QueryCondition; of a rerun also modules, see TargetID. Stored jobs hold it in rows of their own.
	DeviceIDs []string `json:"deviceIds,omitempty"`
	// StartTime is when the job is due; zero means as soon as possible.
	StartTime time.Time `json:"startTime,omitzero"`
	// Schedule makes the job recur; it has no StartTime of its own then. nil is one run.
	Schedule *schedule.Spec `json:"schedule,omitempty"`
	// MaintenanceWindow is when runs may work; nil is always.
	MaintenanceWindow *schedule.WindowSpec `json:"maintenanceWindow,omitempty"`
	// MaxExecutionTimeInSeconds counts from the start of the run; no new call starts after it. 0 means no limit.
	MaxExecutionTimeInSeconds int64 `json:"maxExecutionTimeInSeconds,omitempty"`
	// Notifications is nil when nobody is to be called.
	Notifications *Notifications `json:"notifications,omitempty"`
	FailurePolicy
	// Rollout is nil where devices are begun as fast as the hub allows.
	Rollout *Rollout `json:"rollout,omitempty"`
	// MaxDevices is how many devices a run takes, those that are listed first; 0 is all.
	MaxDevices int `json:"maxDevices,omitempty"`
	// Priority is the job's part of what jobs share, beside the priorities of the others; 0 is DefaultPriority.
	Priority int `json:"priority,omitempty"`
	// Exclusive keeps runs from a device that a run of another exclusive job works on, from its first call until its execution has ended.
	Exclusive bool `json:"exclusive,omitempty"`
	// Hubs is where the job works, nil for the default hub.
	Hubs *Hubs `json:"hubs,omitempty"`
	// Placeholders says that strings of the payload or the patches hold placeholders for what each device's twin says.
	Placeholders bool `json:"placeholders,omitempty"`
	SelectionPolicy
	// FromTemplate is the template of which the job was made, nil of others.
	FromTemplate *FromTemplate `json:"fromTemplate,omitempty"`
	// CopyOf is the job that this one is a copy of, nil of others; nobody can ask for it in a definition.
	CopyOf *CopyOf `json:"copyOf,omitempty"`
	// RerunOf is the run whose devices a rerun does again; nobody can ask for it in a definition.
	RerunOf *RerunOf `json:"rerunOf,omitempty"`
}

// Method is a direct method call (https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-direct-methods).
type Method struct {
	Name    string          `json:"methodName"`
	Payload json.RawMessage `json:"payload,omitempty"` // any JSON value; absent is sent as null
	// ResponseTimeoutInSeconds is 5 to 300, 30 unless given; ConnectTimeoutInSeconds 0 to 300, 0 unless given.
	ResponseTimeoutInSeconds int `json:"responseTimeoutInSeconds"`
	ConnectTimeoutInSeconds  int `json:"connectTimeoutInSeconds"`
}

// TwinUpdate is a merge patch of tags and desired properties; null deletes a key
// (https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-device-twins).
type TwinUpdate struct {
	ETag       string          `json:"etag,omitempty"` // "*" or absent, as IoT Hub's jobs want it
	Tags       json.RawMessage `json:"tags,omitempty"`
	Properties *TwinProperties `json:"properties,omitempty"`
}

// TwinProperties holds the desired properties of a TwinUpdate.
type TwinProperties struct {
	Desired json.RawMessage `json:"desired,omitempty"`
}

// Limits of a definition. docs/limits.md lists them for users.
const (
	MaxBodyBytes       = 16 << 20 // a list of MaxDeviceIDs ids of the longest kind fits
	MaxDeviceIDs       = 100_000
	MaxDeviceIDLen     = 128       // https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-identity-registry
	MaxJobIDLen        = 64        // as IoT Hub's jobId
	MaxMethodNameLen   = 100       // not documented by IoT Hub; topics carry the name
	MaxMethodPayload   = 128 << 10 // https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-quotas-throttling
	MaxTagsBytes       = 8 << 10
	MaxDesiredBytes    = 32 << 10
	MaxPatchText       = 128 << 10 // of one patch without white space: null and empty values count nothing in a twin
	MaxTwinKeyBytes    = 1 << 10
	MaxTwinString      = 4 << 10
	MinTwinInteger     = -1 << 52
	MaxTwinInteger     = 1<<52 - 1
	MaxTwinDepth       = 10 // objects below tags or desired
	MinResponseSecs    = 5
	MaxResponseSecs    = 300
	MaxConnectSecs     = 300
	DefaultResponse    = 30
	MaxConditionChars  = 8000 // the whole query may have 8192
	MaxExecutionSecs   = 366 * 24 * 3600
	MaxStartAhead      = 10 * 366 * 24 * time.Hour
	MaxCallbackURL     = 2048
	MaxDevices         = 10_000_000
	MaxRatePerMinute   = 1_000_000
	MaxConcurrency     = 1_000_000
	MinIncrementFactor = 1.1
	MaxIncrementFactor = 5
	MaxIncreaseDevices = 1_000_000
	MinBatches         = 1
	MaxBatches         = 50
	MaxBatchNumber     = 1_000_000
	MaxPercentage      = 100
	MaxObservation     = 366 * 24 * time.Hour
	MaxNoteChars       = 500 // of why somebody pauses, resumes or approves
)

// Limits of a selection.
const (
	MaxDeviceListAge         = 31 * 24 * time.Hour
	MinSelectionInterval     = 10 * time.Second
	MaxSelectionInterval     = 7 * 24 * time.Hour
	DefaultSelectionInterval = 5 * time.Minute
)

// Record is a stored job.
type Record struct {
	Definition
	RunID       string // of its one run; of a recurring job what SeriesID gives
	CreatedAt   time.Time
	CreatedBy   Principal `json:",omitzero"`  // zero of jobs that were stored before there was this member
	ListFrom    int       `json:",omitempty"` // number of the first row of device ids
	ListChunks  int       // rows of device ids, 0 for a query
	DeviceCount int       // length of the explicit list
	Hash        string    // of the definition as it was sent, to tell a repeated request from another
	KeyHash     string    // of the Idempotency-Key, "" without one
	Warnings    []string
	// Trace is the W3C traceparent of the request that created the job, "" without one: its run, which starts later, goes on with it.
	Trace string `json:",omitempty"`

	// Status, and the members below it, are those of the run as of its last change of state.
	Status        Status
	Active        bool // its run was handed to the dispatcher and has rows of its own, also after its end
	EndReason     EndReason
	FailureReason string
	Pause         *Pause `json:",omitempty"`
	StartedAt     time.Time
	EndedAt       time.Time
	Devices       int
	Counts        Counts
	Rounds        *Rounds     `json:",omitempty"`
	List          *DeviceList `json:",omitempty"`
	AtHubs        []HubRun    `json:",omitempty"` // of a run at several hubs
	Edits         int         `json:",omitempty"` // of a recurring job's run: those of the job that the run began with
	Told          Told        `json:",omitzero"`  // entries of the audit trail that came from the run

	// Series is where a recurring job stands, nil of others. Its Status is its own, by CanRecur; StartedAt, FailureReason, Devices
	// and Counts are those of its latest run, once that has ended.
	Series *Series `json:",omitempty"`
	// EditedBy is who edited a recurring job last, zero when nobody has. Outdated is what the job was before an edit that is about
	// to be stored, nil where no run began with it.
	EditedBy Principal `json:",omitzero"`
	Outdated *Former   `json:"-"`
	// Occurrence marks the record of a recurring job's run.
	Occurrence *Occurrence `json:",omitempty"`

	// Deliveries are the events that somebody is told of. Owed is the time under which the store lists the job for the next
	// pending one, zero when it does not.
	Deliveries []Delivery `json:",omitempty"`
	Owed       time.Time  `json:",omitzero"`

	// Kept is the time under which the store lists what has ended, by which its retention counts; zero when it does not.
	Kept time.Time `json:",omitzero"`

	// Rev is the store's revision of the row that was read.
	Rev string `json:"-"`
}

// NewRun gives the job's run in its first state.
func (r *Record) NewRun() Run {
	run := Run{
		ID: r.RunID, JobID: r.JobID, Status: StatusScheduled, StartAt: r.StartTime, Failure: r.FailurePolicy.orNil(),
		Rollout: NewRolling(r.Rollout), Rounds: r.newRounds(), Edits: r.Edits, Hub: r.Hubs.Single(), Priority: r.Priority, Exclusive: r.Exclusive,
	}
	run.countOutcomes()
	if r.Occurrence != nil {
		run.Jitter, run.LastStart = r.Occurrence.Jitter, r.Occurrence.Local.last()
	}
	return run
}

// Reflect copies the run's state into the record and reports whether anything changed that lists of jobs show.
func (r *Record) Reflect(run *Run) bool {
	changed := r.Status != run.Status
	r.Status, r.EndReason, r.FailureReason = run.Status, run.EndReason, run.FailureReason
	r.StartedAt, r.EndedAt, r.Pause = run.StartedAt, run.EndedAt, run.Pause
	r.Told = Told{RunID: run.ID, Count: run.Noted}
	r.Definition, r.Edits = r.Latest(run), max(r.Edits, run.Edits)
	r.Devices, r.Counts, r.AtHubs = run.Devices, run.Counts(), run.Hubs
	r.Rounds, r.List = run.Rounds, run.List
	return changed
}
