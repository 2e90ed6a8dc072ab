package tablestore_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/azurecred"
	"github.com/fleetjobs/fleetjobs/internal/storagefault"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

func TestTheLastTickOfEachHub(t *testing.T) {
	t.Parallel()
	w := setup(t)
	at, err := w.LastTick(t.Context())
	require.NoError(t, err)
	require.Zero(t, at, "there was none yet")

	require.NoError(t, w.Ticked(t.Context(), noon))
	later := noon.Add(10*time.Second + 123*time.Millisecond)
	require.NoError(t, w.Ticked(t.Context(), later))
	at, err = w.LastTick(t.Context())
	require.NoError(t, err)
	require.Equal(t, later, at)

	at, err = w.open("other.azure-devices.net").LastTick(t.Context())
	require.NoError(t, err)
	require.Zero(t, at, "another hub's timer is another timer")

	due, err := w.Due(t.Context(), noon.AddDate(100, 0, 0))
	require.NoError(t, err)
	require.Empty(t, due, "the row is in no listing")
	active, err := w.ActiveRuns(t.Context())
	require.NoError(t, err)
	require.Empty(t, active)
	require.Empty(t, w.listed(tablestore.JobQuery{Max: 10}))
}

func TestLastTickMakesNoTables(t *testing.T) {
	t.Parallel()
	w := setup(t)
	tables, err := azurecred.Tables(azurecred.Config{ConnectionString: w.conn})
	require.NoError(t, err)
	store := tablestore.New(tables, "hub.azure-devices.net", &tablestore.Options{Prefix: "absent"})
	at, err := store.LastTick(t.Context())
	require.NoError(t, err)
	require.Zero(t, at)
	require.Error(t, store.Ticked(t.Context(), noon), "nor does a tick")
}

func TestLastTickTellsWhenStorageFails(t *testing.T) {
	t.Parallel()
	w := setup(t)
	require.NoError(t, w.Ticked(t.Context(), noon))
	w.faults(storagefault.Rule{Operation: "table", Share: 1, Fault: storagefault.ServerBusy})
	at, err := w.LastTick(t.Context())
	require.Error(t, err)
	require.Zero(t, at)
}
