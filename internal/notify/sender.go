package notify

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

const (
	maxHeader = 64 << 10
	maxAnswer = 4 << 10 // read and thrown away, so that the receiver is not cut off in the middle of it
	// tokenScope is that of Event Grid (https://learn.microsoft.com/azure/event-grid/authenticate-with-microsoft-entra-id).
	tokenScope = "https://eventgrid.azure.net/.default"
	// apiVersion of publishing to a topic (https://learn.microsoft.com/azure/event-grid/post-to-custom-topic).
	apiVersion = "2018-01-01"
)

// Topic is an Event Grid custom topic with the input schema CloudEventSchemaV1_0. The zero value is none.
type Topic struct {
	// Endpoint is its https URL, such as https://name.westeurope-1.eventgrid.azure.net/api/events.
	Endpoint string
	// Key is one of its access keys. Without one, Credential gives a token; it needs the role EventGrid Data Sender.
	Key        string
	Credential azcore.TokenCredential
}

// Options of New.
type Options struct {
	// Source is the events' source, an absolute URI such as https://app.azurewebsites.net/api/jobs. With the subject
	// behind a slash it is the job's address.
	Source string
	Keys   Keys
	Allow  Allow
	Topic  Topic
	// Now is the clock of signatures. Default: time.Now.
	Now func() time.Time
}

// Sender delivers events. It is safe for concurrent use, and keeps no connection between deliveries.
type Sender struct {
	opts      Options
	callbacks *http.Client
	topic     *http.Client
}

// New gives a sender.
func New(opts Options) *Sender {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	trusted := &http.Transport{ // the operator chose the topic; a private endpoint has a private address
		Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, MaxResponseHeaderBytes: maxHeader,
	}
	return &Sender{opts: opts, callbacks: client(callbackTransport(opts.Allow)), topic: client(trusted)}
}

func client(t *http.Transport) *http.Client {
	return &http.Client{
		Transport: t, Timeout: sendTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// CheckURL gives the rule that a callback URL breaks, "" when it breaks none.
func (s *Sender) CheckURL(text string) string { return s.opts.Allow.CheckURL(text) }

// Publishes reports whether there is a topic.
func (s *Sender) Publishes() bool { return s.opts.Topic.Endpoint != "" }

// Callback posts the event to a callback URL, signed. The error is an *Error.
func (s *Sender) Callback(ctx context.Context, address string, e Event) error {
	body, err := e.encode(s.opts.Source)
	if err != nil {
		return &Error{Class: ClassInternal, Final: true}
	}
	if s.CheckURL(address) != "" { // the setting may have changed since the job was created
		return &Error{Class: ClassRefusedAddress, Final: true}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return &Error{Class: ClassInternal, Final: true}
	}
	r.Header.Set("Content-Type", mediaEvent)
	s.opts.Keys.sign(r.Header, e.ID, s.opts.Now(), body)
	return s.send(s.callbacks, r, false)
}

// Publish posts the event to the topic. The error is an *Error.
func (s *Sender) Publish(ctx context.Context, e Event) error {
	if !s.Publishes() { // the setting was taken away since the event became owed
		return &Error{Class: ClassNoTopic, Final: true}
	}
	one, err := e.encode(s.opts.Source)
	if err != nil {
		return &Error{Class: ClassInternal, Final: true}
	}
	body := append(append([]byte("["), one...), ']')
	address, err := versioned(s.opts.Topic.Endpoint)
	if err != nil {
		return &Error{Class: ClassInternal}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return &Error{Class: ClassInternal}
	}
	r.Header.Set("Content-Type", mediaBatch)
	if err := s.authorize(ctx, r); err != nil {
		return err
	}
	return s.send(s.topic, r, true)
}

func versioned(endpoint string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", err
	}
	u.RawQuery = "api-version=" + apiVersion
	return u.String(), nil
}

func (s *Sender) authorize(ctx context.Context, r *http.Request) error {
	if s.opts.Topic.Key != "" {
		r.Header.Set("Aeg-Sas-Key", s.opts.Topic.Key)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	token, err := s.opts.Topic.Credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{tokenScope}})
	if err != nil {
		return &Error{Class: ClassCredential}
	}
	r.Header.Set("Authorization", "Bearer "+token.Token)
	return nil
}

// send makes the request and throws the answer's body away.
func (s *Sender) send(c *http.Client, r *http.Request, patient bool) error {
	r.Header.Set("User-Agent", "fleetjobs")
	resp, err := c.Do(r)
	if err != nil {
		return classify(err)
	}
	defer resp.Body.Close() //nolint:errcheck // the status is all that counts
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer)
	if refused := answered(resp, patient, s.opts.Now()); refused != nil {
		return refused
	}
	return nil
}
