package api_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const nightly = `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*",
	"schedule":{"cron":"0 2 * * *","timeZone":"Europe/Berlin","remainingRuns":20}}`

// night lets the time of the next run come, the timer find it, and the run end.
func (w *world) night() {
	w.t.Helper()
	w.clock.moveTo(w.clock.Now().Add(24 * time.Hour))
	require.NoError(w.t, w.jobs.Tick(w.t.Context()))
	w.finish()
}

func TestLifeOfARecurringJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "ok-1", "error-1")
	r := w.call(http.MethodPut, "/api/jobs/nightly", nightly)
	require.Equal(t, http.StatusAccepted, r.status, "%s", r.body)
	got := w.get("/api/jobs/nightly")
	require.Equal(t, "scheduled", got["status"])
	require.Equal(t, "2026-11-24T01:00:00.000Z", got["startTime"])
	require.Equal(t, "Waits for its next run, 2026-11-24T01:00:00.000Z.", got["statusMessage"])
	require.Equal(t, "0 2 * * *", got["schedule"].(map[string]any)["cron"])
	times := got["recurrence"].(map[string]any)["nextRunTimes"].([]any)
	require.Len(t, times, 10)
	require.Equal(t, "2026-11-25T01:00:00.000Z", times[1])
	require.Empty(t, w.get("/api/jobs/nightly/runs")["runs"])
	require.Equal(t, times[:3], w.get("/api/jobs/nightly/nextRuns?count=3")["nextRunTimes"])

	for range 3 {
		w.night()
	}
	got = w.get("/api/jobs/nightly")
	require.Equal(t, "scheduled", got["status"])
	require.InDelta(t, 1, got["deviceJobStatistics"].(map[string]any)["succeededCount"], 0, "of its latest run")
	recurrence := got["recurrence"].(map[string]any)
	require.InDelta(t, 3, recurrence["runCount"], 0)
	require.InDelta(t, 17, recurrence["remainingRuns"], 0)
	require.InDelta(t, 3, recurrence["counters"].(map[string]any)["started"], 0)
	require.Equal(t, http.StatusAccepted, w.call(http.MethodGet, "/api/jobs/nightly/result", "").status, "its schedule goes on")
	require.Equal(t, []string{"nightly"}, w.listed("/api/jobs?status=scheduled"))

	page := w.get("/api/jobs/nightly/runs?pageSize=2")
	runs := page["runs"].([]any)
	require.Len(t, runs, 2)
	latest := runs[0].(map[string]any)
	require.Equal(t, got["runId"], latest["runId"])
	require.Equal(t, "2026-11-26T01:00:00.000Z", latest["scheduledTime"])
	require.InDelta(t, 3, latest["runNumber"], 0)
	next := w.get(fmt.Sprintf("/api/jobs/nightly/runs?pageSize=2&continuationToken=%s", page["continuationToken"]))
	require.Len(t, next["runs"], 1)
	require.NotContains(t, next, "continuationToken")

	path := "/api/jobs/nightly/runs/" + latest["runId"].(string)
	require.Equal(t, latest, w.get(path))
	require.Len(t, w.get(path + "/executions")["executions"], 2)
	require.Equal(t, "failed", w.get(path + "/executions/error-1")["status"])
	require.Equal(t, w.get(path+"/executions"), w.get("/api/jobs/nightly/executions"), "without a run, those of the latest")
	w.problem(w.call(http.MethodPost, path+"/cancel", ""), http.StatusConflict, "job-ended")
	w.problem(w.call(http.MethodGet, "/api/jobs/nightly/runs/nightly.abc.1", ""), http.StatusNotFound, "unknown-run")
	w.problem(w.call(http.MethodGet, "/api/jobs/other/runs/"+latest["runId"].(string), ""), http.StatusNotFound, "unknown-run")
}

func TestRequestsToARecurringJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "ok-1")
	w.put("nightly", nightly)
	r := w.call(http.MethodPost, "/api/jobs/nightly/run", "", "Idempotency-Key", "order-7")
	require.Equal(t, http.StatusOK, r.status)
	w.problem(w.call(http.MethodPost, "/api/jobs/nightly/run", "", "Idempotency-Key", "not a key"), http.StatusBadRequest, "invalid-request")
	require.Equal(t, "Run 1 begins.", r.json(t)["statusMessage"])
	w.finish()
	require.Equal(t, http.StatusOK, w.call(http.MethodPost, "/api/jobs/nightly/run", "", "Idempotency-Key", "order-7").status, "another try")
	w.finish()
	require.Equal(t, "manual", w.get("/api/jobs/nightly/runs")["runs"].([]any)[0].(map[string]any)["kind"])

	r = w.call(http.MethodPost, "/api/jobs/nightly/backfill", `{"from":"2026-11-20T00:00:00Z","to":"2026-11-22T12:00:00Z"}`)
	require.Equal(t, http.StatusOK, r.status, "%s", r.body)
	w.finish()
	require.Len(t, w.get("/api/jobs/nightly/runs")["runs"], 4)
	for _, body := range []string{
		`{"from":"2026-11-20T00:00:00Z"}`, `{"from":"2026-11-20T00:00:00Z","to":"2027-11-20T00:00:00Z"}`,
		`{"from":"2026-11-20T02:00:00Z","to":"2026-11-20T03:00:00Z"}`, `{"from":"2026-11-21T00:00:00Z","to":"2026-11-20T00:00:00Z"}`,
	} {
		w.problem(w.call(http.MethodPost, "/api/jobs/nightly/backfill", body), http.StatusBadRequest, "invalid-request")
	}
	w.problem(w.call(http.MethodPost, "/api/jobs/nightly/backfill", `{"from":"2001-01-01T00:00:00Z","to":"2026-11-20T00:00:00Z"}`),
		http.StatusConflict, "too-many-runs")

	r = w.call(http.MethodPost, "/api/jobs/nightly/pause", `{"note":"holidays"}`)
	require.Equal(t, "paused", r.json(t)["status"])
	require.Equal(t, "holidays", r.json(t)["paused"].(map[string]any)["note"])
	require.Equal(t, []string{"nightly"}, w.listed("/api/jobs?status=paused"))
	w.night()
	r = w.call(http.MethodPost, "/api/jobs/nightly/resume", "")
	require.Equal(t, "scheduled", r.json(t)["status"])
	require.InDelta(t, 1, r.json(t)["recurrence"].(map[string]any)["counters"].(map[string]any)["paused"], 0)

	r = w.call(http.MethodPost, "/api/jobs/nightly/cancel", "")
	require.Equal(t, http.StatusOK, r.status)
	require.Equal(t, "cancelled", r.json(t)["status"])
	w.problem(w.call(http.MethodPost, "/api/jobs/nightly/run", ""), http.StatusConflict, "job-ended")
	require.Equal(t, http.StatusNoContent, w.call(http.MethodDelete, "/api/jobs/nightly", "").status)
	w.finish()
	w.problem(w.call(http.MethodGet, "/api/jobs/nightly/runs", ""), http.StatusNotFound, "unknown-job")
}

func TestARunIsPausedByItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fleet("ok", 350)...)
	w.put("nightly", nightly)
	require.Equal(t, http.StatusOK, w.call(http.MethodPost, "/api/jobs/nightly/run", "").status)
	latest := func() map[string]any { return w.get("/api/jobs/nightly/runs")["runs"].([]any)[0].(map[string]any) }
	w.until(func() bool { return latest()["status"] == "running" })
	require.Equal(t, "running", w.get("/api/jobs/nightly")["status"])
	path := "/api/jobs/nightly/runs/" + latest()["runId"].(string)
	r := w.call(http.MethodPost, path+"/pause", `{"note":"too hot"}`)
	require.Equal(t, "paused", r.json(t)["status"], "%s", r.body)
	require.Equal(t, "running", w.get("/api/jobs/nightly")["status"], "the schedule is not paused")
	require.Equal(t, "running", w.call(http.MethodPost, path+"/resume", "").json(t)["status"])
	w.finish()
	require.Equal(t, "completed", latest()["status"])
	require.Equal(t, "scheduled", w.get("/api/jobs/nightly")["status"])
}

func TestAMaintenanceWindowIsShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "ok-1")
	body := func(window string) string {
		return `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*","maintenanceWindow":` + window + `}`
	}
	w.put("w", body(`{"cron":"0 1 * * *","duration":"PT2H"}`))
	got := w.get("/api/jobs/w")
	require.Equal(t, "2026-11-24T01:00:00.000Z", got["startTime"], "it begins in the first window")
	require.Equal(t, map[string]any{"cron": "0 1 * * *", "timeZone": "UTC", "duration": "PT2H", "endBehavior": "stopRollout"}, got["maintenanceWindow"])
	for _, window := range []string{
		`{"cron":"0 1 * * *"}`, `{"cron":"0 1 * * *","duration":"PT2H","timeZone":"devise"}`,
		`{"cron":"0 1 * * *","duration":"PT2H","endBehavior":"end"}`, `{"times":["2001-01-01T00:00:00Z"],"duration":"PT2H"}`,
	} {
		w.problem(w.call(http.MethodPut, "/api/jobs/x", body(window)), http.StatusBadRequest, "invalid-request")
	}
}

// A run that somebody asks for while the window is closed says when it will begin.
func TestARunWaitsForTheWindowAndSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "ok-1")
	w.put("w", `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*",
		"schedule":{"cron":"0 2 * * *"},"maintenanceWindow":{"cron":"0 1 * * *","duration":"PT2H"}}`)
	require.Equal(t, http.StatusOK, w.call(http.MethodPost, "/api/jobs/w/run", "").status)
	w.finish()
	require.Equal(t, "Run 1 waits for its start time, 2026-11-24T01:00:00.000Z.", w.get("/api/jobs/w")["statusMessage"])
	run := w.get("/api/jobs/w/runs")["runs"].([]any)[0].(map[string]any)
	require.Equal(t, "Waits for its start time, 2026-11-24T01:00:00.000Z.", run["statusMessage"])
}

func TestAJobOfOneRunHasOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "ok-1")
	w.put("once", later)
	require.Len(t, w.get("/api/jobs/once/runs")["runs"], 1)
	require.Len(t, w.get("/api/jobs/once/nextRuns")["nextRunTimes"], 1)
	require.NotContains(t, w.get("/api/jobs/once"), "recurrence")
	w.problem(w.call(http.MethodPost, "/api/jobs/once/run", ""), http.StatusConflict, "not-recurring")
	id := w.get("/api/jobs/once")["runId"].(string)
	require.Equal(t, "scheduled", w.get("/api/jobs/once/runs/" + id)["status"])
	require.Equal(t, "cancelled", w.call(http.MethodPost, "/api/jobs/once/runs/"+id+"/cancel", "").json(t)["status"])
}

func TestTheTimesOfAnUnsavedSchedule(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "ok-1")
	r := w.call(http.MethodPost, "/api/jobs?validateOnly=true", nightly)
	require.Equal(t, http.StatusOK, r.status, "%s", r.body)
	times := r.json(t)["nextRunTimes"].([]any)
	require.Len(t, times, 10)
	require.Equal(t, "2026-11-24T01:00:00.000Z", times[0])
	w.problem(w.call(http.MethodPost, "/api/jobs?validateOnly=true",
		`{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*","schedule":{"cron":"61 * * * *"}}`),
		http.StatusBadRequest, "invalid-request")
}

// Each device runs at its own local time: the times are wall times, with the first and the last instant on earth.
func TestTheTimesOfAJobByLocalTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "ok-1", "ok-2")
	body := `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*",
		"schedule":{"cron":"0 2 * * *","timeZone":"device","defaultTimeZone":"Europe/Berlin"}}`
	want := map[string]any{"localTime": "2026-11-24T02:00:00", "earliest": "2026-11-23T12:00:00.000Z", "latest": "2026-11-24T14:00:00.000Z"}
	r := w.call(http.MethodPost, "/api/jobs?validateOnly=true", body)
	require.Equal(t, http.StatusOK, r.status, "%s", r.body)
	require.Equal(t, want, r.json(t)["localRunTimes"].([]any)[0])
	w.put("local", body)
	next := w.get("/api/jobs/local/nextRuns?count=2")
	require.Equal(t, want, next["localRunTimes"].([]any)[0])
	require.Equal(t, "2026-11-23T12:00:00.000Z", next["nextRunTimes"].([]any)[0])
	spec := w.get("/api/jobs/local")["schedule"].(map[string]any)
	require.Equal(t, "tags.timeZone", spec["timeZonePath"])
	require.Equal(t, "allowAll", spec["overlapPolicy"])
	w.clock.moveTo(w.clock.Now().Add(29 * time.Hour))
	require.NoError(t, w.jobs.Tick(t.Context()))
	w.finish()
	runs := w.get("/api/jobs/local/runs")["runs"].([]any)
	first := runs[len(runs)-1].(map[string]any)
	require.Equal(t, want, first["localTime"])
	require.InDelta(t, 2, first["deviceJobStatistics"].(map[string]any)["succeededCount"], 0)
	w.put("together", nightly)
	require.NotContains(t, w.get("/api/jobs/together/nextRuns"), "localRunTimes")
}
