package job

import (
	"fmt"
	"math"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

// Retry has devices called again that ended without success. The first criterion that fits a failure counts.
type Retry struct {
	Criteria []RetryCriterion `json:"criteria"`
}

// RetryCriterion says how often, and how long, devices are called again after a kind of failure. A device that refused the
// operation (Rejected) is never called again.
type RetryCriterion struct {
	FailureType RetryType `json:"failureType"`
	// NumberOfRetries counts all calls after the first; 0 is as many as fit before Until or the end of the run.
	NumberOfRetries int `json:"numberOfRetries,omitempty"`
	// Until is the time from the start of the run after which there is no retry; 0 is the end of the run.
	Until schedule.Duration `json:"until,omitempty"`
	// Delay is the time before the first retry; it grows by Factor with each one up to MaxDelay. Up to Jitter of it is added.
	Delay    schedule.Duration `json:"delay"`
	Factor   float64           `json:"factor"`
	MaxDelay schedule.Duration `json:"maxDelay"`
	Jitter   float64           `json:"jitter"`
}

// RetryType is a kind of failure: the reason of an execution, its state, or RetryAll.
type RetryType string

// RetryAll stands for every failure that can be retried.
const RetryAll RetryType = "all"

// RetryTypes lists the failure types of retry criteria.
func RetryTypes() []RetryType {
	types := []RetryType{RetryAll, RetryType(Failed.String()), RetryType(TimedOut.String())}
	for _, r := range []Reason{
		DeviceOffline, DeviceNotFound, DeviceNoAnswer, DeviceError, UnreadableAnswer, RequestRejected, HubError, ConnectionLost, NotConfirmed,
		WaitTimedOut,
	} {
		types = append(types, RetryType(r.String()))
	}
	return types
}

func (t RetryType) fits(o Outcome) bool {
	switch t {
	case RetryAll:
		return o.State == Failed || o.State == TimedOut
	case RetryType(o.State.String()):
		return true
	}
	return (o.State == Failed || o.State == TimedOut) && string(t) == o.Reason.String()
}

// Next gives when e, whose last attempt came to o at now, is called again in run; false when that was its end. share, from 0 to
// 1, chooses within the jitter: executions with the same share come back together.
func (r *Retry) Next(run *Run, e *Execution, o Outcome, now time.Time, share float64) (time.Time, bool) {
	if r == nil || o.State == Succeeded {
		return time.Time{}, false
	}
	for i := range r.Criteria {
		c := &r.Criteria[i]
		if !c.FailureType.fits(o) {
			continue
		}
		at := now.Add(c.after(e.Tries(), share)).Truncate(time.Millisecond)
		late := c.Until > 0 && at.After(run.Since().Add(time.Duration(c.Until))) || run.PastDeadline(at)
		return at, !late && (c.NumberOfRetries == 0 || e.Tries() <= c.NumberOfRetries)
	}
	return time.Time{}, false
}

// after is the time between an attempt and the next.
func (c *RetryCriterion) after(attempts int, share float64) time.Duration {
	d := min(float64(c.Delay)*math.Pow(c.Factor, float64(max(attempts, 1)-1)), float64(c.MaxDelay))
	return time.Duration(d * (1 + c.Jitter*share))
}

// Wait ends an attempt that came to o, to be followed by another at a time.
func (e *Execution) Wait(o Outcome, at time.Time) {
	if !e.State.CanBecome(Queued) {
		return
	}
	e.rest()
	e.State, e.Reason, e.StatusCode, e.NextAttemptAt = Queued, o.Reason, o.StatusCode, at
	e.Answer, e.Truncated = cutAt(o.Answer, AnswerLimit)
}

// Waiting reports whether e waits for its next attempt; its reason, status and answer are then those of the last one, if there
// was one.
func (e *Execution) Waiting() bool { return e.State == Queued && !e.NextAttemptAt.IsZero() }

// last is the outcome of the last attempt of an execution that waits.
func (e *Execution) last() Outcome {
	o := Outcome{State: Failed, Reason: e.Reason, StatusCode: e.StatusCode, Answer: e.Answer}
	switch e.Reason {
	case DeviceNoAnswer, ProgressTimedOut, NotConfirmed, WaitTimedOut:
		o.State = TimedOut
	}
	return o
}

// retrySlack is how much too early an execution is called rather than let its shard come back for it alone.
const retrySlack = time.Second

// Due reports whether e can be called at now.
func (e *Execution) Due(now time.Time) bool {
	return !e.State.Final() && !e.NextAttemptAt.After(now.Add(retrySlack))
}

// Ready is how many executions can be called at now.
func (s *Shard) Ready(now time.Time) int {
	n := 0
	for i := range s.Executions {
		if s.Executions[i].Due(now) {
			n++
		}
	}
	return n
}

// WakeAt is when the first of the executions that wait is to be called, zero unless all that have not ended wait.
func (s *Shard) WakeAt() time.Time {
	var at time.Time
	for i := range s.Executions {
		e := &s.Executions[i]
		switch {
		case e.State.Final():
		case !e.Waiting() && !e.Awaiting():
			return time.Time{}
		case at.IsZero() || e.NextAttemptAt.Before(at):
			at = e.NextAttemptAt
		}
	}
	return at
}

// retry reads the member of the same name. endless says that the job has no time limit.
func (o *object) retry(endless bool) *Retry {
	r := o.nested("retry")
	if r == nil {
		return nil
	}
	r.only("criteria")
	found := &Retry{}
	for _, c := range r.objects("criteria", MaxCriteria) {
		if c != nil {
			found.Criteria = append(found.Criteria, c.retryCriterion(endless))
		}
	}
	return found
}

func (o *object) retryCriterion(endless bool) RetryCriterion {
	o.only("failureType", "numberOfRetries", "until", "delay", "factor", "maxDelay", "jitter")
	c := RetryCriterion{
		FailureType:     word(o, "failureType", RetryAll, RetryTypes()),
		NumberOfRetries: int(o.integer("numberOfRetries", 0, 1, MaxRetries)),
		Until:           o.durationOr("until", 0, MaxRetryUntil),
		Delay:           o.durationOr("delay", DefaultRetryDelay, MaxRetryDelay),
		Factor:          o.decimalFrom("factor", DefaultRetryFactor, 1, MaxRetryFactor),
		Jitter:          o.decimalFrom("jitter", DefaultRetryJitter, 0, 1),
	}
	c.MaxDelay = o.durationOr("maxDelay", max(time.Duration(c.Delay), DefaultRetryMaxDelay), MaxRetryDelay)
	if c.MaxDelay < c.Delay {
		o.fault("maxDelay", o.members["maxDelay"], "must not be shorter than delay")
	}
	if endless && !o.has("numberOfRetries") && !o.has("until") {
		o.fault("numberOfRetries", nil, "is required, unless there is until, or the job has maxExecutionTimeInSeconds")
	}
	return c
}

// durationOr reads an ISO 8601 duration from a second up to most, def when absent.
func (o *object) durationOr(name string, def, most time.Duration) schedule.Duration {
	if !o.has(name) {
		return schedule.Duration(def)
	}
	d, err := schedule.ParseDuration(o.text(name))
	if err != nil || time.Duration(d) < time.Second || time.Duration(d) > most {
		o.fault(name, o.members[name], fmt.Sprintf("must be an ISO 8601 duration from PT1S to %s", schedule.Duration(most)))
		return schedule.Duration(def)
	}
	return d
}
