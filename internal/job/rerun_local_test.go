package job_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// A list of devices has no zones, so that a rerun could only call them in each other's windows.
func TestNoRerunWhereDevicesHaveTheWindowAtTheirOwnTime(t *testing.T) {
	t.Parallel()
	rec := job.Record{Definition: decoded(t, `"maintenanceWindow":{"cron":"0 1 * * *","duration":"PT2H","timeZone":"device"}`)}
	_, err := job.Rerun{}.Definition(&rec, &job.Run{}, []string{"a"})
	require.ErrorContains(t, err, "goes with no list of devices")
}
