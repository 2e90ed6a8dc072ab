package schedule

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Kind says why a run starts.
type Kind string

// The kinds of runs.
const (
	Scheduled Kind = "scheduled" // an occurrence of the schedule
	Manual    Kind = "manual"    // run now
	Backfill  Kind = "backfill"  // an occurrence of the past, asked for once more
)

// Start is a run that starts, or waits for it.
type Start struct {
	Occurrence
	Kind    Kind `json:"kind"`
	Request int  `json:"request,omitempty"` // number of the request that asked for it, 0 when Scheduled
}

// ID names the run within its job: no two starts of a job have the same.
func (s Start) ID() string {
	id := s.At.UTC().Format("20060102T150405Z")
	if s.Kind != Scheduled {
		id += fmt.Sprintf("-%d", s.Request)
	}
	return id
}

// Counters say what became of each occurrence. Occurrences and Requested together are always the sum of the others and of what
// waits in the buffer.
type Counters struct {
	Occurrences int64 `json:"occurrences"` // that were due
	Requested   int64 `json:"requested"`   // run now and backfill
	Started     int64 `json:"started"`
	Skipped     int64 `json:"skipped"` // because another run was not over
	Missed      int64 `json:"missed"`  // found later than the catch-up window
	Dropped     int64 `json:"dropped"` // because the buffer was full, or a newer one took the place
	Paused      int64 `json:"paused"`  // came while the schedule was paused
}

// State is where a schedule stands; callers store it with the job, and change it only through the functions of this package.
type State struct {
	Handled   time.Time `json:"handled"`             // every occurrence up to here is counted
	Limited   bool      `json:"limited,omitempty"`   // Remaining holds
	Remaining int       `json:"remaining,omitempty"` // scheduled runs that may still start, besides those that wait
	Paused    bool      `json:"paused,omitempty"`
	Note      string    `json:"note,omitempty"` // of the last pause or resumption
	PausedAt  time.Time `json:"pausedAt,omitzero"`
	ResumedAt time.Time `json:"resumedAt,omitzero"`
	Buffer    []Start   `json:"buffer,omitempty"` // in the order in which they will start
	Requests  int       `json:"requests,omitempty"`
	Counters  Counters  `json:"counters"`
}

// Pause keeps scheduled runs from starting, also those that wait, until Resume. Occurrences in between never run. Call Step
// first, so that what was due before is decided.
func (st State) Pause(now time.Time, note string) State {
	if !st.Paused {
		st.PausedAt = now
	}
	st.Paused, st.Note = true, note
	return st
}

// Resume ends a pause.
func (st State) Resume(now time.Time, note string) State {
	if st.Paused {
		st.ResumedAt = now
	}
	st.Paused, st.Note = false, note
	return st
}

// inPause reports whether an occurrence came while the schedule was paused.
func (st State) inPause(at time.Time) bool {
	return st.Paused || at.After(st.PausedAt) && !at.After(st.ResumedAt)
}

// waiting counts the scheduled runs in the buffer.
func (st State) waiting() int {
	n := 0
	for _, s := range st.Buffer {
		if s.Kind == Scheduled {
			n++
		}
	}
	return n
}

// Series is a job's schedule with its policies, safe for concurrent use.
type Series struct {
	*Schedule
	spec Spec
}

// Compile makes the schedule of a job ready. It fails only for a Spec that Decode refuses.
func (s Spec) Compile() (*Series, error) {
	compiled, err := s.Recurrence.Compile()
	if err != nil {
		return nil, err
	}
	return &Series{Schedule: compiled, spec: s}, nil
}

// Begin gives the state of a schedule that is created now. An occurrence at this very instant runs.
func (s *Series) Begin(now time.Time) State {
	return State{Handled: now.Add(-1), Limited: s.spec.RemainingRuns > 0, Remaining: s.spec.RemainingRuns}
}

// TooLate reports whether what was due at an instant is beyond the catch-up window at now.
func (s *Series) TooLate(at, now time.Time) bool {
	return now.Sub(at) > time.Duration(s.spec.CatchupWindow)
}

// What a request for runs can meet.
var (
	ErrTooMany = fmt.Errorf("more than %d runs would wait", MaxBuffered)
	ErrFuture  = errors.New("the range must end in the past")
	ErrNone    = errors.New("the range holds no occurrence")
)

// RunNow asks for a run. It starts in the next Step, or when the running run has ended unless the policy is AllowAll; also when
// the schedule is paused, and whatever runs remain. The error is ErrTooMany.
func (s *Series) RunNow(st State, now time.Time) (State, error) {
	return st.request(Manual, []Occurrence{{At: now.UTC(), Local: CivilOf(now, s.loc)}})
}

// Backfill asks for the occurrences of a range of the past, from up to and without to. They wait and start as RunNow's do. The
// error is ErrTooMany, ErrFuture or ErrNone.
func (s *Series) Backfill(st State, from, to, now time.Time) (State, error) {
	if to.After(now) {
		return st, ErrFuture
	}
	list, more := s.Between(from, to, MaxBuffered)
	switch {
	case more:
		return st, ErrTooMany
	case len(list) == 0:
		return st, ErrNone
	}
	return st.request(Backfill, list)
}

func (st State) request(kind Kind, list []Occurrence) (State, error) {
	if len(st.Buffer)+len(list) > MaxBuffered {
		return st, ErrTooMany
	}
	st.Requests++
	st.Counters.Requested += int64(len(list))
	st.Buffer = slices.Clone(st.Buffer)
	for _, o := range list {
		st.Buffer = append(st.Buffer, Start{Occurrence: o, Kind: kind, Request: st.Requests})
	}
	return st, nil
}

// Failed tells the schedule that a run has failed: with pauseOnFailure that pauses it.
func (s *Series) Failed(st State, now time.Time, runID string) State {
	if !s.spec.PauseOnFailure || st.Paused {
		return st
	}
	return st.Pause(now, fmt.Sprintf("paused because run %s failed", runID))
}

// Drop counts as dropped what waits, and starts that were decided and never made. Nothing will start by itself any more.
func (st State) Drop(starts int) State {
	st.Counters.Started -= int64(starts)
	st.Counters.Dropped += int64(starts + len(st.Buffer))
	st.Buffer = nil
	return st
}
