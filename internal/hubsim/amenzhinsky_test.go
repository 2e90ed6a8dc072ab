package hubsim_test

import (
	"testing"

	"github.com/amenzhinsky/iothub/iotservice"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/fleetsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim"
)

// TestAnUnmodifiedGoClient has a client that other people wrote judge the simulator.
func TestAnUnmodifiedGoClient(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{Fleet: fleet(t, fleetsim.Options{Devices: 250})})
	client, err := iotservice.NewFromConnectionString(h.PolicyConnectionString("iothubowner"), iotservice.WithHTTPClient(h.client))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	ctx := t.Context()

	result, err := client.CallDeviceMethod(ctx, "dev-000001", &iotservice.MethodCall{
		MethodName: "lockDoor", Payload: map[string]any{"lockTime": "10m"}, ResponseTimeout: 7,
	})
	require.NoError(t, err)
	require.Equal(t, 200, result.Status)
	require.Equal(t, map[string]any{"result": "locked", "lockTime": "10m"}, result.Payload)

	_, err = client.CallDeviceMethod(ctx, "ghost", &iotservice.MethodCall{MethodName: "m"})
	var refused *iotservice.RequestError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, 404, refused.Code)

	rows := 0
	require.NoError(t, client.QueryDevices(ctx, "SELECT * FROM devices", func(map[string]any) error { rows++; return nil }))
	require.Equal(t, 250, rows)

	twin, err := client.GetDeviceTwin(ctx, "dev-000002")
	require.NoError(t, err)
	require.Equal(t, "AAAAAAAAAAE=", twin.ETag)
	updated, err := client.UpdateDeviceTwin(ctx, &iotservice.Twin{DeviceID: "dev-000002", ETag: twin.ETag, Tags: map[string]any{"a": 1}})
	require.NoError(t, err)
	require.Equal(t, "AAAAAAAAAAI=", updated.ETag)
	_, err = client.UpdateDeviceTwin(ctx, &iotservice.Twin{DeviceID: "dev-000002", ETag: twin.ETag, Tags: map[string]any{"a": 2}})
	require.ErrorAs(t, err, &refused)
	require.Equal(t, 412, refused.Code)

	device, err := client.CreateDevice(ctx, &iotservice.Device{DeviceID: "mine"})
	require.NoError(t, err)
	require.NotEmpty(t, device.Authentication.SymmetricKey.PrimaryKey)
	listed, err := client.ListDevices(ctx)
	require.NoError(t, err)
	require.Len(t, listed, 251)
	bulk, err := client.CreateDevices(ctx, []*iotservice.Device{{DeviceID: "b1"}, {DeviceID: "b2"}})
	require.NoError(t, err)
	require.True(t, bulk.IsSuccessful)
	require.NoError(t, client.DeleteDevice(ctx, device))
}
