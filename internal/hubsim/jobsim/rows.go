package jobsim

import (
	"iter"
	"time"
)

type rowState uint8

const (
	rowPending rowState = iota
	rowRunning
	rowCompleted
	rowFailed
)

func (s rowState) String() string {
	return [...]string{"pending", "running", "completed", "failed"}[s]
}

// row is a device of a job.
type row struct {
	id               string // of a module: device, slash, module
	state            rowState
	created, updated int64 // nanoseconds since 1970
	outcome          Outcome
}

// Position is a row by the number of its job and its place in it, from 0.
type Position struct {
	Job, Row int
}

// Row is a device of a job at one instant.
type Row struct {
	JobID, Type string
	// DeviceID is that of the device, or of a module: device, slash, module.
	DeviceID string
	// Status is pending, running, completed or failed.
	Status           string
	Created, Updated time.Time
	// Start is that of the job, End when its execution time is over; zero if that is without end.
	Start, End time.Time
	Outcome    Outcome
}

// Rows yields the devices of all jobs that have started, from a position on: the oldest job first, and each in the order of its
// selection.
func (e *Engine) Rows(from Position) iter.Seq2[Position, Row] {
	return func(yield func(Position, Row) bool) {
		now := e.options.Clock.Now()
		for _, j := range e.from(from.Job) {
			first := 0
			if j.number == from.Job {
				first = from.Row
			}
			if !j.expired(now) && !j.each(first, yield) {
				return
			}
		}
	}
}

// each yields the rows from a place on; it reports whether the caller wants more.
func (j *job) each(first int, yield func(Position, Row) bool) bool {
	for i := first; ; i++ {
		r, ok := j.row(i)
		if !ok {
			return true
		}
		if !yield(Position{Job: j.number, Row: i}, r) {
			return false
		}
	}
}

func (j *job) row(i int) (Row, bool) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	if i < 0 || i >= len(j.rows) {
		return Row{}, false
	}
	r := &j.rows[i]
	view := Row{
		JobID: j.spec.ID, Type: j.spec.Type, DeviceID: r.id, Status: r.state.String(),
		Created: time.Unix(0, r.created), Updated: time.Unix(0, r.updated), Start: j.spec.Start, Outcome: r.outcome,
	}
	if j.spec.MaxExecution > 0 {
		view.End = j.spec.Start.Add(j.spec.MaxExecution)
	}
	return view, true
}
