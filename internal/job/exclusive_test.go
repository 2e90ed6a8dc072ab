package job

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// What a run does to an execution whose device may have been reached lets no other run have the device until the execution has ended.
// One that was never reached never keeps it.
func TestAnExecutionKeepsItsDeviceFromReachToEnd(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
		e, reached := Execution{DeviceID: "d"}, false
		change := map[string]func(){
			"begin":   func() { e.Begin(now) },
			"undo":    func() { e.Undo() },
			"requeue": func() { e.Requeue() },
			"wait":    func() { e.Wait(Outcome{State: Failed, Reason: DeviceOffline}, now.Add(time.Hour)) },
			"held":    func() { e.Held(now.Add(time.Second)) },
			"await":   func() { e.await(AwaitingConfirmation, now.Add(time.Hour), now) },
			"pass":    func() { e.pass(Outcome{State: Succeeded}, now) },
			"reach":   func() { e.Reach(); reached = reached || !e.State.Final() },
			"end":     func() { e.End(Outcome{State: rapid.SampledFrom(ExecutionStates()).Draw(t, "outcome")}, now) },
		}
		names := []string{"begin", "undo", "requeue", "wait", "held", "await", "pass", "reach", "end"}
		for range rapid.IntRange(0, 20).Draw(t, "changes") {
			name := rapid.SampledFrom(names).Draw(t, "change")
			if name == "await" && e.State != InProgress {
				continue
			}
			change[name]()
			require.Equal(t, reached && !e.State.Final(), e.Keeps(), name)
			now = now.Add(time.Second)
		}
	})
}

// After a worker has died, an execution that it might have called is known about when it has ended, or when the outcome of an attempt
// of that worker was stored.
func TestWhatADeadWorkerHasStoredIsKnown(t *testing.T) {
	t.Parallel()
	took := time.Date(2026, 11, 23, 12, 0, 0, 7_654_321, time.UTC)
	before, after := took.Add(-time.Minute).Truncate(time.Millisecond), took.Truncate(time.Millisecond)
	offline := Outcome{State: Failed, Reason: DeviceOffline}
	for name, c := range map[string]struct {
		unknown bool
		do      func(e *Execution)
	}{
		"was never called before":             {true, func(*Execution) {}},
		"waited for a retry from before":      {true, func(e *Execution) { e.Begin(before); e.Wait(offline, took) }},
		"waits for a retry of its attempt":    {false, func(e *Execution) { e.Begin(after); e.Wait(offline, took.Add(time.Hour)) }},
		"was in the middle of its attempt":    {true, func(e *Execution) { e.Begin(after) }},
		"waits after steps, no call of which": {true, func(e *Execution) { e.Begin(before); e.await(AwaitingProperty, took.Add(time.Hour), took) }},
		"has ended":                           {false, func(e *Execution) { e.Begin(before); e.End(Outcome{State: Succeeded}, took) }},
	} {
		e := Execution{DeviceID: "d"}
		c.do(&e)
		require.Equal(t, c.unknown, e.Unknown(took), name)
	}
	s := Shard{Executions: []Execution{{State: InProgress}, {State: Queued}, {State: InProgress, Progress: &Progress{Until: took}}, {State: Failed}}}
	s.Interrupted()
	for i, reached := range []bool{true, false, false, false} {
		require.Equal(t, reached, s.Executions[i].Keeps(), "a stored attempt without an outcome may have reached the device: %d", i)
	}
	require.Equal(t, Queued, s.Executions[0].State)
}
