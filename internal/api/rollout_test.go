package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// inBatches is lockAll in a batch of ten and the rest, behind a gate.
func inBatches(gate string) string {
	return strings.TrimSuffix(lockAll, "}") + `,"rollout":{"batches":[{"number":10},{"gate":` + gate + `}]}}`
}

// batch gives a batch of a job, from 1 on.
func (w *world) batch(id string, n int) map[string]any {
	w.t.Helper()
	return w.get("/api/jobs/" + id)["rolloutStatus"].(map[string]any)["batches"].([]any)[n-1].(map[string]any)
}

func (w *world) waitsFor(id string, what ...any) {
	w.t.Helper()
	w.until(func() bool {
		status, _ := w.get("/api/jobs/" + id)["rolloutStatus"].(map[string]any)
		if status == nil {
			return false
		}
		waits, _ := status["batches"].([]any)[1].(map[string]any)["waitsFor"].([]any)
		return len(waits) == len(what) && (len(what) == 0 || waits[0] == what[0])
	})
}

func TestABatchIsApprovedBySomebodyElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fleet("ok", 130)...)
	r := w.call(http.MethodPut, "/api/jobs/a", inBatches(`{"approval":true}`), "x-functions-key", "creator")
	require.Equal(t, http.StatusAccepted, r.status, "%s", r.body)
	approval := func(key, body string) reply {
		return w.call(http.MethodPost, "/api/jobs/a/approve", body, "x-functions-key", key)
	}
	w.waitsFor("a", "approval")
	require.EqualValues(t, 10, w.batch("a", 1)["succeededCount"])
	require.Equal(t, "completed", w.batch("a", 1)["state"])
	w.problem(approval("creator", `{"batch":2}`), http.StatusForbidden, "own-approval")
	w.problem(approval("other", `{"batch":1}`), http.StatusConflict, "batch-not-waiting")
	w.problem(approval("other", `{"batch":3}`), http.StatusConflict, "batch-not-waiting")
	w.problem(approval("other", `{}`), http.StatusBadRequest, "invalid-request")
	w.problem(approval("other", `{"batch":2,"remarks":"x"}`), http.StatusBadRequest, "invalid-request")
	w.problem(w.call(http.MethodPost, "/api/jobs/a/next-batch", ""), http.StatusConflict, "batch-not-waiting")
	require.Equal(t, []any{"approval"}, w.batch("a", 2)["waitsFor"], "nobody goes round an approval")

	w.clock.moveTo(w.clock.Now().Add(time.Second))
	for range 2 {
		r = approval("other", `{"batch":2,"remark":"fine"}`)
		require.Equal(t, http.StatusOK, r.status, "%s", r.body)
	}
	require.Equal(t, "fine", w.batch("a", 2)["approval"].(map[string]any)["remark"])
	w.finish()
	require.Equal(t, "completed", w.get("/api/jobs/a")["status"])
	require.EqualValues(t, 120, w.batch("a", 2)["succeededCount"])
	lines := w.actions("/api/jobs/a/audit")
	require.Len(t, lines, 2, "%s", lines)
	require.Regexp(t, `^approved a .* running>running$`, lines[0])
	w.problem(approval("other", `{"batch":2}`), http.StatusConflict, "job-ended")
}

func TestTheNextBatchIsBegunByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, append(fleet("error", 5), fleet("ok", 25)...)...)
	w.put("a", inBatches(`{"successThresholdPercentage":80,"minimumObservationTime":"P1D"}`))
	w.until(func() bool { return w.get("/api/jobs/a")["status"] == "paused" })
	require.Contains(t, w.get("/api/jobs/a")["statusMessage"], "5 of the 10 devices of batch 1 succeeded, and batch 2 needs 80 %")
	require.NotContains(t, w.get("/api/jobs/a")["paused"], "by")
	r := w.call(http.MethodPost, "/api/jobs/a/next-batch", `{"note":"they are at the workshop"}`)
	require.Equal(t, "running", r.json(t)["status"])
	w.finish()
	require.EqualValues(t, 25, w.get("/api/jobs/a")["deviceJobStatistics"].(map[string]any)["succeededCount"])
}

func TestARolloutIsShownBeforeItBegins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := strings.TrimSuffix(later, "}") + `,"maxDevices":7,"rollout":{"maximumPerMinute":60,"maxConcurrency":5,"exponentialRate":` +
		`{"baseRatePerMinute":10,"incrementFactor":1.5,"rateIncreaseCriteria":{"numberOfSucceededDevices":100}},` +
		`"batches":[{"percentage":12.5},{"gate":{"minimumObservationTime":"PT90M","startTime":"2026-11-24T00:00:00Z"}}]}}`
	w.put("a", body)
	got := w.get("/api/jobs/a")
	require.EqualValues(t, 7, got["maxDevices"])
	require.NotContains(t, got, "rolloutStatus")
	batches := got["rollout"].(map[string]any)["batches"].([]any)
	require.InDelta(t, 12.5, batches[0].(map[string]any)["percentage"], 0)
	require.Equal(t, "PT1H30M", batches[1].(map[string]any)["gate"].(map[string]any)["minimumObservationTime"])
	p := w.problem(w.call(http.MethodPost, "/api/jobs/a/next-batch", ""), http.StatusConflict, "batch-not-waiting")
	require.Equal(t, "the job has not begun", p["detail"])
	w.problem(w.call(http.MethodPut, "/api/jobs/b", strings.Replace(body, "12.5", "100", 1)), http.StatusBadRequest, "invalid-request")
}

// A run of a recurring job is paused, approved and moved on by itself; its schedule goes on.
func TestTheRolloutOfOneRunOfARecurringJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, append(fleet("error", 5), fleet("ok", 25)...)...)
	body := strings.TrimSuffix(nightly, "}") + `,"rollout":{"batches":[{"number":10},{"gate":{"successThresholdPercentage":80,"approval":true}}]}}`
	r := w.call(http.MethodPut, "/api/jobs/nightly", body, "x-functions-key", "creator")
	require.Equal(t, http.StatusAccepted, r.status, "%s", r.body)
	w.clock.moveTo(w.clock.Now().Add(24 * time.Hour))
	require.NoError(t, w.jobs.Tick(t.Context()))
	run := func() map[string]any { return w.get("/api/jobs/nightly/runs")["runs"].([]any)[0].(map[string]any) }
	path := "/api/jobs/nightly/runs/" + run()["runId"].(string)
	w.until(func() bool { return run()["status"] == "paused" })
	require.Equal(t, "running", w.call(http.MethodPost, path+"/next-batch", "").json(t)["status"])
	require.Equal(t, "paused", w.call(http.MethodPost, path+"/pause", `{"note":"x"}`).json(t)["status"])
	require.Equal(t, "running", w.call(http.MethodPost, path+"/resume", "").json(t)["status"])
	w.problem(w.call(http.MethodPost, path+"/approve", `{"batch":2}`, "x-functions-key", "creator"), http.StatusForbidden, "own-approval")
	r = w.call(http.MethodPost, path+"/approve", `{"batch":2}`, "x-functions-key", "other")
	require.Equal(t, http.StatusOK, r.status, "%s", r.body)
	w.finish()
	require.Equal(t, "completed", run()["status"])
	require.EqualValues(t, 25, run()["deviceJobStatistics"].(map[string]any)["succeededCount"])
	require.Equal(t, "scheduled", w.get("/api/jobs/nightly")["status"])
	w.problem(w.call(http.MethodPost, "/api/jobs/nightly/runs/nightly.abc.1/pause", ""), http.StatusNotFound, "unknown-run")
}

func TestAJobIsEditedWhileItRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fleet("ok", 130)...)
	w.put("a", inBatches(`{"startTime":"2026-12-24T00:00:00Z"}`))
	w.waitsFor("a", "startTime")
	now := `{"rollout":{"batches":[{"number":10},{}],"maxConcurrency":50},"maxExecutionTimeInSeconds":3600,"priority":9}`
	edit := func(tag, body string) reply { return w.call(http.MethodPatch, "/api/jobs/a", body, "If-Match", tag) }
	w.problem(edit("", now), http.StatusPreconditionRequired, "version-missing")
	w.problem(edit(`"2"`, now), http.StatusPreconditionFailed, "edited-meanwhile")
	w.problem(edit(`"abc"`, now), http.StatusPreconditionFailed, "edited-meanwhile")
	w.problem(edit(`*`, `{"queryCondition":"a = 1"}`), http.StatusBadRequest, "invalid-request")
	w.clock.moveTo(w.clock.Now().Add(time.Second))
	r := edit(`"1"`, now)
	require.Equal(t, http.StatusOK, r.status, "%s", r.body)
	require.EqualValues(t, 2, r.json(t)["version"])
	require.EqualValues(t, 9, r.json(t)["priority"])
	require.EqualValues(t, 3600, r.json(t)["maxExecutionTimeInSeconds"])
	w.finish()
	got := w.get("/api/jobs/a")
	require.EqualValues(t, 130, got["deviceJobStatistics"].(map[string]any)["succeededCount"])
	require.EqualValues(t, 50, got["rollout"].(map[string]any)["maxConcurrency"])
	require.EqualValues(t, 3600, got["maxExecutionTimeInSeconds"])
	require.EqualValues(t, 9, got["priority"])
	require.Regexp(t, `^edited a .* running>running$`, w.actions("/api/jobs/a/audit")[0])
	w.problem(edit(`*`, `{"maxExecutionTimeInSeconds":3600}`), http.StatusConflict, "job-ended")
}

func TestAJobIsEditedBeforeItBegins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("a", later)
	tag := w.call(http.MethodGet, "/api/jobs/a", "").header.Get("ETag")
	r := w.call(http.MethodPatch, "/api/jobs/a", `{"maxExecutionTimeInSeconds":5}`, "If-Match", tag)
	require.Equal(t, http.StatusOK, r.status, "%s", r.body)
	require.EqualValues(t, 5, w.get("/api/jobs/a")["maxExecutionTimeInSeconds"])
	require.Regexp(t, `^edited a`, w.actions("/api/jobs/a/audit")[1], "in the same instant as its creation")
	w.put("a", later) // the same as was asked for at first: nothing changes
	require.EqualValues(t, 5, w.get("/api/jobs/a")["maxExecutionTimeInSeconds"])
}

// A recurring job is edited as a whole, from its next run on; each run says which version it keeps to.
func TestARecurringJobIsEdited(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "ok-1", "ok-2")
	w.put("nightly", nightly)
	w.night()
	edit := func(tag, body string) reply {
		return w.call(http.MethodPatch, "/api/jobs/nightly", body, "If-Match", tag)
	}
	got := edit(`"1"`, `{"schedule":{"cron":"0 3 * * *"},"deviceIds":["ok-1"],"maxDevices":7}`)
	require.Equal(t, http.StatusOK, got.status, "%s", got.body)
	job := got.json(t)
	require.InDelta(t, 2, job["version"], 0)
	require.InDelta(t, 1, job["deviceIdCount"], 0)
	require.NotContains(t, job, "queryCondition")
	require.Equal(t, "2026-11-25T02:00:00.000Z", job["startTime"], "3 o'clock in Berlin")
	w.problem(edit(`"1"`, `{"maxDevices":8}`), http.StatusPreconditionFailed, "edited-meanwhile")
	w.problem(edit(`*`, `{"schedule":{"cron":"x"}}`), http.StatusBadRequest, "invalid-request")
	w.night()
	runs := w.get("/api/jobs/nightly/runs")["runs"].([]any)
	require.Len(t, runs, 2)
	for i, want := range []struct{ version, devices float64 }{{2, 1}, {1, 2}} {
		run := runs[i].(map[string]any)
		require.InDelta(t, want.version, run["version"], 0)
		require.InDelta(t, want.devices, run["deviceJobStatistics"].(map[string]any)["deviceCount"], 0)
	}
	trail := w.get("/api/jobs/nightly/audit")
	require.Contains(t, fmt.Sprint(trail), "deviceIds, maxDevices, schedule; version 2, from the next run on")
}
