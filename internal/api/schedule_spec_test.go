package api_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

// A schedule has the same members, defaults and ranges in openapi.yaml, in the code, and in docs/schedules.md, whose ranges a
// test of internal/schedule compares with the code.
func TestTheDescriptionOfASchedule(t *testing.T) {
	t.Parallel()
	schemas := loadSpec(t).doc.Components.Schemas
	members, window := schemas["Schedule"].Value.Properties, schemas["MaintenanceWindow"].Value.Properties

	page, err := os.ReadFile("../../docs/schedules.md")
	require.NoError(t, err)
	var listed []string
	for _, title := range []string{"## Recurrence\n", "## Runs\n"} {
		_, section, found := strings.Cut(string(page), title)
		require.True(t, found)
		table, _, _ := strings.Cut(section[strings.Index(section, "| member |"):], "\n\n")
		for row := range strings.Lines(table) {
			for _, name := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(strings.Split(row, "|")[1], -1) {
				listed = append(listed, name[1])
			}
		}
	}
	require.ElementsMatch(t, listed, slices.Collect(maps.Keys(members)))

	require.EqualValues(t, schedule.MaxCronLen, *members["cron"].Value.MaxLength)
	require.Contains(t, members["interval"].Value.Description, schedule.MinInterval.String()+" to "+schedule.MaxInterval.String())
	require.EqualValues(t, schedule.MaxTimes, *members["times"].Value.MaxItems)
	require.EqualValues(t, schedule.MaxTimes, *members["exclude"].Value.MaxItems)
	require.InDelta(t, schedule.MaxRemainingRuns, *members["remainingRuns"].Value.Max, 0)
	require.Equal(t, words(schedule.OverlapPolicies()), members["overlapPolicy"].Value.Enum)
	require.EqualValues(t, schedule.Skip, members["overlapPolicy"].Value.Default)
	require.EqualValues(t, schedule.DefaultCatchup.String(), members["catchupWindow"].Value.Default)
	require.Contains(t, members["catchupWindow"].Value.Description, schedule.MinCatchup.String()+" to "+schedule.MaxCatchup.String())
	require.Equal(t, false, members["pauseOnFailure"].Value.Default)
	require.Equal(t, "UTC", members["timeZone"].Value.Default)
	require.ElementsMatch(t, words(schedule.EndBehaviors()), window["endBehavior"].Value.Enum)
	require.EqualValues(t, schedule.StopRollout, window["endBehavior"].Value.Default)
	require.Contains(t, window["duration"].Value.Description, schedule.MinWindow.String()+" to "+schedule.MaxWindow.String())
}
