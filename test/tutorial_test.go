package test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/devstack"
)

// output collects what the device prints.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// TestTheTutorial is Microsoft's schedule-and-broadcast tutorial on a device that speaks MQTT
// (https://learn.microsoft.com/azure/iot-hub/schedule-jobs-node): a job that calls lockDoor and one that changes desired
// properties, each at its own time.
func TestTheTutorial(t *testing.T) {
	device := &output{}
	s := start(t, devstack.Options{MQTTDevices: 1, DeviceOutput: device})
	twinAt, doorAt := time.Now().Add(5*time.Second), time.Now().Add(13*time.Second)
	const only = `"queryCondition":"deviceId IN ['simDevice']"`
	s.put("lock", fmt.Sprintf(`{"type":"scheduleDeviceMethod",%s,"startTime":%q,"maxExecutionTimeInSeconds":300,
		"cloudToDeviceMethod":{"methodName":"lockDoor","payload":{"lockTime":"10m"},"responseTimeoutInSeconds":15}}`,
		only, doorAt.UTC().Format(time.RFC3339Nano)))
	s.put("move", fmt.Sprintf(`{"type":"scheduleUpdateTwin",%s,"startTime":%q,"maxExecutionTimeInSeconds":300,
		"updateTwin":{"etag":"*","properties":{"desired":{"building":43,"floor":3}}}}`,
		only, twinAt.UTC().Format(time.RFC3339Nano)))
	require.Equal(t, "scheduled", s.job("lock").Status)

	s.until("move", ended)
	require.Eventually(t, func() bool { return strings.Contains(device.String(), `"building":43`) }, time.Minute, 20*time.Millisecond)
	s.until("lock", ended)
	require.Contains(t, device.String(), "lockDoor")

	for id, at := range map[string]time.Time{"move": twinAt, "lock": doorAt} {
		all := s.executions(id, "")
		require.Len(t, all, 1)
		require.Equal(t, "simDevice", all[0].DeviceID)
		require.Equal(t, "succeeded", all[0].Status)
		require.WithinRange(t, all[0].StartTime, at.Truncate(time.Millisecond), at.Add(2*time.Second+s.late()), "a start time is met within 2 s")
	}
	lock := s.executions("lock", "")[0]
	require.Equal(t, 200, lock.Code)
	require.Contains(t, string(lock.Payload), "10m")
}
