package customhandler

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func getenv(value string) func(string) string {
	return func(name string) string {
		if name == "FUNCTIONS_CUSTOMHANDLER_PORT" {
			return value
		}
		return ""
	}
}

func TestListenBindsLoopbackAtTheHostsPort(t *testing.T) {
	t.Parallel()
	ln, err := Listen(getenv("0"))
	require.NoError(t, err)
	defer func() { _ = ln.Close() }()
	addr, ok := ln.Addr().(*net.TCPAddr)
	require.True(t, ok)
	require.Equal(t, "127.0.0.1", addr.IP.String())

	_, err = Listen(getenv(strconv.Itoa(addr.Port)))
	require.ErrorContains(t, err, "address already in use")
	for _, bad := range []string{"", "http", "-1", "65536", " 80"} {
		_, err = Listen(getenv(bad))
		require.ErrorContains(t, err, "FUNCTIONS_CUSTOMHANDLER_PORT", bad)
	}
}

// An invocation may last as long as the host's functionTimeout, and the host
// keeps connections for a minute: it must be the host that closes them.
func TestServerNeverCutsTheHostOff(t *testing.T) {
	t.Parallel()
	srv := newServer(http.NotFoundHandler())
	require.Zero(t, srv.ReadTimeout)
	require.Zero(t, srv.WriteTimeout)
	require.Equal(t, 5*time.Minute, srv.IdleTimeout)
	require.Greater(t, srv.ReadHeaderTimeout, time.Minute)
}

// gate is a handler that tells when it was entered and waits to be let go.
type gate struct{ entered, leave chan struct{} }

func newGate() gate { return gate{make(chan struct{}), make(chan struct{})} }

func (g gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	close(g.entered)
	select {
	case <-g.leave:
		_, _ = io.WriteString(w, "done")
	case <-r.Context().Done():
	}
}

func start(ctx context.Context, t *testing.T, h http.Handler, drain time.Duration) (addr string, result <-chan error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- serve(ctx, ln, newServer(h), drain) }()
	return ln.Addr().String(), done
}

func request(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = io.WriteString(conn, "GET /api/x HTTP/1.1\r\nHost: h\r\n\r\n")
	require.NoError(t, err)
	return conn
}

func TestServeDrainsWhatIsInFlight(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	g := newGate()
	addr, result := start(ctx, t, g, time.Minute)
	conn := request(t, addr)
	<-g.entered
	cancel()
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	}, time.Minute, time.Millisecond, "takes new connections while it drains")
	require.Empty(t, result)
	close(g.leave)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.NoError(t, resp.Body.Close())
	require.NoError(t, <-result)
}

func TestServeCutsWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	g := newGate()
	addr, result := start(ctx, t, g, time.Millisecond)
	conn := request(t, addr)
	<-g.entered
	cancel()
	require.NoError(t, <-result)
	_, err := bufio.NewReader(conn).ReadByte()
	require.Error(t, err)
}

// A process that ends with code 0 is not restarted by the host, so nothing but
// a requested stop may look like one.
func TestServeNeverEndsQuietlyByItself(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	require.ErrorContains(t, Serve(t.Context(), ln, http.NotFoundHandler()), "serve the Functions host")
}

func TestServeStopsAtOnceWhenItsContextHasEnded(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, result := start(ctx, t, http.NotFoundHandler(), time.Minute)
	require.NoError(t, <-result)
}
