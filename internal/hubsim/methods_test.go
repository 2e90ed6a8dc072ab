package hubsim_test

import (
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/fleetsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/registry"
)

// echo is a device that answers with what it was given, or with an answer of its own.
type echo struct {
	answer *registry.Answer
	calls  atomic.Int64
}

func (e *echo) Respond(_ string, payload []byte) registry.Answer {
	e.calls.Add(1)
	if e.answer != nil {
		return *e.answer
	}
	return registry.Answer{Reply: registry.Reply{Status: 207, Payload: payload}}
}

func (e *echo) ApplyDesired(map[string]any) (map[string]any, time.Duration) { return nil, 0 }

// echoes are a device "d" that does as e says, and "off", which is not connected.
func echoes(e *echo) hubsim.Devices {
	return hubsim.Devices{{ID: "d", Responder: e}, {ID: "off", Responder: &echo{}, Offline: true}, {ID: "outside"}}
}

func TestPayloadsPassVerbatim(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{Fleet: echoes(&echo{})})
	for _, payload := range []string{
		`{"b":1,"a":[1, 2.50]}`, `"text"`, `5`, `1.50`, `true`, `null`, `[]`, `[1,null]`, `"ü\u00e4"`, `12345678901234567890`,
	} {
		res := h.do("POST", "/twins/d/methods", `{"methodName":"m","payload":`+payload+`}`)
		require.Equal(t, 200, res.StatusCode, payload)
		require.Equal(t, `{"status":207,"payload":`+payload+`}`, res.body)
	}
	require.Equal(t, `{"status":207,"payload":null}`, h.do("POST", "/twins/d/methods", `{"methodName":"m"}`).body)
	require.Equal(t, `{"status":207,"payload":1}`, h.do("POST", "/twins/d/methods", `{"MethodName":"m","Payload":1}`).body)
}

func TestMethodsThatAreRefused(t *testing.T) {
	t.Parallel()
	e := &echo{}
	h := start(t, hubsim.Options{Fleet: echoes(e)})
	large := `"` + strings.Repeat("x", 128<<10) + `"`
	for name, test := range map[string]struct {
		body, code string
		status     int
	}{
		"no name":                  {`{"payload":1}`, "ArgumentInvalid", 400},
		"no JSON":                  {`{`, "ArgumentInvalid", 400},
		"response timeout too low": {`{"methodName":"m","responseTimeoutInSeconds":4}`, "ArgumentInvalid", 400},
		"response timeout zero":    {`{"methodName":"m","responseTimeoutInSeconds":0}`, "ArgumentInvalid", 400},
		"response timeout high":    {`{"methodName":"m","responseTimeoutInSeconds":301}`, "ArgumentInvalid", 400},
		"connect timeout negative": {`{"methodName":"m","connectTimeoutInSeconds":-1}`, "ArgumentInvalid", 400},
		"connect timeout high":     {`{"methodName":"m","connectTimeoutInSeconds":301}`, "ArgumentInvalid", 400},
		"payload too large":        {`{"methodName":"m","payload":` + large + `}`, "MessageTooLarge", 413},
		"body much too large":      {`{"methodName":"m","payload":` + large + strings.Repeat(" ", 200<<10) + `}`, "MessageTooLarge", 413},
	} {
		res := h.do("POST", "/twins/d/methods", test.body)
		require.Equal(t, test.status, res.StatusCode, name)
		require.Equal(t, test.code, res.Header.Get("iothub-errorcode"), name)
	}
	require.Zero(t, e.calls.Load())
	for _, body := range []string{
		`{"methodName":"m","responseTimeoutInSeconds":5,"connectTimeoutInSeconds":300}`,
		`{"methodName":"m","responseTimeoutInSeconds":300,"connectTimeoutInSeconds":null}`,
		`{"methodName":"m","payload":` + large[:len(large)-3] + `"}`,
	} {
		require.Equal(t, 200, h.do("POST", "/twins/d/methods", body).StatusCode)
	}
}

func TestUnknownAndDisabledDevicesAreNotFound(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{Fleet: echoes(&echo{})})
	h.do("PUT", "/devices/d", `{"deviceId":"d","status":"disabled"}`, "If-Match", "*")
	for _, id := range []string{"d", "nobody"} {
		res := h.do("POST", "/twins/"+id+"/methods", `{"methodName":"m"}`)
		require.Equal(t, 404, res.StatusCode)
		require.Equal(t, "DeviceNotFound", res.Header.Get("iothub-errorcode"))
		require.Contains(t, res.object(t)["Message"], "ErrorCode:DeviceNotFound;")
	}
}

// inner returns the JSON inside Message.
func inner(t *testing.T, res response) map[string]any {
	t.Helper()
	require.Empty(t, res.object(t)["ExceptionMessage"])
	text, ok := res.object(t)["Message"].(string)
	require.True(t, ok)
	var v map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &v))
	return v
}

func TestOfflineDeviceIsToldAtOnceWithoutConnectTimeout(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{Fleet: echoes(&echo{})})
	for _, id := range []string{"off", "outside"} {
		res := h.do("POST", "/twins/"+id+"/methods", `{"methodName":"m"}`)
		require.Equal(t, 404, res.StatusCode)
		require.Equal(t, "DeviceNotOnline", res.Header.Get("iothub-errorcode"))
		body := inner(t, res)
		require.EqualValues(t, 404103, body["errorCode"])
		require.Equal(t, "Timed out waiting for device to connect.", body["message"])
		require.Equal(t, map[string]any{"timeout": "00:00:00"}, body["info"])
	}
}

func TestConnectTimeoutWaitsForTheDevice(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{Fleet: echoes(&echo{})})

	began := time.Now()
	res := h.do("POST", "/twins/off/methods", `{"methodName":"m","connectTimeoutInSeconds":1}`)
	require.Equal(t, 404, res.StatusCode)
	require.GreaterOrEqual(t, time.Since(began), time.Second)
	require.Equal(t, map[string]any{"timeout": "00:00:01"}, inner(t, res)["info"])

	go func() {
		// It comes while the caller waits, or just before: both must do.
		h.SetOnline("off", true)
	}()
	res = h.do("POST", "/twins/off/methods", `{"methodName":"m","payload":1,"connectTimeoutInSeconds":30}`)
	require.Equal(t, `{"status":207,"payload":1}`, res.body)

	require.True(t, h.SetOnline("off", false))
	require.Equal(t, 404, h.do("POST", "/twins/off/methods", `{"methodName":"m"}`).StatusCode)
	require.False(t, h.SetOnline("outside", true), "it does not live in the simulator")
}

func TestSilentDevicesTimeOut(t *testing.T) {
	t.Parallel()
	for envelope, check := range map[hubsim.Envelope]func(response){
		hubsim.Nested: func(res response) {
			require.EqualValues(t, 504101, inner(t, res)["errorCode"])
			require.Equal(t, map[string]any{"timeout": "00:00:05"}, inner(t, res)["info"])
		},
		hubsim.Flat: func(res response) { require.EqualValues(t, 504101, res.object(t)["errorCode"]) },
		hubsim.Classic: func(res response) {
			require.Equal(t, "ErrorCode:GatewayTimeout;Timed out waiting for the response from device.", res.object(t)["Message"])
		},
	} {
		h := start(t, hubsim.Options{MethodErrors: envelope, Fleet: hubsim.Devices{
			{ID: "silent", Responder: &echo{answer: &registry.Answer{Silent: true}}},
			{ID: "slow", Responder: &echo{answer: &registry.Answer{After: time.Hour}}},
		}})
		for _, id := range []string{"silent", "slow"} {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				began := time.Now()
				res := h.do("POST", "/twins/"+id+"/methods", `{"methodName":"m","responseTimeoutInSeconds":5}`)
				require.GreaterOrEqual(t, time.Since(began), 5*time.Second)
				require.Equal(t, 504, res.StatusCode)
				require.Equal(t, "GatewayTimeout", res.Header.Get("iothub-errorcode"))
				check(res)
			})
		}
	}
}

func TestAnswersThatAreNotJSON(t *testing.T) {
	t.Parallel()
	bad := func() *echo {
		return &echo{answer: &registry.Answer{Reply: registry.Reply{Status: 200, Payload: []byte("not JSON")}}}
	}

	h := start(t, hubsim.Options{Fleet: echoes(bad())})
	res := h.do("POST", "/twins/d/methods", `{"methodName":"m"}`)
	require.Equal(t, 502, res.StatusCode)
	require.EqualValues(t, 502101, inner(t, res)["errorCode"])

	h = start(t, hubsim.Options{Fleet: echoes(bad()), RawBadAnswers: true})
	res = h.do("POST", "/twins/d/methods", `{"methodName":"m"}`)
	require.Equal(t, 200, res.StatusCode)
	require.Equal(t, `{"status":200,"payload":not JSON}`, res.body)
}

func TestAnswersWithoutPayloadAndTooLarge(t *testing.T) {
	t.Parallel()
	e := &echo{answer: &registry.Answer{Reply: registry.Reply{Status: 204}}}
	h := start(t, hubsim.Options{Fleet: echoes(e)})
	require.Equal(t, `{"status":204,"payload":null}`, h.do("POST", "/twins/d/methods", `{"methodName":"m"}`).body)

	e = &echo{answer: &registry.Answer{Reply: registry.Reply{Status: 200, Payload: []byte(`"` + strings.Repeat("x", 128<<10) + `"`)}}}
	h = start(t, hubsim.Options{Fleet: echoes(e)})
	require.Equal(t, 502, h.do("POST", "/twins/d/methods", `{"methodName":"m"}`).StatusCode)
}

func TestNewTextOfOfflineDevices(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{Fleet: echoes(&echo{}), NewOfflineText: true})
	body := inner(t, h.do("POST", "/twins/off/methods", `{"methodName":"m"}`))
	require.Contains(t, body["message"], "isn't online")
	require.Nil(t, body["info"])
	require.EqualValues(t, 404103, body["errorCode"])
}

func TestDevicesThatThePlanKeepsOffline(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{Fleet: echoes(&echo{}), Faults: fault.Plan{Offline: fault.Devices{IDs: []string{"d"}}}})
	require.Equal(t, 404, h.do("POST", "/twins/d/methods", `{"methodName":"m"}`).StatusCode)
	require.Equal(t, "Disconnected", h.do("GET", "/twins/d", "").object(t)["connectionState"])
	require.NoError(t, h.SetFaults(fault.Plan{}))
	require.Equal(t, 200, h.do("POST", "/twins/d/methods", `{"methodName":"m"}`).StatusCode)
	require.Equal(t, "Connected", h.do("GET", "/twins/d", "").object(t)["connectionState"])
}

func TestFleetBehavesAsItSays(t *testing.T) {
	t.Parallel()
	f := fleet(t, fleetsim.Options{Devices: 300, OfflineShare: 0.1, FailShare: 0.1, SilentShare: 0.01, Seed: 3})
	h := start(t, hubsim.Options{Fleet: f, Journal: true})
	for d := range f.All() {
		if d.Silent {
			continue // takes five seconds each; see TestSilentDevicesTimeOut
		}
		res := h.do("POST", "/twins/"+d.ID+"/methods", `{"methodName":"reboot"}`)
		switch {
		case d.Offline:
			require.Equal(t, 404, res.StatusCode)
		case d.Failing:
			require.EqualValues(t, 500, res.object(t)["status"])
			require.Equal(t, "E42", res.object(t)["payload"].(map[string]any)["code"])
		default:
			require.JSONEq(t, `{"status":200,"payload":{"result":"rebooting"}}`, res.body)
		}
	}
	e := f.Expect(nil)
	require.Equal(t, 300, e.Total)
	require.Equal(t, e.Total, e.Answering+e.Failing+e.Offline+e.Silent)
	require.Positive(t, e.Failing)
	require.Positive(t, e.Silent)
	counts := h.CallCounts(fault.Methods)
	require.Len(t, counts, e.Answering+e.Failing)
	for id, n := range counts {
		require.Equal(t, 1, n, id)
	}
}
