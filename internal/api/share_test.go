package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// What jobs say of how they share hub and devices with others is told back; what is not said is absent.
func TestAJobTellsItsPriorityAndThatItIsExclusive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "ok-1")
	const job = `{"type":"scheduleDeviceMethod","queryCondition":"*","cloudToDeviceMethod":{"methodName":"m"},"startTime":"2026-12-24T00:00:00Z"`
	w.put("careful", job+`,"priority":9,"exclusive":true}`)
	got := w.get("/api/jobs/careful")
	require.InDelta(t, 9, got["priority"], 0)
	require.Equal(t, true, got["exclusive"])
	w.put("plain", job+`,"priority":5,"exclusive":false}`)
	got = w.get("/api/jobs/plain")
	for _, name := range []string{"priority", "exclusive", "waiting"} {
		require.NotContains(t, got, name)
	}
	p := w.problem(w.call(http.MethodPut, "/api/jobs/wrong", job+`,"priority":11,"exclusive":"yes","priorty":1}`), http.StatusBadRequest, "invalid-request")
	require.Len(t, p["errors"], 3)
}
