package dispatch

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// someone is who makes the requests of these tests.
func someone() job.Caller {
	return job.Caller{Principal: job.Principal{Kind: job.PrincipalKey, ID: "0badcafe"}, UserAgent: "test"}
}

// trail gives the audit trail of a job, oldest first.
func (w *world) trail(id string) []job.Change {
	w.t.Helper()
	page, next, err := w.observer().Changes(w.t.Context(), tablestore.ChangeQuery{JobID: id, Max: 100})
	require.NoError(w.t, err)
	require.Empty(w.t, next)
	changes := make([]job.Change, len(page))
	for i, c := range page {
		changes[len(page)-1-i] = *c
	}
	return changes
}

// The run is cancelled in one table and the trail is in another. A process that dies in between, and a caller who tries again,
// leave one entry all the same.
func TestACancelHasOneEntryWhereverTheProcessDies(t *testing.T) {
	t.Parallel()
	for n := int64(1); n <= 6; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			w := newMortalWorld(t, quick)
			w.hub.populate(10)
			started := make(chan string, 10)
			release := w.hub.held(started)
			id := w.create(lockDoor)
			w.run(func(context.Context) bool { return w.status(id).Status == job.StatusRunning && len(started) > 0 })
			w.current().left.Store(n)
			if _, _, err := w.current().d.Cancel(t.Context(), id, someone()); err != nil {
				_, _, err = w.current().d.Cancel(t.Context(), id, someone())
				require.NoError(t, err)
			}
			close(release)
			require.Equal(t, job.StatusCancelled, w.ended(id).Status)
			changes := w.trail(id)
			require.Len(t, changes, 2)
			require.Equal(t, job.ActionCreated, changes[0].Action)
			require.Equal(t, job.ActionCancelled, changes[1].Action)
			require.Equal(t, someone().Principal, changes[1].By)
			require.Equal(t, job.StatusRunning, changes[1].From)
		})
	}
}

func TestATickForgetsOldTrails(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	w := newWorld(t, Options{Now: func() time.Time { return now }})
	d := w.current().d
	id := w.create(`{"type":"scheduleDeviceMethod","queryCondition":"*","startTime":"2027-06-01T00:00:00Z","cloudToDeviceMethod":{"methodName":"lockDoor"}}`)
	_, _, err := d.Cancel(t.Context(), id, someone())
	require.NoError(t, err)
	require.NoError(t, d.Delete(t.Context(), id, someone()))
	now = now.Add(tablestore.AuditRetention)
	require.NoError(t, d.Tick(t.Context()))
	require.Len(t, w.trail(id), 3, "not yet")
	now = now.Add(time.Millisecond)
	require.NoError(t, d.Tick(t.Context()))
	require.Empty(t, w.trail(id))
}
