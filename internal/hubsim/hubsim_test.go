package hubsim_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fleetjobs/fleetjobs/internal/fleetsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/sas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hub is a simulator and a raw HTTPS client for it.
type hub struct {
	*hubsim.Server
	t      *testing.T
	client *http.Client
	token  string
}

// start starts a simulator that ends with the test.
func start(t *testing.T, opt hubsim.Options) *hub {
	t.Helper()
	server, err := hubsim.Start(t.Context(), opt)
	require.NoError(t, err)
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(server.CAPEM()))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	h := &hub{Server: server, t: t, client: &http.Client{Transport: transport}}
	h.token = h.sign("iothubowner", h.HostName(), time.Hour)
	return h
}

// sign makes a token of a policy for a resource.
func (h *hub) sign(policy, resource string, lifetime time.Duration) string {
	h.t.Helper()
	return sas.New(resource, policy, keyOf(h.t, h.PolicyConnectionString(policy)), time.Now().Add(lifetime))
}

// fleet returns a fleet of simulated devices.
func fleet(t *testing.T, opt fleetsim.Options) *fleetsim.Fleet {
	t.Helper()
	f, err := fleetsim.New(opt)
	require.NoError(t, err)
	return f
}

// response is an answer with its body read.
type response struct {
	*http.Response
	body string
}

// do sends a request; header holds names and values in turn.
func (h *hub) do(method, path, body string, header ...string) response {
	h.t.Helper()
	res, err := h.try(method, path, body, header...)
	require.NoError(h.t, err)
	return res
}

func (h *hub) try(method, path, body string, header ...string) (response, error) {
	h.t.Helper()
	res, err := h.client.Do(h.request(method, path, body, header...))
	if err != nil {
		return response{}, err
	}
	text, err := io.ReadAll(res.Body)
	require.NoError(h.t, err)
	require.NoError(h.t, res.Body.Close())
	return response{Response: res, body: string(text)}, nil
}

func (h *hub) request(method, path, body string, header ...string) *http.Request {
	h.t.Helper()
	url := "https://" + h.HTTPAddr() + path
	if !strings.Contains(path, "?") {
		url += "?api-version=2021-04-12"
	}
	req, err := http.NewRequestWithContext(h.t.Context(), method, url, bytes.NewReader([]byte(body)))
	require.NoError(h.t, err)
	req.Header.Set("Authorization", h.token)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return req
}

// object decodes the body of an answer.
func (r response) object(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	require.NoError(t, json.Unmarshal([]byte(r.body), &v), r.body)
	return v
}

func TestMethodOnASimulatedDevice(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{Fleet: fleet(t, fleetsim.Options{Devices: 3})})

	res := h.do("POST", "/twins/dev-000001/methods", `{"methodName":"lockDoor","payload":{"lockTime":"10m"}}`)

	require.Equal(t, 200, res.StatusCode, res.body)
	require.JSONEq(t, `{"status":200,"payload":{"result":"locked","lockTime":"10m"}}`, res.body)
	require.Equal(t, "application/json; charset=utf-8", res.Header.Get("Content-Type"))
	require.EqualValues(t, 1, h.Stats().MethodsDelivered)
}
