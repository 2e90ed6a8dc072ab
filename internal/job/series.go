package job

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

const (
	// MaxRunsAtOnce is how many runs of one job go on side by side; further ones wait until one has ended.
	MaxRunsAtOnce = 100
	// BegunAtOnce is how many runs Recur begins: the store writes them in one transaction.
	BegunAtOnce = 20
)

// Series is where a recurring job stands. The row of the job holds it; each run has a row of its own.
type Series struct {
	State   schedule.State
	Next    time.Time        // when to decide again; zero when only a request or the end of a run can help
	Last    bool             `json:",omitempty"` // nothing will start by itself any more
	Pending []schedule.Start `json:",omitempty"` // decided, and waiting for one of MaxRunsAtOnce
	Runs    int              // how many runs there were; they are numbered from 1 on
	Running []LiveRun        `json:",omitempty"` // those that have not ended
	// Keys are hashes of the Idempotency-Keys of the last requests for a run.
	Keys []string `json:",omitempty"`
	// Due is the time under which the store lists the job, zero when it does not.
	Due time.Time `json:",omitzero"`
}

// keptKeys is how many requests for a run are known again.
const keptKeys = 32

// Knows reports whether a request with a key, as a hash, was carried out. "" never is.
func (s *Series) Knows(key string) bool { return key != "" && slices.Contains(s.Keys, key) }

// Remember notes the key of a request that is being carried out.
func (s *Series) Remember(key string) {
	if key == "" {
		return
	}
	s.Keys = append(slices.Clip(s.Keys), key)
	s.Keys = s.Keys[max(0, len(s.Keys)-keptKeys):]
}

// LiveRun is a run that has not ended.
type LiveRun struct {
	Number int
	Cancel EndReason `json:",omitempty"` // why it is to be cancelled, "" when it is not
	// Until is when the last zone reaches the local time of its devices, zero of others: until then the run goes on by its nature, and
	// no occurrence meets it.
	Until time.Time `json:",omitzero"`
}

// Occurrence is what the record of a recurring job's run says beyond that of a job.
type Occurrence struct {
	Number int
	Start  schedule.Start
	Jitter schedule.Duration `json:",omitempty"` // over which its devices begin
	Local  *LocalStart       `json:",omitempty"` // nil where all devices begin together
	// Job is the record of the job, as it was read together with the run's.
	Job *Record `json:"-"`
}

// SeriesID gives the run id that stands for a recurring job itself, under which its list of devices is stored.
func SeriesID(jobID, nonce string) string { return jobID + "." + nonce + ".0" }

// NumberOf tells the run of a recurring job: the id that stands for its job, and its number. ok is false of the one run of
// another job.
func NumberOf(runID string) (series string, number int, ok bool) {
	i := strings.LastIndexByte(runID, '.')
	if i < 0 || strings.Count(runID, ".") != 2 {
		return "", 0, false
	}
	n, err := strconv.Atoi(runID[i+1:])
	return runID[:i] + ".0", n, err == nil
}

// OwnerOf gives the id of a run's job.
func OwnerOf(runID string) string {
	jobID, _, ok := strings.Cut(runID, ".")
	if !ok {
		return ""
	}
	return jobID
}

// RunNumber gives the id of a recurring job's run.
func (r *Record) RunNumber(n int) string {
	return strings.TrimSuffix(r.RunID, "0") + strconv.Itoa(n)
}

// LastRun gives the id of the job's latest run that has rows of its own, "" when there is none.
func (r *Record) LastRun() string {
	switch {
	case r.Series == nil && r.Active:
		return r.RunID
	case r.Series != nil && r.Series.Runs > 0:
		return r.RunNumber(r.Series.Runs)
	}
	return ""
}

// ListID gives the run id under which the job's list of devices is stored.
func (r *Record) ListID() string {
	if series, _, ok := NumberOf(r.RunID); ok {
		return series
	}
	return r.RunID
}

// Cancels gives why a run is to be cancelled, "" when it is not.
func (s *Series) Cancels(number int) EndReason {
	for _, l := range s.Running {
		if l.Number == number {
			return l.Cancel
		}
	}
	return ""
}

// Recurs makes a new job one that recurs.
func (r *Record) Recurs(now time.Time) error {
	compiled, err := r.Schedule.Compile()
	if err != nil {
		return fmt.Errorf("compiling the schedule of job %s: %w", r.JobID, err)
	}
	r.Series = &Series{State: compiled.Begin(now)}
	first, _ := compiled.Next(r.Series.State.Handled)
	r.Series.Next, r.StartTime = first.At, first.At
	return nil
}

// Begun is what Recur wants stored together with the record.
type Begun struct {
	Runs    []*Record // runs that begin, at most BegunAtOnce
	Changed bool      // the record is to be stored
	Again   bool      // there is more to do: store, and call Recur once more
}

// Recur decides what has come by now.
func (r *Record) Recur(now time.Time) (Begun, error) {
	s := r.Series
	if r.Status.Ended() || r.EndReason == EndCancelled {
		return Begun{}, nil
	}
	compiled, err := r.Schedule.Compile()
	if err != nil {
		return Begun{}, fmt.Errorf("compiling the schedule of job %s: %w", r.JobID, err)
	}
	before, next, last := s.State.Counters, s.Next, s.Last
	var b Begun
	if len(s.Pending) == 0 {
		var d schedule.Decision
		s.State, d = compiled.Step(s.State, now, s.met(now))
		s.Pending, s.Next, s.Last, b.Again = d.Start, d.Next, d.Ended, d.Again
		if d.CancelRunning {
			s.cancel(EndSuperseded, now)
		}
	}
	b.Runs = r.begin(compiled, now)
	if len(s.Pending) > 0 { // a step would count more starts than can be made
		s.Next, b.Again = time.Time{}, len(s.Running) < MaxRunsAtOnce
	}
	if err := r.settle(now); err != nil {
		return Begun{}, err
	}
	b.Changed = len(b.Runs) > 0 || s.State.Counters != before || !s.Next.Equal(next) || s.Last != last || r.Status.Ended()
	return b, nil
}

// met is how many runs an occurrence meets at now.
func (s *Series) met(now time.Time) int {
	n := 0
	for _, l := range s.Running {
		if !now.Before(l.Until) {
			n++
		}
	}
	return n
}

// begin gives numbers and records to starts that were decided.
func (r *Record) begin(compiled *schedule.Series, now time.Time) []*Record {
	s := r.Series
	var runs []*Record
	for len(s.Pending) > 0 && len(s.Running) < MaxRunsAtOnce && len(runs) < BegunAtOnce {
		s.Runs++
		start := s.Pending[0]
		local := localStart(compiled, r.Schedule, start)
		s.Running = append(slices.Clip(s.Running), LiveRun{Number: s.Runs, Until: local.last()})
		run := &Record{
			RunID: r.RunNumber(s.Runs), CreatedAt: now, Status: StatusScheduled, Active: true, Edits: r.Edits,
			Occurrence: &Occurrence{Number: s.Runs, Start: start, Jitter: jitterOf(r.Schedule, start.Kind), Local: local},
		}
		run.Of(r, now)
		runs = append(runs, run)
		s.Pending = s.Pending[1:]
		r.StartedAt, r.Devices, r.Counts, r.FailureReason = time.Time{}, 0, Counts{}, ""
	}
	return runs
}

// Of gives the record of a run what it has in common with its job's, and when it starts.
func (r *Record) Of(of *Record, start time.Time) {
	r.Definition, r.CreatedBy = of.Definition, of.CreatedBy
	r.StartTime, r.Schedule = start, nil
	r.ListFrom, r.ListChunks, r.DeviceCount, r.Warnings, r.EditedBy = of.ListFrom, of.ListChunks, of.DeviceCount, of.Warnings, of.EditedBy
	r.Occurrence.Job = of
}

// settle brings the job's status in line with its series.
func (r *Record) settle(now time.Time) error {
	s := r.Series
	next, reason := StatusScheduled, r.EndReason
	switch {
	case reason == EndCancelled && len(s.Running) == 0:
		next = StatusCancelled
	case reason == EndCancelled:
		next = StatusStopping
	case len(s.Running) > 0 || len(s.Pending) > 0:
		next = StatusRunning
	case s.Last && len(s.State.Buffer) == 0:
		next, reason = StatusCompleted, EndFinished
	case s.State.Paused:
		next = StatusPaused
	}
	if next != r.Status && !r.Status.CanRecur(next) {
		return &TransitionError{From: r.Status, To: next}
	}
	r.Status, r.EndReason = next, reason
	if !s.Next.IsZero() {
		r.StartTime = s.Next
	}
	if next.Ended() {
		r.EndedAt, s.Next = now, time.Time{}
	}
	r.paused()
	return nil
}

// paused shows the pause of the schedule as that of a run is shown. By is zero where the schedule paused itself.
func (r *Record) paused() {
	st := r.Series.State
	if !st.Paused || r.Status.Ended() {
		r.Pause = nil
	} else if r.Pause == nil || !r.Pause.Since.Equal(st.PausedAt) {
		r.Pause = &Pause{Since: st.PausedAt, Note: st.Note}
	}
}

// Followed notes in the job that a run has ended, whose record shows it already.
func (r *Record) Followed(run *Record, now time.Time) error {
	s := r.Series
	if run.Occurrence.Number == s.Runs {
		r.StartedAt, r.Devices, r.Counts, r.FailureReason = run.StartedAt, run.Devices, run.Counts, run.FailureReason
	}
	s.Running = slices.DeleteFunc(slices.Clone(s.Running), func(l LiveRun) bool { return l.Number == run.Occurrence.Number })
	if run.Status == StatusFailed || run.EndReason == EndAborted {
		compiled, err := r.Schedule.Compile()
		if err != nil {
			return fmt.Errorf("compiling the schedule of job %s: %w", r.JobID, err)
		}
		s.State = compiled.Failed(s.State, now, run.RunID)
	}
	return r.settle(now)
}

// EndSeries cancels a recurring job: nothing starts any more, and its runs are to be cancelled.
func (r *Record) EndSeries(now time.Time) error {
	s := r.Series
	s.State = s.State.Drop(len(s.Pending))
	s.Pending, s.Next, s.Last = nil, time.Time{}, true
	for i := range s.Running {
		s.Running[i].Until = time.Time{}
	}
	s.cancel(EndCancelled, now)
	r.EndReason = EndCancelled
	return r.settle(now)
}

// cancel has the runs cancelled that an occurrence meets at now.
func (s *Series) cancel(why EndReason, now time.Time) {
	s.Running = slices.Clone(s.Running)
	for i, l := range s.Running {
		if l.Cancel == "" && !now.Before(l.Until) {
			s.Running[i].Cancel = why
		}
	}
}

// NextRuns gives the next times of a recurring job after now, at most n, and no more than the runs that remain. A paused job has
// those that it would run at when it is resumed.
func (r *Record) NextRuns(now time.Time, n int) ([]schedule.Occurrence, error) {
	if r.Series == nil || r.Series.Last || r.Status.Ended() {
		return nil, nil
	}
	compiled, err := r.Schedule.Compile()
	if err != nil {
		return nil, fmt.Errorf("compiling the schedule of job %s: %w", r.JobID, err)
	}
	st := r.Series.State
	if st.Limited {
		n = min(n, st.Remaining)
	}
	if st.Handled.After(now) {
		now = st.Handled
	}
	return compiled.NextN(now, n), nil
}

// Ask changes the schedule's state by a request of a person. It is for recurring jobs that have not ended.
func (r *Record) Ask(now time.Time, change func(*schedule.Series, schedule.State) (schedule.State, error)) error {
	compiled, err := r.Schedule.Compile()
	if err != nil {
		return fmt.Errorf("compiling the schedule of job %s: %w", r.JobID, err)
	}
	st, err := change(compiled, r.Series.State)
	if err != nil {
		return err
	}
	r.Series.State, r.Series.Last = st, false
	return r.settle(now)
}
