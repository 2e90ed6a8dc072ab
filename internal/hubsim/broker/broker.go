package broker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/registry"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/throttle"
)

// Options of a broker; all are required.
type Options struct {
	Certificate tls.Certificate
	// Device finds a registered device.
	Device func(id string) (*registry.Device, bool)
	// Authenticate decides by the password of a CONNECT, and says until when it is good.
	Authenticate func(device *registry.Device, password string) (expiry time.Time, ok bool)
	// Admit waits until a device's connection or request may be carried out, and reports whether it may be at all; default
	// always.
	Admit func(op throttle.Operation) bool
	// OnMessage is called for every device-to-cloud message.
	OnMessage func()
}

// Broker is a running broker.
type Broker struct {
	opt      Options
	server   *mqtt.Server
	requests atomic.Uint64 // ids of method calls
	pending  sync.Map      // id -> *pendingCall
	writers  sync.WaitGroup

	mu       sync.Mutex
	sessions map[string]*session // by device id
}

type pendingCall struct {
	deviceID string
	reply    chan registry.Reply // room for one
}

var errClosedByHub = errors.New("closed by the hub")

// The broker's settings. mochi's own default of 8192 pending writes costs 64 KB per device.
const (
	pendingWrites  = 64
	bufferSize     = 1024
	maxPacketSize  = 512 << 10
	sessionSeconds = 3600
	sysSeconds     = 3600
	mqtt311        = 4
	maxKeepAlive   = 1767 // seconds
)

// Start starts a broker on a TCP listener, which it closes in the end.
func Start(tcp net.Listener, opt Options) (*Broker, error) {
	if opt.Admit == nil {
		opt.Admit = func(throttle.Operation) bool { return true }
	}
	b := &Broker{opt: opt, sessions: map[string]*session{}}
	capabilities := mqtt.NewDefaultServerCapabilities()
	capabilities.MaximumClientWritesPending = pendingWrites
	capabilities.MaximumPacketSize = maxPacketSize
	capabilities.MaximumSessionExpiryInterval = sessionSeconds
	capabilities.MinimumProtocolVersion = mqtt311
	capabilities.MaximumQos = 1
	capabilities.RetainAvailable = 0
	b.server = mqtt.New(&mqtt.Options{
		Capabilities: capabilities, ClientNetReadBufferSize: bufferSize, ClientNetWriteBufferSize: bufferSize,
		// mochi logs packets, passwords among them.
		Logger: slog.New(slog.DiscardHandler), SysTopicResendInterval: sysSeconds,
	})
	if err := b.server.AddHook(&hook{broker: b}, nil); err != nil {
		return nil, fmt.Errorf("starting the broker: %w", err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{opt.Certificate}, MinVersion: tls.VersionTLS12}
	if err := b.server.AddListener(listeners.NewNet("mqtt", newListener(tls.NewListener(tcp, config)))); err != nil {
		return nil, fmt.Errorf("starting the broker: %w", err)
	}
	if err := b.server.Serve(); err != nil {
		return nil, fmt.Errorf("starting the broker: %w", err)
	}
	return b, nil
}

// Close disconnects all devices and stops the broker.
func (b *Broker) Close() error {
	b.mu.Lock()
	for _, s := range b.sessions {
		s.Close()
	}
	b.mu.Unlock()
	err := b.server.Close()
	b.writers.Wait()
	return err
}

// Connections returns the number of connected devices.
func (b *Broker) Connections() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.sessions)
}

// settle hands a device's answer to the call that waits for it.
func (b *Broker) settle(deviceID, rid string, reply registry.Reply) {
	found, ok := b.pending.Load(rid)
	if !ok {
		return
	}
	// Only this package stores, and only this type.
	if call, ok := found.(*pendingCall); ok && call.deviceID == deviceID {
		select {
		case call.reply <- reply:
		default: // answered twice
		}
	}
}

// open begins a session and reports whether the device may have one.
func (b *Broker) open(s *session) bool {
	b.mu.Lock()
	b.sessions[s.device.ID()] = s
	b.mu.Unlock()
	return s.device.Connect(s)
}

// end ends a session.
func (b *Broker) end(s *session) {
	b.mu.Lock()
	if b.sessions[s.device.ID()] == s {
		delete(b.sessions, s.device.ID())
	}
	b.mu.Unlock()
	s.device.Disconnect(s)
}

// kick closes the session of a device that connects again.
func (b *Broker) kick(deviceID string) {
	b.mu.Lock()
	s := b.sessions[deviceID]
	b.mu.Unlock()
	if s != nil {
		s.Close()
	}
}
