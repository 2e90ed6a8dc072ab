package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/api"
	"github.com/fleetjobs/fleetjobs/internal/iothub"
)

// atAll is lockAll at every hub.
const atAll = `{"hubs":"all","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"lockDoor"},"queryCondition":"*"}`

func TestAJobReportsPerHub(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, []*hub{{devices: append(fleet("error", 3), "ok-00000")}}, fleet("ok", 250)...)
	w.put("both", atAll)
	w.finish()

	got := w.get("/api/jobs/both")
	require.Equal(t, "all", got["hubs"])
	require.Equal(t, "completed", got["status"])
	runs := got["hubRuns"].([]any)
	require.Len(t, runs, 2)
	total := map[string]any{}
	for i, want := range []map[string]any{
		{"deviceCount": 250.0, "pendingCount": 0.0, "runningCount": 0.0, "succeededCount": 250.0, "failedCount": 0.0},
		{"deviceCount": 4.0, "pendingCount": 0.0, "runningCount": 0.0, "succeededCount": 1.0, "failedCount": 3.0},
	} {
		run := runs[i].(map[string]any)
		require.Equal(t, want, run["deviceJobStatistics"])
		require.Equal(t, "completed", run["status"])
		for name, n := range want {
			sum, _ := total[name].(float64)
			total[name] = sum + n.(float64)
		}
	}
	require.Equal(t, total, got["deviceJobStatistics"], "the job's are the sums of the hubs'")

	all := w.followed("/api/jobs/both/executions?pageSize=60")
	require.Len(t, all, 254)
	seen := map[string]bool{}
	for _, e := range all {
		seen[e["hub"].(string)+"/"+e["deviceId"].(string)] = true
	}
	require.Len(t, seen, 254)
	require.Len(t, w.followed("/api/jobs/both/executions?hub=hub-2"), 4)
	failed := w.followed("/api/jobs/both/executions?status=failed&pageSize=2")
	require.Equal(t, []string{"error-00000", "error-00001", "error-00002"}, ids(failed))
	require.Empty(t, w.followed("/api/jobs/both/executions?hub=hub-1&status=failed"))

	one := w.get("/api/jobs/both/executions/error-00001")
	require.Equal(t, "hub-2", one["hub"])
	p := w.problem(w.call(http.MethodGet, "/api/jobs/both/executions/ok-00000", ""), http.StatusBadRequest, "invalid-request")
	require.Contains(t, p["detail"], "several hubs have this device: hub-1, hub-2")
	require.Equal(t, "hub-2", w.get("/api/jobs/both/executions/ok-00000?hub=hub-2")["hub"])
	w.problem(w.call(http.MethodGet, "/api/jobs/both/executions?hub=hub-9", ""), http.StatusBadRequest, "invalid-request")

	csv := w.call(http.MethodGet, "/api/jobs/both/executions?hub=hub-2", "", "Accept", "text/csv")
	lines := strings.Split(string(csv.body), "\r\n")
	require.True(t, strings.HasSuffix(lines[0], ",moduleId,hub"), lines[0])
	require.True(t, strings.HasSuffix(lines[1], ",hub-2"), lines[1])

	run := w.get("/api/jobs/both/runs/" + runs[1].(map[string]any)["runId"].(string))
	require.Equal(t, "hub-2", run["hub"])
	require.EqualValues(t, 4, run["deviceJobStatistics"].(map[string]any)["deviceCount"])
	w.problem(w.call(http.MethodGet, "/api/jobs/both/runs/"+run["runId"].(string)+"x", ""), http.StatusNotFound, "unknown-run")

	again := w.call(http.MethodPost, "/api/jobs/both/rerun", "")
	require.Contains(t, string(again.body), "a rerun takes the devices of one hub, of hub-1, hub-2")
	again = w.call(http.MethodPost, "/api/jobs/both/rerun", `{"jobId":"again","hub":"hub-2"}`)
	require.Equal(t, http.StatusAccepted, again.status, "%s", again.body)
	w.finish()
	got = w.get("/api/jobs/again")
	require.Equal(t, []any{"hub-2"}, got["hubs"])
	require.EqualValues(t, 3, got["deviceJobStatistics"].(map[string]any)["failedCount"])
	require.Len(t, got["hubRuns"], 1)

	w.call(http.MethodDelete, "/api/jobs/both", "")
}

func TestAJobWithoutHubsSaysNothingOfThem(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, []*hub{{devices: fleet("ok", 3)}}, fleet("ok", 3)...)
	w.put("plain", lockAll)
	w.finish()
	got := w.get("/api/jobs/plain")
	require.NotContains(t, got, "hubs")
	require.NotContains(t, got, "hubRuns")
	require.NotContains(t, w.followed("/api/jobs/plain/executions?pageSize=10")[0], "hub")
	w.problem(w.call(http.MethodGet, "/api/jobs/plain/executions?hub=hub-1", ""), http.StatusBadRequest, "invalid-request")
}

func TestAPreviewCountsPerHub(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, []*hub{{devices: fleet("far", 7)}}, fleet("ok", 3)...)
	r := w.call(http.MethodPost, "/api/jobs?validateOnly=true", atAll)
	require.Equal(t, http.StatusOK, r.status, "%s", r.body)
	got := r.json(t)
	require.EqualValues(t, 10, got["deviceCount"])
	require.Len(t, got["firstDeviceIds"], 10)
	require.Equal(t, []any{
		map[string]any{"hub": "hub-1", "deviceCount": 3.0}, map[string]any{"hub": "hub-2", "deviceCount": 7.0},
	}, got["hubs"])
}

func TestTheRunAtOneHubCanBePausedAndCancelledAlone(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, []*hub{{devices: fleet("ok", 400)}}, fleet("ok", 400)...)
	w.put("two", atAll)
	var ids []string
	w.until(func() bool {
		ids = nil
		runs, _ := w.get("/api/jobs/two")["hubRuns"].([]any)
		for _, r := range runs {
			if run := r.(map[string]any); run["status"] == "running" {
				ids = append(ids, run["runId"].(string))
			}
		}
		return len(ids) == 2
	})
	r := w.call(http.MethodPost, "/api/jobs/two/runs/"+ids[1]+"/cancel", "")
	require.Less(t, r.status, 300, "%s", r.body)
	r = w.call(http.MethodPost, "/api/jobs/two/runs/"+ids[0]+"/pause", `{"note":"not now"}`)
	require.Equal(t, http.StatusOK, r.status, "%s", r.body)
	var runs []any
	w.until(func() bool {
		got := w.get("/api/jobs/two")
		runs = got["hubRuns"].([]any)
		return got["status"] == "paused" && runs[1].(map[string]any)["status"] == "cancelled"
	})
	require.Equal(t, "not now", runs[0].(map[string]any)["paused"].(map[string]any)["note"])

	r = w.call(http.MethodPost, "/api/jobs/two/resume", "")
	require.Equal(t, http.StatusOK, r.status, "%s", r.body)
	w.finish()
	got := w.get("/api/jobs/two")
	require.Equal(t, "cancelled", got["status"], "it was, at one hub")
	require.EqualValues(t, 400, got["hubRuns"].([]any)[0].(map[string]any)["deviceJobStatistics"].(map[string]any)["succeededCount"])
	actions := map[string]int{}
	for _, c := range w.get("/api/jobs/two/audit")["changes"].([]any) {
		actions[c.(map[string]any)["action"].(string)]++
	}
	require.Equal(t, map[string]int{"created": 1, "cancelled": 1, "paused": 1, "resumed": 1}, actions)
}

func TestHealthLooksAtEveryHub(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	broken := &probed{answer: func(context.Context) error { return &iothub.Error{Kind: iothub.HubFault, Status: 401} }}
	d.serve(api.Options{Health: api.Health{
		Ticks: d.ticks, Queue: d.queue, Hub: d.hub, Tick: 10 * time.Second,
		HubName: "hub-1", Further: []api.NamedHub{{Name: "hub-2", Hub: broken}, {Name: "hub-3", Hub: &probed{}}},
	}})
	got := d.health(http.StatusServiceUnavailable)
	require.Equal(t, []any{"hubUnavailable"}, got["problems"])
	require.Equal(t, "ok", got["hub"].(map[string]any)["state"])
	states := map[any]any{}
	for _, h := range got["hubs"].([]any) {
		states[h.(map[string]any)["hub"]] = h.(map[string]any)["state"]
	}
	require.Equal(t, map[any]any{"hub-1": "ok", "hub-2": "refused", "hub-3": "ok"}, states)
}
