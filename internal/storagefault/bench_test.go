package storagefault_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/azurecred"
	"github.com/fleetjobs/fleetjobs/internal/azurite/azuritetest"
	"github.com/fleetjobs/fleetjobs/internal/storagefault"
)

// BenchmarkUpsert shows what the proxy adds to a call.
func BenchmarkUpsert(b *testing.B) {
	original := azuritetest.Start(b)
	proxy, err := storagefault.Start(original, storagefault.Plan{})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, proxy.Close()) })
	tables, err := azurecred.Tables(azurecred.Config{ConnectionString: original})
	require.NoError(b, err)
	_, err = tables.CreateTable(b.Context(), "jobs", nil)
	require.NoError(b, err)
	for name, conn := range map[string]string{"direct": original, "proxy": proxy.ConnectionString(original)} {
		b.Run(name, func(b *testing.B) {
			tables, err := azurecred.Tables(azurecred.Config{ConnectionString: conn})
			require.NoError(b, err)
			table := tables.NewClient("jobs")
			for b.Loop() {
				_, err := table.UpsertEntity(b.Context(), entity("a"), nil)
				require.NoError(b, err)
			}
		})
	}
}
