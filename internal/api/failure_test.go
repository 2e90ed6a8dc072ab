package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

func TestAJobThatAbortedTellsWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, append(fleet("error", 30), fleet("ok", 470)...)...)
	w.put("careful", `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"lockDoor"},"queryCondition":"*",
		"abort":{"criteria":[{"thresholdPercentage":12.5,"minNumberOfExecutedDevices":20}]}}`)
	require.Empty(t, cmp.Diff(map[string]any{"criteria": []any{map[string]any{
		"failureType": "all", "thresholdPercentage": 12.5, "minNumberOfExecutedDevices": 20.0, "action": "cancel", "over": "run",
	}}}, w.get("/api/jobs/careful")["abort"]))
	w.finish()
	got := w.get("/api/jobs/careful")
	require.Equal(t, "cancelled", got["status"])
	require.Equal(t, "aborted", got["endReason"])
	require.Contains(t, got["failureReason"], "the abort criterion is 12.5% of at least 20")
	require.Contains(t, got["statusMessage"], "Aborted: ")
	canceled := w.get("/api/jobs/careful/executions?status=canceled")["executions"].([]any)
	require.NotEmpty(t, canceled)
	require.Equal(t, "jobAborted", canceled[0].(map[string]any)["error"].(map[string]any)["code"])

	r := w.call(http.MethodPut, "/api/jobs/careless", `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},
		"queryCondition":"*","abort":{"criteria":[{"tresholdPercentage":10}]}}`)
	require.Equal(t, http.StatusBadRequest, r.status)
	require.Contains(t, string(r.body), `did you mean \"thresholdPercentage\"?`)
}

func TestADeviceThatWaitsForARetryShowsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, append(fleet("offline", 1), fleet("ok", 3)...)...)
	w.put("patient", `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"lockDoor"},"queryCondition":"*",
		"retry":{"criteria":[{"failureType":"deviceOffline","numberOfRetries":1,"delay":"PT1H","jitter":0}]}}`)
	waits := func() map[string]any {
		return w.get("/api/jobs/patient/executions?deviceId=" + fleet("offline", 1)[0])
	}
	w.until(func() bool {
		return w.get("/api/jobs/patient")["executionStatistics"].(map[string]any)["succeeded"] == 3.0
	})
	e := waits()
	require.Equal(t, "queued", e["status"])
	require.InDelta(t, 1, e["attempts"], 0)
	require.NotEmpty(t, e["nextAttemptTime"])
	require.Equal(t, "deviceOffline", e["error"].(map[string]any)["code"])
	w.finish() // the clock goes on with the messages: an hour passes
	require.Greater(t, w.clock.Now().Sub(start), 59*time.Minute)
	e = waits()
	require.Equal(t, "failed", e["status"])
	require.InDelta(t, 2, e["attempts"], 0)
	require.Nil(t, e["nextAttemptTime"])
}

func TestAnswersMeanWhatTheJobSays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, append(fleet("error", 2), fleet("ok", 3)...)...)
	rules := map[string]any{
		"succeedOn": map[string]any{"statusCodes": []any{200.0, "400-499"}, "answer": map[string]any{"path": "device", "value": "ok-00001"}},
		"rejectOn":  map[string]any{"statusCodes": []any{500.0}},
		"timeout":   map[string]any{"notStarted": "PT2H", "inProgress": "PT20S"}, "deliveryGuarantee": "atMostOnce",
	}
	w.put("choosy", `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"lockDoor"},"queryCondition":"*",
		"succeedOn":{"statusCodes":[200,"400-499"],"answer":{"path":"device","value":"ok-00001"}},"rejectOn":{"statusCodes":[500]},
		"timeout":{"notStarted":"PT2H","inProgress":"PT20S"},"deliveryGuarantee":"atMostOnce"}`)
	w.finish()
	got := w.get("/api/jobs/choosy")
	for member, want := range rules {
		require.Empty(t, cmp.Diff(want, got[member]), member)
	}
	states := got["executionStatistics"].(map[string]any)
	require.Equal(t, []any{1.0, 2.0, 2.0}, []any{states["succeeded"], states["failed"], states["rejected"]})
	rejected := w.get("/api/jobs/choosy/executions?status=rejected")["executions"].([]any)
	require.Len(t, rejected, 2)
	require.Equal(t, map[string]any{"code": "deviceRejected", "message": "the device refused with status 500"}, rejected[0].(map[string]any)["error"])
	require.Equal(t, "=no", rejected[0].(map[string]any)["payload"])
}

func TestTheFailedDevicesAreDoneAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, append(append(fleet("error", 2), fleet("silent", 1)...), fleet("ok", 120)...)...)
	w.put("first", `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"lockDoor"},"queryCondition":"*"}`)
	w.problem(w.call(http.MethodPost, "/api/jobs/first/rerun", ""), http.StatusConflict, "job-not-ended")
	w.finish()
	run := w.get("/api/jobs/first")["runId"]

	r := w.call(http.MethodPost, "/api/jobs/first/rerun", `{"jobId":"second","statuses":["timedOut","failed"]}`)
	require.Equal(t, http.StatusAccepted, r.status, "%s", r.body)
	second := r.json(t)
	require.Equal(t, "second", second["jobId"])
	require.InDelta(t, 3, second["deviceIdCount"], 0)
	require.Empty(t, cmp.Diff(map[string]any{"jobId": "first", "runId": run, "statuses": []any{"timedOut", "failed"}}, second["rerunOf"]))
	require.Equal(t, "lockDoor", second["cloudToDeviceMethod"].(map[string]any)["methodName"])
	w.finish()
	again := w.get("/api/jobs/second/executions")["executions"].([]any)
	require.Len(t, again, 3)
	require.Equal(t, "silent-00000", again[0].(map[string]any)["deviceId"])

	key := []string{"Idempotency-Key", "k1"}
	third := w.call(http.MethodPost, "/api/jobs/first/rerun", "", key...).json(t)
	require.Equal(t, third["jobId"], w.call(http.MethodPost, "/api/jobs/first/rerun", "", key...).json(t)["jobId"])
	require.Equal(t, http.StatusBadRequest, w.call(http.MethodPost, "/api/jobs/first/rerun", `{"statuses":["rejected"]}`).status, "there is none")
	require.Equal(t, http.StatusBadRequest, w.call(http.MethodPost, "/api/jobs/first/rerun", `{"statuses":["queued"]}`).status)
	require.Equal(t, http.StatusBadRequest, w.call(http.MethodPost, "/api/jobs/first/rerun", `{"states":["failed"]}`).status)
	require.Equal(t, http.StatusNotFound, w.call(http.MethodPost, "/api/jobs/none/rerun", "").status)
	w.finish()
}

func TestOneDeviceIsKeptFromBeingCalled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, append(fleet("offline", 2), fleet("ok", 3)...)...)
	w.put("patient", `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"lockDoor"},"queryCondition":"*",
		"retry":{"criteria":[{"failureType":"deviceOffline","numberOfRetries":2,"delay":"PT1H","jitter":0}]}}`)
	w.until(func() bool {
		return w.get("/api/jobs/patient")["executionStatistics"].(map[string]any)["succeeded"] == 3.0
	})
	path := "/api/jobs/patient/executions/"
	for range 2 { // twice is once
		r := w.call(http.MethodPost, path+"offline-00001/cancel", "")
		require.Equal(t, http.StatusOK, r.status, "%s", r.body)
		require.Equal(t, "canceled", r.json(t)["status"])
		require.Equal(t, "executionCanceled", r.json(t)["error"].(map[string]any)["code"])
	}
	w.problem(w.call(http.MethodPost, path+"ok-00001/cancel", ""), http.StatusConflict, "execution-not-waiting")
	w.problem(w.call(http.MethodPost, path+"other/cancel", ""), http.StatusNotFound, "unknown-execution")
	run := w.get("/api/jobs/patient")["runId"].(string)
	require.Equal(t, http.StatusOK, w.call(http.MethodPost, "/api/jobs/patient/runs/"+run+"/executions/offline-00000/cancel", "").status)
	w.finish()
	got := w.get("/api/jobs/patient")
	require.Equal(t, "completed", got["status"])
	require.InDelta(t, 2, got["executionStatistics"].(map[string]any)["canceled"], 0)
	require.Less(t, w.clock.Now().Sub(start), time.Hour, "nothing is left to wait for")
}
