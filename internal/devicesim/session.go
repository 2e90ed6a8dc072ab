package devicesim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/sas"
)

// The hub's topics (https://learn.microsoft.com/azure/iot/iot-mqtt-connect-to-iot-hub).
const (
	methodTopic  = "$iothub/methods/POST/"
	resultTopic  = "$iothub/twin/res/"
	desiredTopic = "$iothub/twin/PATCH/properties/desired/"
	apiVersion   = "2021-04-12"
)

const (
	connectTimeout = 30 * time.Second
	keepAlive      = 60 * time.Second
	quiesce        = 250 // milliseconds that paho may take to say goodbye
	inboxSize      = 256
)

var errRenew = errors.New("the token is about to expire")

// connectOnce is one connection, from CONNECT to its end. connected tells whether the hub accepted it; err is why it ended.
func (d *device) connectOnce(ctx context.Context) (connected bool, err error) {
	lost := make(chan error, 1)
	// Everything that arrives goes through one queue, which keeps its order and lets paho's reader go on.
	inbox := make(chan mqtt.Message, inboxSize)
	ending, end := context.WithCancel(ctx)
	defer end()
	config, err := trust(d.opt.CAFile)
	if err != nil {
		return false, err
	}
	// A token counts whole seconds.
	expiry := time.Now().Add(d.opt.TokenLifetime).Truncate(time.Second)
	client := mqtt.NewClient(d.options(expiry).SetTLSConfig(config).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { lost <- err }).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
			select {
			case inbox <- m:
			case <-ending.Done():
			}
		}))
	if err := await(ctx, client.Connect()); err != nil {
		client.Disconnect(0)
		return false, err
	}
	defer client.Disconnect(quiesce)
	d.printf("connected to %s as %s", strings.TrimPrefix(d.broker, "tls://"), d.id)
	if err := d.begin(ctx, client); err != nil {
		return true, err
	}
	renew := time.NewTimer(time.Until(expiry) * 4 / 5)
	defer renew.Stop()
	for {
		select {
		case m := <-inbox:
			d.handle(client, m)
		case err := <-lost:
			return true, err
		case <-renew.C:
			d.printf("renewing the token")
			return true, errRenew
		case <-ctx.Done():
			return true, ctx.Err()
		}
	}
}

func (d *device) options(expiry time.Time) *mqtt.ClientOptions {
	token := sas.New(d.host+"/devices/"+d.id, "", d.key, expiry)
	return mqtt.NewClientOptions().
		AddBroker(d.broker).SetProtocolVersion(4).
		SetClientID(d.id).SetUsername(d.host + "/" + d.id + "/?api-version=" + apiVersion).SetPassword(token).
		SetCleanSession(true).SetKeepAlive(keepAlive).SetConnectTimeout(connectTimeout).
		SetAutoReconnect(false).SetConnectRetry(false)
}

// await waits for one of paho's tokens.
func await(ctx context.Context, token mqtt.Token) error {
	select {
	case <-token.Done():
		return token.Error()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin subscribes, asks for the twin and reports.
func (d *device) begin(ctx context.Context, client mqtt.Client) error {
	filters := map[string]byte{methodTopic + "#": 0, resultTopic + "#": 0, desiredTopic + "#": 0}
	if err := await(ctx, client.SubscribeMultiple(filters, nil)); err != nil {
		return fmt.Errorf("subscribing: %w", err)
	}
	if err := await(ctx, client.Publish("$iothub/twin/GET/?$rid=get", 0, false, []byte{})); err != nil {
		return fmt.Errorf("asking for the twin: %w", err)
	}
	if !d.opt.Report {
		return nil
	}
	report := `{"lastSeen":"` + time.Now().UTC().Format(time.RFC3339) + `"}`
	if err := await(ctx, client.Publish("$iothub/twin/PATCH/properties/reported/?$rid=seen", 0, false, report)); err != nil {
		return fmt.Errorf("reporting: %w", err)
	}
	return nil
}

func (d *device) handle(client mqtt.Client, m mqtt.Message) {
	switch topic := m.Topic(); {
	case strings.HasPrefix(topic, methodTopic):
		d.answer(client, strings.TrimPrefix(topic, methodTopic), m.Payload())
	case strings.HasPrefix(topic, desiredTopic):
		d.printf("desired properties patch %s", m.Payload())
	case strings.HasPrefix(topic, resultTopic):
		d.result(strings.TrimPrefix(topic, resultTopic), m.Payload())
	}
}

// answer carries out a method. name is the rest of its topic: lockDoor/?$rid=1.
func (d *device) answer(client mqtt.Client, name string, payload []byte) {
	method, rid, ok := strings.Cut(name, "/?$rid=")
	if !ok {
		return
	}
	status, body := invoke(method, payload)
	d.printf("method %s %s -> %d %s", method, payload, status, body)
	// The hub tells its caller when no answer comes.
	client.Publish("$iothub/methods/res/"+strconv.Itoa(status)+"/?$rid="+rid, 0, false, body)
}

// invoke returns status and JSON payload of a method.
func invoke(method string, payload []byte) (int, []byte) {
	answer := map[string]any{}
	switch method {
	case "lockDoor":
		var request struct {
			LockTime json.RawMessage `json:"lockTime"`
		}
		answer["result"] = "door locked"
		// A payload without a lock time locks the door all the same.
		if err := json.Unmarshal(payload, &request); err == nil && request.LockTime != nil {
			answer["lockTime"] = request.LockTime
		}
	case "reboot":
		answer["result"] = "rebooting"
	default:
		answer["error"] = "the device has no method " + strconv.Quote(method)
		return http.StatusNotImplemented, encode(answer)
	}
	return http.StatusOK, encode(answer)
}

// encode writes a map of strings and raw JSON, which cannot fail.
func encode(answer map[string]any) []byte {
	body, _ := json.Marshal(answer)
	return body
}

// result prints the twin that the device asked for at connect.
func (d *device) result(name string, payload []byte) {
	if !strings.HasPrefix(name, "200/") || !strings.Contains(name, "$rid=get") {
		return
	}
	var twin struct {
		Desired json.RawMessage `json:"desired"`
	}
	if err := json.Unmarshal(payload, &twin); err == nil {
		d.printf("desired properties now %s", bytes.TrimSpace(twin.Desired))
	}
}
