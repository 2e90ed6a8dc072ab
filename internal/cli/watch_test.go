package cli_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/cli"
)

func TestWatchWithoutATerminal(t *testing.T) {
	t.Parallel()
	w := setup(t)
	scheduled := strings.ReplaceAll(jobJSON("j", "scheduled", 0, 0, 0), `"startTime":"2026-11-23T10:00:00`, `"startTime":"2026-11-23T10:00:20`)
	replies := []reply{ok(scheduled), ok(scheduled)}
	for i := range 8 { // 100 devices a second: a line at the change of the status, then one every five seconds
		replies = append(replies, ok(jobJSON("j", "running", 1000, 100*i, 0)))
	}
	replies = append(replies, ok(jobJSON("j", "completed", 1000, 1000, 0)))
	w.on("GET /api/jobs/j", replies...)
	require.Equal(t, cli.ExitOK, w.run(t, "job", "watch", "j"), w.errors.String())
	require.Equal(t, `10:00:00Z  scheduled  begins in 20 s
10:00:02Z  running  0/1,000  0%
10:00:07Z  running  500/1,000  50%  100/s  5.0 s left
10:00:10Z  completed  1,000/1,000  100%
job j: completed after 13 s. So it goes.

STATE      DEVICES
succeeded  1,000
total      1,000
`, w.out.String())
	require.Empty(t, w.errors.String())
}

func TestWatchOnATerminal(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.width = 80
	selecting := strings.ReplaceAll(jobJSON("j", "running", 500, 100, 0), `"state":"complete"`, `"state":"selecting"`)
	w.on("GET /api/jobs/j", ok(jobJSON("j", "blocked", 500, 0, 0)), ok(selecting), ok(jobJSON("j", "running", 1000, 500, 10)), ok(jobJSON("j", "completed", 1000, 990, 10)))
	require.Equal(t, cli.ExitOutcome, w.run(t, "job", "watch", "j"))
	frames := strings.Split(w.out.String(), "\r")
	require.Equal(t, "blocked  So it goes.\x1b[K", frames[1])
	require.Equal(t, "running  [########................................]  100/500+  20%  100/s\x1b[K", frames[2])
	require.Equal(t, "running  [#######.......]  510/1,000  51%  255/s  1.9 s left  10 not succeeded\x1b[K", frames[3])
	for _, frame := range frames[1:4] {
		require.Less(t, len([]rune(strings.TrimSuffix(frame, "\x1b[K"))), 80)
	}
	require.True(t, strings.HasPrefix(frames[4], "\x1b[Kjob j: completed"), "the bar gives way to the summary: %q", frames[4])
	require.Contains(t, frames[4], "REASON         DEVICES\ndeviceOffline  10\n")
}

func TestWatchAsJSON(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.width = 80
	running := ok(jobJSON("j", "running", 2, 1, 0))
	w.on("GET /api/jobs/j", running, running, ok(jobJSON("j", "completed", 2, 2, 0)))
	require.Equal(t, cli.ExitOK, w.run(t, "job", "watch", "j", "--json"))
	require.Equal(t, jobJSON("j", "running", 2, 1, 0)+"\n"+jobJSON("j", "completed", 2, 2, 0)+"\n", w.out.String())
}

func TestWatchTellsTheOutcome(t *testing.T) {
	t.Parallel()
	for status, test := range map[string]struct {
		failed, exit int
		text         string
	}{
		"completed": {0, cli.ExitOK, ""},
		"cancelled": {0, cli.ExitOutcome, "job j was cancelled"},
		"failed":    {0, cli.ExitOutcome, "job j failed: So it goes."},
	} {
		t.Run(fmt.Sprint(status, test.failed), func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.on("GET /api/jobs/j", ok(jobJSON("j", status, 5, 5-test.failed, test.failed)))
			require.Equal(t, test.exit, w.run(t, "job", "watch", "j"))
			require.Contains(t, w.errors.String(), test.text)
		})
	}
}

func TestWatchSurvivesARestartOfTheService(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.on("GET /api/jobs/j", ok(jobJSON("j", "running", 2, 0, 0)), reply{status: 503}, reply{status: 503}, ok(jobJSON("j", "completed", 2, 2, 0)))
	require.Equal(t, cli.ExitOK, w.run(t, "job", "watch", "j"))
}
