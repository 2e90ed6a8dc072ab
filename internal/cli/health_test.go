package cli_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/cli"
)

const healthPath = "GET /api/health/details"

const well = `{"status":"ok","problems":[],"version":"v1.2.3","uptimeSeconds":5025,"tables":{"state":"ok"},
	"queue":{"state":"ok","approximateMessages":1234,"oldestMessageTime":"2026-11-23T09:59:58.000Z","oldestMessageAgeSeconds":2},
	"hub":{"state":"ok","checkedTime":"2026-11-23T09:59:48.000Z"},
	"timer":{"lastTickTime":"2026-11-23T09:59:55.000Z","lastTickAgeSeconds":5,"overdue":false}}`

const sick = `{"status":"unhealthy","problems":["tablesUnavailable","timerOverdue"],"version":"v1.2.3","uptimeSeconds":9,
	"tables":{"state":"refused"},"queue":{"state":"ok","approximateMessages":0},
	"hub":{"state":"throttled","checkedTime":"2026-11-23T09:59:48.000Z"},"timer":{"overdue":true}}`

func TestHealth(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.on(healthPath, ok(well))
	require.Equal(t, cli.ExitOK, w.run(t, "health"))
	require.Equal(t, `status   ok
version  v1.2.3, up for 1 h 24 min
tables   ok
queue    ok, about 1,234 messages, the next one is 2 s old
hub      ok, asked at 2026-11-23 09:59:48Z
timer    last tick 5 s ago
`, w.out.String())
	require.Empty(t, w.errors.String())

	w = setup(t)
	w.on(healthPath, ok(well))
	require.Equal(t, cli.ExitOK, w.run(t, "health", "--json"))
	require.JSONEq(t, well, w.out.String())
}

func TestHealthTellsByItsExitCode(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.on(healthPath, reply{status: http.StatusServiceUnavailable, body: sick})
	require.Equal(t, cli.ExitFailure, w.run(t, "health"))
	require.Equal(t, `status   unhealthy
problem  tablesUnavailable
problem  timerOverdue
version  v1.2.3, up for 9 s
tables   refused
queue    ok, about 0 messages
hub      throttled, asked at 2026-11-23 09:59:48Z
timer    no tick is known, overdue
`, w.out.String())
	require.Equal(t, "fleetjobs: the deployment is not well: tablesUnavailable, timerOverdue\n", w.errors.String())

	w = setup(t)
	w.on(healthPath, reply{status: http.StatusServiceUnavailable, body: sick})
	require.Equal(t, cli.ExitFailure, w.run(t, "health", "--json"))
	require.JSONEq(t, sick, w.out.String(), "also of one that is not well")

	w = setup(t)
	w.on(healthPath, reply{status: http.StatusUnauthorized})
	require.Equal(t, cli.ExitFailure, w.run(t, "health"))
	require.Contains(t, w.errors.String(), "HTTP 401")
	require.Equal(t, cli.ExitUsage, w.run(t, "health", "now"))
}
