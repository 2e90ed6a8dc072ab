package dispatch

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/pace"
)

// The ledgers that all processes share know a run's priority; of a job without one they store nothing more.
func TestTheLedgersKnowPriorities(t *testing.T) {
	t.Parallel()
	opts := quick
	opts.Rates = pace.Rates{pace.Methods: 1000, pace.Queries: 1000}
	w := newWorld(t, opts)
	w.hub.populate(20)
	weight := func(members string) (calls, queries int) {
		run := w.ended(w.create(`{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*"` + members + `}`))
		for op, n := range map[pace.Operation]*int{pace.Methods: &calls, pace.Queries: &queries} {
			ledger, _, err := w.observer().Ledger(t.Context(), op)
			require.NoError(t, err)
			require.Contains(t, ledger.Runs, run.ID)
			*n = ledger.Runs[run.ID].Weight
		}
		return calls, queries
	}
	for members, want := range map[string]int{`,"priority":8`: 8, `,"priority":5`: 0, ``: 0} {
		calls, queries := weight(members)
		require.Equal(t, want, calls, members)
		require.Equal(t, want, queries, members)
	}
}
