//go:build unix

package devstack_test

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/azurite/azuritetest"
	"github.com/fleetjobs/fleetjobs/internal/client"
	"github.com/fleetjobs/fleetjobs/internal/devstack"
)

func TestMain(m *testing.M) { azuritetest.Main(m) }

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// TestJobOnEveryKindOfDevice is the smoke test of the whole: a job through the API reaches simulated and MQTT devices.
func TestJobOnEveryKindOfDevice(t *testing.T) {
	t.Parallel()
	var output, log buffer
	stack, err := devstack.Start(t.Context(), devstack.Options{
		Devices: 250, MQTTDevices: 2, Instances: 2, OfflineShare: 0.1, StorageConnectionString: azuritetest.Start(t),
		DeviceOutput: &output, HandlerOutput: &log,
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(log.String())
		}
	})
	pids := stack.Host.Pids()
	t.Cleanup(func() {
		require.NoError(t, stack.Close())
		require.NoError(t, stack.Close(), "closing twice is harmless")
		for _, pid := range pids {
			require.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH, "a handler is left behind")
		}
		require.NoFileExists(t, stack.CAFile)
	})
	require.Len(t, pids, 2)

	api, err := client.New(stack.URL, stack.Key, nil)
	require.NoError(t, err)
	t.Cleanup(api.Close)
	_, err = api.Create(t.Context(), "smoke", []byte(
		`{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"lockDoor","payload":{"lockTime":"10m"}},"queryCondition":"*"}`))
	require.NoError(t, err)
	var job *client.Job
	require.Eventually(t, func() bool {
		job, err = api.Job(t.Context(), "smoke")
		return err == nil && job.Ended()
	}, time.Minute, 100*time.Millisecond)
	offline := stack.Fleet.Expect(nil).Offline
	require.Positive(t, offline)
	require.Equal(t, client.Statistics{DeviceCount: 252, SucceededCount: 252 - offline, FailedCount: offline}, job.Statistics, job.StatusMessage)
	require.Equal(t, map[string]int{"deviceOffline": offline}, job.FailureReasons)
	for _, id := range []string{devstack.MQTTDeviceID(0), devstack.MQTTDeviceID(1)} {
		execution, err := api.Execution(t.Context(), "smoke", id, client.ListOptions{})
		require.NoError(t, err)
		require.Equal(t, "succeeded", execution.Status)
		require.JSONEq(t, `{"result":"door locked","lockTime":"10m"}`, string(execution.Payload))
		require.Contains(t, output.String(), id+"  ")
	}
	require.Contains(t, output.String(), `method lockDoor {"lockTime":"10m"} -> 200`)
}

func TestStartLeavesNothingBehindWhenItFails(t *testing.T) {
	t.Parallel()
	_, err := devstack.Start(t.Context(), devstack.Options{
		AppRoot: t.TempDir(), MQTTDevices: 1, StorageConnectionString: azuritetest.Start(t),
	})
	require.ErrorContains(t, err, "starting the local stack")
	_, err = devstack.Start(t.Context(), devstack.Options{
		StorageConnectionString: azuritetest.Start(t), SettingsOverrides: map[string]string{"FLEETJOBS_LEASE_SECONDS": "soon"},
	})
	require.ErrorContains(t, err, "FLEETJOBS_LEASE_SECONDS", "the error says what the handler said")
	_, err = devstack.Start(t.Context(), devstack.Options{AppRoot: t.TempDir(), Devices: -1})
	require.ErrorContains(t, err, "must not be negative")
}

// TestRestartHost: after three crashes the host stops, and whoever runs the stack may start it again.
func TestRestartHost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stack, err := devstack.Start(t.Context(), devstack.Options{StorageConnectionString: azuritetest.Start(t), DataDir: dir})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stack.Close()) })
	url, key, pid := stack.URL, stack.Key, stack.Host.Pids()[0]
	require.Eventually(t, func() bool { // the third crash stops the host
		_ = stack.Host.KillHandler(0) // there may be none at this moment
		select {
		case <-stack.Host.Done():
			return true
		default:
			return false
		}
	}, time.Minute, 50*time.Millisecond)
	require.ErrorContains(t, stack.Wait(t.Context()), "the functions host stopped")
	require.NoError(t, stack.RestartHost(t.Context()))
	require.Equal(t, []string{url, key}, []string{stack.URL, stack.Key})
	require.NotEqual(t, pid, stack.Host.Pids()[0])
	api, err := client.New(stack.URL, stack.Key, nil)
	require.NoError(t, err)
	t.Cleanup(api.Close)
	_, err = api.Jobs(t.Context(), client.ListOptions{})
	require.NoError(t, err)

	info, err := os.Stat(filepath.Join(dir, "secret"))
	require.NoError(t, err)
	require.Zero(t, info.Mode().Perm()&0o077, "the secret is for its owner only")
	require.NotContains(t, stack.Key, " ")
}
