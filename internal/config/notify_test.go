package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/config"
)

func TestSettingsOfNotifications(t *testing.T) {
	t.Parallel()
	key := "whsec_" + strings.Repeat("YWFh", 8)
	got, err := config.Load(minimal("FLEETJOBS_CALLBACK_KEYS="+key+","+key, "FLEETJOBS_CALLBACK_ALLOW=10.0.0.0/8,127.0.0.1:8080",
		"FLEETJOBS_EVENTGRID_ENDPOINT=http://127.0.0.1:8080/api/events", "FLEETJOBS_EVENTGRID_KEY=k3y"))
	require.NoError(t, err)
	require.Equal(t, config.Notify{
		CallbackKeys: config.Secret(key + "," + key), CallbackAllow: "10.0.0.0/8,127.0.0.1:8080",
		EventGridEndpoint: "http://127.0.0.1:8080/api/events", EventGridKey: "k3y",
	}, got.Notify)
	_, err = config.Load(minimal("FLEETJOBS_EVENTGRID_ENDPOINT=https://name.westeurope-1.eventgrid.azure.net/api/events"))
	require.NoError(t, err)

	for setting, name := range map[string]string{
		"FLEETJOBS_CALLBACK_KEYS=whsec_s3cr3t":                              "FLEETJOBS_CALLBACK_KEYS",
		"FLEETJOBS_CALLBACK_ALLOW=10.0.0.0/33":                              "FLEETJOBS_CALLBACK_ALLOW",
		"FLEETJOBS_EVENTGRID_KEY=s3cr3t":                                    "FLEETJOBS_EVENTGRID_ENDPOINT",
		"FLEETJOBS_EVENTGRID_ENDPOINT=name.eventgrid.azure.net":             "FLEETJOBS_EVENTGRID_ENDPOINT",
		"FLEETJOBS_EVENTGRID_ENDPOINT=http://name.eventgrid.azure.net/":     "FLEETJOBS_EVENTGRID_ENDPOINT",
		"FLEETJOBS_EVENTGRID_ENDPOINT=https://name.net/?aeg-sas-key=s3cr3t": "FLEETJOBS_EVENTGRID_ENDPOINT",
	} {
		_, err := config.Load(minimal(setting))
		require.ErrorContains(t, err, name, setting)
		require.NotContains(t, err.Error(), "s3cr3t", setting)
	}
}
