package broker

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/registry"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/throttle"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/twin"
)

// session is a device's connection. It implements registry.Link.
type session struct {
	broker *Broker
	client *mqtt.Client
	device *registry.Device
	expiry *time.Timer // of the token

	methods, results, desired atomic.Bool // what is subscribed

	mu      sync.Mutex
	queue   []packets.Packet
	writing bool
}

// maxQueue is how many publications may wait for a device that reads slowly; what comes on top is dropped.
const maxQueue = 256

// subscribe notes a filter as subscribed or not.
func (s *session) subscribe(filter string, on bool) {
	switch filter {
	case filterMethods:
		s.methods.Store(on)
		if on {
			s.device.Wake()
		}
	case filterResults:
		s.results.Store(on)
	case filterDesired:
		s.desired.Store(on)
	}
}

// Ready implements registry.Link.
func (s *session) Ready() bool { return s.methods.Load() }

// Invoke implements registry.Link.
func (s *session) Invoke(ctx context.Context, call registry.Call) (registry.Reply, bool) {
	rid := strconv.FormatUint(s.broker.requests.Add(1), 10)
	waiting := &pendingCall{deviceID: s.device.ID(), reply: make(chan registry.Reply, 1)}
	s.broker.pending.Store(rid, waiting)
	defer s.broker.pending.Delete(rid)
	s.send("$iothub/methods/POST/"+call.Method+"/?$rid="+rid, call.Payload)
	timer := time.NewTimer(call.Timeout)
	defer timer.Stop()
	select {
	case reply := <-waiting.reply:
		return reply, true
	case <-timer.C:
	case <-ctx.Done():
	}
	return registry.Reply{}, false
}

// NotifyDesired implements registry.Link.
func (s *session) NotifyDesired(n registry.Notice) {
	if s.desired.Load() {
		version := strconv.FormatInt(n.Version, 10)
		s.send("$iothub/twin/PATCH/properties/desired/?$version="+version, twin.AppendForDevice(nil, n.Values, n.Version))
	}
}

// Close implements registry.Link.
func (s *session) Close() { s.client.Stop(errClosedByHub) }

// send queues a publication and returns at once. One goroutine at a time writes, and only while there is something to write.
func (s *session) send(topic string, payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) >= maxQueue {
		return
	}
	s.queue = append(s.queue, packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish}, TopicName: topic, Payload: payload,
	})
	if !s.writing {
		s.writing = true
		s.broker.writers.Go(s.write)
	}
}

func (s *session) write() {
	for {
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.writing = false
			s.queue = nil
			s.mu.Unlock()
			return
		}
		batch := s.queue
		s.queue = nil
		s.mu.Unlock()
		for _, packet := range batch {
			if err := s.client.WritePacket(packet); err != nil {
				// The device has gone, or does not read: its calls end with their timeouts.
				s.client.Stop(err)
			}
		}
	}
}

// serve carries out a publication of the device. It reports whether the hub knows such a topic.
func (s *session) serve(topic string, payload []byte) bool {
	m := parseTopic(topic, s.device.ID())
	switch m.request {
	case methodAnswer:
		s.broker.settle(s.device.ID(), m.rid, registry.Reply{Status: m.status, Payload: payload})
	case twinGet:
		if !s.broker.opt.Admit(throttle.TwinReads) {
			s.result(429, m.rid, "", refusal(429001, errThrottled))
			return true
		}
		view := s.device.View()
		s.result(200, m.rid, "", view.Twin.AppendForDevice(nil))
	case twinReport:
		s.report(m.rid, payload)
	case telemetry:
		s.broker.opt.OnMessage()
	default:
		return false
	}
	return true
}

func (s *session) report(rid string, payload []byte) {
	if !s.broker.opt.Admit(throttle.TwinUpdates) {
		s.result(429, rid, "", refusal(429001, errThrottled))
		return
	}
	patch, err := twin.DecodeObject(payload)
	if err != nil {
		s.result(400, rid, "", refusal(400006, err))
		return
	}
	version, err := s.device.Report(patch)
	if err != nil {
		s.result(400, rid, "", refusal(400004, err))
		return
	}
	s.result(204, rid, "&$version="+strconv.FormatInt(version, 10), nil)
}

// refusal is the body of an error answer; clients look for its errorCode.
func refusal(code int64, err error) []byte {
	return twin.AppendValue(nil, map[string]any{"errorCode": code, "message": err.Error()})
}

// result answers a twin request, if the device listens for answers.
func (s *session) result(status int, rid, more string, payload []byte) {
	if s.results.Load() {
		s.send("$iothub/twin/res/"+strconv.Itoa(status)+"/?$rid="+rid+more, payload)
	}
}
