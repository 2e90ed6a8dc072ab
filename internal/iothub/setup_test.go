package iothub

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testKey is the shared access key of every hub in these tests.
const testKey = "c2VjcmV0LWtleS1mb3ItdGVzdHMtb25seQ=="

// seen is one request as a hub under test received it.
type seen struct {
	method, uri string
	header      http.Header
	body        string
}

// hub is an HTTPS server that plays answers and remembers requests and connections.
type hub struct {
	host   string
	caFile string

	mu       sync.Mutex
	requests []seen
	conns    int
}

// newHub starts a hub that answers with answer; the request's body has been read by then.
func newHub(t testing.TB, answer http.HandlerFunc) *hub {
	t.Helper()
	h := &hub{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client went away
		}
		h.mu.Lock()
		h.requests = append(h.requests, seen{r.Method, r.RequestURI, r.Header.Clone(), string(body)})
		h.mu.Unlock()
		answer(w, r)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			h.mu.Lock()
			h.conns++
			h.mu.Unlock()
		}
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	h.host = server.Listener.Addr().String()
	h.caFile = filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	require.NoError(t, os.WriteFile(h.caFile, block, 0o600))
	return h
}

func (h *hub) seen() []seen {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]seen(nil), h.requests...)
}

func (h *hub) connections() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.conns
}

func (h *hub) options() Options {
	return Options{ConnectionString: connectionString(h.host), CAFile: h.caFile}
}

func connectionString(host string) string {
	return "HostName=" + host + ";SharedAccessKeyName=service;SharedAccessKey=" + testKey
}

func newClient(t testing.TB, opts Options) *Client {
	t.Helper()
	c, err := New(opts)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// newMethod is a method with a null payload and the shortest timeouts.
func newMethod(t testing.TB) *Method {
	t.Helper()
	m, err := NewMethod("reboot", nil, MinResponseTimeout, 0)
	require.NoError(t, err)
	return m
}

// hurried makes the client give up on methods d after the call instead of after their timeouts.
func hurried(c *Client, m *Method, d time.Duration) *Client {
	c.margin = d - m.wait
	return c
}

// play answers with a recorded status, headers (name, value, name, value, ...) and body.
func play(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// invokeErr invokes a method on device d1 and returns its typed error.
func invokeErr(t testing.TB, c *Client, m *Method) *Error {
	t.Helper()
	_, err := c.InvokeMethod(context.Background(), "d1", m)
	return asError(t, err)
}

func asError(t testing.TB, err error) *Error {
	t.Helper()
	var e *Error
	require.ErrorAs(t, err, &e)
	requireNoSecret(t, e.Error())
	return e
}

// requireNoSecret fails if text holds the key of these tests, as it is or decoded, or any token.
func requireNoSecret(t testing.TB, text string) {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(testKey)
	require.NoError(t, err)
	for _, secret := range []string{testKey, string(key), testToken, "sig="} {
		require.NotContains(t, text, secret)
	}
}

// requireSignature checks a shared access signature as the hub does: over the resource as it was sent.
func requireSignature(t *testing.T, header, host string) {
	t.Helper()
	token, ok := strings.CutPrefix(header, "SharedAccessSignature ")
	require.True(t, ok, "authorization %q", header)
	parts := map[string]string{}
	for pair := range strings.SplitSeq(token, "&") {
		k, v, _ := strings.Cut(pair, "=")
		parts[k] = v
	}
	key, err := base64.StdEncoding.DecodeString(testKey)
	require.NoError(t, err)
	mac := hmac.New(sha256.New, key)
	_, _ = io.WriteString(mac, parts["sr"]+"\n"+parts["se"])
	sig, err := url.QueryUnescape(parts["sig"])
	require.NoError(t, err)
	require.Equal(t, base64.StdEncoding.EncodeToString(mac.Sum(nil)), sig)
	sr, err := url.QueryUnescape(parts["sr"])
	require.NoError(t, err)
	require.Equal(t, host, sr)
	require.Equal(t, "service", parts["skn"])
}
