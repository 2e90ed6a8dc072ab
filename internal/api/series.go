package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

// Recurring is what *dispatch.Dispatcher does for jobs with a schedule.
type Recurring interface {
	RunNow(ctx context.Context, jobID, key string, by job.Caller) (*job.Record, *job.Run, error)
	Backfill(ctx context.Context, jobID string, r job.Range, by job.Caller) (*job.Record, *job.Run, error)
	CancelRun(ctx context.Context, runID string, by job.Caller) (*job.Record, *job.Run, error)
}

const (
	nextRuns    = 10
	maxNextRuns = 100
)

// recurrenceView is where a recurring job stands, in JSON.
type recurrenceView struct {
	RunCount      int               `json:"runCount"`
	RunningCount  int               `json:"runningCount"`
	WaitingCount  int               `json:"waitingCount"`
	RemainingRuns *int              `json:"remainingRuns,omitempty"`
	Counters      schedule.Counters `json:"counters"`
	NextRunTimes  []instant         `json:"nextRunTimes"`
}

// recurrenceOf gives nil of a job without a schedule. It says nothing that changes with time alone.
func recurrenceOf(rec *job.Record) *recurrenceView {
	s := rec.Series
	if s == nil {
		return nil
	}
	v := &recurrenceView{
		RunCount: s.Runs, RunningCount: len(s.Running), WaitingCount: len(s.State.Buffer) + len(s.Pending),
		Counters: s.State.Counters, NextRunTimes: []instant{},
	}
	v.Counters.Started -= int64(len(s.Pending))
	if s.State.Limited {
		v.RemainingRuns = &s.State.Remaining
	}
	if s.Next.IsZero() {
		return v
	}
	v.NextRunTimes = append(v.NextRunTimes, instant(s.Next))
	if next, err := rec.NextRuns(s.Next, nextRuns-1); err == nil { // a row of a list has not all of the schedule
		v.NextRunTimes = append(v.NextRunTimes, instants(next)...)
	}
	return v
}

func instants(list []schedule.Occurrence) []instant {
	times := make([]instant, len(list))
	for i, o := range list {
		times[i] = instant(o.At)
	}
	return times
}

// recur shows a recurring job in place of its latest run, whose figures stay.
func (s state) recur(v *jobView) {
	rec := s.rec
	v.Status, v.StatusMessage, v.EndTime, v.EndReason = rec.Status, s.seriesMessage(), instant(rec.EndedAt), rec.EndReason
	v.Paused, v.Schedule, v.Recurrence, v.Rollout = pauseOf(rec.Pause), rec.Schedule, recurrenceOf(rec), rec.Rollout
	if id := rec.LastRun(); id != "" {
		v.RunID = id
	}
}

func (s state) seriesMessage() string {
	rec := s.rec
	switch rec.Status {
	case job.StatusScheduled:
		return "Waits for its next run, " + instant(rec.StartTime).String() + "."
	case job.StatusRunning:
		if s.run.Status == job.StatusScheduled && rec.MaintenanceWindow != nil && s.run.Rev != "" {
			return fmt.Sprintf("Run %d waits for its start time, %s.", rec.Series.Runs, instant(s.run.StartAt))
		}
		if s.run.Status == job.StatusScheduled {
			return fmt.Sprintf("Run %d begins.", rec.Series.Runs)
		}
		text := fmt.Sprintf("Run %d: %s", rec.Series.Runs, s.message())
		if s.run.Edits < rec.Edits {
			text += fmt.Sprintf(" It keeps to version %d of the job; version %d begins with the next run.", 1+s.run.Edits, 1+rec.Edits)
		}
		return text
	case job.StatusPaused:
		if rec.Pause != nil && rec.Pause.Note != "" {
			return "Starts no scheduled run until it is resumed: " + rec.Pause.Note
		}
		return "Starts no scheduled run until it is resumed."
	case job.StatusStopping:
		return fmt.Sprintf("Cancelled; waits for the end of %d of its runs.", len(rec.Series.Running))
	case job.StatusCancelled:
		return fmt.Sprintf("Cancelled after %d runs.", rec.Series.Runs)
	}
	return fmt.Sprintf("Its schedule has ended, after %d runs.", rec.Series.Runs)
}

// status is the job's, or that of the run which a request names.
func (s state) status() job.Status {
	if s.rec.Series != nil {
		return s.rec.Status
	}
	return s.run.Status
}

// runNow asks for one more run of a recurring job.
func (h *handler) runNow(ctx context.Context, r *request) (*answer, error) {
	key := r.idempotencyKey()
	if err := r.query.err(); err != nil {
		return nil, err
	}
	return h.asked(ctx, r, func(ctx context.Context, id string, by job.Caller) (*job.Record, *job.Run, error) {
		return h.jobs.RunNow(ctx, id, key, by)
	})
}

// backfill asks for runs for a range of the past.
func (h *handler) backfill(ctx context.Context, r *request) (*answer, error) {
	return h.asked(ctx, r, func(ctx context.Context, id string, by job.Caller) (*job.Record, *job.Run, error) {
		body, err := readBody(r)
		if err != nil {
			return nil, nil, err
		}
		rng, err := job.DecodeRange(body)
		if err != nil {
			return nil, nil, err
		}
		return h.jobs.Backfill(ctx, id, rng, by)
	})
}

func (h *handler) asked(
	ctx context.Context, r *request, do func(context.Context, string, job.Caller) (*job.Record, *job.Run, error),
) (*answer, error) {
	if len(job.CheckJobID("", r.jobID)) > 0 {
		return nil, problemOf(unknownJob, "no job has this id")
	}
	rec, run, err := do(ctx, r.jobID, r.by)
	if err != nil {
		return nil, err
	}
	return jsonAnswer(http.StatusOK, stateOf(rec, run).view())
}

type nextRunsView struct {
	NextRunTimes  []instant       `json:"nextRunTimes"`
	LocalRunTimes []localTimeView `json:"localRunTimes,omitempty"`
}

// localTimeView is a time of a schedule by local time, in JSON.
type localTimeView struct {
	LocalTime schedule.Civil `json:"localTime"`
	Earliest  instant        `json:"earliest"`
	Latest    instant        `json:"latest"`
}

func localTimes(def *job.Definition, list []schedule.Occurrence) ([]localTimeView, error) {
	times, err := def.LocalTimes(list)
	views := make([]localTimeView, len(times))
	for i, t := range times {
		views[i] = localTimeView{t.Time, instant(t.Earliest), instant(t.Latest)}
	}
	return views, err
}

// nextRuns gives the next times of a job. A job without a schedule has one, until it begins.
func (h *handler) nextRuns(ctx context.Context, r *request) (*answer, error) {
	count := r.query.integer("count", nextRuns, maxNextRuns)
	if err := r.query.err(); err != nil {
		return nil, err
	}
	s, err := h.current(ctx, r)
	if err != nil {
		return nil, err
	}
	v := nextRunsView{NextRunTimes: []instant{}}
	if s.rec.Series == nil && s.run.Status == job.StatusScheduled {
		v.NextRunTimes = append(v.NextRunTimes, instant(s.rec.StartTime))
	}
	next, err := s.rec.NextRuns(h.now(), count)
	if err != nil {
		return nil, err
	}
	v.NextRunTimes = append(v.NextRunTimes, instants(next)...)
	if v.LocalRunTimes, err = localTimes(&s.rec.Definition, next); err != nil {
		return nil, err
	}
	return jsonAnswer(http.StatusOK, v)
}

// unsavedTimes gives the next times of a schedule that is not stored.
func unsavedTimes(def job.Definition, now time.Time) (nextRunsView, error) {
	if def.Schedule == nil {
		return nextRunsView{}, nil
	}
	rec := &job.Record{Definition: def}
	if err := rec.Recurs(now); err != nil {
		return nextRunsView{}, err
	}
	next, err := rec.NextRuns(now.Add(-1), nextRuns) // an occurrence at this very instant runs
	if err != nil {
		return nextRunsView{}, err
	}
	local, err := localTimes(&def, next)
	return nextRunsView{NextRunTimes: instants(next), LocalRunTimes: local}, err
}
