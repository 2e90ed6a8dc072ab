package schedule_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

var update = flag.Bool("update", false, "write the times in docs/schedules.md")

const page = "../../docs/schedules.md"

// Every example of the page has the times that the code computes.
func TestDocsExamplesAreTrue(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	example := regexp.MustCompile("(?s)```json\n(.*?)```\n```text\nafter (\\S+)\n.*?```")
	require.GreaterOrEqual(t, len(example.FindAll(text, -1)), 8)
	want := example.ReplaceAllStringFunc(string(text), func(block string) string {
		parts := example.FindStringSubmatch(block)
		return fmt.Sprintf("```json\n%s```\n```text\nafter %s\n%s```", parts[1], parts[2], times(t, parts[1], at(t, parts[2])))
	})
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(want), 0o644))
		return
	}
	require.Empty(t, cmp.Diff(want, string(text)), "run go test ./internal/schedule -run TestDocs -update")
}

// times lists the next three times of a schedule, or of a window, one in a line.
func times(t *testing.T, text string, after time.Time) string {
	t.Helper()
	var b strings.Builder
	if strings.Contains(text, `"duration"`) {
		spec, faults := schedule.DecodeWindow("maintenanceWindow", []byte(text))
		require.Empty(t, faults)
		loc := zone(t, spec.TimeZone)
		for _, s := range window(t, text).NextN(after, 3) {
			fmt.Fprintf(&b, "%s to %s\n", s.From.In(loc).Format(time.RFC3339), s.Until.In(loc).Format(time.RFC3339))
		}
		return b.String()
	}
	spec, faults := schedule.Decode("schedule", []byte(text))
	require.Empty(t, faults)
	loc := time.UTC
	if spec.TimeZone != schedule.DeviceZone {
		loc = zone(t, spec.TimeZone)
	}
	for _, line := range next(compile(t, text).Schedule, after, 3, loc) {
		fmt.Fprintln(&b, line)
	}
	return b.String()
}

// The page states the limits, defaults and words that the code has.
func TestDocsLimits(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(page)
	require.NoError(t, err)
	text := string(raw)
	for _, want := range []string{
		fmt.Sprintf("first | %d characters |", schedule.MaxCronLen),
		fmt.Sprintf("| %s to %s |\n| `offset`", schedule.MinInterval, schedule.MaxInterval),
		fmt.Sprintf("| 1 to %d |\n| `timeZone`", schedule.MaxTimes),
		fmt.Sprintf("no limit | 1 to %d |", schedule.MaxRemainingRuns),
		fmt.Sprintf("none | PT0S to %s |", schedule.MaxJitter),
		fmt.Sprintf("| %s | %s to %s |", schedule.DefaultCatchup, schedule.MinCatchup, schedule.MaxCatchup),
		fmt.Sprintf("`duration` (%s to %s)", schedule.MinWindow, schedule.MaxWindow),
		fmt.Sprintf("At most %d wait", schedule.MaxBuffered),
		fmt.Sprintf("(`%s` unless given)", schedule.DefaultZonePath),
		fmt.Sprintf("`%s` |", schedule.ZoneMissing), fmt.Sprintf("`%s` |", schedule.ZoneInvalid),
	} {
		require.Contains(t, text, want)
	}
	for _, p := range schedule.OverlapPolicies() {
		require.Contains(t, text, fmt.Sprintf("\n| `%s` | ", p))
	}
	for _, e := range schedule.EndBehaviors() {
		require.Regexp(t, fmt.Sprintf("\n\\| `%s`( \\(default\\))? \\| ", e), text)
	}
}
