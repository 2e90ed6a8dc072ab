package iothub

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestConnectionRefused(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	e := invokeErr(t, newClient(t, Options{ConnectionString: connectionString(l.Addr().String())}), newMethod(t))
	requireNotSent(t, e)
	require.Contains(t, e.Message, "refused")
}

func TestNoSuchHost(t *testing.T) {
	t.Parallel()
	e := invokeErr(t, newClient(t, Options{ConnectionString: connectionString("hub.invalid")}), newMethod(t))
	requireNotSent(t, e)
}

func TestUnknownAuthority(t *testing.T) {
	t.Parallel()
	h := newHub(t, play(200, `{"status":200}`))
	e := invokeErr(t, newClient(t, Options{ConnectionString: connectionString(h.host)}), newMethod(t))
	requireNotSent(t, e)
	require.Contains(t, e.Message, "certificate")
	require.Empty(t, h.seen())
}

func TestNoTLS(t *testing.T) {
	t.Parallel()
	addr := serve(t, func(conn net.Conn) {
		_, _ = io.WriteString(conn, "220 this is another protocol\r\n")
		_ = conn.Close()
	})
	requireNotSent(t, invokeErr(t, newClient(t, Options{ConnectionString: connectionString(addr)}), newMethod(t)))
}

func TestHandshakeThatNeverEnds(t *testing.T) {
	t.Parallel()
	addr := serve(t, func(net.Conn) {})
	m := newMethod(t)
	c := hurried(newClient(t, Options{ConnectionString: connectionString(addr)}), m, 50*time.Millisecond)
	e := invokeErr(t, c, m)
	requireNotSent(t, e)
	require.Equal(t, "no connection within 50ms", e.Message)
}

func requireNotSent(t *testing.T, e *Error) {
	t.Helper()
	require.Equal(t, HubFault, e.Kind, e)
	require.False(t, e.Sent)
	require.False(t, e.MayHaveExecuted())
}

// A request whose bytes may have arrived is never sent again, not even when it went out on a pooled connection that ended
// without an answer.
func TestLostRequestIsNotRepeated(t *testing.T) {
	t.Parallel()
	h := newHub(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/twins/warm/methods" {
			play(200, `{"status":200}`)(w, r)
			return
		}
		panic(http.ErrAbortHandler)
	})
	c := newClient(t, h.options())
	for round := range 5 {
		_, err := c.InvokeMethod(context.Background(), "warm", newMethod(t))
		require.NoError(t, err)
		e := invokeErr(t, c, newMethod(t))
		require.Equal(t, Lost, e.Kind)
		require.True(t, e.Sent)
		require.True(t, e.MayHaveExecuted())
		require.Len(t, h.seen(), 2*(round+1))
	}
	require.Equal(t, 5, h.connections(), "the lost requests went out on pooled connections")
}

// A pooled connection that the hub closed while nothing was sent on it costs no call.
func TestIdleConnectionClosedByTheHub(t *testing.T) {
	t.Parallel()
	h := newHub(t, play(200, `{"status":200}`, "X-Test", "1"))
	closing := newHub(t, play(200, `{"status":200}`, "Connection", "close"))
	for _, hub := range []*hub{h, closing} {
		c := newClient(t, hub.options())
		for range 20 {
			_, err := c.InvokeMethod(context.Background(), "d1", newMethod(t))
			require.NoError(t, err)
		}
	}
	require.Equal(t, 1, h.connections())
	require.Equal(t, 20, closing.connections())
}

// The transport may pick a dead connection from its pool: as nothing could be written to it, another one is used.
func TestDeadPooledConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	h := newHub(t, play(200, `{"status":200}`))
	c := newClient(t, h.options())
	base := c.transport.base.(*http.Transport)
	var conns []*fragileConn
	base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		f := &fragileConn{Conn: conn}
		conns = append(conns, f)
		return f, nil
	}
	_, err := c.InvokeMethod(context.Background(), "d1", newMethod(t))
	require.NoError(t, err)
	conns[0].breakWrites()

	_, err = c.InvokeMethod(context.Background(), "d1", newMethod(t))
	require.NoError(t, err)
	require.Len(t, h.seen(), 2)
	require.Len(t, conns, 2)

	// When there is no other connection either, the request did not get out.
	conns[1].breakWrites()
	base.DialContext = func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: io.ErrUnexpectedEOF}
	}
	requireNotSent(t, invokeErr(t, c, newMethod(t)))
}

// fragileConn is a connection whose writes can be made to fail without a byte.
type fragileConn struct {
	net.Conn
	mu     sync.Mutex
	broken bool
}

func (c *fragileConn) breakWrites() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = true
}

func (c *fragileConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken {
		return 0, io.ErrClosedPipe
	}
	return c.Conn.Write(b)
}

func TestAnswerBrokenOff(t *testing.T) {
	t.Parallel()
	c := newClient(t, newHub(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"status":200`)
	}).options())
	e := invokeErr(t, c, newMethod(t))
	require.Equal(t, Lost, e.Kind)
	require.ErrorIs(t, e, io.ErrUnexpectedEOF)
}

func TestAnswerThatIsNotHTTP(t *testing.T) {
	t.Parallel()
	h := newHub(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_, _ = io.WriteString(conn, "nonsense\r\n\r\n")
			_ = conn.Close()
		}
	})
	require.Equal(t, Lost, invokeErr(t, newClient(t, h.options()), newMethod(t)).Kind)
}

func TestNoAnswerInTime(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	h := newHub(t, func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) > 1 {
			<-r.Context().Done()
			return
		}
		play(http.StatusOK, `{"status":200}`)(w, r)
	})
	m := newMethod(t)
	c := newClient(t, h.options())
	_, err := c.InvokeMethod(t.Context(), "d1", m) // makes the connection, however long that takes
	require.NoError(t, err)
	c = hurried(c, m, time.Second)
	e := invokeErr(t, c, m)
	require.Equal(t, Lost, e.Kind)
	require.Equal(t, "no answer within 1s", e.Message)
	require.NotErrorIs(t, e, context.DeadlineExceeded, "it was not the caller's deadline")
	require.True(t, e.MayHaveExecuted())
}

// The hub answers after the method's own timeouts at the earliest, and later when it holds requests back.
func TestDeadlineExceedsTheTimeouts(t *testing.T) {
	t.Parallel()
	var left time.Duration
	c := newClient(t, Options{
		ConnectionString: connectionString("h"),
		Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			deadline, ok := r.Context().Deadline()
			require.True(t, ok)
			left = time.Until(deadline)
			return nil, io.ErrUnexpectedEOF
		}),
	})
	m, err := NewMethod("m", nil, 300*time.Second, 299500*time.Millisecond)
	require.NoError(t, err)
	_, err = c.InvokeMethod(context.Background(), "d1", m)
	require.Equal(t, Lost, KindOf(err), "what a replaced transport wrote is unknown")
	require.Greater(t, left, 615*time.Second)
}

func TestCanceledWhileWaiting(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	h := newHub(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-arrived
		cancel()
	}()
	_, err := newClient(t, h.options()).InvokeMethod(ctx, "d1", newMethod(t))
	e := asError(t, err)
	require.Equal(t, Canceled, e.Kind)
	require.True(t, e.MayHaveExecuted())
	require.ErrorIs(t, e, context.Canceled)
}

func TestCallersDeadline(t *testing.T) {
	t.Parallel()
	h := newHub(t, func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		panic(http.ErrAbortHandler) // else an empty 200 follows
	})
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	_, err := newClient(t, h.options()).InvokeMethod(ctx, "d1", newMethod(t))
	e := asError(t, err)
	require.Equal(t, Canceled, e.Kind)
	require.ErrorIs(t, e, context.DeadlineExceeded)
}

func TestCanceledBefore(t *testing.T) {
	t.Parallel()
	h := newHub(t, play(200, `{"status":200}`))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := newClient(t, h.options()).InvokeMethod(ctx, "d1", newMethod(t))
	e := asError(t, err)
	require.Equal(t, Canceled, e.Kind)
	require.False(t, e.MayHaveExecuted())
	require.Empty(t, h.seen())
}

// With Go's default of two idle connections per host, parallel calls would open a connection each.
func TestParallelCallsShareConnections(t *testing.T) {
	t.Parallel()
	const parallel, calls = 32, 20
	h := newHub(t, play(200, `{"status":200,"payload":{"a":1}}`))
	c := newClient(t, h.options())
	m := newMethod(t)
	failures := make(chan error, parallel*calls)
	var workers sync.WaitGroup
	for range parallel {
		workers.Go(func() {
			for range calls {
				if _, err := c.InvokeMethod(context.Background(), "d1", m); err != nil {
					failures <- err
				}
			}
		})
	}
	workers.Wait()
	require.Empty(t, failures)
	require.Len(t, h.seen(), parallel*calls)
	require.Less(t, h.connections(), parallel*calls/4, "a burst dials ahead of need, but not for each call")
}

func TestConnectionPoolSettings(t *testing.T) {
	t.Parallel()
	base, err := Options{}.newBase()
	require.NoError(t, err)
	require.Equal(t, 512, base.MaxIdleConnsPerHost)
	require.Nil(t, base.TLSClientConfig.RootCAs, "the system's authorities")
	require.Equal(t, uint16(tls.VersionTLS12), base.TLSClientConfig.MinVersion)
	require.NotNil(t, base.Proxy)
	base, err = Options{MaxConnections: 7}.newBase()
	require.NoError(t, err)
	require.Equal(t, 7, base.MaxIdleConns)
	require.Equal(t, 7, base.MaxIdleConnsPerHost)
}

// serve runs a raw TCP server until the test ends; its connections are closed then.
func serve(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer func() { _ = conn.Close() }()
				handle(conn)
				_, _ = bufio.NewReader(conn).WriteTo(io.Discard)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		conns.Wait()
	})
	return l.Addr().String()
}
