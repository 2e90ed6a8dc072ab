package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// errRefused is what a dial to an address fails with that callbacks must not reach.
var errRefused = errors.New("the address is not one that callbacks may reach")

// guard checks each address when it is about to be connected to, after its name was resolved, so that no answer of DNS
// gets around it.
func (a Allow) guard(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || !a.addr(ap.Addr()) {
		return errRefused
	}
	return nil
}

// callbackTransport connects to allowed addresses only. It knows no proxy, which would resolve names by itself, and keeps
// no connection.
func callbackTransport(a Allow) *http.Transport {
	open := &net.Dialer{Timeout: sendTimeout}
	guarded := &net.Dialer{Timeout: sendTimeout, Control: a.guard}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			name, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, fmt.Errorf("dialing: %w", err)
			}
			if a.host(name, port) {
				return open.DialContext(ctx, network, address)
			}
			return guarded.DialContext(ctx, network, address)
		},
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
	}
}

// classify says how a request failed without an answer. It looks at types alone: the text holds the address.
func classify(err error) *Error {
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	_, noTLS := errors.AsType[tls.RecordHeaderError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	_, dns := errors.AsType[*net.DNSError](err)
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, errRefused):
		return &Error{Class: ClassRefusedAddress, Final: true}
	case dns:
		return &Error{Class: ClassName}
	case untrusted, noTLS, alert, errors.Is(err, http.ErrSchemeMismatch):
		return &Error{Class: ClassTLS}
	case isNet && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return &Error{Class: ClassTimeout}
	}
	return &Error{Class: ClassConnection}
}

const sendTimeout = 10 * time.Second
