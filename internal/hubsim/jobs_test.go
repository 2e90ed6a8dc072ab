package hubsim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/amenzhinsky/iothub/iotservice"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/fleetsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/throttle"
)

// jobHub starts a hub with its own jobs, which start within milliseconds.
func jobHub(t *testing.T, opt hubsim.Options) *hub {
	t.Helper()
	opt.Jobs = true
	if opt.JobSettle == 0 {
		opt.JobSettle = 10 * time.Millisecond
	}
	return start(t, opt)
}

// methodJob is the body of a job that reboots.
func methodJob(condition string) string {
	return fmt.Sprintf(`{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"reboot","payload":{"a":1}},
		"queryCondition":%q,"startTime":null,"maxExecutionTimeInSeconds":120}`, condition)
}

// ended waits for the end of a job and returns it.
func (h *hub) ended(id string) map[string]any {
	h.t.Helper()
	var job map[string]any
	require.Eventually(h.t, func() bool {
		job = h.do("GET", "/jobs/v2/"+id, "").object(h.t)
		return job["endTime"] != nil
	}, time.Minute, 5*time.Millisecond)
	return job
}

func TestAMethodJobCallsItsDevicesAndKeepsARowForEach(t *testing.T) {
	t.Parallel()
	h := jobHub(t, hubsim.Options{Journal: true, Fleet: echoes(&echo{})})

	res := h.do("PUT", "/jobs/v2/j1", methodJob("*"))
	require.Equal(t, 200, res.StatusCode, res.body)
	require.JSONEq(t, `{"jobId":"j1","type":"scheduleDeviceMethod","status":"queued"}`, res.body)

	job := h.ended("j1")
	require.Equal(t, "completed", job["status"], "though devices failed")
	require.Equal(t, map[string]any{"deviceCount": 3.0, "failedCount": 2.0, "succeededCount": 1.0, "runningCount": 0.0, "pendingCount": 0.0}, job["deviceJobStatistics"])
	require.Equal(t, "*", job["queryCondition"])
	require.Equal(t, map[string]any{"methodName": "reboot", "payload": map[string]any{"a": 1.0}}, job["cloudToDeviceMethod"])
	require.NotContains(t, job, "updateTwin")
	require.EqualValues(t, 120, job["maxExecutionTimeInSeconds"])
	require.Equal(t, map[string]int{"d": 1}, h.CallCounts(fault.Methods))

	rows := map[string]map[string]any{}
	for _, page := range h.pages("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'j1'", 2, nil) {
		for _, row := range page {
			rows[row["deviceId"].(string)] = row
		}
	}
	require.Len(t, rows, 3)
	d, off := rows["d"], rows["off"]
	require.Equal(t, "completed", d["status"])
	require.Equal(t, map[string]any{"deviceMethodResponse": map[string]any{"status": 207.0, "payload": map[string]any{"a": 1.0}}}, d["outcome"])
	require.NotContains(t, d, "error")
	require.Equal(t, "failed", off["status"])
	require.Equal(t, map[string]any{"deviceMethodResponse": nil}, off["outcome"])
	require.Equal(t, "DeviceNotOnline", off["error"].(map[string]any)["code"])
	require.Equal(t, "scheduleDeviceMethod", d["jobType"])
	for _, name := range []string{"startTimeUtc", "endTimeUtc"} {
		require.False(t, strings.HasSuffix(d[name].(string), "Z"), name)
	}
	for _, name := range []string{"createdDateTimeUtc", "lastUpdatedDateTimeUtc"} {
		require.True(t, strings.HasSuffix(d[name].(string), "Z"), name)
	}
}

func TestATwinJobChangesItsDevices(t *testing.T) {
	t.Parallel()
	h := jobHub(t, hubsim.Options{Fleet: fleet(t, fleetsim.Options{Devices: 30})})
	body := `{"jobId":"t1","type":"scheduleUpdateTwin","queryCondition":"deviceId IN ['dev-000003','dev-000004']",
		"updateTwin":{"etag":"*","tags":{"ring":9},"properties":{"desired":{"q":1}}},"startTime":"0001-01-01T00:00:00Z"}`
	require.Equal(t, 200, h.do("PUT", "/jobs/v2/t1", body).StatusCode)
	job := h.ended("t1")
	require.EqualValues(t, 2, job["deviceJobStatistics"].(map[string]any)["succeededCount"])
	require.Equal(t, "*", job["updateTwin"].(map[string]any)["etag"], "echoed as it came")
	require.Equal(t, []string{"dev-000003", "dev-000004"}, ids(h.pages("SELECT * FROM devices WHERE tags.ring = 9", 10, nil)))
}

func TestQueriesOverJobsFilterAndPage(t *testing.T) {
	t.Parallel()
	h := jobHub(t, hubsim.Options{Fleet: fleet(t, fleetsim.Options{Devices: 50, OfflineShare: 0.3})})
	for _, id := range []string{"a", "b"} {
		h.do("PUT", "/jobs/v2/"+id, methodJob("*"))
		h.ended(id)
	}
	count := func(query string) int { return len(ids(h.pages(query, 7, nil))) }
	require.Equal(t, 100, count("SELECT * FROM devices.jobs"))
	require.Equal(t, 50, count("SELECT * FROM devices.jobs WHERE jobId = 'b'"))
	require.Equal(t, 2, count("SELECT * FROM devices.jobs WHERE devices.jobs.deviceId = 'dev-000007'"))
	require.Equal(t, 9, count("SELECT TOP 9 * FROM devices.jobs"))
	failed := count("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'a' AND devices.jobs.status = 'failed'")
	require.Positive(t, failed)
	require.Equal(t, failed, count("SELECT * FROM devices.jobs WHERE jobId = 'a' AND error.code = 'DeviceNotOnline'"))
	require.Equal(t, 100, count("SELECT * FROM devices.jobs WHERE devices.jobs.createdTimeUtc > '2016-09-01'"))
}

func TestJobsOfTheFutureAreScheduledAndCancelled(t *testing.T) {
	t.Parallel()
	h := jobHub(t, hubsim.Options{Fleet: fleet(t, fleetsim.Options{Devices: 1})})
	start := time.Now().Add(time.Hour).UTC()
	for i, text := range []string{start.Format(time.RFC3339Nano), start.Format("2006-01-02T15:04:05"), start.In(time.FixedZone("", 3600)).Format(time.RFC3339)} {
		id := fmt.Sprintf("f%d", i)
		body := strings.Replace(methodJob("*"), `"startTime":null`, `"startTime":"`+text+`"`, 1)
		require.Equal(t, 200, h.do("PUT", "/jobs/v2/"+id, body).StatusCode)
		require.Eventually(t, func() bool { return h.do("GET", "/jobs/v2/"+id, "").object(t)["status"] == "scheduled" }, time.Minute, time.Millisecond)
		require.True(t, strings.HasPrefix(h.do("GET", "/jobs/v2/"+id, "").object(t)["startTime"].(string), start.Format("2006-01-02T15:04:05")))
		res := h.do("POST", "/jobs/v2/"+id+"/cancel", "")
		require.Equal(t, 200, res.StatusCode)
		require.Equal(t, "cancelled", res.object(t)["status"])
	}
}

func TestARunningJobCannotBeCancelled(t *testing.T) {
	t.Parallel()
	h := jobHub(t, hubsim.Options{Fleet: fleet(t, fleetsim.Options{Devices: 1000}), Throttle: throttle.Options{Tier: throttle.S1}})
	h.do("PUT", "/jobs/v2/j", methodJob("*"))
	require.Eventually(t, func() bool { return h.do("GET", "/jobs/v2/j", "").object(t)["status"] == "running" }, time.Minute, 100*time.Millisecond)

	res := h.do("POST", "/jobs/v2/j/cancel", "")

	require.Equal(t, 405, res.StatusCode)
	require.Equal(t, "OperationNotAllowedInCurrentState", res.Header.Get("iothub-errorcode"))
	require.Equal(t, "ErrorCode:OperationNotAllowedInCurrentState;Job cannot be cancelled in 'Running' status.", res.object(t)["Message"])
	res = h.do("PUT", "/jobs/v2/k", methodJob("*"))
	require.Equal(t, 429, res.StatusCode, "one job at a time on S1")
	require.Equal(t, "ThrottlingMaxActiveJobCountExceeded", res.Header.Get("iothub-errorcode"))
	require.True(t, strings.HasPrefix(res.object(t)["Message"].(string),
		`ErrorCode:ThrottlingMaxActiveJobCountExceeded;Error: 429 {"Message":"ErrorCode:ThrottlingMaxActiveJobCountExceeded;429",`))
}

func TestATiersJobsKeepItsPace(t *testing.T) {
	t.Parallel()
	// 600 devices at 50 a second are 12 s: 120 ms at a hundred times the speed.
	h := jobHub(t, hubsim.Options{
		Fleet: fleet(t, fleetsim.Options{Devices: 600}), Throttle: throttle.Options{Tier: throttle.S3}, TimeScale: 100,
	})
	h.do("PUT", "/jobs/v2/j", methodJob("*"))
	job := h.ended("j")
	created, err := time.Parse(time.RFC3339, job["createdTime"].(string))
	require.NoError(t, err)
	end, err := time.Parse(time.RFC3339, job["endTime"].(string))
	require.NoError(t, err)
	require.GreaterOrEqual(t, end.Sub(created), 11*time.Second+980*time.Millisecond)
	usage := h.Stats().Throttle[throttle.JobDevices]
	require.EqualValues(t, 600, usage.Units)
	require.LessOrEqual(t, usage.PeakSecond, int64(51))
	require.Zero(t, h.Stats().Throttle[throttle.Methods].Units, "jobs have an allowance of their own")
}

func TestRefusedJobs(t *testing.T) {
	t.Parallel()
	h := jobHub(t, hubsim.Options{})
	require.Equal(t, 200, h.do("PUT", "/jobs/v2/taken", methodJob("*")).StatusCode)
	method := func(member string) string { return strings.Replace(methodJob("*"), `"startTime":null`, member, 1) }
	twin := func(update string) string {
		return `{"type":"scheduleUpdateTwin","queryCondition":"*","updateTwin":` + update + `}`
	}
	for name, test := range map[string]struct {
		id, body string
		status   int
		code     string
	}{
		"existing id":       {"taken", methodJob("*"), 409, "JobAlreadyExists"},
		"bad id":            {"a_b", methodJob("*"), 400, "ArgumentInvalid"},
		"long id":           {strings.Repeat("x", 65), methodJob("*"), 400, "ArgumentInvalid"},
		"other id":          {"j", method(`"jobId":"k"`), 400, "ArgumentInvalid"},
		"no JSON":           {"j", `{`, 400, "GenericBadRequest"},
		"unknown type":      {"j", `{"type":"reboot","queryCondition":"*"}`, 400, "GenericBadRequest"},
		"start time":        {"j", method(`"startTime":"soon"`), 400, "ArgumentInvalid"},
		"execution time":    {"j", `{"type":"scheduleUpdateTwin","queryCondition":"*","maxExecutionTimeInSeconds":-1,"updateTwin":{"etag":"*"}}`, 400, "ArgumentInvalid"},
		"no condition":      {"j", methodJob(" "), 400, "ArgumentInvalid"},
		"long condition":    {"j", methodJob("deviceId = '" + strings.Repeat("x", 8300) + "'"), 412, "PreconditionFailed"},
		"no method":         {"j", `{"type":"scheduleDeviceMethod","queryCondition":"*"}`, 400, "ArgumentInvalid"},
		"timeout of method": {"j", `{"type":"scheduleDeviceMethod","queryCondition":"*","cloudToDeviceMethod":{"methodName":"m","responseTimeoutInSeconds":1}}`, 400, "ArgumentInvalid"},
		"no twin":           {"j", `{"type":"scheduleUpdateTwin","queryCondition":"*"}`, 400, "ArgumentInvalid"},
		"no etag":           {"j", twin(`{"tags":{"a":1}}`), 400, "ArgumentInvalid"},
		"another etag":      {"j", twin(`{"etag":"AAA=","tags":{"a":1}}`), 400, "ArgumentInvalid"},
		"tags no object":    {"j", twin(`{"etag":"*","tags":5}`), 400, "ArgumentInvalid"},
	} {
		res := h.do("PUT", "/jobs/v2/"+test.id, test.body)
		require.Equal(t, test.status, res.StatusCode, name)
		require.Equal(t, test.code, res.Header.Get("iothub-errorcode"), name)
		if test.code == "ArgumentInvalid" {
			require.True(t, strings.HasPrefix(res.object(t)["Message"].(string), `ErrorCode:ArgumentInvalid;Error: BadRequest {"Message":"ErrorCode:ArgumentInvalid;`), name)
		}
	}
	require.Equal(t, 404, h.do("POST", "/jobs/v2/nobody/cancel", "").StatusCode)
	require.Equal(t, 405, h.do("DELETE", "/jobs/v2/taken", "").StatusCode)
	require.Equal(t, 404, h.do("GET", "/jobs/v2/a/b", "").StatusCode)
}

func TestAHubWithoutAnEngineHasNoJobs(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{})
	for _, request := range []string{"PUT /jobs/v2/j", "GET /jobs/v2/j", "GET /jobs/v2/query", "POST /jobs/v2/j/cancel"} {
		method, path, _ := strings.Cut(request, " ")
		require.Equal(t, http.StatusNotFound, h.do(method, path, "").StatusCode, request)
	}
}

func TestAnUnknownJobIsNotAnError(t *testing.T) {
	t.Parallel()
	h := jobHub(t, hubsim.Options{})
	res := h.do("GET", "/jobs/v2/nobody", "")
	require.Equal(t, 200, res.StatusCode)
	require.JSONEq(t, `{"type":"unknown","status":"unknown"}`, res.body)

	off := start(t, hubsim.Options{})
	require.Equal(t, 404, off.do("GET", "/jobs/v2/nobody", "").StatusCode, "the engine is off unless asked for")
	require.Empty(t, ids(off.pages("SELECT * FROM devices.jobs", 10, nil)))
}

func TestAConditionWithFaultsFailsTheJobOnlyWhenItRuns(t *testing.T) {
	t.Parallel()
	h := jobHub(t, hubsim.Options{Fleet: fleet(t, fleetsim.Options{Devices: 3})})
	for id, condition := range map[string]string{"whole": "SELECT * FROM devices", "function": "CONTAINS(tags.a,'x')"} {
		require.Equal(t, 200, h.do("PUT", "/jobs/v2/"+id, methodJob(condition)).StatusCode)
		job := h.ended(id)
		require.Equal(t, "failed", job["status"])
		require.True(t, strings.HasPrefix(job["failureReason"].(string), "SQL query parse failed due to following errors: Line 1:"), job)
		require.NotContains(t, job, "deviceJobStatistics")
	}
	h.do("PUT", "/jobs/v2/modules", methodJob("FROM devices.modules WHERE moduleId = 'm'"))
	job := h.ended("modules")
	require.Equal(t, "completed", job["status"])
	require.EqualValues(t, 0, job["deviceJobStatistics"].(map[string]any)["deviceCount"], "there are no modules")
}

func TestJobsAreListedPageByPage(t *testing.T) {
	t.Parallel()
	h := jobHub(t, hubsim.Options{Fleet: fleet(t, fleetsim.Options{Devices: 1})})
	for i := range 5 {
		id := fmt.Sprintf("j%d", i)
		h.do("PUT", "/jobs/v2/"+id, methodJob("*"))
		h.ended(id)
	}
	h.do("PUT", "/jobs/v2/t", `{"type":"scheduleUpdateTwin","queryCondition":"*","updateTwin":{"etag":"*"},"startTime":"2999-01-01T00:00:00Z"}`)
	list := func(query string) []string {
		listed, token := []string{}, ""
		for range 10 {
			header := []string{"x-ms-max-item-count", "2"}
			if token != "" {
				header = append(header, "x-ms-continuation", token)
			}
			res := h.do("GET", "/jobs/v2/query?api-version=2021-04-12&"+query, "", header...)
			require.Equal(t, 200, res.StatusCode, res.body)
			require.Equal(t, "JobResponse", res.Header.Get("x-ms-item-type"))
			var jobs []map[string]any
			require.NoError(t, json.Unmarshal([]byte(res.body), &jobs))
			require.LessOrEqual(t, len(jobs), 2)
			for _, job := range jobs {
				listed = append(listed, job["jobId"].(string))
			}
			if token = res.Header.Get("x-ms-continuation"); token == "" {
				break
			}
		}
		return listed
	}
	require.Equal(t, []string{"j0", "j1", "j2", "j3", "j4", "t"}, list("jobStatus=&jobType="))
	require.Equal(t, []string{"j0", "j1", "j2", "j3", "j4"}, list("jobType=scheduleDeviceMethod"))
	require.Equal(t, []string{"j0", "j1", "j2", "j3", "j4"}, list("jobStatus=completed"))
	require.Equal(t, []string{"t"}, list("jobType=scheduleUpdateTwin"))
	res := h.do("GET", "/jobs/v2/query?api-version=2021-04-12", "", "x-ms-continuation", "*")
	require.Equal(t, 400, res.StatusCode)
}

func TestAnUnmodifiedGoClientRunsJobs(t *testing.T) {
	t.Parallel()
	h := jobHub(t, hubsim.Options{Fleet: fleet(t, fleetsim.Options{Devices: 5})})
	client, err := iotservice.NewFromConnectionString(h.ConnectionString(), iotservice.WithHTTPClient(h.client))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	ctx := t.Context()

	_, err = client.CreateJobV2(ctx, &iotservice.JobV2{
		JobID: "g", Type: iotservice.JobTypeDeviceMethod, QueryCondition: "*", MaxExecutionTimeInSeconds: 60,
		CloudToDeviceMethod: &iotservice.DeviceMethodParams{MethodName: "reboot", TimeoutInSeconds: 7},
	})
	require.NoError(t, err)
	h.ended("g")
	job, err := client.GetJobV2(ctx, "g")
	require.NoError(t, err)
	require.Equal(t, iotservice.JobStatusCompleted, job.Status)
	_, err = client.CreateJobV2(ctx, &iotservice.JobV2{
		JobID: "f", Type: iotservice.JobTypeUpdateTwin, QueryCondition: "*", StartTime: time.Now().Add(time.Hour),
		UpdateTwin: map[string]any{"etag": "*", "tags": map[string]any{"a": 1}},
	})
	require.NoError(t, err)
	job, err = client.CancelJobV2(ctx, "f")
	require.NoError(t, err)
	require.Equal(t, iotservice.JobStatusCancelled, job.Status)
	rows := 0
	require.NoError(t, client.QueryDevices(ctx, "SELECT * FROM devices.jobs WHERE jobId = 'g'", func(map[string]any) error { rows++; return nil }))
	require.Equal(t, 5, rows)
}
