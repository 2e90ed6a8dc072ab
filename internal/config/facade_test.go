package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/config"
)

func TestSettingsOfTheHubsRoutes(t *testing.T) {
	t.Parallel()
	const (
		tenant = "FLEETJOBS_ENTRA_TENANT=11111111-2222-3333-4444-555555555555"
		who    = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee=ServiceConnect"
	)
	key := strings.Repeat("YWFh", 8)
	got, err := config.Load(minimal("FLEETJOBS_SAS_POLICIES=service="+key, tenant, "FLEETJOBS_ENTRA_AUDIENCES= api://a,, https://iothubs.azure.net",
		"FLEETJOBS_ENTRA_PRINCIPALS="+who, "FLEETJOBS_HUB_PASSTHROUGH=true", "FLEETJOBS_ENTRA_AUTHORITY=http://127.0.0.1:8080"))
	require.NoError(t, err)
	require.Equal(t, []string{"api://a", "https://iothubs.azure.net"}, got.Facade.AudienceList())
	require.True(t, got.HubPassThrough)

	for name, settings := range map[string][]string{
		"FLEETJOBS_SAS_POLICIES":     {"FLEETJOBS_SAS_POLICIES=service=s3cr3t"},
		"FLEETJOBS_ENTRA_PRINCIPALS": {tenant, "FLEETJOBS_ENTRA_AUDIENCES=a", "FLEETJOBS_ENTRA_PRINCIPALS=me"},
		"FLEETJOBS_ENTRA_TENANT":     {"FLEETJOBS_ENTRA_AUDIENCES=a"},
		"FLEETJOBS_ENTRA_AUDIENCES":  {tenant, "FLEETJOBS_ENTRA_AUDIENCES= ,"},
		"FLEETJOBS_ENTRA_AUTHORITY":  {"FLEETJOBS_ENTRA_AUTHORITY=http://login.example.com"},
		"FLEETJOBS_HUB_PASSTHROUGH":  {"FLEETJOBS_HUB_PASSTHROUGH=true"},
		"must be the id (a GUID)":    {"FLEETJOBS_ENTRA_TENANT=contoso", "FLEETJOBS_ENTRA_AUDIENCES=a"},
	} {
		_, err := config.Load(minimal(settings...))
		require.ErrorContains(t, err, name)
		require.NotContains(t, err.Error(), "s3cr3t", name)
	}
}
