package hubsim_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/fleetsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/sas"
)

func TestModuleOverItsLife(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{Fleet: hubsim.Devices{{ID: "d"}, {ID: "d2"}}})

	res := h.do("PUT", "/devices/d/modules/$edgeAgent", `{"deviceId":"d","moduleId":"$edgeAgent","managedBy":"IotEdge"}`)
	require.Equal(t, 201, res.StatusCode, res.body)
	m := res.object(t)
	require.Equal(t, []any{"d", "$edgeAgent", "IotEdge", "Disconnected"},
		[]any{m["deviceId"], m["moduleId"], m["managedBy"], m["connectionState"]})
	require.Equal(t, `"`+m["etag"].(string)+`"`, res.Header.Get("ETag"))
	require.Equal(t, res.body, h.do("GET", "/devices/d/modules/$edgeAgent", "").body)

	res = h.do("PUT", "/devices/d/modules/$edgeAgent", "{}")
	require.Equal(t, 409, res.StatusCode)
	require.Equal(t, "ModuleAlreadyExistsOnDevice", res.Header.Get("iothub-errorcode"))
	res = h.do("PUT", "/devices/d/modules/$edgeAgent", `{"managedBy":"me"}`, "If-Match", `"`+m["etag"].(string)+`"`)
	require.Equal(t, "me", res.object(t)["managedBy"])

	require.Equal(t, 201, h.do("PUT", "/devices/d/modules/a", "{}").StatusCode)
	require.Equal(t, 201, h.do("PUT", "/devices/d2/modules/a", "{}").StatusCode)
	list := h.do("GET", "/devices/d/modules", "").body
	require.Regexp(t, `"moduleId":"\$edgeAgent".*"moduleId":"a"`, list)
	require.NotContains(t, list, "d2")
	require.EqualValues(t, 2, h.do("GET", "/statistics/devices", "").object(t)["totalDeviceCount"], "modules are no devices")

	require.Equal(t, 412, h.do("DELETE", "/devices/d/modules/a", "").StatusCode, "a condition is required")
	require.Equal(t, 204, h.do("DELETE", "/devices/d/modules/a", "", "If-Match", "*").StatusCode)
	require.Equal(t, 404, h.do("GET", "/devices/d/modules/a", "").StatusCode)
	require.Equal(t, 204, h.do("DELETE", "/devices/d", "", "If-Match", "*").StatusCode)
	require.Equal(t, []string{"d2"}, ids(h.pages("SELECT * FROM devices.modules", 10, nil)), "a device's modules go with it")
}

func TestFailuresOfModules(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{Fleet: hubsim.Devices{{ID: "d"}, {ID: "d/m"}}})
	for name, test := range map[string]struct {
		method, path, body, code string
		status                   int
	}{
		"unknown module":       {"GET", "/devices/d/modules/x", "", "ModuleNotFound", 404},
		"of an unknown device": {"GET", "/devices/x/modules/m", "", "DeviceNotFound", 404},
		"create on no device":  {"PUT", "/devices/x/modules/m", "{}", "DeviceNotFound", 404},
		"list of no device":    {"GET", "/devices/x/modules", "", "DeviceNotFound", 404},
		"other id":             {"PUT", "/devices/d/modules/n", `{"moduleId":"x"}`, "ArgumentInvalid", 400},
		"bad id":               {"PUT", "/devices/d/modules/a%20b", "{}", "ArgumentInvalid", 400},
		"device as module":     {"PUT", "/devices/d%2Fn", "{}", "ArgumentInvalid", 400},
		"twin of device":       {"GET", "/twins/d%2Fm", "", "ArgumentInvalid", 400},
		"bulk":                 {"POST", "/devices", `[{"id":"d/n","importMode":"create"}]`, "BulkRegistryOperationFailure", 400},
		"unknown twin":         {"PATCH", "/twins/d/modules/x", "{}", "DeviceNotFound", 404},
		"method":               {"POST", "/twins/d/modules/x/methods", `{"methodName":"m"}`, "DeviceNotFound", 404},
		"not connected":        {"POST", "/twins/d/modules/m/methods", `{"methodName":"m"}`, "DeviceNotOnline", 404},
		"method of route":      {"POST", "/twins/d/modules/m", "", "GenericMethodNotAllowed", 405},
		"no such route":        {"GET", "/twins/d/modules", "", "InvalidOperation", 404},
	} {
		res := h.do(test.method, test.path, test.body)
		require.Equal(t, test.status, res.StatusCode, name)
		require.Equal(t, test.code, res.Header.Get("iothub-errorcode"), name)
	}
}

// A module on a device that lives inside the simulator lives there too.
func TestModulesAnswerAsTheirDevicesDo(t *testing.T) {
	t.Parallel()
	h := jobHub(t, hubsim.Options{
		Fleet: fleet(t, fleetsim.Options{Devices: 3}), Journal: true, IndexLag: time.Nanosecond,
	})
	for _, path := range []string{"dev-000001/modules/m", "dev-000002/modules/m", "dev-000002/modules/n"} {
		require.Equal(t, 201, h.do("PUT", "/devices/"+path, "{}").StatusCode)
	}

	res := h.do("POST", "/twins/dev-000001/modules/m/methods", `{"methodName":"lockDoor","payload":{"lockTime":"10m"}}`)
	require.JSONEq(t, `{"status":200,"payload":{"result":"locked","lockTime":"10m"}}`, res.body)
	require.Equal(t, map[string]int{"dev-000001/m": 1}, h.CallCounts("methods"))

	res = h.do("PATCH", "/twins/dev-000001/modules/m", `{"tags":{"ring":"canary"},"properties":{"desired":{"a":1}}}`)
	require.Equal(t, 200, res.StatusCode, res.body)
	twin := h.do("GET", "/twins/dev-000001/modules/m", "").object(t)
	require.Equal(t, []any{"dev-000001", "m", "Connected"}, []any{twin["deviceId"], twin["moduleId"], twin["connectionState"]})
	require.EqualValues(t, 1, twin["properties"].(map[string]any)["desired"].(map[string]any)["a"])
	require.NotContains(t, h.do("GET", "/twins/dev-000001", "").object(t)["properties"].(map[string]any)["desired"], "a")

	require.Len(t, ids(h.pages("SELECT * FROM devices", 10, nil)), 3)
	require.Equal(t, []string{"dev-000001", "dev-000002", "dev-000002"}, ids(h.pages("SELECT * FROM devices.modules", 1, nil)))
	require.Equal(t, [][]map[string]any{{{"deviceId": "dev-000001", "moduleId": "m"}}},
		h.pages("SELECT deviceId, moduleId FROM devices.modules WHERE tags.ring = 'canary'", 10, nil))
	require.Equal(t, [][]map[string]any{{{"n": 2.0}}},
		h.pages("SELECT COUNT() AS n FROM devices.modules WHERE moduleId = 'm'", 10, nil))

	h.do("PUT", "/jobs/v2/modules", methodJob("FROM devices.modules WHERE moduleId = 'm'"))
	require.EqualValues(t, 2, h.ended("modules")["deviceJobStatistics"].(map[string]any)["succeededCount"])
	rows := h.pages("SELECT * FROM devices.jobs WHERE devices.jobs.deviceId = 'dev-000002'", 10, nil)
	require.Len(t, rows[0], 1)
	require.Equal(t, "m", rows[0][0]["moduleId"])
}

// A module is a client of its own beside its device: it connects as DEVICE/MODULE, with a key of its own.
func TestModulesConnect(t *testing.T) {
	t.Parallel()
	h := start(t, outside("d"))
	var made struct {
		Authentication struct{ SymmetricKey struct{ PrimaryKey []byte } }
	}
	require.NoError(t, json.Unmarshal([]byte(h.do("PUT", "/devices/d/modules/m", "{}").body), &made))
	token := func(resource string) string {
		return sas.New(resource, "", made.Authentication.SymmetricKey.PrimaryKey, time.Now().Add(time.Hour))
	}
	for name, opt := range map[string]dialOptions{
		"the device's resource of another": {id: "d/m", password: token("localhost/devices/d/modules/n")},
		"as the device":                    {id: "d", password: token("localhost/devices/d")},
		"under the device's name":          {id: "d/m", user: "localhost/d/?api-version=2021-04-12", password: token("localhost/devices/d/modules/m")},
	} {
		_, err := h.dial(opt)
		require.ErrorIs(t, err, packets.ErrorRefusedNotAuthorised, name)
	}
	device := h.connect("d")
	module, err := h.dial(dialOptions{id: "d/m", password: token("localhost/devices/d/modules/m")})
	require.NoError(t, err)
	require.True(t, device.IsConnected(), "the module does not take its place")
	h.shows("Connected", "/twins/d/modules/m")
	require.Equal(t, byte(1), module.subscribe("devices/d/modules/m/inputs/#", 1))

	module.subscribe("$iothub/twin/res/#", 0)
	module.publish("$iothub/twin/PATCH/properties/reported/?$rid=1", `{"fw":"2"}`)
	topic, _ := module.next()
	require.Equal(t, "$iothub/twin/res/204/?$rid=1&$version=2", topic)
	require.Contains(t, h.do("GET", "/twins/d/modules/m", "").body, `"fw":"2"`)
	require.NotContains(t, h.do("GET", "/twins/d", "").body, "fw")
	module.publish("devices/d/modules/m/messages/events/", "x")
	require.Eventually(t, func() bool { return h.Stats().DeviceMessages == 1 }, time.Minute, 10*time.Millisecond)

	module.subscribe(methods, 0)
	module.answer(func(method, _ string) (int, string) { return 200, `"` + method + `"` })
	require.JSONEq(t, `{"status":200,"payload":"reboot"}`, h.do("POST", "/twins/d/modules/m/methods", reboot).body)
	require.Equal(t, 404, h.do("POST", "/twins/d/methods", reboot).StatusCode, "the device takes none")
	h.do("DELETE", "/devices/d/modules/m", "", "If-Match", "*")
	module.requireLost()
	require.True(t, device.IsConnected())
}
