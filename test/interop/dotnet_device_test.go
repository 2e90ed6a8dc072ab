package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/sas"
)

// dotnetForm is how a generation of Microsoft.Azure.Devices.Client speaks MQTT.
type dotnetForm struct {
	name string
	// model ends the user name.
	model string
	// listens is the QoS of subscriptions, publishes that of publications beside telemetry.
	listens, publishes byte
	// eager subscribes the answers about twins when it connects, and messages when it finds its session again.
	eager bool
}

// dotnetForms are the two that the SDK's source has:
// https://github.com/Azure/azure-iot-sdk-csharp/blob/main/iothub/device/src/Transport/Mqtt/MqttIotHubAdapter.cs with
// MqttTransportHandler.cs and MqttTransportSettings.cs beside it, over DotNetty, and
// https://github.com/Azure/azure-iot-sdk-csharp/blob/previews/v2/iothub/device/src/Transport/Mqtt/MqttTransportHandler.cs over MQTTnet.
func dotnetForms() []dotnetForm {
	return []dotnetForm{
		{name: "v1", model: "dtmi:com:example:Door;1", listens: 0, publishes: 0, eager: true},
		{name: "v2", model: "dtmi%3Acom%3Aexample%3ADoor%3B1", listens: 1, publishes: 1},
	}
}

const dotnetKeepAlive = 300 // seconds

// dotnetDevice is a DeviceClient, packet by packet.
type dotnetDevice struct {
	t        *testing.T
	form     dotnetForm
	id, host string
	key      []byte
	dial     func() net.Conn

	conn     net.Conn
	packetID uint16
	answers  chan packets.ControlPacket
	got      chan *packets.PublishPacket
}

// open connects, and tells whether the hub knew the session.
func (d *dotnetDevice) open() (known bool) {
	d.t.Helper()
	d.conn = d.dial()
	d.answers, d.got = make(chan packets.ControlPacket, 16), make(chan *packets.PublishPacket, 16)
	go receive(d.conn, d.answers, d.got)
	connect := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	connect.ProtocolName, connect.ProtocolVersion, connect.Keepalive = "MQTT", 4, dotnetKeepAlive
	connect.ClientIdentifier = d.id
	product := ".NET/1.42.3 (.NET 8.0.11; Debian GNU/Linux 12 (bookworm); X64)"
	connect.UsernameFlag, connect.PasswordFlag = true, true
	connect.Username = d.host + "/" + d.id + "/?api-version=2020-09-30&DeviceClientType=" +
		strings.ReplaceAll(url.QueryEscape(product), "+", "%20") + "&model-id=" + d.form.model
	// The id is escaped, and with the rest of the resource once more
	// (https://github.com/Azure/azure-iot-sdk-csharp/blob/main/iothub/device/src/DeviceAuthenticationWithSakRefresh.cs).
	connect.Password = []byte(sas.New(d.host+"/devices/"+url.QueryEscape(d.id), "", d.key, time.Now().Add(time.Hour)))
	connect.WillFlag, connect.WillQos = true, 1
	connect.WillTopic, connect.WillMessage = "devices/"+d.id+"/messages/events/", []byte("gone")
	d.write(connect)
	ack := answer[*packets.ConnackPacket](d)
	require.Equal(d.t, byte(packets.Accepted), ack.ReturnCode)
	if d.form.eager {
		if ack.SessionPresent {
			require.Equal(d.t, byte(1), d.subscribe("devices/"+d.id+"/messages/devicebound/#", 1))
		}
		d.listen("$iothub/twin/res/#")
	}
	return ack.SessionPresent
}

// receive reads what the hub sends until the connection ends.
func receive(conn net.Conn, answers chan<- packets.ControlPacket, got chan<- *packets.PublishPacket) {
	defer close(answers)
	defer close(got)
	for {
		packet, err := packets.ReadPacket(conn)
		if err != nil {
			return
		}
		if publication, ok := packet.(*packets.PublishPacket); ok {
			got <- publication
			continue
		}
		answers <- packet
	}
}

func (d *dotnetDevice) write(packet packets.ControlPacket) {
	d.t.Helper()
	var b bytes.Buffer // one write is one segment, as in DotNetty
	require.NoError(d.t, packet.Write(&b))
	_, err := d.conn.Write(b.Bytes())
	require.NoError(d.t, err)
}

// answer is the next packet that is no publication.
func answer[P packets.ControlPacket](d *dotnetDevice) P {
	d.t.Helper()
	select {
	case packet := <-d.answers:
		require.IsType(d.t, *new(P), packet)
		return packet.(P)
	case <-time.After(time.Minute):
		require.Fail(d.t, "the hub does not answer")
		return *new(P)
	}
}

func (d *dotnetDevice) next() uint16 {
	d.packetID++
	return d.packetID
}

// subscribe gives the QoS that the hub grants.
func (d *dotnetDevice) subscribe(filter string, qos byte) byte {
	d.t.Helper()
	packet := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	packet.MessageID, packet.Topics, packet.Qoss = d.next(), []string{filter}, []byte{qos}
	d.write(packet)
	ack := answer[*packets.SubackPacket](d)
	require.Equal(d.t, packet.MessageID, ack.MessageID)
	require.Len(d.t, ack.ReturnCodes, 1)
	return ack.ReturnCodes[0]
}

// listen subscribes what is no message.
func (d *dotnetDevice) listen(filter string) {
	d.t.Helper()
	require.Equal(d.t, d.form.listens, d.subscribe(filter, d.form.listens))
}

func (d *dotnetDevice) unsubscribe(filter string) {
	d.t.Helper()
	packet := packets.NewControlPacket(packets.Unsubscribe).(*packets.UnsubscribePacket)
	packet.MessageID, packet.Topics = d.next(), []string{filter}
	d.write(packet)
	require.Equal(d.t, packet.MessageID, answer[*packets.UnsubackPacket](d).MessageID)
}

func (d *dotnetDevice) publish(topic, payload string, qos byte) {
	d.t.Helper()
	packet := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	packet.TopicName, packet.Payload, packet.Qos = topic, []byte(payload), qos
	if qos > 0 {
		packet.MessageID = d.next()
	}
	d.write(packet)
	if qos > 0 {
		require.Equal(d.t, packet.MessageID, answer[*packets.PubackPacket](d).MessageID)
	}
}

// receive gives the hub's next publication, by the segments of its topic. Both forms look for properties in the fifth segment, by
// a parser that takes one equals sign in each
// (https://github.com/Azure/azure-iot-sdk-csharp/blob/main/iothub/device/src/Transport/Mqtt/UrlEncodedDictionarySerializer.cs).
func (d *dotnetDevice) receive() (topic []string, payload string) {
	d.t.Helper()
	select {
	case p := <-d.got:
		require.NotNil(d.t, p, "the connection is lost")
		require.Zero(d.t, p.Qos, "all but messages come at QoS 0")
		topic = strings.Split(p.TopicName, "/")
		require.GreaterOrEqual(d.t, len(topic), 5)
		require.LessOrEqual(d.t, len(topic), 6)
		for property := range strings.SplitSeq(topic[4], "&") {
			require.LessOrEqual(d.t, strings.Count(property, "="), 1)
		}
		return topic, string(p.Payload)
	case <-time.After(time.Minute):
		require.Fail(d.t, "the hub sends nothing")
		return nil, ""
	}
}

var dotnetResult = regexp.MustCompile(`^\$iothub/twin/res/(\d+)/(\?.+)$`)

// request asks the hub about the twin. The topic has the id of the request after verb.
func (d *dotnetDevice) request(verb, payload string) (status string, parameters url.Values, body string) {
	d.t.Helper()
	rid := uuid.NewString()
	d.publish("$iothub/twin/"+verb+"/?$rid="+rid, payload, d.form.publishes)
	topic, body := d.receive()
	match := dotnetResult.FindStringSubmatch(strings.Join(topic, "/"))
	require.NotNil(d.t, match, "%q", topic)
	parameters, err := url.ParseQuery(strings.TrimPrefix(match[2], "?"))
	require.NoError(d.t, err)
	require.Equal(d.t, rid, parameters.Get("$rid"))
	return match[1], parameters, body
}

// serve answers the next method, which must have a name and payload, as a handler of the user does or, with status 501 and
// nothing else, the SDK where there is none.
func (d *dotnetDevice) serve(method, payload string, status int, result string) {
	d.t.Helper()
	topic, got := d.receive()
	require.Equal(d.t, []string{"$iothub", "methods", "POST", method}, topic[:4])
	rid, ok := strings.CutPrefix(topic[4], "?$rid=")
	require.True(d.t, ok, "v1 takes the id from the seventh character on, whatever stands before")
	require.JSONEq(d.t, payload, got)
	d.publish(fmt.Sprintf("$iothub/methods/res/%d/?$rid=%s", status, rid), result, d.form.publishes)
}

// dotnetDevices is the suite of DeviceClient for .NET.
func (w *world) dotnetDevices(t *testing.T, s server) {
	for _, form := range dotnetForms() {
		t.Run(form.name, func(t *testing.T) {
			t.Parallel()
			service := w.dotnet(t, s)
			d := w.dotnetDevice(t, form, "net:"+form.name+":"+s.name)
			require.False(t, d.open())
			d.twins(service)
			d.methods(service)
			d.publish("devices/"+d.id+"/messages/events/%24.ct=application%2Fjson&%24.ce=utf-8/", `{"t":21}`, 1)
			d.write(packets.NewControlPacket(packets.Pingreq))
			answer[*packets.PingrespPacket](d)

			require.NoError(t, d.conn.Close(), "as a network does")
			require.True(t, d.open(), "it keeps its session")
			d.jobs(service)
			d.silence(service)
			d.write(packets.NewControlPacket(packets.Disconnect))
		})
	}
}

// dotnetDevice makes a device that has yet to connect.
func (w *world) dotnetDevice(t *testing.T, form dotnetForm, id string) *dotnetDevice {
	t.Helper()
	part := parts(w.register(t, id))
	d := &dotnetDevice{t: t, form: form, id: id, host: hubName, key: decoded(t, part["SharedAccessKey"])}
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: w.roots(t), ServerName: hubName, MinVersion: tls.VersionTLS12}}
	d.dial = func() net.Conn {
		conn, err := dialer.DialContext(context.WithoutCancel(t.Context()), "tcp", w.MQTTAddr)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() }) // may be closed
		return conn
	}
	return d
}

func (d *dotnetDevice) twins(service dotnet) {
	d.t.Helper()
	if !d.form.eager {
		d.listen("$iothub/twin/res/#")
	}
	status, _, body := d.request("GET", "")
	require.Equal(d.t, "200", status)
	var twin struct{ Desired, Reported map[string]any }
	require.NoError(d.t, json.Unmarshal([]byte(body), &twin))
	require.Equal(d.t, map[string]any{"$version": 1.0}, twin.Desired)
	require.Equal(d.t, map[string]any{"$version": 1.0}, twin.Reported)

	status, parameters, _ := d.request("PATCH/properties/reported", `{"firmware":{"version":"1.0"},"gone":null}`)
	require.Equal(d.t, []string{"204", "2"}, []string{status, parameters.Get("$version")})
	status, _, body = d.request("PATCH/properties/reported", `{"a.b":1}`)
	require.Equal(d.t, "400", status)
	var refusal struct {
		ErrorCode int
		Message   string
	}
	require.NoError(d.t, json.Unmarshal([]byte(body), &refusal), "v2 reads it")
	require.Equal(d.t, 400004, refusal.ErrorCode, "ArgumentInvalid")
	require.Equal(d.t, map[string]any{"version": "1.0"}, service.twin(http.MethodGet, d.id, "").Properties.Reported["firmware"])

	d.listen("$iothub/twin/PATCH/properties/desired/#")
	service.twin(http.MethodPatch, d.id, `{"deviceId":"`+d.id+`","etag":null,"version":null,"properties":{"desired":{"interval":10},"reported":{}}}`, "If-Match", `"*"`)
	topic, patch := d.receive()
	require.Equal(d.t, "$iothub/twin/PATCH/properties/desired/?$version=2", strings.Join(topic, "/"))
	require.JSONEq(d.t, `{"interval":10,"$version":2}`, patch)
	d.unsubscribe("$iothub/twin/PATCH/properties/desired/#")
}

// invoke calls a method that device answers, and gives the result as JSON.
func (d *dotnetDevice) invoke(service dotnet, body string, device func()) string {
	d.t.Helper()
	type result struct {
		dotnetAnswer
		err error
	}
	done := make(chan result, 1)
	go func() {
		answer, err := service.try(http.MethodPost, "/twins/"+escaped(d.id)+"/methods"+dotnetVersion, body)
		done <- result{answer, err}
	}()
	device()
	got := <-done
	require.NoError(d.t, got.err)
	require.Equal(d.t, http.StatusOK, got.status, "%s", got.body)
	return string(got.body)
}

func (d *dotnetDevice) methods(service dotnet) {
	d.t.Helper()
	d.listen("$iothub/methods/POST/#")
	require.JSONEq(d.t, `{"status":200,"payload":{"result":"locked"}}`,
		d.invoke(service, `{"methodName":"lockDoor","responseTimeoutInSeconds":30,"connectTimeoutInSeconds":5,"payload":{"lockTime":"10m"}}`, func() {
			d.serve("lockDoor", `{"lockTime":"10m"}`, http.StatusOK, `{"result":"locked"}`)
		}))
	require.JSONEq(d.t, `{"status":501,"payload":null}`, d.invoke(service, `{"methodName":"unheard","payload":null}`, func() {
		d.serve("unheard", `null`, http.StatusNotImplemented, "")
	}))
}

// jobs is after the connection was lost: the subscription is that of the session.
func (d *dotnetDevice) jobs(service dotnet) {
	d.t.Helper()
	id := "net-" + uuid.NewString()
	service.job(http.MethodPut, "/jobs/v2/"+id, `{"jobId":"`+id+`","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"lockDoor",`+
		`"responseTimeoutInSeconds":60,"connectTimeoutInSeconds":60,"payload":[1,"two"]},"queryCondition":"deviceId = '`+d.id+`'","maxExecutionTimeInSeconds":300}`)
	d.serve("lockDoor", `[1,"two"]`, http.StatusOK, `{"result":"locked"}`)
	job := service.ended(id)
	require.Equal(d.t, "completed", job.Status)
	require.Equal(d.t, 1, job.Statistics["succeededCount"])
}

// silence is after the methods are disabled: the device is connected, and not to be reached.
func (d *dotnetDevice) silence(service dotnet) {
	d.t.Helper()
	d.unsubscribe("$iothub/methods/POST/#")
	answer := service.exchange(http.MethodPost, "/twins/"+escaped(d.id)+"/methods"+dotnetVersion, `{"methodName":"lockDoor","payload":null}`)
	require.Equal(d.t, http.StatusNotFound, answer.status)
	var envelope struct{ Message string }
	require.NoError(d.t, json.Unmarshal(answer.body, &envelope))
	var message struct{ ErrorCode int }
	require.NoError(d.t, json.Unmarshal([]byte(envelope.Message), &message))
	require.Equal(d.t, 404103, message.ErrorCode)
}
