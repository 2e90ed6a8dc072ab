package test

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/azurecred"
	"github.com/fleetjobs/fleetjobs/internal/devstack"
)

// exported reads what the app wrote of a job into the container of exports, by the last part of each blob's name.
func exported(t *testing.T, s *stack, jobID string) map[string]string {
	t.Helper()
	client, err := azurecred.Blobs(azurecred.Config{ConnectionString: s.StorageConnectionString}, "job-archive")
	require.NoError(t, err)
	found := map[string]string{}
	for pager := client.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{}); pager.More(); {
		page, err := pager.NextPage(t.Context())
		require.NoError(t, err)
		for _, b := range page.Segment.BlobItems {
			parts := strings.Split(*b.Name, "/")
			if parts[1] != jobID {
				continue
			}
			got, err := client.NewBlobClient(*b.Name).DownloadStream(t.Context(), nil)
			require.NoError(t, err)
			text, err := io.ReadAll(got.Body)
			require.NoError(t, err)
			require.NoError(t, got.Body.Close())
			found[parts[len(parts)-1]] = string(text)
		}
	}
	return found
}

// TestRetentionExportsAndDeletes has jobs kept for a second: they are exported, then they are gone, and the audit trail says so.
func TestRetentionExportsAndDeletes(t *testing.T) {
	for _, format := range []string{"ndjson", "csv"} {
		t.Run(format, func(t *testing.T) {
			s := start(t, devstack.Options{Devices: 25, SettingsOverrides: map[string]string{
				"FLEETJOBS_RETENTION": "PT1S", "FLEETJOBS_EXPORT_CONTAINER": "job-archive", "FLEETJOBS_EXPORT_FORMAT": format,
				"FLEETJOBS_TIMER_SCHEDULE": "* * * * * *",
			}})
			s.put("reboot", `{"type":"scheduleDeviceMethod","queryCondition":"*","cloudToDeviceMethod":{"methodName":"reboot"}}`)
			require.Eventually(t, func() bool {
				return s.call(http.MethodGet, "/api/jobs/reboot", "").status == http.StatusNotFound
			}, time.Minute, 100*time.Millisecond)

			blobs := exported(t, s, "reboot")
			require.Len(t, blobs, 2)
			var job struct {
				JobID, Status       string
				DeviceJobStatistics struct{ DeviceCount, SucceededCount int }
			}
			require.NoError(t, json.Unmarshal([]byte(blobs["job.json"]), &job))
			require.Equal(t, "reboot", job.JobID)
			require.Equal(t, "completed", job.Status)
			require.Equal(t, 25, job.DeviceJobStatistics.SucceededCount)

			devices := map[string]string{}
			if format == "csv" {
				rows, err := csv.NewReader(strings.NewReader(blobs["executions.csv"])).ReadAll()
				require.NoError(t, err)
				require.Equal(t, []string{"deviceId", "status"}, rows[0][:2])
				for _, row := range rows[1:] {
					devices[row[0]] = row[1]
				}
			} else {
				for lines := bufio.NewScanner(strings.NewReader(blobs["executions.ndjson"])); lines.Scan(); {
					var e struct{ DeviceID, Status string }
					require.NoError(t, json.Unmarshal(lines.Bytes(), &e))
					devices[e.DeviceID] = e.Status
				}
			}
			require.Len(t, devices, 25)
			for device, status := range devices {
				require.Equal(t, "succeeded", status, device)
			}

			var trail struct {
				Changes []struct {
					Action string
					By     struct{ Kind string }
				}
			}
			a := s.call(http.MethodGet, "/api/jobs/reboot/audit", "")
			require.Equal(t, http.StatusOK, a.status)
			require.NoError(t, json.Unmarshal(a.body, &trail))
			require.Equal(t, "expired", trail.Changes[0].Action)
			require.Equal(t, "retention", trail.Changes[0].By.Kind)
			require.Equal(t, "created", trail.Changes[len(trail.Changes)-1].Action)
		})
	}
}
