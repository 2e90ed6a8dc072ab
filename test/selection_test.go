package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/devstack"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
)

// numbered gives the ids of the devices from <= n <= to.
func numbered(from, to int) []string {
	var ids []string
	for n := from; n <= to; n++ {
		ids = append(ids, fmt.Sprintf("dev-%06d", n))
	}
	return ids
}

// wave gives devices a tag.
func wave(t *testing.T, ids []string, value string) string {
	t.Helper()
	list, err := json.Marshal(ids)
	require.NoError(t, err)
	return fmt.Sprintf(`{"type":"scheduleUpdateTwin","updateTwin":{"tags":{"wave":%s}},"deviceIds":%s}`, value, list)
}

// TestDevicesThatMatchLaterGetTheJobAndThoseThatLeaveDoNot: twenty devices are in the first wave, of which a batch holds back the last ten.
// Five of these leave, ten others join, the app dies on the way; then the second batch begins.
func TestDevicesThatMatchLaterGetTheJobAndThoseThatLeaveDoNot(t *testing.T) {
	s := start(t, devstack.Options{Devices: 40, Journal: true})
	tag := func(id string, ids []string, value string) {
		s.put(id, wave(t, ids, value))
		seen := s.until(id, ended)
		require.Equal(t, len(ids), seen[len(seen)-1].Statistics["succeededCount"])
	}
	tag("first", numbered(1, 20), "1")
	s.put("watch", `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"reboot"},"queryCondition":"tags.wave = 1",
		"selection":"continuous","selectionInterval":"PT10S","endless":true,
		"rollout":{"batches":[{"number":10},{"gate":{"minimumObservationTime":"PT1H"}}]}}`)
	s.until("watch", func(v view) bool { return v.Statistics["succeededCount"] == 10 })
	require.Len(t, s.Hub.CallCounts(fault.Methods), 10)

	calls := s.Hub.CallCounts(fault.Methods)
	uncalled := slices.DeleteFunc(numbered(1, 20), func(id string) bool { return calls[id] > 0 })
	leaving := uncalled[:5]
	tag("leave", leaving, "null")
	tag("second", numbered(21, 30), "1")
	require.NoError(t, s.Host.KillHandler(0))
	seen := s.until("watch", func(v view) bool {
		return v.ExecutionStatistics["removed"] == 5 && v.Statistics["deviceCount"] == 30
	})
	last := seen[len(seen)-1]
	require.Equal(t, "running", last.Status)
	require.Equal(t, map[string]int{"leftTarget": 5}, last.FailureReasons)
	requireAddsUp(t, last)

	require.Equal(t, http.StatusOK, s.call(http.MethodPost, "/api/jobs/watch/next-batch", "").status)
	s.until("watch", func(v view) bool { return v.Statistics["succeededCount"] == 25 })
	s.call(http.MethodPost, "/api/jobs/watch/cancel", "")
	s.until("watch", ended)
	calls = s.Hub.CallCounts(fault.Methods)
	require.Len(t, calls, 25)
	for _, id := range leaving {
		require.Zero(t, calls[id], id)
	}
	for id, n := range calls {
		require.Equal(t, 1, n, id)
	}
}
