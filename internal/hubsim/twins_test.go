package hubsim_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/fleetsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim"
)

func TestTwinOverItsLife(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{Fleet: hubsim.Devices{{ID: "d"}}})

	twin := h.do("GET", "/twins/d", "").object(t)
	require.Equal(t, "AAAAAAAAAAE=", twin["etag"])
	require.EqualValues(t, 2, twin["version"])
	require.NotContains(t, twin, "tags", "absent while empty")
	require.Equal(t, "sas", twin["authenticationType"])
	require.Equal(t, "0001-01-01T00:00:00.0000000Z", twin["statusUpdateTime"])

	res := h.do("PATCH", "/twins/d", `{"tags":{"site":"lab","rack":{"row":1}},"properties":{"desired":{"interval":10}}}`)
	require.Equal(t, 200, res.StatusCode)
	require.Equal(t, "AAAAAAAAAAI=", res.object(t)["etag"])

	res = h.do("PATCH", "/twins/d", `{"tags":{"site":null,"rack":{"row":null}}}`, "If-Match", `"AAAAAAAAAAI="`)
	require.Equal(t, 200, res.StatusCode)
	require.Equal(t, map[string]any{"rack": map[string]any{}}, res.object(t)["tags"])

	res = h.do("PUT", "/twins/d", `{"tags":{"only":1}}`, "If-Match", "*")
	require.Equal(t, map[string]any{"only": 1.0}, res.object(t)["tags"])
	desired := res.object(t)["properties"].(map[string]any)["desired"].(map[string]any)
	require.EqualValues(t, 10, desired["interval"], "PUT leaves what it does not name")
	require.EqualValues(t, 2, desired["$version"])
}

func TestTwinPreconditions(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{Fleet: hubsim.Devices{{ID: "d"}}})
	const body = `{"tags":{"a":1}}`
	for _, etag := range []string{"*", `"*"`, `"AAAAAAAAAAM="`, "AAAAAAAAAAQ="} {
		require.Equal(t, 200, h.do("PATCH", "/twins/d", body, "If-Match", etag).StatusCode, etag)
	}
	res := h.do("PATCH", "/twins/d", body, "If-Match", `"AAAAAAAAAAE="`)
	require.Equal(t, 412, res.StatusCode)
	require.Equal(t, "PreconditionFailed", res.Header.Get("iothub-errorcode"))
	require.Equal(t, "ErrorCode:PreconditionFailed;ETag mismatch for device ID 'd'", res.object(t)["Message"])
}

func TestTwinFailures(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{Fleet: hubsim.Devices{{ID: "d"}}})
	for name, test := range map[string]struct {
		method, path, body, code string
		status                   int
	}{
		"unknown device":  {"GET", "/twins/x", "", "DeviceNotFound", 404},
		"patch unknown":   {"PATCH", "/twins/x", "{}", "DeviceNotFound", 404},
		"module":          {"GET", "/twins/d/modules/m", "", "DeviceNotFound", 404},
		"no object":       {"PATCH", "/twins/d", "[]", "ArgumentInvalid", 400},
		"limit":           {"PATCH", "/twins/d", `{"tags":{"a b":1}}`, "ArgumentInvalid", 400},
		"method of route": {"DELETE", "/twins/d", "", "GenericMethodNotAllowed", 405},
		"no such route":   {"GET", "/nothing", "", "InvalidOperation", 404},
		"no such twin":    {"GET", "/twins", "", "InvalidOperation", 404},
	} {
		res := h.do(test.method, test.path, test.body)
		require.Equal(t, test.status, res.StatusCode, name)
		require.Equal(t, test.code, res.Header.Get("iothub-errorcode"), name)
	}
}

func TestConcurrentPatchesAreAllCounted(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{Fleet: hubsim.Devices{{ID: "d"}}, Journal: true})
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			for range 5 {
				h.do("PATCH", "/twins/d", `{"properties":{"desired":{"a":1}}}`)
			}
		})
	}
	group.Wait()
	require.EqualValues(t, 102, h.do("GET", "/twins/d", "").object(t)["version"])
	require.EqualValues(t, 100, h.Stats().TwinsUpdated)
}

func TestSimulatedDevicesReportWhatIsDesired(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{Fleet: fleet(t, fleetsim.Options{Devices: 1})})
	h.do("PATCH", "/twins/dev-000001", `{"properties":{"desired":{"firmware":"3.0"}}}`)
	twin := h.do("GET", "/twins/dev-000001", "").object(t)
	reported := twin["properties"].(map[string]any)["reported"].(map[string]any)
	require.Equal(t, "3.0", reported["firmware"])
	require.EqualValues(t, 2, reported["$version"])
	require.EqualValues(t, 3, twin["version"], "reports do not count")
}

// TestAPostThatIsAPatch is what Microsoft's SDK for Java sends.
func TestAPostThatIsAPatch(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{Fleet: fleet(t, fleetsim.Options{Devices: 1})})
	res := h.do("POST", "/twins/dev-000001", `{"tags":{"sent":"by Java"}}`, "X-HTTP-Method-Override", "PATCH")
	require.Equal(t, 200, res.StatusCode, res.body)
	require.Contains(t, res.body, `"sent":"by Java"`)
	require.Equal(t, 405, h.do("POST", "/twins/dev-000001", `{}`).StatusCode)
}
