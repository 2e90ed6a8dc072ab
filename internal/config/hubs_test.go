package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/config"
	"github.com/fleetjobs/fleetjobs/internal/pace"
)

const plantKey = "HostName=plant-b.azure-devices.net;SharedAccessKeyName=service;SharedAccessKey=c2VjcmV0LXBsYW50LWtleQ=="

func TestFurtherHubs(t *testing.T) {
	t.Parallel()
	got, err := config.Load(minimal(
		`FLEETJOBS_HUBS=[{"name":"plant-b","tier":"S2","units":3},`+
			`{"name":"lab","hostname":"127.0.0.1:8443","caFile":"/tmp/ca.pem","tier":"none","methodsPerSecond":2.5,"queriesPerMinute":60}]`,
		"IOTHUB_CONNECTION_STRING_PLANT_B="+plantKey,
	))
	require.NoError(t, err)
	require.Equal(t, "hub", got.Hubs.Default, "the first part of the host name")
	require.Equal(t, []config.NamedHub{
		{Name: "plant-b", Hub: config.Hub{ConnectionString: plantKey}, Pace: config.Pace{Tier: "S2", Units: 3}},
		{
			Name: "lab", Hub: config.Hub{Hostname: "127.0.0.1:8443", CAFile: "/tmp/ca.pem"},
			Pace: config.Pace{Tier: "none", Units: 1, MethodsPerSecond: 2.5, QueriesPerMinute: 60},
		},
	}, got.Hubs.Further)
	require.Equal(t, "plant-b.azure-devices.net", got.Hubs.Further[0].HostName())
	rates, err := got.Hubs.Further[1].Rates()
	require.NoError(t, err)
	require.Equal(t, pace.Rates{pace.Methods: 2.5, pace.Queries: 1}, rates)
}

func TestTheDefaultHubHasAName(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]string{
		"IOTHUB_HOSTNAME=Contoso-1.azure-devices.net": "contoso-1", "IOTHUB_HOSTNAME=127.0.0.1:8443": "default",
		"IOTHUB_HOSTNAME=h.net FLEETJOBS_HUB_NAME=plant-a": "plant-a",
	} {
		got, err := config.Load(minimal(append([]string{"IOTHUB_CONNECTION_STRING="}, strings.Fields(setting)...)...))
		require.NoError(t, err)
		require.Equal(t, want, got.Hubs.Default)
	}
}

// One line per fault, and no secret in it.
func TestFaultsOfFurtherHubs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		list, more string
		want       string
	}{
		{list: `plant-b`, want: `FLEETJOBS_HUBS="plant-b": must be a JSON array of objects such as`},
		{list: `[1]`, want: `FLEETJOBS_HUBS: hub 1: must be an object`},
		{list: `[{"hostname":"b.net"}]`, want: `FLEETJOBS_HUBS: hub 1: name: must be 1 to 50 lower-case letters`},
		{list: `[{"name":"Plant","hostname":"b.net"}]`, want: `hub 1 (Plant): name="Plant": must be 1 to 50 lower-case letters`},
		{list: `[{"name":"all","hostname":"b.net"}]`, want: `hub 1 (all): name="all": must be`},
		{list: `[{"name":"b"}]`, want: `hub 1 (b): IOTHUB_CONNECTION_STRING_B: must be set, or hostname to use the app's identity`},
		{list: `[{"name":"b","hostname":"https://b.net"}]`, want: `hub 1 (b): hostname="https://b.net": must be a host name`},
		{list: `[{"name":"b","hostname":"b.net","hostnam":"x"}]`, want: `hub 1 (b): hostnam: is no member of a hub; did you mean hostname?`},
		{list: `[{"name":"b","hostname":"b.net","connectionString":"SharedAccessKey=hidden"}]`, want: `hub 1 (b): connectionString: is no member of a hub`},
		{list: `[{"name":"b","hostname":"b.net","units":"2"}]`, want: `hub 1 (b): units="2": must be a whole number`},
		{list: `[{"name":"b","hostname":"b.net","units":0}]`, want: `hub 1 (b): units="0": must be from 1 to 1000`},
		{list: `[{"name":"b","hostname":"b.net","tier":"B1"}]`, want: `hub 1 (b): tier="B1": must be F1, S1, S2, S3, or none`},
		{list: `[{"name":"b","hostname":"b.net","methodsPerSecond":-1}]`, want: `hub 1 (b): methodsPerSecond="-1": must be 0`},
		{list: `[{"name":"b","hostname":"b.net"},{"name":"b","hostname":"c.net"}]`, want: `hub 2 (b): name="b": is another hub's already`},
		{list: `[{"name":"hub","hostname":"b.net"}]`, want: `hub 1 (hub): name="hub": is another hub's already`},
		{list: `[{"name":"b","hostname":"HUB.azure-devices.net"}]`, want: `hub 1 (b): hostname="hub.azure-devices.net": is that of hub hub already`},
		{list: `[{"name":"b","hostname":"b.net"},{"name":"c","hostname":"b.net"}]`, want: `hub 2 (c): hostname="b.net": is that of hub b already`},
		{
			list: `[{"name":"b","hostname":"b.net"}]`, more: "IOTHUB_CONNECTION_STRING_B=" + plantKey,
			want: `hub 1 (b): hostname="b.net": must not be set together with IOTHUB_CONNECTION_STRING_B`,
		},
		{list: `[{"name":"b"}]`, more: "IOTHUB_CONNECTION_STRING_B=hidden", want: `hub 1 (b): IOTHUB_CONNECTION_STRING_B: must be name=value pairs`},
		{
			list: `[{"name":"plant-b","hostname":"b.net"}]`, more: "IOTHUB_CONNECTION_STRING_PLANTB=" + plantKey,
			want: `IOTHUB_CONNECTION_STRING_PLANTB: belongs to no hub of FLEETJOBS_HUBS; did you mean IOTHUB_CONNECTION_STRING_PLANT_B?`,
		},
		{more: "FLEETJOBS_HUB_NAME=Hub", want: `FLEETJOBS_HUB_NAME="Hub": must be 1 to 50 lower-case letters`},
		{list: `[` + strings.Repeat(`{},`, 19) + `{}]`, want: `FLEETJOBS_HUBS: has 20 hubs; with the default one there may be 20`},
	} {
		_, err := config.Load(minimal("FLEETJOBS_HUBS="+tt.list, tt.more))
		require.ErrorContains(t, err, tt.want, tt.list)
		require.Len(t, strings.Split(err.Error(), "\n"), 2, err.Error())
		require.NotContains(t, err.Error(), "hidden")
	}
}
