package job_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

func TestSelectionsThatAJobCanHave(t *testing.T) {
	t.Parallel()
	for members, want := range map[string]job.SelectionPolicy{
		`"jobId":"j"`:            {},
		`"selection":"snapshot"`: {},
		`"selection":"continuous","endless":true`: {
			Selection: job.SelectContinuous, SelectionInterval: schedule.Duration(5 * time.Minute), Endless: true,
		},
		`"selection":"continuous","maxExecutionTimeInSeconds":60,"selectionInterval":"PT1H30M","rollout":{"batches":[{"number":5},{}]}`: {
			Selection: job.SelectContinuous, SelectionInterval: schedule.Duration(90 * time.Minute),
		},
	} {
		def, err := job.Decode([]byte(plus(members)), now)
		require.NoError(t, err, members)
		require.Equal(t, want, def.SelectionPolicy, members)
	}
}

func TestSelectionsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	const continuous = `"selection":"continuous",`
	const late = `counts from the start of the run, which devices that match later have missed; it does not go with selection "continuous"`
	for members, want := range map[string]job.Fault{
		`"selection":"always"`:                  {"selection", `"always"`, `must be "snapshot" or "continuous"`},
		`"selection":"snapshot","endless":true`: {"endless", "", `goes with selection "continuous" only`},
		`"selectionInterval":"PT5M"`:            {"selectionInterval", "", `goes with selection "continuous" only`},
		continuous + `"maxDevices":5`:           {"maxExecutionTimeInSeconds", "", `is required with selection "continuous"; or give "endless": true`},
		continuous + `"endless":"yes"`:          {"endless", `"yes"`, "must be true or false"},
		continuous + `"endless":true,"maxExecutionTimeInSeconds":60`: {
			"endless", "true", "must not stand beside maxExecutionTimeInSeconds: give one of both",
		},
		continuous + `"endless":true,"selectionInterval":"PT9S"`: {
			"selectionInterval", `"PT9S"`, "must be an ISO 8601 duration from PT10S to P7D",
		},
		continuous + `"endless":true,"schedule":{"cron":"0 1 * * *"}`: {
			"endless", "true", "must not stand beside schedule: a run that never ends leaves no room for the next",
		},
		continuous + `"maxExecutionTimeInSeconds":7200,"schedule":{"cron":"0 1 * * *","jitter":"PT1M"}`: {
			"schedule.jitter", "", `spreads the devices of the start alone; it does not go with selection "continuous", give rollout`,
		},
		continuous + `"endless":true,"rollout":{"orderBy":"tags.site"}`: {
			"selection", `"continuous"`, "must not be continuous where the target is selected in parts, as rollout.orderBy has it",
		},
		continuous + `"endless":true,"timeout":{"notStarted":"PT1H"}`: {"timeout.notStarted", "", late},
		continuous + `"endless":true,"retry":{"criteria":[{"until":"PT1H"}]}`: {
			"retry.criteria[0].until", "", late + "; give numberOfRetries",
		},
		continuous + `"endless":true,"rollout":{"batches":[{"number":5},{"percentage":10},{}]}`: {
			"rollout.batches[1].percentage", "10", `needs a target that is complete, which selection "continuous" never is; give number`,
		},
	} {
		_, err := job.Decode([]byte(plus(members)), now)
		require.ErrorAs(t, err, &job.Faults{}, members)
		require.Contains(t, err, want, members)
	}
	_, err := job.Decode([]byte(`{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"deviceIds":["d"],`+continuous+`"endless":true}`), now)
	require.ErrorContains(t, err, "must not be continuous beside deviceIds: a list never changes")
}

func TestATimeLimitThatAContinuousJobNeedsStays(t *testing.T) {
	t.Parallel()
	def, err := job.Decode([]byte(plus(`"selection":"continuous","maxExecutionTimeInSeconds":60`)), now)
	require.NoError(t, err)
	_, err = def.Edit([]byte(`{"maxExecutionTimeInSeconds":null}`), noon)
	require.ErrorContains(t, err, "must stay: a continuous job ends with it")
	next, err := def.Edit([]byte(`{"maxExecutionTimeInSeconds":120}`), noon)
	require.NoError(t, err)
	require.Equal(t, def.SelectionPolicy, next.SelectionPolicy)
}

// TestRoundsLeaveQueriesToOthers: whatever the interval, the pages of rounds are a quarter of what the hub allows at most.
func TestRoundsLeaveQueriesToOthers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		interval := time.Duration(rapid.Int64Range(60, 604_800).Draw(t, "interval")) * time.Second
		perSecond := rapid.Float64Range(1.0/3, 17).Draw(t, "pages a second")
		at, begun := now, []time.Time{}
		var r job.Rounds
		pages := 0
		for range rapid.IntRange(1, 20).Draw(t, "rounds") {
			r.Begin(at, 0)
			begun = append(begun, at)
			r.Begin(at.Add(time.Second), 7) // another stretch of the same round
			require.Equal(t, at, r.Current.BeganAt)
			r.Pages = rapid.IntRange(1, 10_000).Draw(t, "pages")
			pages += r.Pages
			took := time.Duration(float64(r.Pages) / perSecond * float64(time.Second))
			r.End(at.Add(took), interval, perSecond)
			require.True(t, r.Waits())
			require.True(t, r.NextAt.After(r.Last.EndedAt))
			require.GreaterOrEqual(t, r.NextAt.Sub(at), interval)
			at = r.NextAt
		}
		require.Equal(t, len(begun), r.Ended)
		allowed := at.Sub(now).Seconds() * perSecond
		require.LessOrEqual(t, float64(pages), allowed/4+1)
	})
}
