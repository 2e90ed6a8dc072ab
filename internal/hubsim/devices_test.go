package hubsim_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/fleetsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim"
)

func TestDeviceOverItsLife(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{})

	res := h.do("PUT", "/devices/d", `{"deviceId":"d"}`, "If-Match", "")
	require.Equal(t, 200, res.StatusCode, res.body)
	d := res.object(t)
	require.Equal(t, `"`+d["etag"].(string)+`"`, res.Header.Get("ETag"))
	require.Equal(t, "Disconnected", d["connectionState"])
	require.Equal(t, "0001-01-01T00:00:00", d["lastActivityTime"], "identity times have no zone")
	require.Nil(t, d["statusReason"])
	auth := d["authentication"].(map[string]any)
	require.Equal(t, "sas", auth["type"])
	require.Len(t, auth["symmetricKey"].(map[string]any)["primaryKey"], 44)
	require.Equal(t, res.body, h.do("GET", "/devices/d", "").body)

	res = h.do("PUT", "/devices/d", `{"deviceId":"d"}`)
	require.Equal(t, 409, res.StatusCode)
	require.Equal(t, "ErrorCode:DeviceAlreadyExists;A device with ID 'd' is already registered.", res.object(t)["Message"])

	res = h.do("PUT", "/devices/d", `{"deviceId":"d","status":"disabled","statusReason":"stolen"}`, "If-Match", `"`+d["etag"].(string)+`"`)
	require.Equal(t, 200, res.StatusCode)
	require.Equal(t, "disabled", res.object(t)["status"])
	require.Equal(t, "stolen", res.object(t)["statusReason"])
	require.NotEqual(t, d["etag"], res.object(t)["etag"])

	require.Equal(t, 412, h.do("PUT", "/devices/d", `{}`, "If-Match", `"`+d["etag"].(string)+`"`).StatusCode)
	require.Equal(t, 404, h.do("PUT", "/devices/x", `{}`, "If-Match", "*").StatusCode)
	require.Equal(t, 412, h.do("DELETE", "/devices/d", "").StatusCode, "a condition is required")
	require.Equal(t, 412, h.do("DELETE", "/devices/d", "", "If-Match", `"b2xk"`).StatusCode)
	require.Equal(t, 204, h.do("DELETE", "/devices/d", "", "If-Match", "*").StatusCode)
	require.Equal(t, 404, h.do("DELETE", "/devices/d", "", "If-Match", "*").StatusCode)
	require.Equal(t, 404, h.do("GET", "/devices/d", "").StatusCode)
}

func TestIdsWithEveryCharacterThatIsAllowed(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{})
	id := "a-:.+%_#*?!(),=@;$'Z9"
	path := url.PathEscape(id)
	require.Equal(t, 200, h.do("PUT", "/devices/"+path, "{}").StatusCode)
	require.Equal(t, id, h.do("GET", "/devices/"+path, "").object(t)["deviceId"])
	require.Equal(t, id, h.do("GET", "/twins/"+path, "").object(t)["deviceId"])
	for _, bad := range []string{"a b", "a/b", "ä", strings.Repeat("x", 129)} {
		require.Equal(t, 400, h.do("PUT", "/devices/"+url.PathEscape(bad), "{}").StatusCode, bad)
	}
}

func TestRefusedIdentities(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{})
	for name, body := range map[string]string{
		"other id":    `{"deviceId":"x"}`,
		"status":      `{"status":"asleep"}`,
		"type":        `{"authentication":{"type":"password"}}`,
		"one key":     `{"authentication":{"symmetricKey":{"primaryKey":"MDEyMzQ1Njc4OWFiY2RlZg=="}}}`,
		"short keys":  `{"authentication":{"symmetricKey":{"primaryKey":"YQ==","secondaryKey":"YQ=="}}}`,
		"long reason": `{"statusReason":"` + strings.Repeat("x", 129) + `"}`,
		"no JSON":     `{`,
	} {
		res := h.do("PUT", "/devices/d", body)
		require.Equal(t, 400, res.StatusCode, name)
		require.Equal(t, "ArgumentInvalid", res.Header.Get("iothub-errorcode"), name)
	}
}

func TestListAndStatistics(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{Fleet: fleet(t, fleetsim.Options{Devices: 1200, OfflineShare: 0.5})})
	for query, want := range map[string]int{"top=5": 5, "top=0": 1000, "top=2000": 1000, "top=x": 1000} {
		var list []map[string]any
		require.NoError(t, json.Unmarshal([]byte(h.do("GET", "/devices?api-version=2021-04-12&"+query, "").body), &list))
		require.Len(t, list, want, query)
	}
	h.do("PUT", "/devices/dev-000001", `{"status":"disabled"}`, "If-Match", "*")
	require.Equal(t, map[string]any{"totalDeviceCount": 1200.0, "enabledDeviceCount": 1199.0, "disabledDeviceCount": 1.0},
		h.do("GET", "/statistics/devices", "").object(t))
	require.InDelta(t, 600, h.do("GET", "/statistics/service", "").object(t)["connectedDeviceCount"], 80)
	require.Equal(t, "[]", h.do("GET", "/devices/dev-000001/modules", "").body)
	require.EqualValues(t, 0, h.do("DELETE", "/devices/dev-000001/commands", "").object(t)["totalMessagesPurged"])
}

func TestBulk(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{Fleet: hubsim.Devices{{ID: "a"}, {ID: "b"}, {ID: "c"}}})

	res := h.do("POST", "/devices", `[
		{"id":"new","importMode":"create","tags":{"x":1},"properties":{"desired":{"y":2}}},
		{"id":"a","importMode":"Update","status":"disabled"},
		{"id":"b","importMode":"UpdateTwinIfMatchETag","twinETag":"AAAAAAAAAAE=","tags":{"z":3}},
		{"id":"c","importMode":"delete"}]`)
	require.Equal(t, 200, res.StatusCode, res.body)
	require.JSONEq(t, `{"isSuccessful":true,"errors":[],"warnings":[]}`, res.body)
	twin := h.do("GET", "/twins/new", "").object(t)
	require.Equal(t, map[string]any{"x": 1.0}, twin["tags"])
	require.EqualValues(t, 2, twin["properties"].(map[string]any)["desired"].(map[string]any)["y"])
	require.Equal(t, "disabled", h.do("GET", "/devices/a", "").object(t)["status"])
	require.Equal(t, map[string]any{"z": 3.0}, h.do("GET", "/twins/b", "").object(t)["tags"])
	require.Equal(t, 404, h.do("GET", "/devices/c", "").StatusCode)

	res = h.do("POST", "/devices", `[{"id":"a","importMode":"create"},{"id":"b","importMode":"updateTwin","tags":{"ok":1}},
		{"id":"b2","importMode":"updateIfMatchETag","eTag":"x"},{"id":"q","importMode":"sideways"}]`)
	require.Equal(t, 400, res.StatusCode)
	require.Equal(t, false, res.object(t)["isSuccessful"])
	codes := map[string]any{}
	for _, e := range res.object(t)["errors"].([]any) {
		codes[e.(map[string]any)["deviceId"].(string)] = e.(map[string]any)["errorCode"]
	}
	require.Equal(t, map[string]any{"a": 409001.0, "b2": 404001.0, "q": 400004.0}, codes)
	require.Contains(t, h.do("GET", "/twins/b", "").object(t)["tags"], "ok", "the others are carried out")
}

func TestBulkLimits(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{})
	many := make([]string, 101)
	for i := range many {
		many[i] = fmt.Sprintf(`{"id":"d%d","importMode":"create"}`, i)
	}
	require.Equal(t, 413, h.do("POST", "/devices", "["+strings.Join(many, ",")+"]").StatusCode)
	require.Equal(t, 200, h.do("POST", "/devices", "["+strings.Join(many[:100], ",")+"]").StatusCode)
	res := h.do("POST", "/devices", `[{"id":"x","importMode":"create"},{"id":"x","importMode":"delete"}]`)
	require.Equal(t, "DeviceDefinedMultipleTimes", res.Header.Get("iothub-errorcode"))
}
