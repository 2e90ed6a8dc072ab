package hubapi

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// Every status of the native API has a word of the hub's, and is found under that word.
func TestEveryStatusHasAWord(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	words := map[job.Status][]string{}
	for _, status := range job.Statuses() {
		for _, start := range []time.Time{now, now.Add(time.Hour)} {
			for _, started := range []time.Time{{}, now} {
				rec := &job.Record{Definition: job.Definition{StartTime: start}, CreatedAt: now, StartedAt: started}
				word := wordOf(rec, &job.Run{Status: status})
				require.NotEqual(t, wordUnknown, word, status)
				lists, ok := listed(word)
				require.True(t, ok)
				require.Contains(t, lists, status, word)
				if !slices.Contains(words[status], word) {
					words[status] = append(words[status], word)
				}
			}
		}
	}
	require.Equal(t, map[job.Status][]string{
		job.StatusScheduled: {"queued", "scheduled"},
		job.StatusRunning:   {"running"},
		job.StatusBlocked:   {"running"},
		job.StatusPaused:    {"queued", "running", "scheduled"},
		job.StatusStopping:  {"running"},
		job.StatusCompleted: {"completed"},
		job.StatusFailed:    {"failed"},
		job.StatusCancelled: {"cancelled"},
	}, words)
}

func TestEveryEndOfADeviceHasAWordAndAReason(t *testing.T) {
	t.Parallel()
	for _, state := range job.ExecutionStates() {
		require.Contains(t, []string{rowPending, rowRunning, rowCompleted, rowFailed, rowCanceled}, rowWord(state))
		require.Equal(t, state == job.Succeeded, rowWord(state) == rowCompleted, state)
	}
	for _, reason := range job.Reasons() {
		code, text := rowError(&job.Execution{State: job.Failed, Reason: reason})
		require.NotEmpty(t, code, reason)
		require.NotEmpty(t, text, reason)
	}
}
