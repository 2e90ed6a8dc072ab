package interop

import (
	"context"
	"testing"
	"time"

	"github.com/amenzhinsky/iothub/iotservice"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

// bothAPIs shows that a job made through either API of the app is one job in both.
func (w *world) bothAPIs(t *testing.T) {
	hub := w.client(t, w.ConnectionString)
	native, err := client.New(w.URL, w.Key, nil)
	require.NoError(t, err)
	t.Cleanup(native.Close)
	ctx := t.Context()
	waitNative := func(id string) *client.Job {
		var job *client.Job
		require.Eventually(t, func() bool {
			job, err = native.Job(context.WithoutCancel(ctx), id)
			return err == nil && job.Ended()
		}, time.Minute, 100*time.Millisecond)
		return job
	}

	made, err := hub.CreateJobV2(ctx, &iotservice.JobV2{
		JobID: "both-" + uuid.NewString(), Type: iotservice.JobTypeDeviceMethod, QueryCondition: "STARTSWITH(deviceId, 'dev-')",
		CloudToDeviceMethod: &iotservice.DeviceMethodParams{MethodName: "lockDoor"},
	})
	require.NoError(t, err)
	job := waitNative(made.JobID)
	require.Equal(t, client.Statistics{DeviceCount: simulated, SucceededCount: simulated}, job.Statistics)
	require.Equal(t, "policy", job.CreatedBy.Kind)
	require.Equal(t, "iothubowner", job.CreatedBy.ID)
	executions, err := native.Executions(ctx, job.ID, client.ListOptions{})
	require.NoError(t, err)
	require.Len(t, executions.Executions, simulated)
	for _, e := range executions.Executions {
		require.Equal(t, "succeeded", e.Status)
	}

	job, err = native.Create(ctx, "both-"+uuid.NewString(), []byte(
		`{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"lockDoor"},"deviceIds":["dev-000001","`+offlineDevice+`"]}`))
	require.NoError(t, err)
	require.Equal(t, "completed", waitNative(job.ID).Status)
	require.Equal(t, iotservice.JobStatusCompleted, ended(t, hub, job.ID).Status)
	rows := map[string]any{}
	require.NoError(t, hub.QueryDevices(ctx, "SELECT * FROM devices.jobs WHERE devices.jobs.jobId = '"+job.ID+"'", func(row map[string]any) error {
		rows[row["deviceId"].(string)] = row["status"]
		return nil
	}))
	require.Equal(t, map[string]any{"dev-000001": "completed", offlineDevice: "failed"}, rows)

	later := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	job, err = native.Create(ctx, "both-"+uuid.NewString(), []byte(
		`{"type":"scheduleUpdateTwin","updateTwin":{"tags":{"floor":3}},"deviceIds":["dev-000001"],"startTime":"`+later+`"}`))
	require.NoError(t, err)
	seen, err := hub.GetJobV2(ctx, job.ID)
	require.NoError(t, err)
	require.Equal(t, iotservice.JobStatusScheduled, seen.Status)
	require.Equal(t, later, seen.StartTime.Format(time.RFC3339))
	var listed []string
	require.NoError(t, hub.QueryJobsV2(ctx, &iotservice.JobV2Query{Type: iotservice.JobTypeUpdateTwin}, func(job *iotservice.JobV2) error {
		listed = append(listed, job.JobID)
		return nil
	}))
	require.Contains(t, listed, job.ID)
	_, err = hub.CancelJobV2(ctx, job.ID)
	require.NoError(t, err)
	require.Equal(t, "cancelled", waitNative(job.ID).Status)
}
