package hubapi_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/hubapi"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

const lockAll = `{"jobId":"lock","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"lockDoor","payload":{"a":1},` +
	`"responseTimeoutInSeconds":7},"startTime":null,"maxExecutionTimeInSeconds":60,"queryCondition":"*"}`

func TestAJobFromItsCreationToItsRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hubapi.Options{}, "ok-1", "error-1", "offline-1")
	require.JSONEq(t, `{"jobId":"lock","type":"scheduleDeviceMethod","status":"queued"}`, w.ok(http.MethodPut, "/jobs/v2/lock", lockAll).body)
	require.Equal(t, "queued", w.ok(http.MethodGet, "/jobs/v2/lock", "").json(t)["status"])
	w.finish()
	got := w.ok(http.MethodGet, "/jobs/v2/lock", "").json(t)
	require.Regexp(t, `^2026-11-23T10:00:\d\d\.\d{7}Z$`, got["endTime"])
	delete(got, "endTime")
	text, err := json.Marshal(got)
	require.NoError(t, err)
	require.JSONEq(t, `{"jobId":"lock","queryCondition":"*","createdTime":"2026-11-23T10:00:00.0000000Z",
		"startTime":"2026-11-23T10:00:00.0000000Z","maxExecutionTimeInSeconds":60,"type":"scheduleDeviceMethod",
		"cloudToDeviceMethod":{"methodName":"lockDoor","payload":{"a":1},"responseTimeoutInSeconds":7,"connectTimeoutInSeconds":0},
		"status":"completed",
		"deviceJobStatistics":{"deviceCount":3,"failedCount":2,"succeededCount":1,"runningCount":0,"pendingCount":0}}`, string(text))

	r := w.query("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'lock'")
	require.Equal(t, "DeviceJob", r.header.Get("x-ms-item-type"))
	require.Empty(t, r.header.Values("x-ms-continuation"))
	rows := map[string]map[string]any{}
	for _, row := range r.rows(t) {
		rows[row["deviceId"].(string)] = row
		require.Equal(t, "lock", row["jobId"])
		require.Equal(t, "scheduleDeviceMethod", row["jobType"])
		for _, name := range []string{"startTimeUtc", "endTimeUtc"} {
			require.Regexp(t, `^2026-11-23T10:00:\d\d\.\d{7}$`, row[name])
		}
		for _, name := range []string{"createdDateTimeUtc", "lastUpdatedDateTimeUtc"} {
			require.Regexp(t, `^2026-11-23T10:00:\d\d\.\d{7}Z$`, row[name])
		}
	}
	require.Len(t, rows, 3)
	require.Equal(t, "completed", rows["ok-1"]["status"])
	require.Equal(t, map[string]any{"deviceMethodResponse": map[string]any{"status": 200.0, "payload": map[string]any{"device": "ok-1"}}}, rows["ok-1"]["outcome"])
	require.NotContains(t, rows["ok-1"], "error")
	require.Equal(t, "failed", rows["error-1"]["status"])
	require.Equal(t, map[string]any{"deviceMethodResponse": map[string]any{"status": 500.0, "payload": "no"}}, rows["error-1"]["outcome"])
	require.Equal(t, map[string]any{"deviceMethodResponse": nil}, rows["offline-1"]["outcome"])
	require.Equal(t, "DeviceNotOnline", rows["offline-1"]["error"].(map[string]any)["code"])
}

// What the SDKs put on the wire, each in its own way.
func TestBodiesOfEverySDK(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hubapi.Options{}, "ok-1")
	for id, body := range map[string]string{
		"node-minimal": `{"jobId":"node-minimal","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m","payload":null,"responseTimeoutInSeconds":30},"startTime":null,"queryCondition":"deviceId = 'dev1'"}`,
		"node-twin":    `{"jobId":"node-twin","type":"scheduleUpdateTwin","updateTwin":{"deviceId":"dev1","etag":"*","tags":{},"properties":{"desired":{"viaTwin":1}}},"startTime":"2026-11-23T12:04:46.927Z","maxExecutionTimeInSeconds":300,"queryCondition":"tags.site = 'lab'"}`,
		"go-method":    `{"jobId":"go-method","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"reboot","payload":{"z":1},"timeoutInSeconds":7},"queryCondition":"deviceId IN ['dev1','dev2']","startTime":"2026-11-23T12:07:53.058909021+02:00","maxExecutionTimeInSeconds":60}`,
		"go-now":       `{"jobId":"go-now","type":"scheduleUpdateTwin","updateTwin":{"etag":"*","properties":{"desired":{"q":1}}},"queryCondition":"*","startTime":"0001-01-01T00:00:00Z","maxExecutionTimeInSeconds":0}`,
		"python-utc":   `{"jobId":"python-utc","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m","payload":5},"queryCondition":"*","startTime":"2026-11-23T12:00:00.123456","maxExecutionTimeInSeconds":60}`,
		"whole-twin": `{"jobId":"whole-twin","createdTime":null,"type":"scheduleUpdateTwin","updateTwin":{"deviceId":null,"etag":"*","version":3,"status":"enabled",
			"properties":{"desired":{"a":1,"$metadata":{"$lastUpdated":"2026-01-01T00:00:00Z"},"$version":4},"reported":{"b":2,"$version":1}},"capabilities":{"iotEdge":false}},"queryCondition":"*"}`,
		"net-now":  `{"jobId":"net-now","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m","payload":null},"queryCondition":"*","startTime":"0001-01-01T00:00:00","maxExecutionTimeInSeconds":0}`,
		"shouting": `{"JobId":"shouting","Type":"ScheduleDeviceMethod","CloudToDeviceMethod":{"MethodName":"m"},"QueryCondition":"*"}`,
	} {
		require.Equal(t, "queued", w.ok(http.MethodPut, "/jobs/v2/"+id, body).json(t)["status"], id)
	}
	twin := w.ok(http.MethodGet, "/jobs/v2/whole-twin", "").json(t)["updateTwin"]
	require.Equal(t, map[string]any{"etag": "*", "properties": map[string]any{"desired": map[string]any{"a": 1.0}}}, twin)
	for id, want := range map[string]string{
		"go-method": "2026-11-23T10:07:53.0589090Z", "go-now": "2026-11-23T10:00:00.0000000Z", "net-now": "2026-11-23T10:00:00.0000000Z",
		"python-utc": "2026-11-23T12:00:00.1234560Z",
	} {
		require.Equal(t, want, w.ok(http.MethodGet, "/jobs/v2/"+id, "").json(t)["startTime"], id)
	}
}

// Braces are placeholders to the native API only: IoT Hub sends them as they are.
func TestBracesAreText(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hubapi.Options{}, "ok-1")
	w.ok(http.MethodPut, "/jobs/v2/lock", strings.Replace(lockAll, `{"a":1}`, `{"a":"{{tags.site}}"}`, 1))
	rec, _, err := w.jobs.Get(t.Context(), "lock")
	require.NoError(t, err)
	require.False(t, rec.Placeholders)
	w.finish()
	require.Equal(t, "completed", w.query("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'lock'").rows(t)[0]["status"])
}

func TestWordsComeInTheHubsOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hubapi.Options{}, "ok-1")
	require.Equal(t, "queued", w.ok(http.MethodPut, "/jobs/v2/later", strings.Replace(
		strings.Replace(lockAll, `"lock"`, `"later"`, 1), "null", `"2026-11-23T10:00:10Z"`, 1)).json(t)["status"])
	var words []string
	for more := true; more; more = w.deliver() {
		word := w.ok(http.MethodGet, "/jobs/v2/later", "").json(t)["status"].(string)
		if len(words) == 0 || words[len(words)-1] != word {
			words = append(words, word)
		}
	}
	require.Equal(t, "completed", w.ok(http.MethodGet, "/jobs/v2/later", "").json(t)["status"])
	require.Equal(t, []string{"scheduled", "running"}, words[:2])
}

func TestAnIDIsTakenOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hubapi.Options{}, "ok-1")
	w.ok(http.MethodPut, "/jobs/v2/lock", lockAll)
	r := w.call(http.MethodPut, "/jobs/v2/lock", lockAll)
	require.Equal(t, http.StatusConflict, r.status)
	require.Equal(t, "JobAlreadyExists", r.header.Get("iothub-errorcode"))
	require.Regexp(t, `^\{"Message":"ErrorCode:JobAlreadyExists;Error: Conflict \{\\"Message\\":\\"ErrorCode:JobAlreadyExists;`+
		`A job with ID 'lock' already exists\.\\",\\"ExceptionMessage\\":\\"Tracking ID:[0-9a-z]+-G:0-TimeStamp:11/23/2026 10:00:00\\"\}",`+
		`"ExceptionMessage":"Tracking ID:[0-9a-z]+-G:0-TimeStamp:11/23/2026 10:00:00"\}$`, r.body)
}

func TestAnUnknownJobIsUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hubapi.Options{})
	for _, id := range []string{"nope", "no%20job", strings.Repeat("x", 200)} {
		require.JSONEq(t, `{"type":"unknown","status":"unknown"}`, w.ok(http.MethodGet, "/jobs/v2/"+id, "").body)
		r := w.call(http.MethodPost, "/jobs/v2/"+id+"/cancel", "")
		require.Equal(t, http.StatusNotFound, r.status)
		require.Equal(t, "JobNotFound", r.header.Get("iothub-errorcode"))
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hubapi.Options{}, fleet("ok", 500)...)
	later := strings.Replace(lockAll, "null", `"2026-11-24T10:00:00Z"`, 1)
	w.ok(http.MethodPut, "/jobs/v2/lock", later)
	for range 2 { // again changes nothing
		require.Equal(t, "cancelled", w.ok(http.MethodPost, "/jobs/v2/lock/cancel", "").json(t)["status"])
	}

	// IoT Hub refuses to cancel a job that runs; here it stops.
	w.ok(http.MethodPut, "/jobs/v2/run", strings.Replace(lockAll, `"lock"`, `"run"`, 1))
	for w.ok(http.MethodGet, "/jobs/v2/run", "").json(t)["status"] != "running" {
		require.True(t, w.deliver())
	}
	got := w.ok(http.MethodPost, "/jobs/v2/run/cancel", "").json(t)
	require.Equal(t, "running", got["status"])
	require.Contains(t, got["statusMessage"], "Being cancelled")
	w.finish()
	require.Equal(t, "cancelled", w.ok(http.MethodGet, "/jobs/v2/run", "").json(t)["status"])
	rows := w.query("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'run' and devices.jobs.status = 'canceled'").rows(t)
	require.NotEmpty(t, rows)

	w.ok(http.MethodPut, "/jobs/v2/done", strings.Replace(lockAll, `"lock"`, `"done"`, 1))
	w.finish()
	r := w.call(http.MethodPost, "/jobs/v2/done/cancel", "")
	require.Equal(t, http.StatusMethodNotAllowed, r.status)
	require.Equal(t, "OperationNotAllowedInCurrentState", r.header.Get("iothub-errorcode"))
	require.Contains(t, r.body, `"ErrorCode:OperationNotAllowedInCurrentState;Job cannot be cancelled in 'Completed' status."`)
}

func TestAJobOverModules(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hubapi.Options{}, "ok-1", "error-1")
	const condition = "FROM devices.modules WHERE moduleId='m'"
	w.ok(http.MethodPut, "/jobs/v2/lock", strings.Replace(lockAll, `"*"`, `"`+condition+`"`, 1))
	w.finish()
	require.Equal(t, condition, w.ok(http.MethodGet, "/jobs/v2/lock", "").json(t)["queryCondition"])
	rows := w.query("SELECT * FROM devices.jobs WHERE devices.jobs.deviceId = 'ok-1' AND devices.jobs.moduleId = 'm'").rows(t)
	require.Len(t, rows, 1)
	require.Equal(t, []any{"ok-1", "m", "completed"}, []any{rows[0]["deviceId"], rows[0]["moduleId"], rows[0]["status"]})
}

func TestRefusedJobs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hubapi.Options{}, "ok-1")
	for name, c := range map[string]struct{ body, code, text string }{
		"no JSON":      {`{`, "GenericBadRequest", "BadRequest"},
		"type":         {strings.Replace(lockAll, "scheduleDeviceMethod", "firmwareUpdate", 1), "GenericBadRequest", "BadRequest"},
		"another id":   {strings.Replace(lockAll, `"lock"`, `"other"`, 1), "ArgumentInvalid", "jobId is not that of the path"},
		"start":        {strings.Replace(lockAll, "null", `"tomorrow"`, 1), "ArgumentInvalid", "startTime"},
		"timeout":      {strings.Replace(lockAll, ":7", ":4", 1), "ArgumentInvalid", "cloudToDeviceMethod.responseTimeoutInSeconds"},
		"no condition": {strings.Replace(lockAll, `,"queryCondition":"*"`, "", 1), "ArgumentInvalid", "queryCondition"},
		"a query":      {strings.Replace(lockAll, `"*"`, `"SELECT * FROM devices"`, 1), "ArgumentInvalid", "give only the condition"},
		"the hub's no": {strings.Replace(lockAll, `"*"`, `"REFUSED(deviceId)"`, 1), "ArgumentInvalid", "no such function"},
		"no etag":      {`{"type":"scheduleUpdateTwin","updateTwin":{"tags":{"a":1}},"queryCondition":"*"}`, "ArgumentInvalid", "only accepts '*' as the Etag."},
		"no method":    {`{"type":"scheduleDeviceMethod","queryCondition":"*"}`, "ArgumentInvalid", "cloudToDeviceMethod is missing"},
	} {
		r := w.call(http.MethodPut, "/jobs/v2/lock", c.body)
		require.Equal(t, http.StatusBadRequest, r.status, name)
		require.Equal(t, c.code, r.header.Get("iothub-errorcode"), name)
		require.Contains(t, r.body, c.text, name)
		require.Contains(t, r.body, `{"Message":"ErrorCode:`+c.code+";", name)
	}
	require.Equal(t, http.StatusRequestEntityTooLarge, w.call(http.MethodPut, "/jobs/v2/lock", strings.Repeat(" ", 1<<20+1)).status)
}

func TestListing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hubapi.Options{}, "ok-1")
	for _, id := range []string{"a", "b", "c"} {
		w.ok(http.MethodPut, "/jobs/v2/"+id, strings.Replace(lockAll, `"lock"`, `"`+id+`"`, 1))
		w.finish()
		w.clock.moveTo(w.clock.Now().Add(time.Second))
	}
	w.ok(http.MethodPut, "/jobs/v2/twin", `{"type":"scheduleUpdateTwin","updateTwin":{"etag":"*","tags":{"a":1}},"queryCondition":"*","startTime":"2026-12-23T10:00:00Z"}`)
	w.ok(http.MethodPost, "/jobs/v2/twin/cancel", "")
	w.ok(http.MethodPut, "/jobs/v2/soon", strings.ReplaceAll(strings.Replace(lockAll, `"lock"`, `"soon"`, 1), "null", `"2026-12-23T10:00:00Z"`))

	list := func(query string) []string {
		t.Helper()
		ids, headers := []string{}, []string{"x-ms-max-item-count", "2"}
		for {
			r := w.ok(http.MethodGet, "/jobs/v2/query"+query, "", headers...)
			require.Equal(t, "JobResponse", r.header.Get("x-ms-item-type"))
			if len(headers) > 2 {
				require.NotEmpty(t, r.rows(t), "a token leads to jobs")
			}
			for _, row := range r.rows(t) {
				ids = append(ids, row["jobId"].(string))
			}
			token := r.header.Values("x-ms-continuation")
			if len(token) == 0 {
				return ids
			}
			headers = []string{"x-ms-max-item-count", "2", "x-ms-continuation", token[0]}
		}
	}
	require.Equal(t, []string{"soon", "twin", "c", "b", "a"}, list(""))
	require.Equal(t, []string{"c", "b", "a"}, list("?jobStatus=completed"))
	require.Empty(t, w.ok(http.MethodGet, "/jobs/v2/query?jobStatus=completed", "", "x-ms-max-item-count", "3").header.Values("x-ms-continuation"))
	require.Equal(t, []string{"c", "b", "a"}, list("?jobStatus=Completed&jobType=scheduleDeviceMethod"))
	require.Equal(t, []string{"soon"}, list("?jobStatus=scheduled"))
	require.Empty(t, list("?jobStatus=queued"))
	require.Empty(t, list("?jobStatus=running"))
	require.Equal(t, []string{"twin"}, list("?jobStatus=cancelled"))
	require.Equal(t, []string{"twin"}, list("?jobStatus=canceled"))
	require.Equal(t, []string{"twin"}, list("?jobType=scheduleUpdateTwin"))
	require.Empty(t, list("?jobType=export"))

	whole := w.ok(http.MethodGet, "/jobs/v2/query?jobStatus=cancelled", "").rows(t)[0]
	require.Equal(t, map[string]any{"etag": "*", "tags": map[string]any{"a": 1.0}}, whole["updateTwin"])
	token := w.ok(http.MethodGet, "/jobs/v2/query", "", "x-ms-max-item-count", "1").header.Get("x-ms-continuation")
	for _, bad := range []struct{ query, header, value string }{
		{"?jobStatus=sleeping", "Accept", "*"},
		{"?jobType=nothing", "Accept", "*"},
		{"", "x-ms-max-item-count", "0"},
		{"", "x-ms-continuation", "%%"},
		{"?jobStatus=completed", "x-ms-continuation", token},
	} {
		r := w.call(http.MethodGet, "/jobs/v2/query"+bad.query, "", bad.header, bad.value)
		require.Equal(t, http.StatusBadRequest, r.status, "%+v", bad)
	}
}

// Every job of one API is in the other, with who made it.
func TestJobsOfThisAPIHaveTheirPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hubapi.Options{}, "ok-1")
	w.ok(http.MethodPut, "/jobs/v2/lock", lockAll, "User-Agent", "azure-iothub/1.16.6")
	rec, _, err := w.jobs.Get(t.Context(), "lock")
	require.NoError(t, err)
	policy := job.Principal{Kind: job.PrincipalPolicy, ID: "service"}
	require.Equal(t, policy, rec.CreatedBy)
	w.finish()
	w.ok(http.MethodPut, "/jobs/v2/later", strings.Replace(strings.Replace(lockAll, `"lock"`, `"later"`, 1), "null", `"2026-12-23T10:00:00Z"`, 1))
	w.ok(http.MethodPost, "/jobs/v2/later/cancel", "")
	changes, _, err := w.store.Changes(t.Context(), tablestore.ChangeQuery{Max: 10})
	require.NoError(t, err)
	require.Len(t, changes, 3)
	for _, c := range changes {
		require.Equal(t, policy, c.By)
	}
	require.Equal(t, "azure-iothub/1.16.6", changes[2].UserAgent)
}

// A job with steps, which only the native API makes, has a word that SDKs know.
func TestAJobWithStepsInTheHubsWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hubapi.Options{}, fleet("ok", 2)...)
	def, err := job.Decode([]byte(`{"jobId":"update","type":"scheduleSteps","queryCondition":"*","steps":[{"method":{"methodName":"m"}},
		{"waitFor":{"path":"properties.reported.level","exists":true,"within":"PT1M"}}]}`), start)
	require.NoError(t, err)
	_, err = w.jobs.Create(t.Context(), def, "", job.Caller{Principal: job.Principal{Kind: job.PrincipalKey}})
	require.NoError(t, err)
	w.finish()
	got := w.ok(http.MethodGet, "/jobs/v2/update", "").json(t)
	require.Equal(t, []any{"unknown", "completed"}, []any{got["type"], got["status"]})
	require.Equal(t, "Carries out 2 steps on each device, which IoT Hub's jobs cannot.", got["statusMessage"])
	require.Len(t, w.ok(http.MethodGet, "/jobs/v2/query?jobType=unknown", "").rows(t), 1)
	rows := w.query("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'update'").rows(t)
	require.Len(t, rows, 2)
	require.Equal(t, []any{"unknown", "failed"}, []any{rows[0]["jobType"], rows[0]["status"]})
	require.Equal(t, "waitTimedOut", rows[0]["error"].(map[string]any)["code"])
}
