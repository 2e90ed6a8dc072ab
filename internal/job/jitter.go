package job

import (
	"slices"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

// Jittered reports whether the run's devices begin spread over a time, each after its own delay.
func (r *Run) Jittered() bool { return r.Jitter > 0 }

// delay is how long after the run's start a device begins, the same in each run of the job.
func (r *Run) delay(id string) time.Duration { return schedule.Jitter(r.JobID, id, r.Jitter) }

// SortByDelay puts devices in the order in which the run's jitter lets them begin, so that those of one shard wait, and wake,
// together.
func (r *Run) SortByDelay(ids []string) {
	type delayed struct {
		id    string
		after time.Duration
	}
	list := make([]delayed, len(ids))
	for i, id := range ids {
		list[i] = delayed{id, r.delay(id)}
	}
	slices.SortStableFunc(list, func(a, b delayed) int { return int(a.after - b.after) })
	for i, d := range list {
		ids[i] = d.id
	}
}

// Delay has a new shard's devices wait for their begin, if the run has a jitter, from a time on or from the run's start.
func (r *Run) Delay(s *Shard, from time.Time) {
	if !r.Jittered() {
		return
	}
	for i := range s.Executions {
		e := &s.Executions[i]
		e.NextAttemptAt = latest(r.StartedAt, from).Add(r.delay(e.DeviceID)).Truncate(time.Millisecond)
	}
}

// jitterOf is that of a run which starts for some reason; who asks for a run now wants it now.
func jitterOf(spec *schedule.Spec, kind schedule.Kind) schedule.Duration {
	if spec == nil || kind == schedule.Manual {
		return 0
	}
	return spec.Jitter
}

// jitter holds the schedule's jitter against what else bounds or spreads a run.
func (o *object) jitter(d *Definition) {
	if d.Schedule == nil || d.Schedule.Jitter == 0 {
		return
	}
	const field = "schedule.jitter"
	jitter := time.Duration(d.Schedule.Jitter)
	if d.Rollout != nil {
		o.fault(field, nil, "must not stand beside rollout, which spreads a run by rates and batches")
	}
	if limit := time.Duration(d.MaxExecutionTimeInSeconds) * time.Second; limit > 0 && jitter >= limit {
		o.fault(field, nil, "must be shorter than maxExecutionTimeInSeconds")
	}
	if d.Timeout != nil && d.Timeout.NotStarted > 0 && jitter >= time.Duration(d.Timeout.NotStarted) {
		o.fault(field, nil, "must be shorter than timeout.notStarted")
	}
}
