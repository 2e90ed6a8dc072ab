package job_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

func TestAPauseIsForgottenWhenItIsOver(t *testing.T) {
	t.Parallel()
	run := job.Run{Status: job.StatusRunning, StartedAt: noon, Deadline: noon.Add(time.Hour)}
	require.NoError(t, run.Hold(job.Pause{Since: noon, Note: "firmware"}))
	require.Equal(t, job.StatusPaused, run.Status)
	require.Equal(t, "firmware", run.Pause.Note)
	require.False(t, run.Calling(noon), "no new call")
	require.NoError(t, run.Resume(noon.Add(time.Minute)))
	require.Equal(t, job.StatusRunning, run.Status)
	require.True(t, run.Resend, "the messages that were dropped are sent again")
	require.Nil(t, run.Pause)
	require.Equal(t, noon.Add(time.Hour), run.Deadline, "the time limit went on")
}

func TestARunThatHasNotBegunWaitsForItsStartAgain(t *testing.T) {
	t.Parallel()
	run := job.Run{Status: job.StatusScheduled}
	require.NoError(t, run.Hold(job.Pause{Since: noon}))
	require.True(t, run.Resting(noon), "it has no calls to wait for")
	require.NoError(t, run.Resume(noon))
	require.Equal(t, job.StatusScheduled, run.Status)
	require.False(t, run.Resend)
}

// A paused run is looked after until the longest call has ended, and again from its deadline on.
func TestWhenAPausedRunRests(t *testing.T) {
	t.Parallel()
	run := job.Run{Status: job.StatusRunning, StartedAt: noon, Deadline: noon.Add(time.Hour)}
	require.False(t, run.Resting(noon.Add(30*time.Minute)), "it runs")
	require.NoError(t, run.Hold(job.Pause{Since: noon}))
	require.False(t, run.Resting(noon.Add(10*time.Minute)))
	require.True(t, run.Resting(noon.Add(12*time.Minute)))
	require.False(t, run.Resting(noon.Add(time.Hour)), "its time limit ends it")
}

func TestAJobTakesOverWhatItsRunEntered(t *testing.T) {
	t.Parallel()
	run := job.Run{ID: "a.1"}
	rec := job.Record{RunID: "a.1"}
	require.Empty(t, rec.Untold(&run))
	for i := range 3 {
		run.Enter(job.Change{Note: string(rune('a' + i))})
	}
	require.Len(t, rec.Untold(&run), 3)
	rec.Reflect(&run)
	require.Empty(t, rec.Untold(&run))
	run.Enter(job.Change{Note: "d"})
	require.Equal(t, []job.Change{{Note: "d"}}, rec.Untold(&run))
	for range 20 {
		run.Enter(job.Change{})
	}
	require.Len(t, rec.Untold(&run), len(run.Trail))
	require.Less(t, len(run.Trail), 10, "a run does not grow without end")
	require.Len(t, rec.Untold(&job.Run{ID: "a.2", Trail: make([]job.Change, 1), Noted: 1}), 1, "another run has entries of its own")
}

func TestNotes(t *testing.T) {
	t.Parallel()
	long := `{"note":"` + strings.Repeat("a", 501) + `"}`
	for body, want := range map[string]string{
		``: "", `{}`: "", `{"note":null}`: "", `{"note":"wait"}`: "wait",
		`{"note":"` + strings.Repeat("漢", 500) + `"}`: strings.Repeat("漢", 500),
	} {
		got, err := job.DecodeNote([]byte(body))
		require.NoError(t, err, body)
		require.Equal(t, want, got)
	}
	for body, fault := range map[string]string{
		long:                  "must have at most 500 characters",
		`{"notes":"wait"}`:    `did you mean "note"?`,
		`{"note":1}`:          "must be a string",
		`[]`:                  "must be a JSON object",
		"{\"note\":\"\xff\"}": "must be UTF-8",
	} {
		_, err := job.DecodeNote([]byte(body))
		require.ErrorContains(t, err, fault)
	}
}
