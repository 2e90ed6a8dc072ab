package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fleet("ok", 350)...)
	w.put("held", lockAll)
	w.until(func() bool { return w.get("/api/jobs/held")["status"] == "running" })
	w.clock.moveTo(w.clock.Now().Add(time.Second))
	r := w.call(http.MethodPost, "/api/jobs/held/pause", `{"note":"waits for the firmware"}`, "x-functions-key", "k")
	require.Equal(t, http.StatusOK, r.status, "%s", r.body)
	got := r.json(t)
	require.Equal(t, "paused", got["status"])
	paused := got["paused"].(map[string]any)
	require.Equal(t, "waits for the firmware", paused["note"])
	require.Equal(t, "key", paused["by"].(map[string]any)["kind"])
	require.Contains(t, got["statusMessage"], "waits for the firmware")
	require.Equal(t, []string{"held"}, w.listed("/api/jobs?status=paused"))
	require.Equal(t, http.StatusAccepted, w.call(http.MethodGet, "/api/jobs/held/result", "").status)
	require.Equal(t, http.StatusOK, w.call(http.MethodPost, "/api/jobs/held/pause", "").status, "pausing twice changes nothing")

	w.clock.moveTo(w.clock.Now().Add(time.Second))
	r = w.call(http.MethodPost, "/api/jobs/held/resume", "")
	require.Equal(t, "running", r.json(t)["status"])
	require.NotContains(t, r.json(t), "paused")
	w.finish()
	require.Equal(t, "completed", w.get("/api/jobs/held")["status"])
	lines := w.actions("/api/jobs/held/audit")
	require.Len(t, lines, 3)
	require.Regexp(t, `^resumed held .* paused>running$`, lines[0])
	require.Regexp(t, `^paused held [0-9a-f]{8} running>paused$`, lines[1])
	w.problem(w.call(http.MethodPost, "/api/jobs/held/pause", ""), http.StatusConflict, "job-ended")
	w.problem(w.call(http.MethodPost, "/api/jobs/held/resume", ""), http.StatusConflict, "job-ended")
}

func TestPauseBeforeTheStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("early", later)
	r := w.call(http.MethodPost, "/api/jobs/early/pause", `{"note":"not yet"}`)
	require.Equal(t, "Paused before its start: not yet.", r.json(t)["statusMessage"])
	require.Equal(t, "pending", r.json(t)["selection"].(map[string]any)["state"])
	require.JSONEq(t, string(r.body), string(w.call(http.MethodGet, "/api/jobs/early", "").body))
	require.Equal(t, []string{"early"}, w.listed("/api/jobs?status=paused"))
	require.Equal(t, "scheduled", w.call(http.MethodPost, "/api/jobs/early/resume", "").json(t)["status"])
}

func TestPauseThatIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("a", later)
	w.problem(w.call(http.MethodPost, "/api/jobs/a/pause", `{"reason":"x"}`), http.StatusBadRequest, "invalid-request")
	w.problem(w.call(http.MethodPost, "/api/jobs/none/pause", ""), http.StatusNotFound, "unknown-job")
	w.problem(w.call(http.MethodPost, "/api/jobs/a_b/resume", ""), http.StatusNotFound, "unknown-job")
}
