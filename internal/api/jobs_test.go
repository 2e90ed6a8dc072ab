package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
)

// A job from its creation to its end, as somebody who waits for it sees it.
func TestLifeOfAJob(t *testing.T) {
	t.Parallel()
	devices := append(append(append(fleet("ok", 150), fleet("error", 4)...), fleet("offline", 3)...), fleet("silent", 2)...)
	w := newWorld(t, devices...)
	w.put("life", lockAll)

	waiting := w.call(http.MethodGet, "/api/jobs/life/result", "")
	require.Equal(t, http.StatusAccepted, waiting.status)
	require.Equal(t, publicURL+"/api/jobs/life/result", waiting.header.Get("Location"))
	require.NotEmpty(t, waiting.header.Get("Retry-After"))

	w.finish()
	result := w.call(http.MethodGet, "/api/jobs/life/result", "")
	require.Equal(t, http.StatusOK, result.status)
	got := result.json(t)
	require.Equal(t, "completed", got["status"])
	require.Equal(t, "finished", got["endReason"])
	require.Equal(t, "Every device has ended; 150 of 159 succeeded.", got["statusMessage"])
	require.NotEmpty(t, got["endTime"])
	require.Equal(t, "2026-11-23T10:00:00.000Z", got["startedTime"])
	require.Empty(t, cmp.Diff(map[string]any{
		"deviceCount": 159.0, "pendingCount": 0.0, "runningCount": 0.0, "succeededCount": 150.0, "failedCount": 9.0,
	}, got["deviceJobStatistics"]))
	require.Empty(t, cmp.Diff(map[string]any{
		"queued": 0.0, "inProgress": 0.0, "succeeded": 150.0, "failed": 7.0, "timedOut": 2.0, "rejected": 0.0, "canceled": 0.0, "removed": 0.0, "inDoubt": 0.0,
	}, got["executionStatistics"]))
	require.Empty(t, cmp.Diff(map[string]any{"deviceError": 4.0, "deviceOffline": 3.0, "deviceNoAnswer": 2.0}, got["failureReasons"]))
	require.Empty(t, cmp.Diff(map[string]any{"state": "complete", "deviceCount": 159.0}, got["selection"]))
	require.Empty(t, cmp.Diff(map[string]any{"lockTime": "10m"}, got["cloudToDeviceMethod"].(map[string]any)["payload"]))

	require.JSONEq(t, string(result.body), string(w.call(http.MethodGet, "/api/jobs/life", "").body))
	require.Empty(t, cmp.Diff(got["deviceJobStatistics"], w.get("/api/jobs")["jobs"].([]any)[0].(map[string]any)["deviceJobStatistics"]))
}

// The ETag stands for what is in the body: progress changes it, time alone does not.
func TestConditionalReads(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fleet("ok", 5)...)
	w.put("watched", lockAll)
	first := w.call(http.MethodGet, "/api/jobs/watched", "")
	tag := first.header.Get("ETag")
	require.Equal(t, "private, no-cache", first.header.Get("Cache-Control"))

	w.clock.moveTo(start.Add(time.Second))
	for _, known := range []string{tag, "W/" + tag, `"other", ` + tag, "*"} {
		r := w.call(http.MethodGet, "/api/jobs/watched", "", "If-None-Match", known)
		require.Equal(t, http.StatusNotModified, r.status, known)
		require.Equal(t, tag, r.header.Get("ETag"))
		require.Empty(t, r.body)
	}
	w.finish()
	r := w.call(http.MethodGet, "/api/jobs/watched", "", "If-None-Match", tag)
	require.Equal(t, http.StatusOK, r.status)
	require.NotEqual(t, tag, r.header.Get("ETag"))
}

func TestHeadIsGetWithoutTheBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("seen", later)
	get := w.call(http.MethodGet, "/api/jobs/seen", "")
	head := w.call(http.MethodHead, "/api/jobs/seen", "")
	require.Equal(t, http.StatusOK, head.status)
	require.Empty(t, head.body)
	for _, name := range []string{"Content-Length", "Content-Type", "ETag"} {
		require.Equal(t, get.header.Get(name), head.header.Get(name), name)
		require.NotEmpty(t, head.header.Get(name), name)
	}
	require.Equal(t, http.StatusNotFound, w.call(http.MethodHead, "/api/jobs/unseen", "").status)
}

func TestCancelBeforeTheStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("early", later)
	r := w.call(http.MethodPost, "/api/jobs/early/cancel", "")
	require.Equal(t, http.StatusOK, r.status, "nothing is left to wait for")
	require.Equal(t, "cancelled", r.json(t)["status"])
	require.Equal(t, "stopped", r.json(t)["selection"].(map[string]any)["state"])

	again := w.call(http.MethodPost, "/api/jobs/early/cancel", "")
	require.Equal(t, http.StatusOK, again.status)
	require.JSONEq(t, string(r.body), string(again.body))
	require.Empty(t, w.get("/api/jobs/early/executions")["executions"])

	require.Equal(t, http.StatusNoContent, w.call(http.MethodDelete, "/api/jobs/early", "").status)
	w.problem(w.call(http.MethodGet, "/api/jobs/early", ""), http.StatusNotFound, "unknown-job")
	w.put("early", lockAll)
}

// A cancelled run ends the calls under way and marks what it never reached.
func TestCancelWhileItRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fleet("ok", 250)...)
	w.put("stopped", lockAll)
	require.True(t, w.deliver(), "the plan")
	w.until(func() bool { return w.get("/api/jobs/stopped")["status"] == "running" })

	r := w.call(http.MethodPost, "/api/jobs/stopped/cancel", "")
	require.Equal(t, http.StatusAccepted, r.status, "%s", r.body)
	require.Equal(t, "stopping", r.json(t)["status"])
	require.Equal(t, publicURL+"/api/jobs/stopped/result", r.header.Get("Location"))
	w.problem(w.call(http.MethodDelete, "/api/jobs/stopped", ""), http.StatusConflict, "job-not-ended")

	w.finish()
	got := w.get("/api/jobs/stopped/result")
	require.Equal(t, "cancelled", got["status"])
	stats := got["executionStatistics"].(map[string]any)
	require.InDelta(t, 250, stats["succeeded"].(float64)+stats["canceled"].(float64), 0)
	require.NotZero(t, stats["canceled"])

	again := w.call(http.MethodPost, "/api/jobs/stopped/cancel", "")
	require.Equal(t, http.StatusOK, again.status)
	require.Equal(t, http.StatusNoContent, w.call(http.MethodDelete, "/api/jobs/stopped", "").status)
	w.problem(w.call(http.MethodDelete, "/api/jobs/stopped", ""), http.StatusNotFound, "unknown-job")
}

func TestCancelAfterTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "ok-1")
	w.put("over", lockAll)
	w.finish()
	w.problem(w.call(http.MethodPost, "/api/jobs/over/cancel", ""), http.StatusConflict, "job-ended")
}

// A hub that refuses the service is no device's fault, and the job says so.
func TestBlockedJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fleet("ok", 3)...)
	w.put("blocked", lockAll)
	w.hub.set(&iothub.Error{Kind: iothub.HubFault, Op: iothub.OpQuery, Status: 401, Code: "IotHubUnauthorizedAccess"})
	w.until(func() bool { return w.get("/api/jobs/blocked")["status"] == "blocked" })

	r := w.call(http.MethodGet, "/api/jobs/blocked/result", "")
	blocked := r.json(t)["blocked"].(map[string]any)
	require.Equal(t, "IotHubUnauthorizedAccess", blocked["code"])
	require.Equal(t, "2026-11-23T10:00:05.000Z", blocked["probeAt"])
	require.Equal(t, "5", r.header.Get("Retry-After"), "the time of the next probe")

	w.hub.set(nil)
	w.finish()
	got := w.get("/api/jobs/blocked")
	require.Equal(t, "completed", got["status"])
	require.NotContains(t, got, "blocked")
	require.NotContains(t, got, "failureReasons")
}

func TestJobWhoseTargetTheHubRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hub.set(&iothub.Error{Kind: iothub.HubFault, Op: iothub.OpQuery})
	w.put("refused", strings.Replace(lockAll, `"*"`, `"REFUSED(tags.a)"`, 1))
	w.hub.set(nil)
	w.finish()
	got := w.get("/api/jobs/refused/result")
	require.Equal(t, "failed", got["status"])
	require.Equal(t, "unplannable", got["endReason"])
	require.Contains(t, got["failureReason"], "no such function")
}

func TestListOfJobs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fleet("ok", 2)...)
	twin := strings.Replace(later, `"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"lockDoor"}`,
		`"type":"scheduleUpdateTwin","updateTwin":{"etag":"*","tags":{"a":1}}`, 1)
	for i, body := range []string{later, twin, lockAll, later, twin} {
		w.put("job-"+string(rune('a'+i)), body)
		w.clock.moveTo(w.clock.Now().Add(time.Second))
	}
	require.Equal(t, []string{"job-e", "job-d", "job-c", "job-b", "job-a"}, w.listed("/api/jobs"), "newest first")
	require.Equal(t, []string{"job-e", "job-b"}, w.listed("/api/jobs?type=scheduleUpdateTwin"))
	w.finish()
	require.Equal(t, []string{"job-c"}, w.listed("/api/jobs?status=completed"))
	require.Equal(t, []string{"job-e", "job-d", "job-b", "job-a"}, w.listed("/api/jobs?status=scheduled&pageSize=3"))
	require.Equal(t, []string{"job-e", "job-b"}, w.listed("/api/jobs?status=scheduled&type=scheduleUpdateTwin&pageSize=1"))
	require.Empty(t, w.listed("/api/jobs?status=failed"))

	first := w.call(http.MethodGet, "/api/jobs?pageSize=2&code=k", "")
	token := first.json(t)["continuationToken"].(string)
	require.Equal(t, `<`+publicURL+`/api/jobs?code=k&continuationToken=`+token+`&pageSize=2>; rel="next"`, first.header.Get("Link"))
	require.Equal(t, token, first.header.Get("X-Continuation-Token"))
}

// listed follows the pages of a list and gives the ids in it.
func (w *world) listed(path string) []string {
	w.t.Helper()
	var ids []string
	for next, pages := path, 0; ; pages++ {
		require.Less(w.t, pages, 500, "the pages do not end")
		page := w.get(next)
		for _, j := range page["jobs"].([]any) {
			ids = append(ids, j.(map[string]any)["jobId"].(string))
		}
		token, more := page["continuationToken"].(string)
		if !more {
			return ids
		}
		next = path + "&continuationToken=" + token
	}
}

// A list shows the progress of now, not that of the last change of status.
func TestListShowsProgress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fleet("ok", 900)...)
	w.put("busy", lockAll)
	w.until(func() bool { return succeededCount(w.get("/api/jobs/busy")) > 0 })
	require.Equal(t, "running", w.get("/api/jobs/busy")["status"])
	require.Positive(t, succeededCount(w.get("/api/jobs?status=running")["jobs"].([]any)[0].(map[string]any)))
}

func succeededCount(j map[string]any) float64 {
	return j["deviceJobStatistics"].(map[string]any)["succeededCount"].(float64)
}

func TestPathsAndMethods(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("job-1", later)
	for _, path := range []string{
		"/api/", "/api/jobs/", "/api/jobs//", "/api//jobs", "/api/Jobs", "/api/jobs/job-1/", "/api/jobs/job-1/runes",
		"/api/jobs/job-1/executions/a/b", "/api/jobs/job-1/../job-1", "/api/jobs%2Fjob-1", "/api/swagger.json",
	} {
		w.problem(w.call(http.MethodGet, path, ""), http.StatusNotFound, "unknown-path")
	}
	for _, path := range []string{"/api/jobs/x", "/api/jobs/job_1", "/api/jobs/..", "/api/jobs/x/result", "/api/jobs/x/executions", "/api/jobs/'"} {
		w.problem(w.call(http.MethodGet, path, ""), http.StatusNotFound, "unknown-job")
	}
	require.Equal(t, "job-1", w.get("/api/jobs/%6Aob-1")["jobId"], "decoded once")
	w.problem(w.call(http.MethodGet, "/api/jobs/%256Aob-1", ""), http.StatusNotFound, "unknown-job")
	w.problem(w.call(http.MethodPost, "/api/jobs/a_b/cancel", ""), http.StatusNotFound, "unknown-job")
	w.problem(w.call(http.MethodPost, "/api/jobs/none/cancel", ""), http.StatusNotFound, "unknown-job")
	w.problem(w.call(http.MethodDelete, "/api/jobs/a_b", ""), http.StatusNotFound, "unknown-job")

	for path, allow := range map[string]string{
		"/api/jobs":                    "GET, HEAD, POST",
		"/api/jobs/job-1/cancel":       "POST",
		"/api/jobs/job-1/result":       "GET, HEAD",
		"/api/jobs/job-1/executions":   "GET, HEAD",
		"/api/jobs/job-1/executions/d": "GET, HEAD",
		"/api/openapi.yaml":            "GET, HEAD",
	} {
		r := w.call(http.MethodPatch, path, "")
		w.problem(r, http.StatusMethodNotAllowed, "method-not-allowed")
		require.Equal(t, allow, r.header.Get("Allow"), path)
	}
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"/api/jobs", "/api/nothing", "/api/openapi.yaml"} {
		r := w.call(http.MethodGet, path, "")
		require.Equal(t, "nosniff", r.header.Get("X-Content-Type-Options"))
		require.Equal(t, "no-referrer", r.header.Get("Referrer-Policy"))
		require.NotEmpty(t, r.header.Get("Cache-Control"))
	}
}
