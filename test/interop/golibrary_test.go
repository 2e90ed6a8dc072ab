package interop

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/amenzhinsky/iothub/iotservice"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// goJobs is the suite of the job calls of github.com/amenzhinsky/iothub.
func (w *world) goJobs(t *testing.T, s server) {
	jobs := w.client(t, s.connection)
	ctx := t.Context()
	device := func(id string) string { return "deviceId IN ['" + id + "']" }

	t.Run("a method job", func(t *testing.T) {
		created, err := jobs.CreateJobV2(ctx, &iotservice.JobV2{
			JobID: "go-" + uuid.NewString(), Type: iotservice.JobTypeDeviceMethod, QueryCondition: "STARTSWITH(deviceId, 'dev-')",
			CloudToDeviceMethod: &iotservice.DeviceMethodParams{
				MethodName: "lockDoor", Payload: map[string]any{"lockTime": "10m"}, TimeoutInSeconds: 15,
			},
			StartTime: time.Now(), MaxExecutionTimeInSeconds: 60,
		})
		require.NoError(t, err)
		require.Equal(t, iotservice.JobTypeDeviceMethod, created.Type)
		job := ended(t, jobs, created.JobID)
		require.Equal(t, iotservice.JobStatusCompleted, job.Status)
		require.Equal(t, "lockDoor", job.CloudToDeviceMethod.MethodName)
		require.Equal(t, map[string]any{"lockTime": "10m"}, job.CloudToDeviceMethod.Payload)
		require.Equal(t, "STARTSWITH(deviceId, 'dev-')", job.QueryCondition)
		require.EqualValues(t, 60, job.MaxExecutionTimeInSeconds)

		rows := 0
		require.NoError(t, jobs.QueryDevices(ctx, "SELECT * FROM devices.jobs WHERE devices.jobs.jobId = '"+job.JobID+"'", func(row map[string]any) error {
			rows++
			require.Equal(t, "completed", row["status"])
			return nil
		}))
		require.Equal(t, simulated, rows)
	})
	t.Run("a twin job without start time and limit", func(t *testing.T) {
		// The library sends the zero time, year 1, for no start time, and 0 for no limit.
		created, err := jobs.CreateJobV2(ctx, &iotservice.JobV2{
			JobID: "go-" + uuid.NewString(), Type: iotservice.JobTypeUpdateTwin, QueryCondition: device("dev-000001"),
			UpdateTwin: map[string]any{"etag": "*", "properties": map[string]any{"desired": map[string]any{"by": s.name}}},
		})
		require.NoError(t, err)
		require.Equal(t, iotservice.JobStatusCompleted, ended(t, jobs, created.JobID).Status)
		v, ok := w.Hub.Device("dev-000001")
		require.True(t, ok)
		require.Contains(t, string(v.AppendTwin(nil)), `"by":"`+s.name+`"`)
	})
	t.Run("a job for later", func(t *testing.T) {
		created, err := jobs.CreateJobV2(ctx, &iotservice.JobV2{
			JobID: "go-" + uuid.NewString(), Type: iotservice.JobTypeDeviceMethod, QueryCondition: device("dev-000001"),
			CloudToDeviceMethod: &iotservice.DeviceMethodParams{MethodName: "lockDoor", TimeoutInSeconds: 15},
			StartTime:           time.Now().In(time.FixedZone("", 3600)).Add(time.Hour),
		})
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			job, err := jobs.GetJobV2(ctx, created.JobID)
			return err == nil && job.Status == iotservice.JobStatusScheduled
		}, time.Minute, 100*time.Millisecond)
		var listed []string
		query := &iotservice.JobV2Query{Type: iotservice.JobTypeDeviceMethod, Status: iotservice.JobStatusScheduled}
		require.NoError(t, jobs.QueryJobsV2(ctx, query, func(job *iotservice.JobV2) error {
			listed = append(listed, job.JobID)
			return nil
		}))
		require.Contains(t, listed, created.JobID)
		_, err = jobs.CancelJobV2(ctx, created.JobID)
		require.NoError(t, err)
		require.Equal(t, iotservice.JobStatusCancelled, ended(t, jobs, created.JobID).Status)
	})
	t.Run("an unknown job", func(t *testing.T) {
		job, err := jobs.GetJobV2(ctx, "go-"+uuid.NewString())
		require.NoError(t, err)
		require.Equal(t, iotservice.JobStatusUnknown, job.Status)
	})
}

// client makes the library's client, which takes a certificate only with an HTTP client of its own.
func (w *world) client(t *testing.T, connection string) *iotservice.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.roots(t), MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	client, err := iotservice.NewFromConnectionString(connection, iotservice.WithHTTPClient(&http.Client{Transport: transport}))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return client
}

// roots holds the certificate of hub and app.
func (w *world) roots(t *testing.T) *x509.CertPool {
	t.Helper()
	pem, err := os.ReadFile(w.CAFile)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(pem))
	return roots
}

func ended(t *testing.T, jobs *iotservice.Client, id string) *iotservice.JobV2 {
	t.Helper()
	var job *iotservice.JobV2
	require.Eventually(t, func() bool {
		var err error
		job, err = jobs.GetJobV2(context.WithoutCancel(t.Context()), id)
		return err == nil && (job.Status == iotservice.JobStatusCompleted || job.Status == iotservice.JobStatusCancelled)
	}, time.Minute, 100*time.Millisecond, "job %s did not end", id)
	return job
}
