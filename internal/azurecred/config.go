// Package azurecred turns settings into clients of Azure Table, Queue and Blob Storage.
//
// It owns the reading of connection strings, the short form UseDevelopmentStorage=true, the identity settings that the
// Functions host knows (AzureWebJobsStorage__accountName and so on), the choice of an azidentity credential, and the
// tuning of connections and retries. Storage keys and signatures never appear in its errors or logs, nor in the errors
// of the clients it makes.
//
// It does not own what is stored: tables, queues and blobs belong to their adapters.
package azurecred

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// Config says where a storage account is and how to prove who we are. Either ConnectionString is set, which then
// decides alone, or AccountName or the service URIs are, for Microsoft Entra ID.
type Config struct {
	// ConnectionString holds an account key or a shared access signature, or is UseDevelopmentStorage=true.
	ConnectionString string
	// AccountName stands for https://<name>.table.core.windows.net and https://<name>.queue.core.windows.net.
	AccountName string
	// TableServiceURI and QueueServiceURI override what AccountName stands for. https only.
	TableServiceURI, QueueServiceURI string
	// BlobServiceURI is the same for https://<name>.blob.core.windows.net.
	BlobServiceURI string
	// ClientID chooses a user-assigned managed identity.
	ClientID string
	// Credential is "managedidentity" or empty. Empty without ClientID is azidentity's DefaultAzureCredential, which
	// also finds environment variables and a developer's sign-in.
	Credential string
	// Token, when set, is used in place of what ClientID and Credential describe.
	Token azcore.TokenCredential
}

// FromEnviron reads the settings of the connection called name, such as AzureWebJobsStorage, from an environment in
// the form of os.Environ: <name> for a connection string, else <name>__accountName, __tableServiceUri,
// __queueServiceUri, __blobServiceUri, __clientId and __credential. As in the Functions host the case of names does not matter.
func FromEnviron(name string, environ []string) Config {
	settings := make(map[string]string, len(environ))
	for _, kv := range environ {
		if k, v, ok := strings.Cut(kv, "="); ok {
			settings[strings.ToLower(k)] = v
		}
	}
	get := func(suffix string) string { return settings[strings.ToLower(name+suffix)] }
	return Config{
		ConnectionString: get(""),
		AccountName:      get("__accountName"),
		TableServiceURI:  get("__tableServiceUri"),
		QueueServiceURI:  get("__queueServiceUri"),
		BlobServiceURI:   get("__blobServiceUri"),
		ClientID:         get("__clientId"),
		Credential:       get("__credential"),
	}
}

// String describes the configuration without secrets.
func (c Config) String() string {
	tables, err := c.endpoint(tableService)
	if err != nil {
		return "invalid storage configuration"
	}
	queues, err := c.endpoint(queueService)
	if err != nil {
		return "invalid storage configuration"
	}
	return fmt.Sprintf("tables %s, queues %s, by %s", tables.url, queues.url, tables.auth)
}

// GoString keeps secrets out of %#v.
func (c Config) GoString() string { return "azurecred.Config{" + c.String() + "}" }

// LogValue keeps secrets out of logs.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// authKind is how requests to an endpoint are authorized.
type authKind string

const (
	authKey   authKind = "account key"
	authSAS   authKind = "shared access signature"
	authToken authKind = "identity"
)

// endpoint is one service of a storage account.
type endpoint struct {
	url     string // without a query
	account string // authKey only
	key     string // authKey only, base64
	sas     string // authSAS only, without "?"
	auth    authKind
}

// service is the part of a storage account that a client talks to, called as in host names.
type service string

const (
	tableService service = "table"
	queueService service = "queue"
	blobService  service = "blob"
)

// setting is the name of the service's endpoint in connection strings.
func (s service) setting() string {
	switch s {
	case tableService:
		return "TableEndpoint"
	case blobService:
		return "BlobEndpoint"
	}
	return "QueueEndpoint"
}

// uriSetting is the name of the service's endpoint among identity settings.
func (s service) uriSetting() string { return string(s) + "ServiceUri" }

// emulatorPort is the port that UseDevelopmentStorage=true stands for.
func (s service) emulatorPort() string {
	switch s {
	case tableService:
		return "10002"
	case blobService:
		return "10000"
	}
	return "10001"
}

// endpoint finds the service's endpoint.
func (c Config) endpoint(s service) (endpoint, error) {
	if c.ConnectionString != "" {
		settings, err := parseConnectionString(c.ConnectionString)
		if err != nil {
			return endpoint{}, fmt.Errorf("reading the storage connection string: %w", err)
		}
		e, err := settings.endpoint(s)
		if err != nil {
			return endpoint{}, fmt.Errorf("reading the storage connection string: %w", err)
		}
		return e, nil
	}
	return c.identityEndpoint(s)
}

func (c Config) identityEndpoint(s service) (endpoint, error) {
	uri := map[service]string{tableService: c.TableServiceURI, queueService: c.QueueServiceURI, blobService: c.BlobServiceURI}[s]
	switch {
	case uri != "":
		clean, err := checkURL(uri)
		if err != nil {
			return endpoint{}, fmt.Errorf("reading the storage setting %s: %w", s.uriSetting(), err)
		}
		if !strings.HasPrefix(clean, "https://") {
			return endpoint{}, fmt.Errorf("reading the storage setting %s: an identity needs https", s.uriSetting())
		}
		return endpoint{url: clean, auth: authToken}, nil
	case c.AccountName == "":
		return endpoint{}, fmt.Errorf("storage is not configured: want a connection string, accountName or %s", s.uriSetting())
	case !isAccountName(c.AccountName):
		return endpoint{}, errors.New("reading the storage setting accountName: want 3 to 24 lower-case letters and digits")
	}
	return endpoint{url: accountURL("https", c.AccountName, s, publicSuffix), auth: authToken}, nil
}

// checkURL accepts the base URL of a service and returns it without a slash at the end. Its errors do not repeat the
// value, which may carry a signature.
func checkURL(raw string) (string, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return "", errors.New("want a URL such as https://account.table.core.windows.net")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", errors.New("want a URL without user, query and fragment")
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// isAccountName reports whether name obeys the rules for storage account names.
func isAccountName(name string) bool {
	if len(name) < 3 || len(name) > 24 {
		return false
	}
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') {
			return false
		}
	}
	return true
}

// loopback reports whether the endpoint is on this machine, as an emulator is.
func (e endpoint) loopback() bool {
	u, err := url.Parse(e.url)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
