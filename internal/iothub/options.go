package iothub

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/amenzhinsky/iothub/common"
	"go.opentelemetry.io/otel/trace"
)

const (
	defaultMaxConnections = 512
	defaultUserAgent      = "fleetjobs"
)

// Options configure a Client. Either ConnectionString, or HostName and Credential, must be set.
type Options struct {
	// ConnectionString is a service connection string:
	// HostName=...;SharedAccessKeyName=...;SharedAccessKey=... Its policy needs the ServiceConnect permission.
	ConnectionString string
	// HostName is the hub's host name, for example contoso.azure-devices.net, with an optional port.
	HostName string
	// Credential gives Microsoft Entra tokens. Direct methods need the role IoT Hub Data Contributor; see "Control access
	// to IoT Hub by using Microsoft Entra ID".
	Credential azcore.TokenCredential
	// CAFile is a PEM file of certificate authorities to trust besides the system's.
	CAFile string
	// MaxConnections is how many idle connections are kept; 512 if 0. More calls at once open more connections and close
	// them again, each at the price of a TLS handshake.
	MaxConnections int
	// UserAgent is sent with each request; "fleetjobs" if empty.
	UserAgent string
	// Transport replaces the network, for tests. CAFile and MaxConnections have no effect then.
	Transport http.RoundTripper
	// Tracer records a client span for each request that is made within a recorded span. Default: none.
	Tracer trace.Tracer
}

// identity is who the client is to the hub: the key that signs, or the source of bearer tokens that override it.
type identity struct {
	key    *common.SharedAccessKey
	tokens *tokenSource
}

func (o Options) identity() (identity, error) {
	switch {
	case o.ConnectionString != "" && (o.HostName != "" || o.Credential != nil):
		return identity{}, errors.New("give either a connection string or a host name with a credential, not both")
	case o.ConnectionString != "":
		key, err := parseConnectionString(o.ConnectionString)
		return identity{key: key}, err
	case o.HostName == "" || o.Credential == nil:
		return identity{}, errors.New("a connection string, or a host name and a credential, is required")
	}
	host, err := checkHost(o.HostName)
	if err != nil {
		return identity{}, err
	}
	// The library signs every request with a key; the transport puts the bearer token over that signature.
	unused := base64.StdEncoding.EncodeToString([]byte("unused"))
	return identity{
		key:    common.NewSharedAccessKey(host, "unused", unused),
		tokens: newTokenSource(o.Credential),
	}, nil
}

func parseConnectionString(s string) (*common.SharedAccessKey, error) {
	m, err := common.ParseConnectionString(strings.TrimSpace(s), "HostName", "SharedAccessKeyName", "SharedAccessKey")
	if err != nil {
		return nil, fmt.Errorf("parsing connection string: %w", err)
	}
	host, err := checkHost(m["HostName"])
	if err != nil {
		return nil, fmt.Errorf("parsing connection string: %w", err)
	}
	if _, err := base64.StdEncoding.DecodeString(m["SharedAccessKey"]); err != nil {
		return nil, errors.New("parsing connection string: SharedAccessKey is not base64")
	}
	return common.NewSharedAccessKey(host, m["SharedAccessKeyName"], m["SharedAccessKey"]), nil
}

// checkHost accepts a host with an optional port and nothing else, since it becomes part of a URL and of a signature.
func checkHost(host string) (string, error) {
	host = strings.ToLower(strings.TrimSpace(host))
	u, err := url.Parse("https://" + host + "/")
	if err != nil || u.Host != host || u.Hostname() == "" || u.User != nil || u.Path != "/" {
		return "", fmt.Errorf("host name %q is not a host with an optional port", host)
	}
	return host, nil
}
