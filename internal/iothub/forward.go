package iothub

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// forwardLifetime is how long the signature of a forwarded request counts, as those of the library do.
const forwardLifetime = time.Hour

// Forwarder gives a transport that sends requests to the hub, whatever host they name, under the client's own credential in
// place of any that they bring. Path, query, other headers, body and answer stay as they are. Its connections are those of
// the client. Errors are of the connection or of getting a token.
func (c *Client) Forwarder() http.RoundTripper { return forwarder{c} }

type forwarder struct{ client *Client }

// RoundTrip implements http.RoundTripper.
func (f forwarder) RoundTrip(req *http.Request) (*http.Response, error) {
	authorization, err := f.client.authorization(req.Context())
	if err != nil {
		return nil, fmt.Errorf("forwarding a request to the hub: %w", err)
	}
	out := req.Clone(req.Context())
	out.URL.Scheme, out.URL.Host, out.Host = "https", f.client.host, ""
	out.Header.Set("Authorization", authorization)
	return f.client.transport.base.RoundTrip(out)
}

// authorization makes the value of the header.
func (c *Client) authorization(ctx context.Context) (string, error) {
	if c.transport.tokens != nil {
		return c.transport.tokens.header(ctx)
	}
	signature, err := c.key.Token(c.host, forwardLifetime)
	if err != nil {
		return "", err
	}
	return signature.String(), nil
}
