package dispatch

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/twinquery"
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

func TestEveryMatchingModuleIsCalledOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	w.hub.devices = []string{"dev-1/$edgeAgent", "dev-1/m", "dev-2/m"}
	run := w.ended(w.create(strings.Replace(lockDoor, `"*"`, `"FROM devices.modules WHERE tags.a = 1"`, 1)))

	require.Equal(t, job.Statistics{DeviceCount: 3, SucceededCount: 3}, run.Counts().Statistics())
	require.Equal(t, "SELECT deviceId, moduleId FROM devices.modules WHERE tags.a = 1", w.hub.asked)
	executions := w.executions(run)
	for _, id := range w.hub.devices {
		require.Equal(t, 1, w.hub.called(id), id)
		require.Equal(t, job.Succeeded, executions[id].State)
		found, _, err := w.observer().Find(t.Context(), run.ID, id)
		require.NoError(t, err)
		require.Equal(t, id, found.DeviceID)
	}
}

func TestRowsThatNameNoTarget(t *testing.T) {
	t.Parallel()
	rows := func(text string) []json.RawMessage { return []json.RawMessage{json.RawMessage(text)} }
	for text, from := range map[string]twinquery.Source{
		`{"deviceId":"d"}`: twinquery.Modules, `{"deviceId":"d","moduleId":""}`: twinquery.Modules, `{"moduleId":"m"}`: twinquery.Modules,
		`{"deviceId":"d/m"}`: twinquery.Devices, `{}`: twinquery.Devices, `[]`: twinquery.Devices,
	} {
		_, err := targetIDs(rows(text), from)
		require.Error(t, err, text)
	}
	ids, err := targetIDs(rows(`{"DeviceId":"d","moduleId":"m"}`), twinquery.Devices)
	require.NoError(t, err)
	require.Equal(t, []string{"d"}, ids)
}
