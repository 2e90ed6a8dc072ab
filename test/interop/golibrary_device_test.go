package interop

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/amenzhinsky/iothub/iotdevice"
	iotmqtt "github.com/amenzhinsky/iothub/iotdevice/transport/mqtt"
	"github.com/amenzhinsky/iothub/iotservice"
	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// goDevice is the suite of a device of github.com/amenzhinsky/iothub.
func (w *world) goDevice(t *testing.T, s server) {
	service := w.client(t, s.connection)
	id := s.name + "-go-device"
	device := w.goClient(t, w.register(t, id))
	ctx := t.Context()

	desired, reported, err := device.RetrieveTwinState(ctx)
	require.NoError(t, err)
	require.Equal(t, []int{1, 1}, []int{desired.Version(), reported.Version()})
	version, err := device.UpdateTwinState(ctx, iotdevice.TwinState{"firmware": "1.0"})
	require.NoError(t, err)
	require.Equal(t, 2, version)
	patches, err := device.SubscribeTwinUpdates(ctx)
	require.NoError(t, err)
	twin, err := service.UpdateDeviceTwin(ctx, &iotservice.Twin{
		DeviceID: id, Properties: &iotservice.Properties{Desired: map[string]any{"interval": 10}},
	})
	require.NoError(t, err)
	require.Equal(t, "1.0", twin.Properties.Reported["firmware"])
	select {
	case patch := <-patches.C():
		require.Equal(t, iotdevice.TwinState{"interval": 10.0, "$version": 2.0}, patch)
	case <-time.After(time.Minute):
		require.Fail(t, "no patch came")
	}

	require.NoError(t, device.RegisterMethod(ctx, "lockDoor", func(payload map[string]any) (int, map[string]any, error) {
		return http.StatusOK, map[string]any{"got": payload}, nil
	}))
	result, err := service.CallDeviceMethod(ctx, id, &iotservice.MethodCall{
		MethodName: "lockDoor", Payload: map[string]any{"lockTime": "10m"}, ResponseTimeout: 30,
	})
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, result.Status)
	require.Equal(t, map[string]any{"got": map[string]any{"lockTime": "10m"}}, result.Payload)
	made, err := service.CreateJobV2(ctx, &iotservice.JobV2{
		JobID: "go-" + uuid.NewString(), Type: iotservice.JobTypeDeviceMethod, QueryCondition: "deviceId = '" + id + "'",
		CloudToDeviceMethod: &iotservice.DeviceMethodParams{MethodName: "lockDoor"},
	})
	require.NoError(t, err)
	require.Equal(t, iotservice.JobStatusCompleted, ended(t, service, made.JobID).Status)
	rows := 0
	require.NoError(t, service.QueryDevices(ctx, "SELECT * FROM devices.jobs WHERE devices.jobs.jobId = '"+made.JobID+"'", func(row map[string]any) error {
		rows++
		require.Equal(t, "completed", row["status"])
		return nil
	}))
	require.Equal(t, 1, rows)
	require.NoError(t, device.SendEvent(ctx, []byte(`{"t":21}`), iotdevice.WithSendProperty("a b", "c/d")))
}

// goClient connects a device at the port where the hub listens.
func (w *world) goClient(t *testing.T, connection string) *iotdevice.Client {
	t.Helper()
	transport := iotmqtt.New(iotmqtt.WithClientOptionsConfig(func(o *mqtt.ClientOptions) {
		o.Servers = nil
		o.AddBroker("tls://" + w.MQTTAddr)
		o.TLSConfig.RootCAs = w.roots(t)
		o.SetOrderMatters(false) // without it the library stops at two methods at a time
	}))
	device, err := iotdevice.NewFromConnectionString(transport, connection)
	require.NoError(t, err)
	require.NoError(t, device.Connect(context.WithoutCancel(t.Context())))
	t.Cleanup(func() { require.NoError(t, device.Close()) })
	return device
}
