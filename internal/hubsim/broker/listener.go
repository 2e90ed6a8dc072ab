package broker

import (
	"errors"
	"net"
	"sync"
	"time"
)

// writeTimeout is how long a write to a device may block. A device that stops reading would otherwise keep its connection, and
// mochi's lock on it, until its keep-alive ends.
const writeTimeout = 3 * time.Second

// listener survives passing errors of Accept, on which mochi would stop listening for good, and closes with itself the
// connections that mochi does not know yet.
type listener struct {
	net.Listener

	mu     sync.Mutex
	conns  map[*conn]struct{}
	closed bool
}

func newListener(l net.Listener) *listener {
	return &listener{Listener: l, conns: map[*conn]struct{}{}}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	wait := 5 * time.Millisecond
	for {
		accepted, err := l.Listener.Accept()
		if err == nil {
			return l.track(accepted)
		}
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		time.Sleep(wait)
		wait = min(2*wait, time.Second)
	}
}

func (l *listener) track(accepted net.Conn) (net.Conn, error) {
	c := &conn{Conn: accepted, listener: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errors.Join(net.ErrClosed, accepted.Close())
	}
	l.conns[c] = struct{}{}
	return c, nil
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.mu.Lock()
	conns := l.conns
	l.conns = map[*conn]struct{}{}
	l.closed = true
	l.mu.Unlock()
	err := l.Listener.Close()
	for c := range conns {
		// The other side learns it by itself.
		_ = c.Conn.Close()
	}
	return err
}

// conn is a connection with a deadline for every write.
type conn struct {
	net.Conn
	listener *listener
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.conns, c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}
