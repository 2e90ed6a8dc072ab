package hubsim

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/broker"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/devca"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/jobsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/registry"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/simclock"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/throttle"
)

// Server is a running simulator. Its methods are safe for concurrent use.
type Server struct {
	opt      Options
	registry *registry.Registry
	injector *fault.Injector
	gate     *gate
	counters *counters
	journal  *journal
	clock    *simclock.Clock
	meters   *throttle.Hub  // nil without a tier
	jobs     *jobsim.Engine // nil if switched off
	jsonType []string       // shared by all answers
	tracking atomic.Uint64

	authority *devca.Authority
	caFile    string
	caTemp    bool // caFile is ours to remove

	http     *http.Server
	httpAddr string
	broker   *broker.Broker
	mqttAddr string

	cancel  context.CancelFunc          // ends the requests in flight
	unwatch atomic.Pointer[func() bool] // forgets the context of Start
	served  sync.WaitGroup
	closed  sync.Once
}

// Start starts a simulator. It ends with [Server.Close], or with ctx.
func Start(ctx context.Context, opt Options) (*Server, error) {
	s, err := newServer(opt.withDefaults())
	if err != nil {
		return nil, err
	}
	if err := s.fill(); err != nil {
		return nil, err
	}
	if err := s.writeCA(); err != nil {
		return nil, err
	}
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	if s.opt.Jobs {
		s.jobs = jobsim.New(base, jobsim.Options{
			Fleet: (*jobFleet)(s), Clock: s.clock, MaxActive: s.meters.MaxJobs(), Settle: s.opt.JobSettle,
		})
	}
	if err := errors.Join(s.listen(base), s.listenMQTT(base)); err != nil {
		s.Close()
		return nil, err
	}
	stop := context.AfterFunc(ctx, s.Close)
	s.unwatch.Store(&stop)
	return s, nil
}

func newServer(opt Options) (*Server, error) {
	if len(opt.Secret) == 0 {
		opt.Secret = []byte(rand.Text())
	}
	injector, err := fault.NewInjector(opt.Faults)
	if err != nil {
		return nil, fmt.Errorf("reading the fault plan: %w", err)
	}
	meters, err := throttle.New(opt.Throttle)
	if err != nil {
		return nil, err
	}
	hosts := append([]string{"localhost", "127.0.0.1", "::1"}, opt.HostNames...)
	authority, err := devca.New(hosts)
	if err != nil {
		return nil, err
	}
	return &Server{
		opt: opt, injector: injector, authority: authority, counters: newCounters(),
		registry: registry.New(registry.Options{IndexLag: opt.IndexLag, Secret: opt.Secret, Offline: injector.Offline}),
		gate:     &gate{policies: newPolicies(opt.Secret), hosts: hosts, bearer: opt.Bearer, known: map[string]grant{}},
		journal:  &journal{enabled: opt.Journal},
		jsonType: []string{"application/json; charset=utf-8"},
		clock:    simclock.New(opt.TimeScale, opt.Now), meters: meters, cancel: func() {},
	}, nil
}

// fill registers the fleet.
func (s *Server) fill() error {
	if s.opt.Fleet == nil {
		return nil
	}
	for preset := range s.opt.Fleet.Presets() {
		if _, err := s.registry.Add(preset); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) writeCA() error {
	if s.opt.CAFile != "" {
		s.caFile = s.opt.CAFile
		if err := os.WriteFile(s.caFile, s.authority.PEM, 0o644); err != nil {
			return fmt.Errorf("writing the CA certificate: %w", err)
		}
		return nil
	}
	f, err := os.CreateTemp("", "hubsim-ca-*.pem")
	if err != nil {
		return fmt.Errorf("writing the CA certificate: %w", err)
	}
	s.caFile, s.caTemp = f.Name(), true
	_, err = f.Write(s.authority.PEM)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing the CA certificate: %w", err)
	}
	return nil
}

func (s *Server) listen(ctx context.Context) error {
	listener, err := listenLocal(ctx, s.opt.HTTPPort)
	if err != nil {
		return fmt.Errorf("listening for HTTPS: %w", err)
	}
	s.httpAddr = listener.Addr().String()
	s.http = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 30 * time.Second,
		ErrorLog:          slog.NewLogLogger(s.opt.Logger.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		TLSConfig:         s.TLSConfig(),
		TLSNextProto:      map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	s.served.Go(func() {
		if err := s.http.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			s.opt.Logger.Error("hub simulator: HTTPS ended", "error", err)
		}
	})
	return nil
}

func (s *Server) listenMQTT(ctx context.Context) error {
	listener, err := listenLocal(ctx, s.opt.MQTTPort)
	if err != nil {
		return fmt.Errorf("listening for MQTT: %w", err)
	}
	s.mqttAddr = listener.Addr().String()
	b, err := broker.Start(listener, broker.Options{
		Certificate: s.authority.Server, Device: s.registry.Get, Authenticate: s.gate.admits,
		OnMessage: func() { s.counters.messages.Add(1) },
		Admit:     func(op throttle.Operation) bool { return s.admitDevice(ctx, op) },
	})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	s.broker = b
	return nil
}

func listenLocal(ctx context.Context, port int) (net.Listener, error) {
	var config net.ListenConfig
	return config.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
}

// Close stops the simulator: requests in flight are cut off, devices disconnected. It can be called more than once.
func (s *Server) Close() {
	s.closed.Do(func() {
		s.cancel()
		if stop := s.unwatch.Load(); stop != nil {
			(*stop)()
		}
		if s.http != nil {
			// Listener and connections are gone after it, whatever it says.
			_ = s.http.Close()
		}
		s.served.Wait()
		if s.jobs != nil {
			s.jobs.Close()
		}
		if s.broker != nil {
			if err := s.broker.Close(); err != nil {
				s.opt.Logger.Warn("hub simulator: closing MQTT", "error", err)
			}
		}
		if s.caTemp {
			// A file that is left behind in the temporary directory does no harm.
			_ = os.Remove(s.caFile)
		}
	})
}

// HTTPAddr returns the HTTPS address as host:port.
func (s *Server) HTTPAddr() string { return s.httpAddr }

// MQTTAddr returns the address of MQTT over TLS as host:port.
func (s *Server) MQTTAddr() string { return s.mqttAddr }

// CAPEM returns the certificate that clients must trust, in PEM.
func (s *Server) CAPEM() []byte { return s.authority.PEM }

// CAFile returns the path of a file with [Server.CAPEM].
func (s *Server) CAFile() string { return s.caFile }

// TLSConfig is that of the HTTPS port, for other servers on localhost that the hub's clients talk to. Like the service it offers
// HTTP/1.1 only.
func (s *Server) TLSConfig() *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{s.authority.Server}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
	}
}

// HostName returns the hub's name for service clients: localhost:PORT.
func (s *Server) HostName() string { return localhost(s.httpAddr) }

func localhost(addr string) string {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return net.JoinHostPort("localhost", port)
}

// ConnectionString returns that of the policy "service".
func (s *Server) ConnectionString() string { return s.PolicyConnectionString("service") }

// PolicyConnectionString returns the connection string of a policy: iothubowner, service, device, registryRead or
// registryReadWrite; empty if there is no such policy.
func (s *Server) PolicyConnectionString(name string) string {
	p, ok := s.gate.policies[name]
	if !ok {
		return ""
	}
	return "HostName=" + s.HostName() + ";SharedAccessKeyName=" + name + ";SharedAccessKey=" + p.key
}

const mqttPort = "8883"

// DeviceConnectionString returns the connection string of a device. Its HostName is localhost with the port of MQTT, without
// the port if that is 8883. It fails if the device is not registered.
func (s *Server) DeviceConnectionString(deviceID string) (string, error) {
	device, ok := s.registry.Get(deviceID)
	if !ok {
		return "", fmt.Errorf("making the connection string of device %q: %w", deviceID, registry.ErrNotFound)
	}
	host := strings.TrimSuffix(localhost(s.mqttAddr), ":"+mqttPort)
	return "HostName=" + host + ";DeviceId=" + deviceID + ";SharedAccessKey=" + device.Keys().Primary, nil
}

// SetFaults replaces the fault plan. The error is that of [fault.Plan.Validate].
func (s *Server) SetFaults(plan fault.Plan) error { return s.injector.Replace(plan) }

// Faults returns the current fault plan, which must not be changed.
func (s *Server) Faults() fault.Plan { return s.injector.Plan() }

// Reset clears counters and journal and restores the fault plan of the start.
func (s *Server) Reset() error {
	s.counters.reset()
	s.journal.reset()
	s.meters.Reset()
	return s.injector.Replace(s.opt.Faults)
}

// CreateDevice registers a further device. Errors as [registry.Registry.Add].
func (s *Server) CreateDevice(preset registry.Preset) error {
	_, err := s.registry.Add(preset)
	return err
}

// SetOnline connects or disconnects a device that lives inside the simulator. It reports whether the device is such a one.
func (s *Server) SetOnline(deviceID string, online bool) bool {
	device, ok := s.registry.Get(deviceID)
	return ok && device.SetOnline(online)
}

// Device returns what a device looks like now; ok is false if it is not registered.
func (s *Server) Device(deviceID string) (v registry.View, ok bool) {
	device, ok := s.registry.Get(deviceID)
	if !ok {
		return v, false
	}
	return device.View(), true
}

// registered yields the devices that exist, without the deleted ones that the index still lists.
func (s *Server) registered() iter.Seq[*registry.Device] {
	return func(yield func(*registry.Device) bool) {
		for _, device := range s.registry.Sorted() {
			if current, exists := s.registry.Get(device.ID()); exists && current == device && !yield(device) {
				return
			}
		}
	}
}

func (s *Server) mqttConnections() int64 { return int64(s.broker.Connections()) }
