package job_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

func drawOutcome(t *rapid.T) job.Outcome {
	return job.Outcome{
		State:  rapid.SampledFrom(job.ExecutionStates()).Draw(t, "state"),
		Reason: rapid.SampledFrom(append(slices.DeleteFunc(job.Reasons(), job.Reason.Awaiting), job.NoReason)).Draw(t, "reason"),
	}
}

// step does one thing that a worker may do to an execution.
func step(t *rapid.T, e *job.Execution, at time.Time) {
	switch rapid.SampledFrom([]string{"begin", "undo", "requeue", "end"}).Draw(t, "step") {
	case "begin":
		e.Begin(at)
	case "undo":
		e.Undo()
	case "requeue":
		e.Requeue()
	case "end":
		e.End(drawOutcome(t), at)
	}
}

func TestExecutionsUnderAnySequenceOfSteps(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := job.Execution{DeviceID: "a"}
		for i := range rapid.IntRange(0, 30).Draw(t, "steps") {
			before := e
			step(t, &e, now.Add(time.Duration(i)*time.Second))
			if before.State.Final() {
				require.Equal(t, before, e, "a final state stays, and all that belongs to it")
			}
			if before.State != e.State {
				require.True(t, before.State.CanBecome(e.State), "%s -> %s", before.State, e.State)
			}
			require.GreaterOrEqual(t, e.Attempts, 0)
			require.Equal(t, e.Attempts == 0, e.StartedAt.IsZero(), "there is a start when there is an attempt")
			require.Equal(t, e.State.Final(), !e.EndedAt.IsZero(), "there is an end when the state is final")
			if e.State == job.InProgress {
				require.Positive(t, e.Attempts)
			}
		}
	})
}

func TestAttempts(t *testing.T) {
	t.Parallel()
	e := job.Execution{DeviceID: "a"}
	e.Begin(now)
	e.Undo()
	require.Equal(t, job.Execution{DeviceID: "a"}, e, "a throttled call is no attempt")
	e.Begin(now)
	e.Requeue()
	require.Equal(t, job.Execution{DeviceID: "a", Attempts: 1, StartedAt: now}, e, "an interrupted one is")
	e.Begin(now.Add(1))
	e.Begin(now.Add(2))
	require.Equal(t, 2, e.Attempts, "a call that is under way does not begin again")
	e.End(job.Outcome{State: job.Failed, Reason: job.DeviceError, StatusCode: 500, Answer: []byte(`{"why":"ünknown"}`)}, now.Add(3))
	require.Equal(t, job.Execution{
		DeviceID: "a", State: job.Failed, Reason: job.DeviceError, Attempts: 2, StartedAt: now.Add(1), EndedAt: now.Add(3),
		StatusCode: 500, Answer: []byte(`{"why":"ünknown"}`),
	}, e)
}

func TestAnswersAreCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	keep := func(answer []byte) ([]byte, bool) {
		var e job.Execution
		e.Begin(now)
		e.End(job.Outcome{State: job.Succeeded, Answer: answer}, now)
		return e.Answer, e.Truncated
	}
	for _, letter := range []string{"x", "é", "漢", "🎉"} {
		for shift := range 4 {
			text := strings.Repeat("x", shift) + strings.Repeat(letter, job.AnswerLimit+1)
			kept, cut := keep([]byte(text))
			require.True(t, cut)
			require.True(t, strings.HasPrefix(text, string(kept)))
			require.True(t, utf8.Valid(kept), "%s after %d", letter, shift)
			require.Greater(t, len(kept), job.AnswerLimit-len(letter), "no more is cut than must be")
			require.LessOrEqual(t, len(kept), job.AnswerLimit)
			require.LessOrEqual(t, cap(kept), 2*job.AnswerLimit, "the whole answer is not held in memory")
		}
	}
	whole := bytes.Repeat([]byte("x"), job.AnswerLimit)
	kept, cut := keep(whole)
	require.False(t, cut)
	require.Equal(t, whole, kept)
	kept, cut = keep(bytes.Repeat([]byte{0x80}, job.AnswerLimit+1))
	require.True(t, cut)
	require.GreaterOrEqual(t, len(kept), job.AnswerLimit-utf8.UTFMax, "bytes that are no text are kept too")
}

func TestAnswersAndErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		execution job.Execution
		payload   json.RawMessage
		text      string
	}{
		"not called yet":    {job.Execution{}, nil, ""},
		"answered":          {job.Execution{State: job.Succeeded, Answer: []byte(`"10m"`)}, json.RawMessage(`"10m"`), ""},
		"without an answer": {job.Execution{State: job.Succeeded}, nil, ""},
		"answered an error": {job.Execution{State: job.Failed, Reason: job.DeviceError, Answer: []byte(`{}`)}, json.RawMessage(`{}`), ""},
		"offline":           {job.Execution{State: job.Failed, Reason: job.DeviceOffline, Answer: []byte(`404103`)}, nil, "404103"},
		"cut":               {job.Execution{State: job.Succeeded, Answer: []byte(`1234`), Truncated: true}, nil, ""},
		"no JSON":           {job.Execution{State: job.Succeeded, Answer: []byte(`{`)}, nil, ""},
	} {
		require.Equal(t, c.payload, c.execution.Payload(), name)
		require.Equal(t, c.text, c.execution.ErrorText(), name)
	}
}

func TestCountsAddUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		executions := rapid.SliceOf(rapid.Custom(func(t *rapid.T) job.Execution {
			o := drawOutcome(t)
			return job.Execution{State: o.State, Reason: o.Reason}
		})).Draw(t, "executions")
		c := job.Count(executions)
		s := c.Statistics()
		require.Equal(t, len(executions), s.DeviceCount)
		require.Equal(t, s.DeviceCount, s.PendingCount+s.RunningCount+s.SucceededCount+s.FailedCount)
		require.Equal(t, c.Ended(), s.SucceededCount+s.FailedCount)
		byState, byReason, reasons := 0, 0, 0
		for name, n := range c.StateMap() {
			state, ok := job.ParseExecutionState(name)
			require.True(t, ok)
			require.Equal(t, c.Of(state), n)
			byState += n
		}
		require.Equal(t, len(executions), byState)
		for _, n := range c.ReasonMap() {
			require.Positive(t, n)
			byReason += n
		}
		for _, e := range executions {
			if e.State.Final() && e.Reason != job.NoReason {
				reasons++
			}
		}
		require.Equal(t, reasons, byReason)
		cut := rapid.IntRange(0, len(executions)).Draw(t, "cut")
		require.Equal(t, c, job.Count(executions[:cut]).Plus(job.Count(executions[cut:])), "in whatever parts they are counted")
	})
}

func TestARunsCountsAddUpToItsDevices(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		counts := func(name string) job.Counts {
			var c job.Counts
			for range rapid.IntRange(0, 5).Draw(t, name) {
				o := drawOutcome(t)
				c = c.Plus(job.CountsOf(o.State, o.Reason, rapid.IntRange(0, 1000).Draw(t, "n")))
			}
			return c
		}
		run := job.Run{
			Status:    rapid.SampledFrom(job.Statuses()).Draw(t, "status"),
			EndReason: rapid.SampledFrom([]job.EndReason{"", job.EndFinished, job.EndCancelled, job.EndTimeLimit}).Draw(t, "end"),
			Closed:    counts("closed"), Live: counts("live"),
		}
		rest := rapid.IntRange(0, 1000).Draw(t, "rest")
		run.Devices = run.Closed.Total() + run.Live.Total() + rest
		c := run.Counts()
		require.Equal(t, run.Devices, c.Total())
		before := run.Closed.Plus(run.Live)
		where := job.Queued
		if run.Status.Ended() {
			where = run.Unreached().State
		}
		require.Equal(t, rest, c.Of(where)-before.Of(where), "what was not enqueued is %s", where)
	})
}

func TestDevicesThatARunNeverReached(t *testing.T) {
	t.Parallel()
	run := job.Run{Status: job.StatusRunning, Enqueued: 3}
	require.False(t, run.NeverEnqueued(3), "its turn may come")
	run.Status = job.StatusCancelled
	require.False(t, run.NeverEnqueued(2))
	require.True(t, run.NeverEnqueued(3))
	require.Equal(t, job.Outcome{State: job.Canceled, Reason: job.JobCanceled}, run.Unreached())
	run.EndReason = job.EndTimeLimit
	require.Equal(t, job.Outcome{State: job.TimedOut, Reason: job.NotStarted}, run.Unreached())
}

func TestClaims(t *testing.T) {
	t.Parallel()
	var none job.Claim
	require.False(t, none.Live(now))
	first := none.Take("w1", now, 30*time.Second)
	require.Equal(t, job.Claim{Owner: "w1", Until: now.Add(30 * time.Second)}, first)
	require.True(t, first.Live(now.Add(30*time.Second-1)))
	require.False(t, first.Live(now.Add(30*time.Second)), "a lease ends at its end")
	second := first.Take("w2", now.Add(time.Minute), time.Second)
	require.Equal(t, 1, second.Lost, "w1 never gave its claim back")
	require.Equal(t, 2, second.Take("w3", now.Add(time.Hour), time.Second).Lost)
	require.Equal(t, none, second.Release())
	require.Zero(t, second.Release().Take("w3", now, time.Second).Lost)
}

func TestShards(t *testing.T) {
	t.Parallel()
	mine := func() *job.Shard {
		return &job.Shard{Executions: []job.Execution{
			{DeviceID: "a", State: job.Succeeded}, {DeviceID: "b", State: job.InProgress, Attempts: 1}, {DeviceID: "c"},
		}}
	}
	s := mine()
	s.Interrupted()
	require.Equal(t, []job.ExecutionState{job.Succeeded, job.Queued, job.Queued}, states(s))
	require.Equal(t, 1, s.Executions[1].Attempts, "the device may have been called")
	require.False(t, s.Done())
	s.EndRest(job.Outcome{State: job.Canceled, Reason: job.JobCanceled}, now)
	require.Equal(t, []job.ExecutionState{job.Succeeded, job.Canceled, job.Canceled}, states(s))
	require.True(t, s.Done())

	s = mine()
	other := []job.Execution{
		{DeviceID: "a", State: job.Failed}, {DeviceID: "b", State: job.TimedOut}, {DeviceID: "x", State: job.Succeeded},
	}
	require.True(t, s.Adopt(other))
	require.Equal(t, []job.ExecutionState{job.Succeeded, job.TimedOut, job.Queued}, states(s),
		"what is final here stays, another device's outcome is none of ours")
	require.False(t, s.Adopt(other), "nothing is new")
	require.False(t, s.Adopt(nil))
}

func states(s *job.Shard) []job.ExecutionState {
	var all []job.ExecutionState
	for _, e := range s.Executions {
		all = append(all, e.State)
	}
	return all
}

func TestARecordReflectsItsRun(t *testing.T) {
	t.Parallel()
	rec := job.Record{Definition: job.Definition{JobID: "j", StartTime: now}, RunID: "j.0", Status: job.StatusScheduled}
	run := rec.NewRun()
	require.Equal(t, job.Run{ID: "j.0", JobID: "j", Status: job.StatusScheduled, StartAt: now}, run)
	require.False(t, rec.Reflect(&run))
	require.NoError(t, run.Become(job.StatusRunning, now))
	run.Devices = 5
	require.True(t, rec.Reflect(&run))
	require.Equal(t, job.StatusRunning, rec.Status)
	require.Equal(t, now, rec.StartedAt)
	require.Equal(t, 5, rec.Counts.Of(job.Queued))
}

func TestTheRestOfAShardEndsByWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	interrupted, held := job.Execution{DeviceID: "a"}, job.Execution{DeviceID: "b"}
	interrupted.Begin(noon)
	held.Held(noon.Add(time.Minute))
	retried := job.Execution{DeviceID: "c"}
	retried.Begin(noon)
	retried.Wait(job.Outcome{State: job.Failed, Reason: job.DeviceOffline}, noon.Add(time.Minute))
	s := job.Shard{Executions: []job.Execution{interrupted, held, retried}}
	s.Interrupted()
	s.Postpone(noon.Add(time.Hour))
	s.EndRest(job.Outcome{State: job.Canceled, Reason: job.JobCanceled}, noon)
	require.Equal(t, job.CountsOf(job.Canceled, job.JobCanceled, 2).Plus(job.CountsOf(job.Failed, job.DeviceOffline, 1)), job.Count(s.Executions))
}
