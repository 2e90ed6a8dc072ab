package hubsim_test

import (
	"io"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/fleetsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/throttle"
)

// stopped is a clock that stands still, so that nothing is earned back.
func stopped() func() time.Time {
	at := time.Now()
	return func() time.Time { return at }
}

// metered starts a hub whose clock stands still; delays take a thousandth of their time.
func metered(t *testing.T, o throttle.Options) *hub {
	t.Helper()
	return start(t, hubsim.Options{
		Fleet: fleet(t, fleetsim.Options{Devices: 1}), Throttle: o, TimeScale: 1000, Now: stopped(),
	})
}

const one = "/twins/dev-000001"

func TestQueriesPassInABurstThenWaitThenAreRefused(t *testing.T) {
	t.Parallel()
	h := metered(t, throttle.Options{Tier: throttle.S1})
	query := func() int {
		return h.do("POST", "/devices/query", `{"query":"SELECT * FROM devices"}`).StatusCode
	}
	for range 23 {
		require.Equal(t, 200, query(), "20 at once and 3 after a delay")
	}
	require.Equal(t, 429, query())

	require.Equal(t, 200, h.do("GET", one, "").StatusCode, "twins have an allowance of their own")
	usage := h.Stats().Throttle[throttle.Queries]
	require.Equal(t, throttle.Usage{
		UnitsPerMinute: 20, Requests: 24, Delayed: 3, Refused: 1, Units: 23, PeakSecond: 20, PeakMinute: 23, Seconds: 9,
	}, usage)
	require.EqualValues(t, 1, h.Stats().Throttled())
	require.NoError(t, h.Reset())
	require.Equal(t, throttle.Usage{UnitsPerMinute: 20}, h.Stats().Throttle[throttle.Queries])
	require.Equal(t, 429, query(), "a reset forgives nothing")
}

func TestARefusalIsTheDocumentedErrorOnALivingConnection(t *testing.T) {
	t.Parallel()
	h := metered(t, throttle.Options{Tier: throttle.S1, Units: 2, Burst: -1, Queue: -1})
	require.Equal(t, 200, h.do("POST", one+"/methods", reboot).StatusCode)

	res := h.do("POST", one+"/methods", reboot)

	require.Equal(t, 429, res.StatusCode)
	require.Equal(t, "ThrottlingException", res.Header.Get("iothub-errorcode"))
	require.Contains(t, res.object(t)["Message"], `"errorCode":429001`)
	require.Empty(t, res.Header.Values("Retry-After"))
	require.False(t, res.Close)

	h.do("PATCH", one, `{"tags":{"a":1}}`)
	res = h.do("PATCH", one, `{"tags":{"a":1}}`)
	require.Equal(t, 429, res.StatusCode)
	require.True(t, strings.HasPrefix(res.object(t)["Message"].(string), "ErrorCode:ThrottlingException;"))
	require.EqualValues(t, 1, h.Stats().TwinsUpdated, "what is refused is not carried out")
}

func TestTheConnectionIsUsedAgainAfterARefusal(t *testing.T) {
	t.Parallel()
	h := metered(t, throttle.Options{Tier: throttle.S1, Burst: -1, Queue: -1})
	var reused []bool
	for range 3 {
		trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = append(reused, info.Reused) }}
		req := h.request("POST", one+"/methods", reboot)
		res, err := h.client.Do(req.WithContext(httptrace.WithClientTrace(t.Context(), trace)))
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
	}
	require.Equal(t, []bool{false, true, true}, reused)
	require.EqualValues(t, 2, h.Stats().Throttled())
}

func TestHowARefusalNamesTheWait(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{
		Fleet: fleet(t, fleetsim.Options{Devices: 1}), Now: stopped(),
		Throttle: throttle.Options{Tier: throttle.S1, Burst: -1, Queue: -1, RetryAfter: true, BacklogAnswer: true},
	})
	query := func() response { return h.do("POST", "/devices/query", `{"query":"SELECT * FROM devices"}`) }
	query()

	res := query()

	require.Equal(t, "ThrottlingBacklogTimeout", res.Header.Get("iothub-errorcode"))
	require.Contains(t, res.object(t)["Message"], "Wait 3 seconds and try again.")
	require.Equal(t, "3", res.Header.Get("Retry-After"))
	require.True(t, res.Close, "as seen on a live hub")
}

func TestMethodsAreMeteredInStepsOfFourKilobytes(t *testing.T) {
	t.Parallel()
	h := metered(t, throttle.Options{Tier: throttle.S1})
	units := func(payload int) int64 {
		before := h.Stats().Throttle[throttle.Methods].Units
		body := `{"methodName":"reboot","payload":"` + strings.Repeat("x", payload-2) + `"}`
		require.Equal(t, 200, h.do("POST", one+"/methods", body).StatusCode)
		return h.Stats().Throttle[throttle.Methods].Units - before
	}
	require.EqualValues(t, 1, units(2))
	require.EqualValues(t, 1, units(4096), "the envelope does not count")
	require.EqualValues(t, 2, units(4097))
	require.EqualValues(t, 32, units(128<<10))
	require.Equal(t, 413, h.do("POST", one+"/methods", `{"methodName":"m","payload":"`+strings.Repeat("x", 300<<10)+`"}`).StatusCode)
}

func TestTheDailyQuotaRefusesWhatCostsMessages(t *testing.T) {
	t.Parallel()
	h := metered(t, throttle.Options{Tier: throttle.F1, Quota: true})
	big := `{"methodName":"reboot","payload":"` + strings.Repeat("x", 100<<10) + `"}`
	status := 200
	for range 50 {
		if status = h.do("POST", one+"/methods", big).StatusCode; status != 200 {
			break
		}
	}
	require.Equal(t, 403, status)
	require.GreaterOrEqual(t, h.Stats().MessagesToday, int64(8000))
	require.Equal(t, "IotHubQuotaExceeded", h.do("GET", one, "").Header.Get("iothub-errorcode"))
	require.Equal(t, 200, h.do("GET", "/devices/dev-000001", "").StatusCode, "the registry is free")
}

func TestTheBasicTierRefusesMethods(t *testing.T) {
	t.Parallel()
	h := metered(t, throttle.Options{Tier: throttle.B1})
	require.Equal(t, 400, h.do("POST", one+"/methods", reboot).StatusCode)
	require.Equal(t, 200, h.do("GET", "/devices/dev-000001", "").StatusCode)
}

func TestAnUnknownTierIsRefused(t *testing.T) {
	t.Parallel()
	_, err := hubsim.Start(t.Context(), hubsim.Options{Throttle: throttle.Options{Tier: "S9"}})
	require.ErrorContains(t, err, "S9")
}

func TestWhatDevicesAskForIsMeteredToo(t *testing.T) {
	t.Parallel()
	opt := outside("a", "b")
	opt.Throttle, opt.Now = throttle.Options{Tier: throttle.S1, Burst: -1, Queue: -1}, stopped()
	h := start(t, opt)
	d := h.connect("a")
	d.subscribe("$iothub/twin/res/#", 0)
	for _, want := range []string{"$iothub/twin/res/200/?$rid=1", "$iothub/twin/res/429/?$rid=2"} {
		d.publish("$iothub/twin/GET/?$rid="+want[len(want)-1:], " ")
		topic, _ := d.next()
		require.Equal(t, want, topic)
	}
	for _, want := range []string{"$iothub/twin/res/204/?$rid=3&$version=2", "$iothub/twin/res/429/?$rid=4"} {
		rid := strings.TrimSuffix(strings.SplitAfter(want, "$rid=")[1], "&$version=2")
		d.publish("$iothub/twin/PATCH/properties/reported/?$rid="+rid, `{"a":1}`)
		topic, _ := d.next()
		require.Equal(t, want, topic)
	}
	_, err := h.dial(dialOptions{id: "b"})
	require.Error(t, err, "the first connection took what there was")
	require.EqualValues(t, 1, h.Stats().Throttle[throttle.Connections].Refused)
}
