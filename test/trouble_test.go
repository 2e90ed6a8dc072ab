package test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/azurite"
	"github.com/fleetjobs/fleetjobs/internal/devstack"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/latency"
	"github.com/fleetjobs/fleetjobs/internal/storagefault"
)

// TestKilledHandlers: kill -9 in the middle of a run. Two deaths are forgiven by the host, the third within 30 minutes stops
// it, as it does in Azure, where the platform starts it again. No device is lost; only outcomes that were not stored yet
// may be repeated.
func TestKilledHandlers(t *testing.T) {
	s := start(t, devstack.Options{
		Devices: 3000, Journal: true, Latency: latency.FixedAt(200 * time.Millisecond),
		SettingsOverrides: map[string]string{"FLEETJOBS_MAX_CALLS_IN_FLIGHT": "100", "FLEETJOBS_LEASE_SECONDS": "10"},
	})
	s.put("survivor", method("reboot", "*"))
	for n := 1; n <= 3; n++ {
		s.until("survivor", func(v view) bool { return done(v) >= 400*n })
		require.NoError(t, s.Host.KillHandler(0))
		if n < 3 {
			require.NoError(t, s.Host.WaitReady(t.Context()))
		}
	}
	select {
	case <-s.Host.Done():
	case <-time.After(time.Minute):
		t.Fatal("the host bore a third death")
	}
	require.NoError(t, s.RestartHost(t.Context()))
	seen := s.until("survivor", ended)
	last := seen[len(seen)-1]
	requireAddsUp(t, last)
	require.Equal(t, "completed", last.Status)
	require.Equal(t, 3000, last.Statistics["succeededCount"], "%v", last)
	calls := s.Hub.CallCounts(fault.Methods)
	require.Len(t, calls, 3000)
	again := 0
	for device, n := range calls {
		require.LessOrEqual(t, n, 4, device)
		again += n - 1
	}
	t.Logf("three deaths repeated %d of 3,000 calls", again)
	require.LessOrEqual(t, again, 3*(100+1500), "each death repeats what was in flight and what one flush interval brought")
}

// TestARevokedRole: the role is taken away in the middle of a run and given back. No device fails because of it.
func TestARevokedRole(t *testing.T) {
	s := start(t, devstack.Options{
		Devices: 1500, Latency: latency.FixedAt(500 * time.Millisecond),
		SettingsOverrides: map[string]string{"FLEETJOBS_MAX_CALLS_IN_FLIGHT": "64"},
	})
	s.put("blocked", method("reboot", "*"))
	s.until("blocked", func(v view) bool { return done(v) > 100 })
	require.NoError(t, s.Hub.SetFaults(fault.Plan{Revoked: true}))
	seen := s.until("blocked", func(v view) bool { return v.Status == "blocked" })
	require.Contains(t, seen[len(seen)-1].Blocked.Reason, "IotHubUnauthorizedAccess")
	require.NoError(t, s.Hub.SetFaults(fault.Plan{}))
	seen = s.until("blocked", ended)
	last := seen[len(seen)-1]
	require.Equal(t, "completed", last.Status)
	require.Equal(t, 1500, last.Statistics["succeededCount"], "%v %v", last.ExecutionStatistics, last.FailureReasons)
	for _, e := range s.executions("blocked", "") {
		require.Equal(t, 1, e.Attempts, "%s: a fault of the hub uses up no attempt", e.DeviceID)
	}
}

// TestABadDay: the hub throttles, fails and drops connections, and so does storage. Every device ends in one state, and no
// device fails because of it.
func TestABadDay(t *testing.T) {
	storage, err := azurite.Start(t.Context(), azurite.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, storage.Close()) })
	proxy, err := storagefault.Start(storage.ConnectionString(""), storagefault.Plan{Seed: 7, Rules: []storagefault.Rule{
		{Operation: "table", Share: 0.02, Fault: storagefault.LostReply},
		{Operation: "table", Share: 0.02, Fault: storagefault.ServerBusy},
		{Operation: "table", Share: 0.01, Fault: storagefault.OperationTimedOutLate},
		{Operation: storagefault.TableQuery, Share: 0.1, Fault: storagefault.EmptyPage},
		{Operation: storagefault.TableQuery, Share: 0.2, Fault: storagefault.ShortPage, PageSize: 3},
		{Operation: storagefault.QueuePut, Share: 0.05, Fault: storagefault.LostReply},
		{Operation: "queue", Share: 0.02, Fault: storagefault.ServerBusy},
	}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, proxy.Close()) })
	s := start(t, devstack.Options{
		Devices: 1500, StorageConnectionString: proxy.ConnectionString(storage.ConnectionString("")), Journal: true,
		Latency: latency.FixedAt(20 * time.Millisecond),
		Faults: fault.Plan{Seed: 3, Operations: map[fault.Operation]fault.Rule{
			fault.Methods: {ThrottleShare: 0.02, WaitSeconds: 1, ErrorShare: 0.02, DropAfterShare: 0.01, Limit: 150},
			fault.Query:   {ThrottleShare: 0.1, WaitSeconds: 1, ErrorShare: 0.1, Limit: 10},
		}},
	})
	s.put("bad-day", method("reboot", "*"))
	seen := s.until("bad-day", ended)
	last := seen[len(seen)-1]
	requireAddsUp(t, last)
	require.Equal(t, "completed", last.Status)
	require.Equal(t, 1500, last.Statistics["succeededCount"], "%v %v", last.ExecutionStatistics, last.FailureReasons)
	require.Len(t, s.executions("bad-day", ""), 1500)
	require.Len(t, s.Hub.CallCounts(fault.Methods), 1500)
	t.Logf("storage: %v", proxy.Counts())
}
