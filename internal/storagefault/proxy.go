// Package storagefault is an HTTP proxy in front of an emulator of Azure Table and Queue Storage that shows what the
// emulator never does: a busy or slow service, lost requests and replies, short and empty pages. It also counts
// storage transactions by operation, for tests and benchmarks that assert what something costs.
//
// It owns the choice of requests (Plan), the faults, and the counts. It changes nothing that a signature covers:
// path and headers stay as they are, and of a table request's query a shared key signs only "comp".
//
// It does not own the emulator (package azurite), and speaks only to services with the account in the path, over http.
package storagefault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Count is what was seen of one operation.
type Count struct {
	// Requests is how many requests came from clients, retries included.
	Requests int
	// Executed is how many of them reached the service. Each is a billed transaction.
	Executed int
	// Faults is how many met a rule, a mere delay included.
	Faults int
	// Sent and Received are bytes of request and response bodies, as far as they reached the service.
	Sent, Received int64
}

// Proxy forwards requests to the services of one emulator. Its methods may be called concurrently.
type Proxy struct {
	transport *http.Transport
	closing   chan struct{}
	closeOnce sync.Once
	fronts    []*front

	mu     sync.Mutex
	script *script
	counts map[string]Count
}

// front is the proxy's listener for one service.
type front struct {
	target    string // http://host:port
	address   string // http://host:port
	operation func(*http.Request) string
	server    *http.Server
	served    chan struct{}
}

// Start starts a proxy for the TableEndpoint and the QueueEndpoint of a connection string (at least one of them), on
// free ports of 127.0.0.1. The caller must Close it.
func Start(connectionString string, plan Plan) (*Proxy, error) {
	if err := plan.check(); err != nil {
		return nil, fmt.Errorf("starting the fault proxy: %w", err)
	}
	p := &Proxy{
		transport: &http.Transport{MaxIdleConnsPerHost: 128, IdleConnTimeout: 4 * time.Second, DisableCompression: true},
		closing:   make(chan struct{}),
		script:    newScript(plan), counts: map[string]Count{},
	}
	operations := map[string]func(*http.Request) string{"TableEndpoint": tableOperation, "QueueEndpoint": queueOperation}
	for name, operation := range operations {
		target, ok, err := endpointOf(connectionString, name)
		if err == nil && ok {
			err = p.listen(target, operation)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("starting the fault proxy: %w", err), p.Close())
		}
	}
	if len(p.fronts) == 0 {
		return nil, errors.New("starting the fault proxy: the connection string has neither TableEndpoint nor QueueEndpoint")
	}
	return p, nil
}

// endpointOf returns scheme, host and port of an endpoint in a connection string. Errors do not show the string.
func endpointOf(connectionString, name string) (target string, ok bool, err error) {
	for part := range strings.SplitSeq(connectionString, ";") {
		value, found := strings.CutPrefix(part, name+"=")
		if !found {
			continue
		}
		u, err := url.Parse(value)
		if err != nil || u.Scheme != "http" || u.Host == "" {
			return "", false, fmt.Errorf("%s: want an http URL", name)
		}
		return "http://" + u.Host, true, nil
	}
	return "", false, nil
}

func (p *Proxy) listen(target string, operation func(*http.Request) string) error {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	f := &front{
		target: target, address: "http://" + listener.Addr().String(), operation: operation, served: make(chan struct{}),
	}
	f.server = &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(f, w, r) }),
		ReadHeaderTimeout: time.Minute,
	}
	p.fronts = append(p.fronts, f)
	go func() {
		defer close(f.served)
		_ = f.server.Serve(listener) // always fails, at the latest when Close closes the server
	}()
	return nil
}

// ConnectionString returns a connection string for any account of the emulator with its endpoints led through the
// proxy.
func (p *Proxy) ConnectionString(original string) string {
	var parts []string
	for part := range strings.SplitSeq(original, ";") {
		for _, f := range p.fronts {
			name, value, ok := strings.Cut(part, "=")
			if rest, through := strings.CutPrefix(value, f.target); ok && through && (rest == "" || rest[0] == '/') {
				part = name + "=" + f.address + rest
				break
			}
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ";")
}

// SetPlan replaces the plan; its rules count from now on. Requests under way keep their fate.
func (p *Proxy) SetPlan(plan Plan) error {
	if err := plan.check(); err != nil {
		return fmt.Errorf("changing the fault plan: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.script = newScript(plan)
	return nil
}

// Counts returns what was seen since the start or the last Reset, keyed by operation, without those that did not
// occur. A request counts before its client gets the reply.
func (p *Proxy) Counts() map[string]Count {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.counts)
}

// Reset sets all counts to zero. The plan goes on as it is.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts = map[string]Count{}
}

// Close cuts all connections and frees the ports. Further calls do nothing.
func (p *Proxy) Close() error {
	var errs []error
	p.closeOnce.Do(func() {
		close(p.closing)
		for _, f := range p.fronts {
			errs = append(errs, f.server.Close())
			<-f.served
		}
		p.transport.CloseIdleConnections()
	})
	return errors.Join(errs...)
}

// count adds to the count of an operation.
func (p *Proxy) count(operation string, add Count) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.counts[operation]
	c.Requests += add.Requests
	c.Executed += add.Executed
	c.Faults += add.Faults
	c.Sent += add.Sent
	c.Received += add.Received
	p.counts[operation] = c
}

// forward sends a request to the service and reads the whole reply.
func (p *Proxy) forward(f *front, req request) (reply, error) {
	target := *req.URL
	target.Scheme, target.Host = "http", strings.TrimPrefix(f.target, "http://")
	out, err := http.NewRequestWithContext(req.Context(), req.Method, target.String(), bytes.NewReader(req.body))
	if err != nil {
		return reply{}, err
	}
	out.Header = req.Header.Clone()
	resp, err := p.transport.RoundTrip(out)
	if err != nil {
		return reply{}, err
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return reply{}, err
	}
	p.count(req.operation, Count{Executed: 1, Sent: int64(len(req.body)), Received: int64(len(body))})
	return reply{status: resp.StatusCode, header: resp.Header, body: body}, nil
}
