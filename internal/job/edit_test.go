package job_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

const editable = `"maxExecutionTimeInSeconds":60,"rollout":{"maximumPerMinute":100,"maxConcurrency":5,
	"batches":[{"number":10},{"gate":{"successThresholdPercentage":90,"approval":true}}]}`

func decoded(t *testing.T, members string) job.Definition {
	t.Helper()
	def, err := job.Decode([]byte(plus(members)), noon)
	require.NoError(t, err)
	return def
}

func TestAnEditIsAMergePatch(t *testing.T) {
	t.Parallel()
	def := decoded(t, editable)
	next, err := def.Edit([]byte(`{"maxExecutionTimeInSeconds":null,"rollout":{"maximumPerMinute":200,"maxConcurrency":null},
		"abort":{"criteria":[{"thresholdPercentage":5}]}}`), noon)
	require.NoError(t, err)
	require.Zero(t, next.MaxExecutionTimeInSeconds)
	require.Equal(t, 200, next.Rollout.MaximumPerMinute)
	require.Zero(t, next.Rollout.MaxConcurrency)
	require.Equal(t, def.Rollout.Batches, next.Rollout.Batches)
	require.NotNil(t, next.Abort)
	require.Equal(t, 100, def.Rollout.MaximumPerMinute, "the definition before stays as it was")
	next, err = next.Edit([]byte(`{"abort":null,"rollout":{"batches":[{"number":10},{"gate":{"successThresholdPercentage":80,"approval":true}}]}}`), noon)
	require.NoError(t, err)
	require.Nil(t, next.Abort)
	require.InDelta(t, 80, next.Rollout.Batches[1].Gate.SuccessThresholdPercentage, 0)
}

func TestEditsThatAreRefused(t *testing.T) {
	t.Parallel()
	for patch, fault := range map[string]string{
		`{}`:                                  "must have at least one of",
		`[]`:                                  "must be a JSON object",
		`{"queryCondition":"*"}`:              "queryCondition: \"*\": can be edited of a recurring job only; of this one maxExecutionTimeInSeconds,",
		`{"rolout":{}}`:                       `did you mean "rollout"?`,
		`{"maxExecutionTimeInSeconds":0}`:     "must be a whole number from 1",
		`{"priority":11}`:                     "must be a whole number from 1 to 10",
		`{"exclusive":true}`:                  "exclusive: true: can be edited of a recurring job only",
		`{"rollout":null}`:                    "can neither be added nor be taken away",
		`{"rollout":{"maximumPerMinute":-1}}`: "rollout.maximumPerMinute: -1: must be",
		`{"rollout":{"rate":1}}`:              "rollout.rate: 1: is not a known member",
		`{"rollout":{"batches":[{"number":11},{"gate":{"approval":true}}]}}`: "must have the same devices",
		`{"rollout":{"batches":[{"number":10},{}]}}`:                         "no fewer approvals",
		`{"rollout":{"batches":null}}`:                                       "must have the same devices",
	} {
		_, err := decoded(t, editable).Edit([]byte(patch), noon)
		require.ErrorContains(t, err, fault, patch)
	}
	local := decoded(t, `"maintenanceWindow":{"cron":"0 1 * * *","duration":"PT2H","timeZone":"device"}`)
	for _, patch := range []string{`null`, `{"duration":"PT3H"}`, `{"timeZone":"UTC"}`} {
		_, err := local.Edit([]byte(`{"maintenanceWindow":`+patch+`}`), noon)
		require.ErrorContains(t, err, "cannot be edited where it is at each device's local time", patch)
	}
	_, err := decoded(t, `"maxDevices":5`).Edit([]byte(`{"rollout":{"maximumPerMinute":1}}`), noon)
	require.ErrorContains(t, err, "can neither be added")
}

func TestARunTakesAnEditOver(t *testing.T) {
	t.Parallel()
	rec := job.Record{Definition: decoded(t, editable), RunID: "a.1", Edits: 1}
	run := rec.NewRun()
	run.Status, run.StartedAt = job.StatusRunning, noon
	require.Equal(t, 2, rec.Version(&run))
	next, err := rec.Latest(&run).Edit([]byte(`{"maxExecutionTimeInSeconds":600,"rollout":{"maximumPerMinute":7}}`), noon)
	require.NoError(t, err)
	run.TakeOver(&next)
	require.Equal(t, 3, rec.Version(&run))
	require.Equal(t, noon.Add(10*time.Minute), run.Deadline)
	require.Equal(t, 7, run.Rollout.Policy.MaximumPerMinute)
	require.Equal(t, 7, rec.Latest(&run).Rollout.MaximumPerMinute, "also before the job has taken it over")
	rec.Reflect(&run)
	require.Equal(t, int64(600), rec.MaxExecutionTimeInSeconds)
	require.Equal(t, 3, rec.Version(nil))
}

// A run that had a priority and has none any more says so in words: what it asked for before counts otherwise.
func TestARunTakesAPriorityOver(t *testing.T) {
	t.Parallel()
	rec := job.Record{Definition: decoded(t, editable), RunID: "a.1"}
	run := rec.NewRun()
	for _, step := range []struct {
		patch    string
		ofJob    int
		ofTheRun int
	}{
		{`{"maxExecutionTimeInSeconds":600}`, 0, 0},
		{`{"priority":9}`, 9, 9},
		{`{"maxExecutionTimeInSeconds":601}`, 9, 9},
		{`{"priority":null}`, 0, job.DefaultPriority},
		{`{"priority":1}`, 1, 1},
		{`{"priority":5}`, 0, job.DefaultPriority},
	} {
		next, err := rec.Latest(&run).Edit([]byte(step.patch), noon)
		require.NoError(t, err)
		run.TakeOver(&next)
		rec.Reflect(&run)
		require.Equal(t, []int{step.ofJob, step.ofTheRun}, []int{rec.Priority, run.Priority}, step.patch)
	}
}
