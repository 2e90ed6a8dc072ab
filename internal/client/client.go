package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// KeyHeader carries the access key, as Azure Functions expects it
// (https://learn.microsoft.com/azure/azure-functions/function-keys-how-to).
const KeyHeader = "x-functions-key"

// Options configures New. The zero value is ready for use.
type Options struct {
	// HTTPClient sends the requests; its CheckRedirect is not used. Default: one with a timeout of 100 s, since a
	// serverless app may have to start first.
	HTTPClient *http.Client
	// MaxWait bounds the waits between the tries of one request, all together. Default: 30 s.
	MaxWait time.Duration
	// Sleep waits for d or until ctx ends, whose error it then returns. Default: a timer.
	Sleep func(ctx context.Context, d time.Duration) error
	// Token is sent as a bearer token, for a deployment that App Service authentication stands before; the key is still
	// needed there. It never appears in an error. Default: none.
	Token string
	// UserAgent names the program. Default: "fleetjobs".
	UserAgent string
}

// Client is a connection to one deployment. Its methods may be called concurrently.
type Client struct {
	base      string
	key       string
	token     string
	http      *http.Client
	maxWait   time.Duration
	sleep     func(context.Context, time.Duration) error
	userAgent string
}

// New gives a client for the deployment at baseURL, such as https://myfleet.azurewebsites.net, without a path. key is a
// host or function key; "" sends none, which suits local hosts only. The key never appears in an error.
func New(baseURL, key string, options *Options) (*Client, error) {
	base, err := checkBase(baseURL)
	if err != nil {
		return nil, err
	}
	if options == nil {
		options = &Options{}
	}
	for _, secret := range []struct{ name, value string }{{"key", key}, {"token", options.Token}} {
		if strings.ContainsFunc(secret.value, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, fmt.Errorf("the %s holds a space, a line break or another character that no %s has", secret.name, secret.name)
		}
	}
	c := &Client{
		base: base, key: key, token: options.Token, maxWait: options.MaxWait, sleep: options.Sleep, userAgent: options.UserAgent,
		http: &http.Client{Timeout: 100 * time.Second},
	}
	if shared, ok := http.DefaultTransport.(*http.Transport); ok {
		c.http.Transport = shared.Clone() // whoever closes the shared one's idle connections breaks requests that are about to use them
	}
	if options.HTTPClient != nil {
		c.http = new(*options.HTTPClient)
	}
	// A redirect would carry the key to wherever it points: net/http strips Authorization on the way to another
	// host, but not headers of ours.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if c.maxWait == 0 {
		c.maxWait = 30 * time.Second
	}
	if c.sleep == nil {
		c.sleep = sleep
	}
	if c.userAgent == "" {
		c.userAgent = "fleetjobs"
	}
	return c, nil
}

// checkBase refuses addresses that would fail later in a less clear way, or send the key in the clear over a network.
func checkBase(baseURL string) (string, error) {
	u, err := url.Parse(strings.TrimSpace(baseURL))
	if err != nil {
		return "", errors.New("the address is not a URL") // err would repeat what may be a password
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return "", errors.New("the address must be an absolute URL, such as https://myfleet.azurewebsites.net")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("the address must be without user, query and fragment; the key goes into FLEETJOBS_KEY")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return "", fmt.Errorf("the address must begin with https://: http would send the key to %s in the clear", u.Host)
	}
	return u.Scheme + "://" + u.Host + strings.TrimRight(u.EscapedPath(), "/"), nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }
