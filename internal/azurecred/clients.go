package azurecred

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue/v2"
)

// idleConns is how many idle connections to a service are kept. azcore's default transport keeps 10 and makes bursts
// of calls open a new connection nearly each.
const idleConns = 128

// Tables returns a client of the account's table service. It makes no request.
//
// A call is tried up to five times, 30 s each, also where it changes something: after a lost reply an insert may
// answer 409 and a conditional update 412 although it was done.
func Tables(c Config) (*aztables.ServiceClient, error) {
	e, err := c.endpoint(tableService)
	if err != nil {
		return nil, err
	}
	opts := &aztables.ClientOptions{ClientOptions: e.clientOptions()}
	var client *aztables.ServiceClient
	switch e.auth {
	case authKey:
		key, keyErr := aztables.NewSharedKeyCredential(e.account, e.key)
		if keyErr != nil {
			return nil, errors.New("making the table client: the account key is not usable")
		}
		client, err = aztables.NewServiceClientWithSharedKey(e.url, key, opts)
	case authSAS:
		client, err = aztables.NewServiceClientWithNoCredential(e.url+"/?"+e.sas, opts)
	case authToken:
		token, tokenErr := c.token()
		if tokenErr != nil {
			return nil, tokenErr
		}
		client, err = aztables.NewServiceClient(e.url, token, opts)
	}
	if err != nil {
		return nil, fmt.Errorf("making the table client: %w", err)
	}
	return client, nil
}

// Queues returns a client of the account's queue service. It makes no request. Retries are those of Tables: after a
// lost reply a message may be in the queue twice.
func Queues(c Config) (*azqueue.ServiceClient, error) {
	e, err := c.endpoint(queueService)
	if err != nil {
		return nil, err
	}
	opts := &azqueue.ClientOptions{ClientOptions: e.clientOptions()}
	var client *azqueue.ServiceClient
	switch e.auth {
	case authKey:
		key, keyErr := azqueue.NewSharedKeyCredential(e.account, e.key)
		if keyErr != nil {
			return nil, errors.New("making the queue client: the account key is not usable")
		}
		client, err = azqueue.NewServiceClientWithSharedKeyCredential(e.url, key, opts)
	case authSAS:
		client, err = azqueue.NewServiceClientWithNoCredential(e.url+"/?"+e.sas, opts)
	case authToken:
		token, tokenErr := c.token()
		if tokenErr != nil {
			return nil, tokenErr
		}
		client, err = azqueue.NewServiceClient(e.url, token, opts)
	}
	if err != nil {
		return nil, fmt.Errorf("making the queue client: %w", err)
	}
	return client, nil
}

// Blobs returns a client of a container of the account's blob service. It makes no request. Retries are those of Tables.
func Blobs(c Config, name string) (*container.Client, error) {
	e, err := c.endpoint(blobService)
	if err != nil {
		return nil, err
	}
	opts := &container.ClientOptions{ClientOptions: e.clientOptions()}
	var client *container.Client
	switch e.auth {
	case authKey:
		key, keyErr := container.NewSharedKeyCredential(e.account, e.key)
		if keyErr != nil {
			return nil, errors.New("making the blob client: the account key is not usable")
		}
		client, err = container.NewClientWithSharedKeyCredential(e.url+"/"+name, key, opts)
	case authSAS:
		client, err = container.NewClientWithNoCredential(e.url+"/"+name+"?"+e.sas, opts)
	case authToken:
		token, tokenErr := c.token()
		if tokenErr != nil {
			return nil, tokenErr
		}
		client, err = container.NewClient(e.url+"/"+name, token, opts)
	}
	if err != nil {
		return nil, fmt.Errorf("making the blob client: %w", err)
	}
	return client, nil
}

// token returns the credential that ClientID and Credential describe.
func (c Config) token() (azcore.TokenCredential, error) {
	var cred azcore.TokenCredential
	var err error
	switch {
	case c.Token != nil:
		return c.Token, nil
	case c.Credential != "" && !strings.EqualFold(c.Credential, "managedidentity"):
		return nil, errors.New(`reading the storage setting credential: want "managedidentity" or nothing`)
	case c.ClientID != "":
		cred, err = azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{
			ID: azidentity.ClientID(c.ClientID),
		})
	case c.Credential != "":
		cred, err = azidentity.NewManagedIdentityCredential(nil)
	default:
		cred, err = azidentity.NewDefaultAzureCredential(nil)
	}
	if err != nil {
		return nil, fmt.Errorf("making the storage credential: %w", err)
	}
	return cred, nil
}

// clientOptions tunes connections and retries; an emulator on this machine is asked again sooner.
func (e endpoint) clientOptions() azcore.ClientOptions {
	retry := policy.RetryOptions{
		MaxRetries: 4, RetryDelay: 500 * time.Millisecond, MaxRetryDelay: 20 * time.Second, TryTimeout: 30 * time.Second,
	}
	idle := 90 * time.Second
	if e.loopback() {
		retry.RetryDelay, retry.MaxRetryDelay = 50*time.Millisecond, time.Second
		idle = 4 * time.Second // Azurite closes idle connections after 5 s
	}
	return azcore.ClientOptions{Retry: retry, Transport: newTransport(idle)}
}

// transport is an azcore Transporter whose errors do not show the query, where signatures are.
type transport struct{ client *http.Client }

func newTransport(idle time.Duration) transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return transport{client: &http.Client{
		// A signature is for one URL: nothing good comes of following a redirect.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         dialer.DialContext,
			TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: 10 * time.Second,
			MaxIdleConns:        idleConns,
			MaxIdleConnsPerHost: idleConns,
			IdleConnTimeout:     idle,
		},
	}}
}

// Do implements policy.Transporter.
func (t transport) Do(req *http.Request) (*http.Response, error) {
	resp, err := t.client.Do(req)
	if ue, ok := errors.AsType[*url.Error](err); ok {
		ue.URL, _, _ = strings.Cut(ue.URL, "?")
	}
	return resp, err
}
