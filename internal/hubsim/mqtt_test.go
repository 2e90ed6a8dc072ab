package hubsim_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/hubsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/sas"
)

// mqttDevice is a bare MQTT client.
type mqttDevice struct {
	mqtt.Client
	t    *testing.T
	got  chan mqtt.Message
	lost chan error
}

// dialOptions are what a device may do differently.
type dialOptions struct {
	id, user, password string
	keepSession        bool
	will               string // topic
}

func (h *hub) dial(opt dialOptions) (*mqttDevice, error) {
	h.t.Helper()
	if opt.user == "" {
		opt.user = "localhost/" + opt.id + "/?api-version=2021-04-12&DeviceClientType=test"
	}
	if opt.password == "" {
		opt.password = sas.New("localhost/devices/"+opt.id, "", h.deviceKey(opt.id), time.Now().Add(time.Hour))
	}
	roots := x509.NewCertPool()
	require.True(h.t, roots.AppendCertsFromPEM(h.CAPEM()))
	d := &mqttDevice{t: h.t, got: make(chan mqtt.Message, 1000), lost: make(chan error, 1)}
	client := mqtt.NewClientOptions().AddBroker("tls://" + h.MQTTAddr()).
		SetTLSConfig(&tls.Config{RootCAs: roots}).SetProtocolVersion(4).SetAutoReconnect(false).
		SetClientID(opt.id).SetUsername(opt.user).SetPassword(opt.password).SetCleanSession(!opt.keepSession).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { d.got <- m }).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { d.lost <- err })
	if opt.will != "" {
		client.SetWill(opt.will, "gone", 1, false)
	}
	d.Client = mqtt.NewClient(client)
	h.t.Cleanup(func() { d.Disconnect(0) })
	token := d.Connect()
	require.True(h.t, token.WaitTimeout(time.Minute))
	return d, token.Error()
}

// connect connects a device by its own key.
func (h *hub) connect(id string) *mqttDevice {
	h.t.Helper()
	d, err := h.dial(dialOptions{id: id})
	require.NoError(h.t, err)
	return d
}

// shows waits until a twin has a state of its connection: the hub notes it after it has told the device.
func (h *hub) shows(state, twin string) {
	h.t.Helper()
	require.Eventually(h.t, func() bool { return h.do("GET", twin, "").object(h.t)["connectionState"] == state }, time.Minute, 10*time.Millisecond)
}

func (h *hub) deviceKey(id string) []byte {
	h.t.Helper()
	text, err := h.DeviceConnectionString(id)
	require.NoError(h.t, err)
	return keyOf(h.t, text)
}

// requireLost waits until the hub has closed the connection.
func (d *mqttDevice) requireLost() {
	d.t.Helper()
	select {
	case err := <-d.lost:
		require.Error(d.t, err)
	case <-time.After(time.Minute):
		require.Fail(d.t, "the connection is still there")
	}
}

// subscribe returns what the hub granted.
func (d *mqttDevice) subscribe(filter string, qos byte) byte {
	d.t.Helper()
	token, ok := d.Subscribe(filter, qos, nil).(*mqtt.SubscribeToken)
	require.True(d.t, ok)
	require.True(d.t, token.WaitTimeout(time.Minute))
	return token.Result()[filter]
}

func (d *mqttDevice) publish(topic string, payload string) {
	d.t.Helper()
	token := d.Publish(topic, 1, false, payload)
	require.True(d.t, token.WaitTimeout(time.Minute))
	require.NoError(d.t, token.Error())
}

// next returns the next publication of the hub.
func (d *mqttDevice) next() (topic, payload string) {
	d.t.Helper()
	select {
	case m := <-d.got:
		return m.Topic(), string(m.Payload())
	case <-time.After(time.Minute):
		require.Fail(d.t, "the hub sent nothing")
		return "", ""
	}
}

// answer answers methods until the device is disconnected.
func (d *mqttDevice) answer(reply func(method, payload string) (int, string)) {
	go func() {
		for m := range d.got {
			name, rid, ok := strings.Cut(strings.TrimPrefix(m.Topic(), "$iothub/methods/POST/"), "/?$rid=")
			if !ok {
				continue
			}
			status, payload := reply(name, string(m.Payload()))
			d.Publish(fmt.Sprintf("$iothub/methods/res/%d/?$rid=%s", status, rid), 0, false, payload)
		}
	}()
	d.t.Cleanup(func() { d.Disconnect(0); close(d.got) })
}

const methods = "$iothub/methods/POST/#"

func outside(names ...string) hubsim.Options {
	fleet := hubsim.Devices{}
	for _, id := range names {
		fleet = append(fleet, hubsim.Devices{{ID: id}}...)
	}
	return hubsim.Options{Fleet: fleet}
}

func TestMethodOverMQTT(t *testing.T) {
	t.Parallel()
	h := start(t, outside("d"))
	d := h.connect("d")
	h.shows("Connected", "/twins/d")
	require.Equal(t, 404, h.do("POST", "/twins/d/methods", reboot).StatusCode, "connected, but not subscribed")

	require.Equal(t, byte(0), d.subscribe(methods, 0))
	d.answer(func(method, payload string) (int, string) {
		if method == "nothing" {
			return 204, ""
		}
		return 201, `{"method":"` + method + `","got":` + payload + `}`
	})
	res := h.do("POST", "/twins/d/methods", `{"methodName":"reboot","payload":{"delay":5}}`)
	require.JSONEq(t, `{"status":201,"payload":{"method":"reboot","got":{"delay":5}}}`, res.body)
	res = h.do("POST", "/twins/d/methods", `{"methodName":"m"}`)
	require.JSONEq(t, `{"status":201,"payload":{"method":"m","got":null}}`, res.body, "no payload comes as null")
	require.Equal(t, `{"status":204,"payload":null}`, h.do("POST", "/twins/d/methods", `{"methodName":"nothing"}`).body)
	require.EqualValues(t, 1, h.Stats().MQTTConnections)

	d.Disconnect(0)
	require.Eventually(t, func() bool { return h.Stats().MQTTConnections == 0 }, time.Minute, 10*time.Millisecond)
	h.shows("Disconnected", "/twins/d")
}

func TestManyMethodsAtOnceToOneDevice(t *testing.T) {
	t.Parallel()
	h := start(t, outside("d"))
	d := h.connect("d")
	d.subscribe(methods, 0)
	d.answer(func(_, payload string) (int, string) { return 200, payload })
	var group sync.WaitGroup
	for i := range 64 {
		group.Go(func() {
			for j := range 10 {
				want := fmt.Sprint(i*1000 + j)
				res, err := h.try("POST", "/twins/d/methods", `{"methodName":"m","payload":`+want+`}`)
				if err != nil || res.body != `{"status":200,"payload":`+want+`}` {
					t.Errorf("%s: %v %s", want, err, res.body)
				}
			}
		})
	}
	group.Wait()
}

func TestConnectTimeoutWaitsForTheSubscription(t *testing.T) {
	t.Parallel()
	h := start(t, outside("d"))
	done := make(chan string, 1)
	go func() {
		res, err := h.try("POST", "/twins/d/methods", `{"methodName":"m","connectTimeoutInSeconds":30}`)
		done <- fmt.Sprint(err, res.body)
	}()
	require.Eventually(t, func() bool { return h.Stats().MethodsInFlight == 1 }, time.Minute, 5*time.Millisecond)
	d := h.connect("d")
	d.answer(func(string, string) (int, string) { return 200, `"here"` })
	d.subscribe(methods, 1)
	require.Equal(t, `<nil>{"status":200,"payload":"here"}`, <-done)
}

func TestTwinOverMQTT(t *testing.T) {
	t.Parallel()
	h := start(t, outside("d"))
	d := h.connect("d")
	d.subscribe("$iothub/twin/res/#", 1)
	require.Equal(t, byte(1), d.subscribe("$iothub/twin/PATCH/properties/desired/#", 2), "the hub grants no QoS 2")

	d.publish("$iothub/twin/GET/?$rid=1f", " ")
	topic, payload := d.next()
	require.Equal(t, "$iothub/twin/res/200/?$rid=1f", topic)
	require.JSONEq(t, `{"desired":{"$version":1},"reported":{"$version":1}}`, payload)

	d.publish("$iothub/twin/PATCH/properties/reported/?$rid=2", `{"fw":"1.0","gone":null}`)
	topic, payload = d.next()
	require.Equal(t, "$iothub/twin/res/204/?$rid=2&$version=2", topic)
	require.Empty(t, payload)
	reported := h.do("GET", "/twins/d", "").object(t)["properties"].(map[string]any)["reported"].(map[string]any)
	require.Equal(t, "1.0", reported["fw"])

	for rid, bad := range map[string]string{"3": "{", "4": "[]", "5": `{"a b":1}`} {
		d.publish("$iothub/twin/PATCH/properties/reported/?$rid="+rid, bad)
		topic, _ = d.next()
		require.Equal(t, "$iothub/twin/res/400/?$rid="+rid, topic)
	}

	h.do("PATCH", "/twins/d", `{"properties":{"desired":{"building":43,"floor":3}}}`)
	topic, payload = d.next()
	require.Equal(t, "$iothub/twin/PATCH/properties/desired/?$version=2", topic)
	require.JSONEq(t, `{"building":43,"floor":3,"$version":2}`, payload)
	h.do("PATCH", "/twins/d", `{"properties":{"desired":{"floor":null}}}`)
	_, payload = d.next()
	require.JSONEq(t, `{"floor":null,"$version":3}`, payload, "the device sees the deletion")
	h.do("PATCH", "/twins/d", `{"tags":{"a":1}}`)
	h.do("PUT", "/twins/d", `{"properties":{"desired":{"only":1}}}`)
	_, payload = d.next()
	require.JSONEq(t, `{"only":1,"$version":4}`, payload, "tags are none of its business")
}

func TestDesiredNoticesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	h := start(t, outside("d"))
	d := h.connect("d")
	d.subscribe("$iothub/twin/PATCH/properties/desired/#", 0)
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			for range 10 {
				if _, err := h.try("PATCH", "/twins/d", `{"properties":{"desired":{"a":1}}}`); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	for version := range 100 {
		topic, _ := d.next()
		require.Equal(t, fmt.Sprintf("$iothub/twin/PATCH/properties/desired/?$version=%d", version+2), topic)
	}
}

func TestSecondConnectionClosesTheFirst(t *testing.T) {
	t.Parallel()
	h := start(t, outside("d"))
	first := h.connect("d")
	second := h.connect("d")
	first.requireLost()
	second.subscribe(methods, 0)
	second.answer(func(string, string) (int, string) { return 200, `"second"` })
	require.JSONEq(t, `{"status":200,"payload":"second"}`, h.do("POST", "/twins/d/methods", reboot).body)
	require.EqualValues(t, 1, h.Stats().MQTTConnections)
}

func TestKeptSessionsKeepTheirSubscriptions(t *testing.T) {
	t.Parallel()
	h := start(t, outside("d"))
	first, err := h.dial(dialOptions{id: "d", keepSession: true})
	require.NoError(t, err)
	first.subscribe(methods, 1)
	first.Disconnect(0)
	require.Eventually(t, func() bool { return h.Stats().MQTTConnections == 0 }, time.Minute, 10*time.Millisecond)

	again, err := h.dial(dialOptions{id: "d", keepSession: true})
	require.NoError(t, err)
	again.answer(func(string, string) (int, string) { return 200, `"again"` })
	require.JSONEq(t, `{"status":200,"payload":"again"}`, h.do("POST", "/twins/d/methods", `{"methodName":"m","connectTimeoutInSeconds":5}`).body)

	clean := h.connect("d")
	again.requireLost()
	require.True(t, clean.IsConnected())
	require.Equal(t, 404, h.do("POST", "/twins/d/methods", reboot).StatusCode, "a clean session begins with nothing")
}

func TestWhoMayConnect(t *testing.T) {
	t.Parallel()
	const mac = "00:1b(2)"
	h := start(t, outside("d", "e", "off", mac))
	h.do("PUT", "/devices/off", `{"status":"disabled"}`, "If-Match", "*")
	hour := time.Now().Add(time.Hour)
	key := h.deviceKey("d")
	offKey := sas.New("localhost/devices/off", "", h.deviceKey("off"), hour)
	policy := func(name string) string {
		return sas.New("localhost/devices/d", name, keyOf(t, h.PolicyConnectionString(name)), hour)
	}
	for name, test := range map[string]struct {
		opt dialOptions
		ok  bool
	}{
		"own key":            {dialOptions{id: "d"}, true},
		"host-wide resource": {dialOptions{id: "d", password: sas.New("localhost", "", key, hour)}, true},
		"no question mark":   {dialOptions{id: "d", user: "localhost/d/api-version=2020-09-30"}, true},
		"policy device":      {dialOptions{id: "d", password: policy("device")}, true},
		"policy iothubowner": {dialOptions{id: "d", password: policy("iothubowner")}, true},
		"policy service":     {dialOptions{id: "d", password: policy("service")}, false},
		"another's resource": {dialOptions{id: "d", password: sas.New("localhost/devices/e", "", key, hour)}, false},
		"another's key":      {dialOptions{id: "e", password: sas.New("localhost/devices/e", "", key, hour)}, false},
		"another's name":     {dialOptions{id: "d", user: "localhost/e/?api-version=2021-04-12"}, false},
		"expired":            {dialOptions{id: "d", password: sas.New("localhost/devices/d", "", key, time.Now().Add(-time.Minute))}, false},
		"no token":           {dialOptions{id: "d", password: "secret"}, false},
		"escaped twice":      {dialOptions{id: mac, password: sas.New("localhost/devices/00%3A1b(2)", "", h.deviceKey(mac), hour)}, true},
		"of another, twice":  {dialOptions{id: "d", password: sas.New("localhost/devices/%2564", "", key, hour)}, false},
		"unknown":            {dialOptions{id: "x", password: sas.New("localhost/devices/x", "", key, hour)}, false},
		"disabled":           {dialOptions{id: "off", password: offKey}, false},
	} {
		d, err := h.dial(test.opt)
		if test.ok {
			require.NoError(t, err, name)
			d.Disconnect(0)
			continue
		}
		require.ErrorIs(t, err, packets.ErrorRefusedNotAuthorised, name)
	}
}

func TestHubEndsConnections(t *testing.T) {
	t.Parallel()
	h := start(t, outside("expires", "disabled", "deleted", "qos2", "topic"))
	expiring, err := h.dial(dialOptions{id: "expires", password: sas.New("localhost", "", h.deviceKey("expires"), time.Now().Add(6*time.Second))})
	require.NoError(t, err)

	disabled := h.connect("disabled")
	h.do("PUT", "/devices/disabled", `{"status":"disabled"}`, "If-Match", "*")
	disabled.requireLost()

	deleted := h.connect("deleted")
	h.do("DELETE", "/devices/deleted", "", "If-Match", "*")
	deleted.requireLost()

	qos2 := h.connect("qos2")
	qos2.Publish("devices/qos2/messages/events/", 2, false, "x")
	qos2.requireLost()

	topic := h.connect("topic")
	topic.Publish("weather", 0, false, "x")
	topic.requireLost()

	expiring.requireLost()
}

func TestAWillIsAMessageOfTheDevice(t *testing.T) {
	t.Parallel()
	h := start(t, outside("d"))
	d, err := h.dial(dialOptions{id: "d", will: "devices/d/messages/events/"})
	require.NoError(t, err)
	h.do("PUT", "/devices/d", `{"status":"disabled"}`, "If-Match", "*")
	d.requireLost()
	require.Eventually(t, func() bool { return h.Stats().DeviceMessages == 1 }, 10*time.Second, 10*time.Millisecond)
}

func TestSubscriptionsThatTheHubHasNot(t *testing.T) {
	t.Parallel()
	h := start(t, outside("d"))
	d := h.connect("d")
	const refused = 0x80
	for filter, granted := range map[string]byte{
		methods: 1, "devices/d/messages/devicebound/#": 1, "devices/e/messages/devicebound/#": refused, "#": refused, "$iothub/#": refused,
	} {
		require.Equal(t, granted, d.subscribe(filter, 1), filter)
	}
	d.publish("devices/d/messages/events/%24.ct=application%2Fjson", `{"t":21}`)
	require.Eventually(t, func() bool { return h.Stats().DeviceMessages == 1 }, time.Minute, 10*time.Millisecond)
}

func TestUnsubscribedDevicesGetNoMethods(t *testing.T) {
	t.Parallel()
	h := start(t, outside("d"))
	d := h.connect("d")
	d.subscribe(methods, 0)
	token := d.Unsubscribe(methods)
	require.True(t, token.WaitTimeout(time.Minute))
	require.Equal(t, 404, h.do("POST", "/twins/d/methods", reboot).StatusCode)
}
