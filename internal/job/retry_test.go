package job_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

// Whatever the criterion, an execution is called at most so often, never after until or the run's end, and never sooner than
// its delay or later than its longest delay with jitter.
func TestRetriesKeepTheirLimits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		seconds := func(name string, most int) schedule.Duration {
			return schedule.Duration(time.Duration(rapid.IntRange(1, most).Draw(t, name)) * time.Second)
		}
		c := job.RetryCriterion{
			FailureType:     job.RetryAll,
			NumberOfRetries: rapid.IntRange(0, 20).Draw(t, "numberOfRetries"),
			Delay:           seconds("delay", 100),
			Factor:          float64(rapid.IntRange(100, 1000).Draw(t, "factor")) / 100,
			Jitter:          float64(rapid.IntRange(0, 100).Draw(t, "jitter")) / 100,
		}
		c.MaxDelay = c.Delay + seconds("maxDelay", 1000)
		c.Until = seconds("until", 100_000)
		began := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
		run := &job.Run{StartedAt: began, Deadline: began.Add(time.Duration(seconds("deadline", 100_000)))}
		retry := &job.Retry{Criteria: []job.RetryCriterion{c}}
		e, now := &job.Execution{}, began
		offline := job.Outcome{State: job.Failed, Reason: job.DeviceOffline}
		before := time.Duration(0)
		for {
			e.Begin(now)
			at, again := retry.Next(run, e, offline, now, rapid.Float64Range(0, 1).Draw(t, "share"))
			if !again {
				break
			}
			require.True(t, at.Before(run.Deadline))
			require.False(t, at.After(began.Add(time.Duration(c.Until))))
			require.GreaterOrEqual(t, at.Sub(now), time.Duration(c.Delay)-time.Millisecond)
			require.LessOrEqual(t, float64(at.Sub(now)), float64(c.MaxDelay)*(1+c.Jitter))
			if c.Jitter == 0 {
				require.GreaterOrEqual(t, at.Sub(now), before, "delays do not shrink")
			}
			before = at.Sub(now)
			e.Wait(offline, at)
			require.True(t, e.Waiting())
			require.Equal(t, job.Queued, e.State)
			now = at
		}
		if c.NumberOfRetries > 0 {
			require.LessOrEqual(t, e.Attempts, c.NumberOfRetries+1)
		}
	})
}

func TestTheFirstCriterionThatFitsCounts(t *testing.T) {
	t.Parallel()
	def, err := job.Decode(twinJob(`"retry":{"criteria":[{"failureType":"deviceOffline","numberOfRetries":7,"delay":"PT10S","jitter":0},
		{"failureType":"timedOut","numberOfRetries":1,"jitter":0},{"failureType":"deviceError","until":"PT1H","factor":1,"delay":"PT2H"}]}`), time.Now())
	require.NoError(t, err)
	require.Equal(t, schedule.Duration(2*time.Hour), def.Retry.Criteria[2].MaxDelay, "unless given it is not shorter than delay")
	now := time.Now()
	run := &job.Run{StartedAt: now}
	for _, c := range []struct {
		outcome  job.Outcome
		attempts int
		after    time.Duration // 0: not again
	}{
		{job.Outcome{State: job.Failed, Reason: job.DeviceOffline}, 1, 10 * time.Second},
		{job.Outcome{State: job.Failed, Reason: job.DeviceOffline}, 3, 40 * time.Second},
		{job.Outcome{State: job.Failed, Reason: job.DeviceOffline}, 7, 640 * time.Second},
		{job.Outcome{State: job.Failed, Reason: job.DeviceOffline}, 8, 0},
		{job.Outcome{State: job.TimedOut, Reason: job.DeviceNoAnswer}, 1, time.Minute},
		{job.Outcome{State: job.TimedOut, Reason: job.DeviceNoAnswer}, 2, 0},
		{job.Outcome{State: job.Failed, Reason: job.DeviceError}, 1, 0}, // until passes before the delay
		{job.Outcome{State: job.Failed, Reason: job.HubError}, 1, 0},
		{job.Outcome{State: job.Rejected, Reason: job.DeviceError}, 1, 0},
		{job.Outcome{State: job.Succeeded}, 1, 0},
	} {
		at, again := def.Retry.Next(run, &job.Execution{Attempts: c.attempts}, c.outcome, now, 1)
		require.Equal(t, c.after > 0, again, "%+v", c)
		if again {
			require.Equal(t, now.Add(c.after).Truncate(time.Millisecond), at, "%+v", c)
		}
	}
	_, again := (*job.Retry)(nil).Next(run, &job.Execution{Attempts: 1}, job.Outcome{State: job.Failed}, now, 0)
	require.False(t, again)
}

func TestRetryCriteriaAreChecked(t *testing.T) {
	t.Parallel()
	for member, fault := range map[string]string{
		`"retry":{"criteria":[{}]}`:                                         "retry.criteria[0].numberOfRetries: is required, unless there is until, or the job has maxExecutionTimeInSeconds",
		`"retry":{"criteria":[{"numberOfRetries":1001}]}`:                   "retry.criteria[0].numberOfRetries: 1001: must be a whole number from 1 to 1000",
		`"retry":{"criteria":[{"until":"P1M"}]}`:                            `retry.criteria[0].until: "P1M": must be an ISO 8601 duration from PT1S to P366D`,
		`"retry":{"criteria":[{"until":"P1D","delay":"PT0S"}]}`:             `retry.criteria[0].delay: "PT0S": must be an ISO 8601 duration from PT1S to P7D`,
		`"retry":{"criteria":[{"until":"P1D","maxDelay":"PT1S"}]}`:          `retry.criteria[0].maxDelay: "PT1S": must not be shorter than delay`,
		`"retry":{"criteria":[{"until":"P1D","factor":0.5}]}`:               "retry.criteria[0].factor: 0.5: must be a number from 1 to 10 with at most two decimals",
		`"retry":{"criteria":[{"until":"P1D","jitter":2}]}`:                 "retry.criteria[0].jitter: 2: must be a number from 0 to 1 with at most two decimals",
		`"retry":{"criteria":[{"until":"P1D","numberOfRetrys":2}]}`:         `retry.criteria[0].numberOfRetrys: 2: is not a known member; did you mean "numberOfRetries"?`,
		`"retry":{"criteria":[{"until":"P1D","failureType":"rejected"}]}`:   `retry.criteria[0].failureType: "rejected": must be "all", "failed", "timedOut", "deviceOffline", "deviceNotFound", "deviceNoAnswer", "deviceError", "unreadableAnswer", "requestRejected", "hubError", "connectionLost", "notConfirmed" or "waitTimedOut"`,
		`"maxExecutionTimeInSeconds":60,"retry":{"criteria":[{"delay":7}]}`: `retry.criteria[0].delay: 7: must be a string`,
	} {
		_, err := job.Decode(twinJob(member), time.Now())
		require.EqualError(t, err, fault, member)
	}
}

// A run that ends ends what waits as its last attempt did: it was called, after all.
func TestWhatWaitsEndsAsItsLastAttemptDid(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := &job.Shard{Executions: []job.Execution{{DeviceID: "offline"}, {DeviceID: "silent"}, {DeviceID: "fresh"}}}
	for i, o := range []job.Outcome{
		{State: job.Failed, Reason: job.DeviceOffline, Answer: []byte("not connected")}, {State: job.TimedOut, Reason: job.DeviceNoAnswer},
	} {
		s.Executions[i].Begin(now)
		s.Executions[i].Wait(o, now.Add(time.Duration(2-i)*time.Hour))
	}
	require.Zero(t, s.WakeAt(), "one can be called now")
	require.Equal(t, 1, s.Ready(now))
	require.Equal(t, job.CountsOf(job.Queued, job.NoReason, 3), job.Count(s.Executions), "what waits has no reason yet")
	s.Executions[2].Begin(now)
	s.Executions[2].End(job.Outcome{State: job.Succeeded}, now)
	require.Equal(t, now.Add(time.Hour), s.WakeAt())
	s.EndRest(job.Outcome{State: job.TimedOut, Reason: job.NotStarted}, now)
	require.Equal(t, map[string]int{"deviceOffline": 1, "deviceNoAnswer": 1}, job.Count(s.Executions).ReasonMap())
	require.Equal(t, "not connected", s.Executions[0].ErrorText())
	require.True(t, s.Done())
}
