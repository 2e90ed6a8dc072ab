package customhandler

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

// PortVariable names the environment variable in which the host passes the
// port that the handler must listen on.
const PortVariable = "FUNCTIONS_CUSTOMHANDLER_PORT"

const (
	// The host pools its connections and drops idle ones after a minute. Both
	// timeouts are longer, so that it is always the host that closes first and
	// no invocation is sent into a closing connection. The header timeout counts
	// from the connect for connections that the pool opened in advance.
	idleTimeout       = 5 * time.Minute
	readHeaderTimeout = 2 * time.Minute

	drainTimeout = 5 * time.Second
)

// Listen binds 127.0.0.1 at the port that the host passed in [PortVariable];
// port 0 is any free one. getenv is usually [os.Getenv]. The process must exit
// with another code than 0 if it fails: the host does not restart a handler
// that exits with 0.
func Listen(getenv func(string) string) (net.Listener, error) {
	value := getenv(PortVariable)
	if value == "" {
		return nil, fmt.Errorf("%s is not set: the handler is started by the Functions host", PortVariable)
	}
	port, err := strconv.ParseUint(value, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("%s %q: must be a port from 0 to 65535", PortVariable, value)
	}
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.FormatUint(port, 10)))
	if err != nil {
		return nil, fmt.Errorf("listen for the Functions host: %w", err)
	}
	return ln, nil
}

// Serve serves h on ln until ctx ends, then takes no new requests, gives those
// in flight a few seconds, cuts what is left, and returns nil. It returns an
// error, and never nil, if serving ends for any other reason. It closes ln.
//
// There is no read or write timeout: an invocation may take as long as the
// host's functionTimeout allows. Draining is a courtesy: the host ends its
// handler with SIGKILL, so nothing may depend on it.
func Serve(ctx context.Context, ln net.Listener, h http.Handler) error {
	return serve(ctx, ln, newServer(h), drainTimeout)
}

func newServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout}
}

func serve(ctx context.Context, ln net.Listener, srv *http.Server, drain time.Duration) error {
	drained := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(drained)
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
		defer cancel()
		if srv.Shutdown(limit) != nil {
			_ = srv.Close() // cuts what did not end in time
		}
	})
	err := srv.Serve(ln)
	if stop() {
		return errors.Join(fmt.Errorf("serve the Functions host: %w", err), srv.Close())
	}
	<-drained
	return nil
}
