package job_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// What may follow what. Rows are the state before, columns the state after, in the order of the rows; x is allowed.
const (
	executionMatrix = `
		queued      . x . x x . x x .
		inProgress  x . x x x x x . x
		succeeded   . . . . . . . . .
		failed      . . . . . . . . .
		timedOut    . . . . . . . . .
		rejected    . . . . . . . . .
		canceled    . . . . . . . . .
		removed     . . . . . . . . .
		inDoubt     . . . . . . . . .`
	runMatrix = `
		scheduled   . x . x . . . x
		running     . . x x x x . .
		blocked     . x . x x . . .
		paused      x x . . x . . x
		stopping    . . . . . x x x
		completed   . . . . . . . .
		failed      . . . . . . . .
		cancelled   . . . . . . . .`
)

// matrix reads one of the tables above.
func matrix(t *testing.T, text string) (names []string, allowed map[[2]string]bool) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for _, line := range lines {
		names = append(names, strings.Fields(line)[0])
	}
	allowed = map[[2]string]bool{}
	for _, line := range lines {
		cells := strings.Fields(line)
		require.Len(t, cells, len(names)+1)
		for i, cell := range cells[1:] {
			allowed[[2]string{cells[0], names[i]}] = cell == "x"
		}
	}
	return names, allowed
}

func TestExecutionTransitions(t *testing.T) {
	t.Parallel()
	names, allowed := matrix(t, executionMatrix)
	all := job.ExecutionStates()
	require.Len(t, all, len(names))
	for i, from := range all {
		require.Equal(t, names[i], from.String())
		parsed, ok := job.ParseExecutionState(names[i])
		require.True(t, ok)
		require.Equal(t, from, parsed)
		require.True(t, from.Known())
		final := true
		for _, to := range all {
			require.Equal(t, allowed[[2]string{from.String(), to.String()}], from.CanBecome(to), "%s -> %s", from, to)
			final = final && !from.CanBecome(to)
		}
		require.Equal(t, final, from.Final(), "%s is final when nothing may follow", from)
	}
}

func TestStatesThatAreNone(t *testing.T) {
	t.Parallel()
	none := job.ExecutionState(len(job.ExecutionStates()))
	require.False(t, none.Known())
	require.False(t, none.CanBecome(job.Queued))
	require.Equal(t, "executionState(9)", none.String())
	_, ok := job.ParseExecutionState("Queued")
	require.False(t, ok, "names are exact")
	require.False(t, job.Status("done").CanBecome(job.StatusRunning))
	require.False(t, job.Status("done").Ended())
}

func TestReasonsHaveDistinctNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{job.NoReason.String(): true}
	for _, r := range job.Reasons() {
		require.True(t, r.Known())
		require.False(t, seen[r.String()], r.String())
		seen[r.String()] = true
	}
	beyond := job.Reason(len(job.Reasons()) + 1)
	require.False(t, beyond.Known())
	require.Equal(t, fmt.Sprintf("reason(%d)", len(job.Reasons())+1), beyond.String())
}

func TestRunTransitions(t *testing.T) {
	t.Parallel()
	names, allowed := matrix(t, runMatrix)
	all := job.Statuses()
	require.Len(t, all, len(names))
	now := time.Date(2026, 12, 1, 2, 0, 0, 0, time.UTC)
	for i, from := range all {
		require.Equal(t, names[i], string(from))
		final := true
		for _, to := range all {
			may := allowed[[2]string{string(from), string(to)}]
			final = final && !may
			require.Equal(t, may, from.CanBecome(to), "%s -> %s", from, to)
			run := job.Run{Status: from}
			err := run.Become(to, now)
			if may || from == to {
				require.NoError(t, err)
				require.Equal(t, to, run.Status)
				continue
			}
			require.Equal(t, &job.TransitionError{From: from, To: to}, err)
			require.Equal(t, job.Run{Status: from}, run, "a refused transition changes nothing")
		}
		require.Equal(t, final, from.Ended(), "%s has ended when nothing may follow", from)
	}
}

// The times of a run are those of its first start and its end; a block is forgotten when it is over.
func TestBecomeKeepsTheRunsTimes(t *testing.T) {
	t.Parallel()
	at := func(minute int) time.Time { return time.Date(2026, 12, 1, 2, minute, 0, 0, time.UTC) }
	run := job.Run{Status: job.StatusScheduled}
	require.NoError(t, run.Become(job.StatusRunning, at(1)))
	require.NoError(t, run.Become(job.StatusBlocked, at(2)))
	run.Block = &job.Block{Reason: "quota"}
	require.NoError(t, run.Become(job.StatusBlocked, at(3)))
	require.NotNil(t, run.Block, "a run that stays blocked keeps its reason")
	require.NoError(t, run.Become(job.StatusRunning, at(4)))
	require.Nil(t, run.Block)
	require.NoError(t, run.Become(job.StatusCompleted, at(5)))
	require.Equal(t, at(1), run.StartedAt)
	require.Equal(t, at(5), run.EndedAt)
	require.EqualError(t, run.Become(job.StatusRunning, at(6)), "a run that is completed cannot become running")
}

func TestWhenARunCalls(t *testing.T) {
	t.Parallel()
	deadline := time.Date(2026, 12, 1, 2, 0, 0, 0, time.UTC)
	for _, status := range job.Statuses() {
		run := job.Run{Status: status, Deadline: deadline}
		require.Equal(t, status == job.StatusRunning, run.Calling(deadline.Add(-1)), status)
		require.False(t, run.Calling(deadline), "no call starts at the deadline")
	}
	run := job.Run{Status: job.StatusRunning, Deadline: deadline}
	require.False(t, run.PastDeadline(deadline.Add(-1)))
	require.True(t, run.PastDeadline(deadline))
	run.Deadline = time.Time{}
	require.True(t, run.Calling(deadline), "no deadline, no limit")
	require.False(t, run.PastDeadline(deadline))
}
