package broker

import (
	"errors"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/registry"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/throttle"
)

// hook is where mochi asks and tells. All its methods are called by the goroutine that reads the client's connection.
type hook struct {
	mqtt.HookBase
	broker *Broker

	open sync.Map // *mqtt.Client -> *session
}

// ID implements mqtt.Hook.
func (h *hook) ID() string { return "iothub" }

// Provides implements mqtt.Hook.
func (h *hook) Provides(event byte) bool {
	switch event {
	case mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnPacketRead, mqtt.OnSessionEstablished,
		mqtt.OnDisconnect, mqtt.OnSubscribed, mqtt.OnUnsubscribed, mqtt.OnPublish, mqtt.OnWillSent:
		return true
	}
	return false
}

// OnConnect implements mqtt.Hook: only MQTT 3.1.1, and no longer keep-alive than the hub allows.
func (h *hook) OnConnect(cl *mqtt.Client, _ packets.Packet) error {
	if cl.Properties.ProtocolVersion != mqtt311 {
		return packets.ErrUnsupportedProtocolVersion
	}
	if !h.broker.opt.Admit(throttle.Connections) {
		// A guess: the connection ends without an answer.
		return errThrottled
	}
	if cl.State.Keepalive == 0 || cl.State.Keepalive > maxKeepAlive {
		cl.State.Keepalive = maxKeepAlive
	}
	return nil
}

// OnConnectAuthenticate implements mqtt.Hook. A device that is let in ends its connection before: mochi would do so too, but
// with a DISCONNECT packet, which MQTT 3.1.1 servers do not send.
func (h *hook) OnConnectAuthenticate(cl *mqtt.Client, pk packets.Packet) bool {
	device, _, ok := h.authenticate(cl, pk)
	if ok {
		h.broker.kick(device.ID())
	}
	return ok
}

func (h *hook) authenticate(cl *mqtt.Client, pk packets.Packet) (*registry.Device, time.Time, bool) {
	if !names(string(pk.Connect.Username), cl.ID) {
		return nil, time.Time{}, false
	}
	device, ok := h.broker.opt.Device(cl.ID)
	if !ok {
		return nil, time.Time{}, false
	}
	expiry, ok := h.broker.opt.Authenticate(device, string(pk.Connect.Password))
	return device, expiry, ok
}

// OnSessionEstablished implements mqtt.Hook. A device that kept its session has its subscriptions already.
func (h *hook) OnSessionEstablished(cl *mqtt.Client, pk packets.Packet) {
	device, expiry, ok := h.authenticate(cl, pk)
	if !ok {
		cl.Stop(errClosedByHub)
		return
	}
	s := &session{broker: h.broker, client: cl, device: device}
	for filter := range cl.State.Subscriptions.GetAll() {
		s.subscribe(filter, true)
	}
	s.expiry = time.AfterFunc(time.Until(expiry), s.Close)
	h.open.Store(cl, s)
	if !h.broker.open(s) {
		s.Close()
	}
}

// OnDisconnect implements mqtt.Hook.
func (h *hook) OnDisconnect(cl *mqtt.Client, _ error, _ bool) {
	if s := h.session(cl); s != nil {
		h.open.Delete(cl)
		s.expiry.Stop()
		h.broker.end(s)
	}
}

func (h *hook) session(cl *mqtt.Client) *session {
	found, _ := h.open.Load(cl)
	s, _ := found.(*session)
	return s
}

var errThrottled = errors.New("the hub's allowance is used up")

var errQoS2 = errors.New("the hub has no QoS 2")

// OnPacketRead implements mqtt.Hook: a publication at QoS 2 ends the connection. Of all errors mochi heeds ErrRejectPacket
// only.
func (h *hook) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if pk.FixedHeader.Type == packets.Publish && pk.FixedHeader.Qos > 1 {
		cl.Stop(errQoS2)
		return pk, packets.ErrRejectPacket
	}
	return pk, nil
}

// OnACLCheck implements mqtt.Hook. Publications are judged by OnPublish.
func (h *hook) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	return write || allowedFilter(topic, cl.ID)
}

// OnSubscribed implements mqtt.Hook.
func (h *hook) OnSubscribed(cl *mqtt.Client, pk packets.Packet, codes []byte) {
	s := h.session(cl)
	if s == nil {
		return
	}
	for i, sub := range pk.Filters {
		if codes[i] <= packets.CodeGrantedQos2.Code {
			s.subscribe(sub.Filter, true)
		}
	}
}

// OnUnsubscribed implements mqtt.Hook.
func (h *hook) OnUnsubscribed(cl *mqtt.Client, pk packets.Packet) {
	s := h.session(cl)
	if s == nil {
		return
	}
	for _, sub := range pk.Filters {
		s.subscribe(sub.Filter, false)
	}
}

// OnPublish implements mqtt.Hook. Nothing goes to other clients; a topic that the hub does not have ends the connection.
func (h *hook) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if s := h.session(cl); s == nil || !s.serve(pk.TopicName, pk.Payload) {
		cl.Stop(errClosedByHub)
		return pk, packets.ErrRejectPacket
	}
	return pk, packets.CodeSuccessIgnore
}

// OnWillSent implements mqtt.Hook: the will of a device that went without a DISCONNECT is a message of the device
// (https://learn.microsoft.com/azure/iot/iot-mqtt-connect-to-iot-hub).
func (h *hook) OnWillSent(cl *mqtt.Client, pk packets.Packet) {
	if parseTopic(pk.TopicName, cl.ID).request == telemetry {
		h.broker.opt.OnMessage()
	}
}
