package jobsim

import (
	"context"
	"encoding/json"
	"sync"
	"time"
)

// Spec is a job as it was asked for.
type Spec struct {
	ID string
	// Type is scheduleDeviceMethod or scheduleUpdateTwin.
	Type string
	// Condition chooses the devices, in the words of the one who asked.
	Condition string
	// Start is when the job is due; the zero time and the past mean now.
	Start time.Time
	// MaxExecution is how long the job may run; 0 is without end.
	MaxExecution time.Duration
	// Method and Twin are echoed; one of them is empty.
	Method, Twin json.RawMessage
	// Call does the job's work on one device.
	Call func(ctx context.Context, deviceID string) Outcome
}

// Outcome is what became of one device.
type Outcome struct {
	// Status and Payload are a device's answer to a method; Payload is nil without one.
	Status  int
	Payload json.RawMessage
	// Fault is nil if the device did what it should.
	Fault *Fault
}

// Fault says why a device failed.
type Fault struct {
	Code        string `json:"code"`
	Description string `json:"description"`
}

// View is a job at one instant.
type View struct {
	Spec
	// Number counts the engine's jobs from 1.
	Number int
	// Status is queued, scheduled, running, completed, failed or cancelled.
	Status  string
	Created time.Time
	// Ended is zero as long as the job has not.
	Ended time.Time
	// FailureReason is set on failed jobs.
	FailureReason string
	// Counts are those of the devices; Started says whether there are any yet.
	Counts  Counts
	Started bool
}

// Counts are a job's devices by what became of them.
type Counts struct {
	Total     int `json:"deviceCount"`
	Failed    int `json:"failedCount"`
	Succeeded int `json:"succeededCount"`
	Running   int `json:"runningCount"`
	Pending   int `json:"pendingCount"`
}

type state uint8

const (
	waiting state = iota
	working
	completed
	failed
	cancelled
)

type job struct {
	spec    Spec
	number  int
	created time.Time
	settled time.Time // from when on it is scheduled and no longer queued
	due     time.Time
	stop    context.CancelFunc

	mu      sync.RWMutex
	state   state
	began   time.Time
	ended   time.Time
	reason  string
	started bool // rows are set
	rows    []row
	counts  Counts
}

func (j *job) view(now time.Time) View {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return View{
		Spec: j.spec, Number: j.number, Status: j.status(now), Created: j.created, Ended: j.ended, FailureReason: j.reason,
		Counts: j.counts, Started: j.started,
	}
}

func (j *job) status(now time.Time) string {
	switch j.state {
	case working:
		return "running"
	case completed:
		return "completed"
	case failed:
		return "failed"
	case cancelled:
		return "cancelled"
	default:
		if now.Before(j.settled) {
			return "queued"
		}
		return "scheduled"
	}
}

func (j *job) expired(now time.Time) bool {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return !j.ended.IsZero() && now.Sub(j.ended) > retention
}

// begin makes a waiting job run; it reports false if it was cancelled.
func (j *job) begin(now time.Time) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.state != waiting {
		return false
	}
	j.state, j.began = working, now
	return true
}

// end moves the job from a state to a final one; it reports false if it is in another state.
func (j *job) end(from, to state, now time.Time, reason string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.state != from {
		return false
	}
	j.state, j.ended, j.reason = to, now, reason
	return true
}
