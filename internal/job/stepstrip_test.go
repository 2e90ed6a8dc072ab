package job_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// trip is a generated job with steps, one device on its way through it, and what was really done to the device.
type trip struct {
	t       *rapid.T
	seq     *job.Sequence
	retry   *job.Retry
	run     *job.Run
	shard   job.Shard
	now     time.Time
	calls   []int // of each step
	stored  job.Execution
	once    bool
	repeats int // calls that may be repeated because a worker died
}

func drawTrip(t *rapid.T) *trip {
	kinds := []string{
		`{"method":{"methodName":"m"}}`, `{"updateTwin":{"tags":{"a":1}}}`,
		`{"updateTwin":{"properties":{"desired":{"a":1}}},"confirm":{"within":"PT1M"}}`,
		`{"waitFor":{"path":"properties.reported.a","equals":1,"within":"PT2M"}}`,
	}
	all := rapid.SliceOfN(rapid.SampledFrom(kinds), 1, 5).Draw(t, "steps")
	tr := &trip{
		t: t, seq: sequence(t, steps(all...)), run: &job.Run{Status: job.StatusRunning, StartedAt: now}, now: now, calls: make([]int, len(all)),
		shard: job.Shard{Executions: []job.Execution{{DeviceID: "a"}}}, once: rapid.Bool().Draw(t, "once"),
	}
	if !tr.once {
		tr.retry = &job.Retry{Criteria: []job.RetryCriterion{{FailureType: job.RetryAll, NumberOfRetries: 2, Delay: 1e9, Factor: 1, MaxDelay: 1e9}}}
	}
	return tr
}

// settle ends a call or a wait as the dispatcher does.
func (tr *trip) settle(e *job.Execution, o job.Outcome) {
	if at, again := tr.retry.Next(tr.run, e, o, tr.now, 0); again {
		e.Wait(o, at)
		return
	}
	tr.seq.Settle(e, o, tr.now)
}

func (tr *trip) call(e *job.Execution) {
	e.Begin(tr.now)
	if tr.once { // the mark
		tr.stored = *e
	}
	tr.calls[e.At()]++
	o := rapid.SampledFrom([]job.Outcome{
		{State: job.Succeeded, StatusCode: 200, Answer: []byte(`{"ok":true}`)},
		{State: job.Succeeded},
		{State: job.Failed, Reason: job.DeviceOffline},
		{State: job.Rejected, Reason: job.DeviceRejected},
	}).Draw(tr.t, "outcome")
	tr.settle(e, o)
}

func (tr *trip) look(e *job.Execution) {
	if !e.Awaiting() {
		tr.seq.Await(e, tr.now)
	}
	reported := map[string]any{}
	if rapid.Bool().Draw(tr.t, "reported") {
		reported["a"] = json.Number("1")
	}
	if o, over := tr.seq.Look(e, reported, tr.now, tr.seq.LookAgain([]*job.Execution{e}, tr.now)); over {
		tr.settle(e, o)
	}
}

// slice is what one worker does, which may die before it has stored it.
func (tr *trip) slice() {
	e := &tr.shard.Executions[0]
	if tr.once {
		tr.shard.Doubt(tr.now)
	}
	tr.shard.Interrupted()
	if e.State.Final() || !e.Due(tr.now) {
		tr.stored = *e
		return
	}
	tr.stored = *e
	if at := tr.seq.Next(&tr.shard, tr.now, false); at.Wait {
		tr.look(e)
	} else {
		tr.call(e)
	}
	if rapid.IntRange(0, 4).Draw(tr.t, "dies") == 0 {
		tr.repeats++
		*e = tr.stored
		return
	}
	tr.stored = *e
}

// A device goes through its steps in order; none is begun again that succeeded, and each is called at least once, or at most once, as
// promised, whatever fails and whoever dies.
func TestStepsUnderRandomTroubles(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tr := drawTrip(t)
		e := &tr.shard.Executions[0]
		for i := 0; i < 200 && !e.State.Final(); i++ {
			before := *e
			if rapid.IntRange(0, 60).Draw(t, "stop") == 0 {
				tr.shard.EndRest(job.Outcome{State: job.TimedOut, Reason: job.NotStarted}, tr.now)
				requireFinal(t, before, *e)
				break
			}
			tr.slice()
			require.GreaterOrEqual(t, e.At(), before.At(), "nobody goes back")
			require.LessOrEqual(t, e.At()-before.At(), 1)
			require.Equal(t, 1, job.Count(tr.shard.Executions).Total())
			require.Equal(t, e.Awaiting(), job.Count(tr.shard.Executions).AwaitingMap() != nil)
			if e.Progress != nil {
				require.Len(t, e.Progress.Results, e.At())
				require.GreaterOrEqual(t, e.Tries(), 0)
			}
			if e.Awaiting() || e.Waiting() {
				require.Equal(t, e.NextAttemptAt, tr.shard.WakeAt())
				tr.now = e.NextAttemptAt
			}
		}
		require.True(t, e.State.Final(), "every wait and every retry ends")
		ended := *e
		tr.seq.Settle(e, job.Outcome{State: job.Succeeded}, tr.now)
		tr.shard.EndRest(job.Outcome{State: job.Canceled}, tr.now)
		require.Equal(t, ended, *e, "nothing leaves a final state")
		requireCalls(t, tr, ended)
	})
}

// requireFinal holds how an execution ends that its run's time limit meets.
func requireFinal(t *rapid.T, before, e job.Execution) {
	require.True(t, e.State.Final())
	if !before.Waiting() && before.At() > 0 {
		require.NotEqual(t, job.NotStarted, e.Reason, "the device was called")
	}
}

func requireCalls(t *rapid.T, tr *trip, e job.Execution) {
	for n, step := range tr.seq.Steps() {
		switch {
		case step.WaitFor != nil || n > e.At():
			require.Zero(t, tr.calls[n])
		case n < e.At() || e.State == job.Succeeded:
			require.Positive(t, tr.calls[n])
		}
		if tr.once {
			require.LessOrEqual(t, tr.calls[n], 1, "at most once")
		}
		require.LessOrEqual(t, tr.calls[n], 3+tr.repeats, "two retries, and what died")
	}
}
