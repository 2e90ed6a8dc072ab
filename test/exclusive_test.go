package test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/devstack"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/latency"
)

// TestExclusiveJobsTakeTurnsAtADevice has devices that take two seconds to answer called by three exclusive jobs that begin together,
// on two handler processes: no device has two of their calls at once, and every job calls every device.
func TestExclusiveJobsTakeTurnsAtADevice(t *testing.T) {
	s := start(t, devstack.Options{Devices: 12, Instances: 2, Latency: latency.FixedAt(2 * time.Second)})
	jobs := []string{"update", "reboot", "collect"}
	for _, id := range jobs {
		s.put(id, `{"type":"scheduleDeviceMethod","queryCondition":"*","exclusive":true,"cloudToDeviceMethod":{"methodName":"`+id+`"}}`)
	}
	type span struct{ from, to time.Time }
	calls := map[string][]span{}
	for _, id := range jobs {
		seen := s.until(id, ended)
		require.Equal(t, 12, seen[len(seen)-1].Statistics["succeededCount"], id)
		for _, e := range s.executions(id, "") {
			calls[e.DeviceID] = append(calls[e.DeviceID], span{e.StartTime, e.EndTime})
		}
	}
	require.Len(t, calls, 12)
	for device, spans := range calls {
		require.Len(t, spans, len(jobs), device)
		for i, a := range spans {
			for _, b := range spans[:i] {
				require.False(t, a.from.Before(b.to) && b.from.Before(a.to), "%s: %v and %v meet", device, a, b)
			}
		}
	}
}
