package hubapi_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/hubapi"
	"github.com/fleetjobs/fleetjobs/internal/job"
)

// A recurring job, which only the native API makes, is scheduled between its runs and shows the latest one.
func TestARecurringJobInTheHubsWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hubapi.Options{}, fleet("ok", 5)...)
	def, err := job.Decode([]byte(`{"jobId":"nightly","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},
		"queryCondition":"*","schedule":{"cron":"0 2 * * *","timeZone":"Europe/Berlin"}}`), start)
	require.NoError(t, err)
	_, err = w.jobs.Create(t.Context(), def, "", job.Caller{Principal: job.Principal{Kind: job.PrincipalKey}})
	require.NoError(t, err)
	got := w.ok(http.MethodGet, "/jobs/v2/nightly", "").json(t)
	require.Equal(t, "scheduled", got["status"])
	require.Equal(t, "scheduleDeviceMethod", got["type"])
	require.Equal(t, "2026-11-24T01:00:00.0000000Z", got["startTime"])
	require.NotContains(t, got, "deviceJobStatistics")

	night := func() {
		w.clock.moveTo(w.clock.Now().Add(24 * time.Hour))
		require.NoError(t, w.jobs.Tick(t.Context()))
		w.finish()
	}
	night()
	got = w.ok(http.MethodGet, "/jobs/v2/nightly", "").json(t)
	require.Equal(t, "scheduled", got["status"])
	require.NotContains(t, got, "endTime")
	require.InDelta(t, 5, got["deviceJobStatistics"].(map[string]any)["succeededCount"], 0)
	require.Len(t, w.ok(http.MethodGet, "/jobs/v2/query?jobStatus=scheduled", "").rows(t), 1)

	// A page that is read on while the next run begins goes on in its own.
	const query = "SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'nightly'"
	first := w.query(query, "x-ms-max-item-count", "3")
	night()
	rest := w.query(query, "x-ms-continuation", first.header.Get("x-ms-continuation")).rows(t)
	require.Len(t, rest, 2)
	require.Equal(t, first.rows(t)[0]["createdDateTimeUtc"], rest[0]["createdDateTimeUtc"])
	require.NotEqual(t, rest[0]["createdDateTimeUtc"], w.query(query).rows(t)[0]["createdDateTimeUtc"])

	require.Equal(t, "cancelled", w.ok(http.MethodPost, "/jobs/v2/nightly/cancel", "").json(t)["status"])
	require.Equal(t, "cancelled", w.ok(http.MethodGet, "/jobs/v2/nightly", "").json(t)["status"])
}
