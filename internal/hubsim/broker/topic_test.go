package broker

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTopicsOfADevice(t *testing.T) {
	t.Parallel()
	for topic, want := range map[string]message{
		"$iothub/methods/res/200/?$rid=7":                           {request: methodAnswer, rid: "7", status: 200},
		"$iothub/methods/res/-1/?$rid=a-b":                          {request: methodAnswer, rid: "a-b", status: -1},
		"$iothub/twin/GET/?$rid=1f":                                 {request: twinGet, rid: "1f"},
		"$iothub/twin/PATCH/properties/reported/?$rid=9&$version=3": {request: twinReport, rid: "9"},
		"devices/d1/messages/events/%24.mid=m&k=v":                  {request: telemetry},
		"devices/d1/messages/events":                                {request: telemetry},
		"devices/d2/messages/events/":                               {},
		"$iothub/methods/res/ok/?$rid=7":                            {},
		"$iothub/methods/res/200/":                                  {},
		"$iothub/twin/GET/":                                         {},
		"$iothub/twin/PATCH/properties/desired/?$rid=1":             {},
		"weather": {},
	} {
		require.Equal(t, want, parseTopic(topic, "d1"), topic)
	}
}

func TestTopicsOfAModule(t *testing.T) {
	t.Parallel()
	require.Equal(t, message{request: telemetry}, parseTopic("devices/d1/modules/m/messages/events/a=b", "d1/m"))
	require.Equal(t, message{}, parseTopic("devices/d1/messages/events/", "d1/m"))
	for filter, allowed := range map[string]bool{
		filterMethods: true, "devices/d1/modules/m/#": true, "devices/d1/modules/m/inputs/#": true,
		"devices/d1/messages/devicebound/#": false, "devices/d1/modules/other/#": false, "devices/d1/#": false,
	} {
		require.Equal(t, allowed, allowedFilter(filter, "d1/m"), filter)
	}
	require.False(t, allowedFilter("devices/d1/modules/m/#", "d1"))
}

func TestUserNames(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"localhost/dev1/?api-version=2021-04-12&DeviceClientType=x/1": "dev1",
		"localhost:8883/dev1/api-version=2020-09-30":                  "dev1",
		"localhost/dev1":                       "dev1",
		"localhost/dev1/m/?api-version=2021-1": "dev1/m",
		"localhost/":                           "",
		"localhost":                            "",
		"":                                     "",
	} {
		for _, client := range []string{"dev1", "dev1/m", "dev", "", "localhost"} {
			require.Equal(t, want != "" && client == want, names(text, client), "%s for %s", text, client)
		}
	}
}

func FuzzTopic(f *testing.F) {
	f.Add("$iothub/methods/res/200/?$rid=7")
	f.Add("$iothub/twin/GET/?$rid=")
	f.Add("$iothub/twin/PATCH/properties/reported/?a&$rid=1&$version=2")
	f.Add("devices/d1/messages/events/")
	f.Fuzz(func(t *testing.T, topic string) {
		m := parseTopic(topic, "d1")
		if m.request == methodAnswer && !strings.Contains(topic, strconv.Itoa(m.status)) && !strings.ContainsAny(topic, "+0") {
			t.Fatalf("%q has no status %d", topic, m.status)
		}
		if m.rid != "" && !strings.Contains(topic, "$rid="+m.rid) {
			t.Fatalf("%q has no $rid %q", topic, m.rid)
		}
		if (m.request == methodAnswer || m.request == twinGet || m.request == twinReport) != (m.rid != "") {
			t.Fatalf("%q: request %d with $rid %q", topic, m.request, m.rid)
		}
	})
}
