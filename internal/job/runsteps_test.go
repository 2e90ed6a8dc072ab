package job_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// Whatever people and supervisions do to a run, in whatever order and however the clock jumps: no call begins while it is paused or from
// its time limit on, a pause moves no time limit, and what has ended stays so.
func TestRunsUnderAnySequenceOfSteps(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		run := job.Run{Status: job.StatusScheduled, StartAt: noon, Deadline: noon.Add(time.Hour)}
		held := false
		t.Repeat(map[string]func(*rapid.T){
			"pause": func(*rapid.T) {
				if run.Hold(job.Pause{Since: noon}) == nil {
					held = true
				}
			},
			"resume": func(*rapid.T) {
				if run.Resume(noon) == nil {
					held = false
				}
			},
			"become": func(t *rapid.T) {
				before := run
				next := rapid.SampledFrom(job.Statuses()).Draw(t, "next")
				if next == job.StatusPaused || held && (next == job.StatusRunning || next == job.StatusScheduled) {
					return // a pause and a resume have their own ways
				}
				if run.Become(next, noon) == nil && run.Status != before.Status {
					held = false // stopping, or at its end
				}
				if before.Status.Ended() {
					require.Equal(t, before, run)
				}
			},
			"": func(t *rapid.T) {
				now := noon.Add(time.Duration(rapid.IntRange(-7200, 7200).Draw(t, "now")) * time.Second)
				if run.Calling(now) {
					require.False(t, held, "paused")
					require.Equal(t, job.StatusRunning, run.Status)
					require.True(t, now.Before(noon.Add(time.Hour)))
				}
				require.Equal(t, held, run.Pause != nil)
				require.Equal(t, noon.Add(time.Hour), run.Deadline)
			},
		})
	})
}
