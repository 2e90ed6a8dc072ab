package dispatch

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

const lockDoor = `{"jobId":"lock","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"lockDoor"},"queryCondition":"*"}`

func TestEveryMatchingDeviceIsCalledOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	w.hub.populate(1234)
	began := time.Now()
	run := w.ended(w.create(lockDoor))
	t.Logf("1,234 devices took %v", time.Since(began))

	require.Equal(t, job.StatusCompleted, run.Status)
	require.Equal(t, job.EndFinished, run.EndReason)
	require.Equal(t, job.Statistics{DeviceCount: 1234, SucceededCount: 1234}, run.Counts().Statistics())
	executions := w.executions(run)
	require.Len(t, executions, 1234)
	for id, e := range executions {
		require.Equal(t, 1, w.hub.called(id), id)
		require.Equal(t, job.Succeeded, e.State)
		require.Equal(t, 1, e.Attempts)
		require.Equal(t, 200, e.StatusCode)
		require.JSONEq(t, `{"ok":true}`, string(e.Payload()))
		require.False(t, e.EndedAt.IsZero())
	}
	require.Empty(t, w.queue.poison)
}
