package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAContinuousJobShowsItsRounds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "ok-1", "offline-1")
	r := w.call(http.MethodPut, "/api/jobs/watch", `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*",
		"selection":"continuous","selectionInterval":"PT1H","endless":true}`)
	require.Equal(t, http.StatusAccepted, r.status, "%s", r.body)
	w.finish()
	got := w.get("/api/jobs/watch")
	require.Equal(t, "running", got["status"])
	require.Equal(t, true, got["endless"])
	require.Equal(t, map[string]any{
		"mode": "continuous", "interval": "PT1H", "state": "waiting", "deviceCount": 2.0, "roundCount": 1.0,
		"lastRound": map[string]any{
			"startedTime": "2026-11-23T10:00:00.000Z", "endTime": "2026-11-23T10:00:00.000Z", "matchedCount": 2.0, "addedCount": 2.0, "removedCount": 0.0,
		},
		"nextRoundTime": "2026-11-23T11:00:00.000Z",
	}, got["selection"])
	require.Equal(t, "Looks for further devices at 2026-11-23T11:00:00.000Z; 2 of 2 have ended.", got["statusMessage"])

	w.hub.mu.Lock()
	w.hub.devices = append(w.hub.devices, "ok-2")
	w.hub.mu.Unlock()
	w.clock.moveTo(start.Add(time.Hour))
	require.NoError(t, w.jobs.Tick(t.Context()))
	w.finish()
	got = w.get("/api/jobs/watch")
	require.InDelta(t, 2, got["deviceJobStatistics"].(map[string]any)["succeededCount"], 0)
	require.InDelta(t, 1, got["selection"].(map[string]any)["lastRound"].(map[string]any)["addedCount"], 0)

	require.Equal(t, http.StatusAccepted, w.call(http.MethodPost, "/api/jobs/watch/cancel", "").status)
	w.finish()
	got = w.get("/api/jobs/watch")
	require.Equal(t, "cancelled", got["status"])
	require.Equal(t, "stopped", got["selection"].(map[string]any)["state"])
}

func TestARunTellsWhoseDevicesItHas(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "ok-1", "ok-2")
	body := strings.TrimSuffix(nightly, "}") + `,"deviceListMaxAge":"P1DT1H"}`
	require.Equal(t, http.StatusAccepted, w.call(http.MethodPut, "/api/jobs/nightly", body).status)
	for range 3 {
		w.night()
	}
	require.Equal(t, "P1DT1H", w.get("/api/jobs/nightly")["deviceListMaxAge"])
	runs := w.get("/api/jobs/nightly/runs")["runs"].([]any)
	var lists []map[string]any
	for _, r := range runs { // the latest first
		lists = append(lists, r.(map[string]any)["selection"].(map[string]any)["deviceList"].(map[string]any))
	}
	own := func(i int) map[string]any {
		return map[string]any{
			"runId": runs[i].(map[string]any)["runId"], "listedTime": runs[i].(map[string]any)["startedTime"], "reused": false,
		}
	}
	require.Equal(t, own(2), lists[2])
	require.Equal(t, own(2)["runId"], lists[1]["runId"])
	require.Equal(t, own(2)["listedTime"], lists[1]["listedTime"])
	require.Equal(t, true, lists[1]["reused"])
	require.Regexp(t, "^P1D(T[0-9]+S)?$", lists[1]["age"])
	require.Equal(t, own(0), lists[0], "the list would be two days old")
}
