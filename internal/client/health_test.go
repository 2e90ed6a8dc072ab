package client_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

const unwell = `{"status":"unhealthy","problems":["hubUnavailable"],"version":"v1","uptimeSeconds":7,
	"tables":{"state":"ok"},"queue":{"state":"ok","approximateMessages":3,"oldestMessageTime":"2026-12-01T02:00:00.000Z","oldestMessageAgeSeconds":2},
	"hub":{"state":"refused","checkedTime":"2026-12-01T01:59:48.000Z"},
	"timer":{"lastTickTime":"2026-12-01T01:59:55.000Z","lastTickAgeSeconds":7,"overdue":false}}`

// 503 is what it was asked for: it is neither an error nor tried again.
func TestHealthOfADeploymentThatIsNotWell(t *testing.T) {
	t.Parallel()
	b := setup(t, answer(http.StatusServiceUnavailable, unwell))
	h, err := b.Health(t.Context())
	require.NoError(t, err)
	require.False(t, h.OK())
	require.JSONEq(t, unwell, string(h.Raw))
	h.Raw = nil
	require.Equal(t, &client.Health{
		Status: "unhealthy", Problems: []string{"hubUnavailable"}, Version: "v1", UptimeSeconds: 7,
		Tables: client.PartHealth{State: "ok"},
		Queue: client.QueueHealth{
			PartHealth: client.PartHealth{State: "ok"}, Messages: 3, Oldest: time.Date(2026, 12, 1, 2, 0, 0, 0, time.UTC), OldestSeconds: 2,
		},
		Hub:   client.HubHealth{PartHealth: client.PartHealth{State: "refused"}, Checked: time.Date(2026, 12, 1, 1, 59, 48, 0, time.UTC)},
		Timer: client.TimerHealth{LastTick: time.Date(2026, 12, 1, 1, 59, 55, 0, time.UTC), AgeSeconds: 7},
	}, h)
	require.Len(t, b.requests, 1)
	require.Equal(t, "GET /api/health/details", b.requests[0].Method+" "+b.requests[0].RequestURI)
	require.Equal(t, key, b.requests[0].Header.Get("x-functions-key"))
	require.Empty(t, b.waits)
}

func TestHealthThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		says   string
	}{
		"the host starts": {answer(http.StatusServiceUnavailable, "Function host is not running.", "Content-Type", "text/plain"), "Function host is not running"},
		"wrong key":       {answer(http.StatusUnauthorized, ""), "HTTP 401"},
		"something else":  {answer(http.StatusOK, `{"up":true}`), "is not the health of a fleetjobs app"},
		"a web page":      {answer(http.StatusOK, "<html>"), "is not the health of a fleetjobs app"},
		"nothing there":   {hangUp, "no answer from"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, test.answer)
			_, err := b.Health(t.Context())
			require.ErrorContains(t, err, test.says)
			require.NotContains(t, err.Error(), key)
			require.Empty(t, b.waits, "it is asked once")
		})
	}
}
