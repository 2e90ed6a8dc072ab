package iothub

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"
)

const (
	apiVersion = "2021-04-12"

	headerContinuation = "X-Ms-Continuation"
	headerMaxItems     = "X-Ms-Max-Item-Count"

	maxErrorBody = 64 << 10 // bytes read of a refusal
	maxDrain     = 1 << 20  // bytes read past what is wanted, to keep the connection
)

// transport sends the library's requests with our contents and keeps the answers for us: the library gets an empty 204
// for each, and never has to decode a payload, a page or an error.
type transport struct {
	base      http.RoundTripper
	traced    bool
	tokens    *tokenSource // nil: the library's signature stands
	userAgent string
	tracer    trace.Tracer // nil: no spans
}

func (o Options) newTransport(tokens *tokenSource) (*transport, error) {
	t := &transport{base: o.Transport, tokens: tokens, userAgent: o.UserAgent, tracer: o.Tracer}
	if t.userAgent == "" {
		t.userAgent = defaultUserAgent
	}
	if t.base != nil {
		return t, nil
	}
	base, err := o.newBase()
	if err != nil {
		return nil, err
	}
	t.base, t.traced = base, true
	return t, nil
}

// newBase makes the connection pool. It speaks HTTP/1.1 only, as the hub does: HTTP/2 would have its own rules for
// sending requests again.
func (o Options) newBase() (*http.Transport, error) {
	roots, err := rootCAs(o.CAFile)
	if err != nil {
		return nil, err
	}
	idle := o.MaxConnections
	if idle <= 0 {
		idle = defaultMaxConnections
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:       http.ProxyFromEnvironment,
		DialContext: dialer.DialContext,
		TLSClientConfig: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			RootCAs:            roots,
			ClientSessionCache: tls.NewLRUClientSessionCache(0),
		},
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConns:        idle,
		MaxIdleConnsPerHost: idle,
		// Shorter than what front ends commonly allow, so that a connection is rarely closed under a new request.
		IdleConnTimeout:    60 * time.Second,
		DisableCompression: true,
	}, nil
}

// rootCAs is nil, the system's authorities, unless a file adds some to them.
func rootCAs(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading CA file: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("loading system certificates: %w", err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("reading CA file %s: it holds no PEM certificate", file)
	}
	return pool, nil
}

func (t *transport) closeIdle() {
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// RoundTrip implements http.RoundTripper for requests that carry an exchange.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	x := exchangeFrom(req.Context())
	if x == nil {
		return nil, errors.New("iothub: request without an exchange")
	}
	if span := t.span(req.Context(), req.URL.Host, x); span != nil {
		defer endSpan(span, x)
	}
	out, err := t.compose(req, x)
	if err != nil {
		x.err = err
		return nil, err
	}
	x.untraced = !t.traced
	res, err := t.base.RoundTrip(out)
	if err != nil {
		x.err = err
		return nil, err
	}
	defer func() { _ = res.Body.Close() }() // it was read; nothing depends on how it closes
	x.answered, x.status, x.header = true, res.StatusCode, res.Header
	x.answer, x.err = readAnswer(res, x.limit)
	return &http.Response{
		Status: "204 No Content", StatusCode: http.StatusNoContent, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: http.NoBody, Request: req,
	}, nil
}

// compose makes the request that goes out from the library's, which stays as it is. The body can be rewound, so that
// net/http may move to another connection when a pooled one turns out dead before any byte was written; after that it
// does not send a POST or PATCH again, since they have no Idempotency-Key header.
func (t *transport) compose(req *http.Request, x *exchange) (*http.Request, error) {
	out := req.WithContext(httptrace.WithClientTrace(req.Context(), x.trace()))
	out.Header = make(http.Header, len(req.Header)+2)
	maps.Copy(out.Header, req.Header)
	out.Header["User-Agent"] = []string{t.userAgent}
	if x.continuation != "" {
		out.Header[headerContinuation] = []string{x.continuation}
	}
	if x.maxItems > 0 {
		out.Header[headerMaxItems] = []string{strconv.Itoa(x.maxItems)}
	}
	if t.tokens != nil {
		bearer, err := t.tokens.header(req.Context())
		if err != nil {
			return nil, fmt.Errorf("getting a token: %w", err)
		}
		out.Header["Authorization"] = []string{bearer}
	}
	x.credential = credentialOf(out.Header.Get("Authorization"))
	target := *req.URL
	target.RawQuery = "api-version=" + apiVersion
	out.URL = &target
	out.ContentLength = int64(len(x.body))
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(x.body)), nil }
	out.Body, _ = out.GetBody()
	return out, nil
}

// trace notes whether the request may have reached the hub. net/http asks for a connection again only when nothing was
// written to the one before.
func (x *exchange) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn:      func(string) { x.wrote.Store(false) },
		WroteHeaders: func() { x.wrote.Store(true) },
	}
}

// readAnswer reads the body of a success up to limit and what matters of a refusal. Only what is needed can fail it.
func readAnswer(res *http.Response, limit int64) ([]byte, error) {
	success := res.StatusCode < 300
	if success && limit == 0 {
		_, _ = io.CopyN(io.Discard, res.Body, maxDrain)
		return nil, nil
	}
	if !success {
		limit = maxErrorBody
	}
	var b bytes.Buffer
	if n := res.ContentLength; n > 0 && n <= limit {
		b.Grow(int(n) + bytes.MinRead)
	}
	_, err := b.ReadFrom(io.LimitReader(res.Body, limit+1))
	if !success {
		return b.Bytes(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	return b.Bytes(), nil
}
