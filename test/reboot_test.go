package test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/devstack"
)

// TestRebootOfTenThousandDevices is the main job: a method on the devices that match a tag, watched until it is done.
func TestRebootOfTenThousandDevices(t *testing.T) {
	s := start(t, devstack.Options{Devices: 10_000, OfflineShare: 0.05, FailShare: 0.03, Journal: true})
	began := time.Now()
	s.put("reboot", method("reboot", "*"))
	seen := s.until("reboot", 60*time.Second, ended)
	last := seen[len(seen)-1]
	t.Logf("10,000 devices took %v: %v %v", time.Since(began), last.ExecutionStatistics, last.FailureReasons)
	for _, v := range seen {
		requireAddsUp(t, v)
	}
	require.Equal(t, "completed", last.Status)
	require.Equal(t, 10_000, last.Statistics["deviceCount"])
}
