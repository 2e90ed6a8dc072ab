package dispatch

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
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

// A priority that is edited counts from the next reservation on, also where none takes the place of one.
func TestAPriorityIsEditedWhileTheRunWorks(t *testing.T) {
	t.Parallel()
	for patch, want := range map[string]int{`{"priority":9}`: 9, `{"priority":null}`: 0} {
		opts := quick
		opts.Rates = pace.Rates{pace.Methods: 1000}
		w := newWorld(t, opts)
		w.hub.populate(5)
		hold := make(chan struct{})
		w.hub.answer = func(string, int) (iothub.MethodResult, error) {
			<-hold
			return iothub.MethodResult{Status: 200}, nil
		}
		id := w.create(`{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*",
			"rollout":{"maxConcurrency":1},"priority":8}`)
		w.run(func(context.Context) bool { return w.hub.called("dev-0") == 1 }) // the others are reserved one after the other
		weight := func() int {
			ledger, _, err := w.observer().Ledger(t.Context(), pace.Methods)
			require.NoError(t, err)
			return ledger.Runs[w.status(id).ID].Weight
		}
		require.Equal(t, 8, weight())
		_, _, err := w.current().d.Edit(t.Context(), id, Edit{Patch: []byte(patch), Version: 1}, someone())
		require.NoError(t, err)
		close(hold)
		w.ended(id)
		require.Equal(t, want, weight(), patch)
	}
}
