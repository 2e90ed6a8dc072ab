package iothub

import (
	"bytes"
	"context"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNewRefusesBadOptions(t *testing.T) {
	t.Parallel()
	notPEM := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(notPEM, []byte("hello"), 0o600))
	credential := &fakeCredential{}
	for name, opts := range map[string]Options{
		"nothing":               {},
		"host alone":            {HostName: "h.azure-devices.net"},
		"credential alone":      {Credential: credential},
		"both ways":             {ConnectionString: connectionString("h"), Credential: credential},
		"not pairs":             {ConnectionString: testKey},
		"device's string":       {ConnectionString: "HostName=h;DeviceId=d;SharedAccessKey=" + testKey},
		"key not base64":        {ConnectionString: connectionString("h") + "!"},
		"host with path":        {ConnectionString: connectionString("h/x")},
		"host with credentials": {HostName: "user:password@h", Credential: credential},
		"host is a URL":         {HostName: "https://h", Credential: credential},
		"CA file missing":       {ConnectionString: connectionString("h"), CAFile: notPEM + "x"},
		"CA file without PEM":   {ConnectionString: connectionString("h"), CAFile: notPEM},
	} {
		_, err := New(opts)
		require.Error(t, err, name)
		requireNoSecret(t, err.Error())
	}
}

func TestHostName(t *testing.T) {
	t.Parallel()
	c := newClient(t, Options{ConnectionString: " " + connectionString("Contoso.azure-devices.net") + "\n"})
	require.Equal(t, "contoso.azure-devices.net", c.HostName())
	c = newClient(t, Options{HostName: "localhost:8443", Credential: &fakeCredential{}})
	require.Equal(t, "localhost:8443", c.HostName())
}

func TestUserAgentAndTransportOptions(t *testing.T) {
	t.Parallel()
	h := newHub(t, play(200, `{"status":200}`))
	base, err := h.options().newBase()
	require.NoError(t, err)
	var used bool
	opts := Options{
		ConnectionString: connectionString(h.host), UserAgent: "custom/1",
		Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			used = true
			return base.RoundTrip(r)
		}),
	}
	c := newClient(t, opts)
	_, err = c.InvokeMethod(context.Background(), "d1", newMethod(t))
	base.CloseIdleConnections()
	require.NoError(t, err)
	require.True(t, used)
	require.Equal(t, "custom/1", h.seen()[0].header.Get("User-Agent"))
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The library logs whole requests when this variable is set; it changes the process, so this test runs alone.
func TestLibraryLogsNothing(t *testing.T) {
	t.Setenv("IOTHUB_SERVICE_LOG_LEVEL", "debug")
	var logged bytes.Buffer
	log.SetOutput(&logged)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	c := newClient(t, newHub(t, play(200, `{"status":200}`)).options())
	_, err := c.InvokeMethod(context.Background(), "d1", newMethod(t))
	require.NoError(t, err)
	require.Empty(t, logged.String())
}
