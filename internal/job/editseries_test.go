package job_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

const nightly = `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"reboot","payload":{"delay":3,"force":true}},
	"queryCondition":"tags.building = 43","schedule":{"cron":"0 2 * * *","timeZone":"Europe/Berlin","remainingRuns":5,"jitter":"PT10M"},
	"maintenanceWindow":{"cron":"0 1 * * *","duration":"PT4H","timeZone":"Europe/Berlin","endBehavior":"finish"},
	"maxExecutionTimeInSeconds":7200,"maxDevices":500,"notifications":{"callbackUrl":"https://example.com/?sig=secret","events":["completed"]},
	"abort":{"criteria":[{"thresholdPercentage":5,"minNumberOfExecutedDevices":10}]},
	"retry":{"criteria":[{"failureType":"deviceOffline","numberOfRetries":3,"delay":"PT1M"}]},
	"timeout":{"notStarted":"PT1H","inProgress":"PT30S"},"succeedOn":{"statusCodes":["200-299"]}}`

// recurringRecord is a stored recurring job that had a run.
func recurringRecord(t *testing.T, body string) *job.Record {
	t.Helper()
	def, err := job.Decode([]byte(body), noon)
	require.NoError(t, err)
	rec := &job.Record{Definition: def, RunID: "nightly.abc.0", Status: job.StatusScheduled}
	rec.JobID = "nightly"
	require.NoError(t, rec.Recurs(noon))
	rec.Series.Runs = 1
	return rec
}

func edited(t *testing.T, rec *job.Record, patch string) job.SeriesEdit {
	t.Helper()
	e, err := rec.DecodeSeriesEdit([]byte(patch), noon)
	require.NoError(t, err, patch)
	return e
}

// What an edit does not name stays, to the last member.
func TestAnEditOfARecurringJobKeepsWhatItDoesNotName(t *testing.T) {
	t.Parallel()
	rec := recurringRecord(t, nightly)
	want := rec.Definition
	want.JobID, want.StartTime, want.MaxDevices = "", time.Time{}, 400
	got := edited(t, rec, `{"maxDevices":400}`).Next
	require.Empty(t, cmp.Diff(want, got, cmpopts.EquateEmpty()))
}

func TestWhatAnEditOfARecurringJobNames(t *testing.T) {
	t.Parallel()
	rec := recurringRecord(t, nightly)
	next := edited(t, rec, `{"schedule":{"cron":null,"interval":"PT6H"},"cloudToDeviceMethod":{"payload":{"delay":null}},"retry":null,
		"maintenanceWindow":null,"deviceIds":["a","b"]}`).Next
	require.Equal(t, schedule.Duration(6*time.Hour), next.Schedule.Interval)
	require.Empty(t, next.Schedule.Cron)
	require.Equal(t, 5, next.Schedule.RemainingRuns)
	require.Equal(t, "reboot", next.Method.Name)
	require.JSONEq(t, `{"delay":null}`, string(next.Method.Payload), "null belongs to the device: a payload is replaced as a whole")
	require.Nil(t, next.Retry)
	require.Nil(t, next.MaintenanceWindow)
	require.Equal(t, []string{"a", "b"}, next.DeviceIDs)
	require.Empty(t, next.QueryCondition, "one target takes the place of the other")

	twin := edited(t, rec, `{"type":"scheduleUpdateTwin","cloudToDeviceMethod":null,"succeedOn":null,"updateTwin":{"tags":{"old":null}}}`).Next
	require.Equal(t, job.TypeTwin, twin.Type)
	require.JSONEq(t, `{"old":null}`, string(twin.UpdateTwin.Tags))

	rec.QueryCondition, rec.ListChunks, rec.DeviceCount = "", 1, 2
	require.Nil(t, edited(t, rec, `{"maxDevices":1}`).Next.DeviceIDs, "the list stays where it is")
	query := edited(t, rec, `{"queryCondition":"*"}`)
	require.Equal(t, "*", query.Next.QueryCondition)
	require.True(t, query.Targets())
}

func TestEditsOfARecurringJobThatAreRefused(t *testing.T) {
	t.Parallel()
	rec := recurringRecord(t, nightly)
	for patch, field := range map[string]string{
		`{}`:                                   "body",
		`[]`:                                   "body",
		`{"jobId":"other"}`:                    "jobId",
		`{"startTime":"2030-01-01T00:00:00Z"}`: "startTime",
		`{"schedule":null}`:                    "schedule",
		`{"shedule":null}`:                     "shedule",
		`{"schedule":{"corn":"* * * * *"}}`:    "schedule.corn",
		`{"schedule":{"jitter":"PT3H"}}`:       "schedule.jitter",
		`{"queryCondition":"tags. ="}`:         "queryCondition",
		`{"deviceIds":[]}`:                     "deviceIds",
		`{"updateTwin":{"tags":{"a":1}}}`:      "updateTwin",
		"{\"maxDevices\":\xff}":                "body",
	} {
		_, err := rec.DecodeSeriesEdit([]byte(patch), noon)
		faults := job.FaultsOf(err)
		require.NotEmpty(t, faults, patch)
		require.Equal(t, field, faults[0].Field, patch)
	}
}

// Runs keep what they began with; the job goes on with the edit, and its schedule from now on.
func TestAnEditTakesEffectFromTheNextRunOn(t *testing.T) {
	t.Parallel()
	rec := recurringRecord(t, nightly)
	run := &job.Record{RunID: rec.RunNumber(1), Occurrence: &job.Occurrence{Number: 1}}
	run.Of(rec, noon)
	before := run.Definition
	by := job.Principal{Kind: job.PrincipalKey, ID: "k"}
	e := edited(t, rec, `{"schedule":{"cron":"0 4 * * *","remainingRuns":9},"queryCondition":"*","notifications":{"callbackUrl":"https://example.com/?sig=other"}}`)
	e.Warnings = []string{"w"}
	ok, err := rec.EditSeries(e, by, noon)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, 2, rec.Version(nil))
	require.Equal(t, "nightly", rec.JobID)
	require.Equal(t, 9, rec.Series.State.Remaining)
	require.Equal(t, by, rec.EditedBy)
	require.Equal(t, "notifications, queryCondition, schedule; version 2, from the next run on", e.Note(), "no secret")
	_, err = rec.Recur(noon)
	require.NoError(t, err)
	require.Equal(t, 3, rec.Series.Next.UTC().Hour(), "4 o'clock in Berlin")

	stored, err := json.Marshal(rec.Outdated)
	require.NoError(t, err)
	was := &job.Former{}
	require.NoError(t, json.Unmarshal(stored, was))
	run.Of(rec, noon)
	require.Equal(t, "*", run.QueryCondition)
	run.AsOf(was)
	require.Empty(t, cmp.Diff(before, run.Definition, cmpopts.EquateEmpty()))
	require.Empty(t, run.Warnings)

	ok, err = rec.EditSeries(e, by, noon)
	require.NoError(t, err)
	require.False(t, ok, "the job was edited since this edit was decoded")
}

func TestAnEditThatDoesNotNameTheRemainingRunsLeavesThem(t *testing.T) {
	t.Parallel()
	rec := recurringRecord(t, nightly)
	rec.Series.Runs, rec.Series.State.Remaining = 0, 2
	_, err := rec.EditSeries(edited(t, rec, `{"schedule":{"cron":"0 4 * * *"}}`), job.Principal{}, noon)
	require.NoError(t, err)
	require.Equal(t, 2, rec.Series.State.Remaining)
	require.Nil(t, rec.Outdated, "no run began with the version before")
	_, err = rec.EditSeries(edited(t, rec, `{"schedule":{"remainingRuns":null}}`), job.Principal{}, noon)
	require.NoError(t, err)
	require.False(t, rec.Series.State.Limited)
}

// Every member that a definition may have is one that an edit of a recurring job may name, and the other way round.
func TestEveryMemberCanBeNamedInAnEdit(t *testing.T) {
	t.Parallel()
	rec := recurringRecord(t, nightly)
	raw, err := json.Marshal(rec.Definition)
	require.NoError(t, err)
	var members map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(raw, &members))
	for name := range members {
		_, err := rec.DecodeSeriesEdit([]byte(`{"`+name+`":`+string(members[name])+`}`), noon)
		if name == "jobId" || name == "startTime" {
			require.Error(t, err)
			continue
		}
		require.NoError(t, err, name)
	}
}

// A payload that is sent as it is stays so, and the job still says what it was made of.
func TestAnEditKeepsBracesAndOrigin(t *testing.T) {
	t.Parallel()
	rec := recurringRecord(t, `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m","payload":"{{ x"},"placeholders":false,
		"queryCondition":"*","schedule":{"cron":"0 2 * * *"}}`)
	rec.FromTemplate, rec.CopyOf = &job.FromTemplate{TemplateID: "a", Version: 1}, &job.CopyOf{JobID: "b"}
	got := edited(t, rec, `{"maxDevices":400}`).Next
	require.False(t, got.Placeholders)
	require.Equal(t, rec.FromTemplate, got.FromTemplate)
	require.Equal(t, rec.CopyOf, got.CopyOf)
	require.True(t, edited(t, rec, `{"cloudToDeviceMethod":{"payload":"{{tags.x}}"}}`).Next.Placeholders)
}
