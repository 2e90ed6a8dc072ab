package config_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/config"
)

func TestRetention(t *testing.T) {
	t.Parallel()
	load := func(settings ...string) (config.Config, error) {
		return config.Load(append([]string{
			"AzureWebJobsStorage=UseDevelopmentStorage=true", "WEBSITE_HOSTNAME=localhost:7071",
			"IOTHUB_CONNECTION_STRING=HostName=h.azure-devices.net;SharedAccessKeyName=service;SharedAccessKey=a2V5",
		}, settings...))
	}
	c, err := load()
	require.NoError(t, err)
	require.Zero(t, c.Retention.After(), "for ever")
	c, err = load("FLEETJOBS_RETENTION=P90D", "FLEETJOBS_EXPORT_CONTAINER=job-archive", "FLEETJOBS_EXPORT_FORMAT=csv")
	require.NoError(t, err)
	require.Equal(t, 90*24*time.Hour, c.Retention.After())

	for setting, rule := range map[string]string{
		"FLEETJOBS_RETENTION=90d":                "must be an ISO 8601 duration",
		"FLEETJOBS_RETENTION=P3M":                "must be an ISO 8601 duration",
		"FLEETJOBS_RETENTION=PT0S":               "from PT1S to P3660D",
		"FLEETJOBS_EXPORT_FORMAT=xml":            "must be ndjson or csv",
		"FLEETJOBS_EXPORT_CONTAINER=archive":     "needs FLEETJOBS_RETENTION",
		"FLEETJOBS_EXPORT_CONTAINER=Job_Archive": "lower-case letters, digits and single hyphens",
	} {
		_, err := load(setting)
		require.ErrorContains(t, err, rule, setting)
	}
	_, err = config.Load([]string{
		"AzureWebJobsStorage__tableServiceUri=https://t.example", "AzureWebJobsStorage__queueServiceUri=https://q.example",
		"WEBSITE_HOSTNAME=localhost:7071", "IOTHUB_HOSTNAME=h.azure-devices.net", "FLEETJOBS_RETENTION=P1D", "FLEETJOBS_EXPORT_CONTAINER=archive",
	})
	require.ErrorContains(t, err, "needs AzureWebJobsStorage__blobServiceUri")
}
