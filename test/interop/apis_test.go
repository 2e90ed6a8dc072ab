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
