package devicesim_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fleetjobs/fleetjobs/internal/devicesim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/sas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// output collects what a device prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// wait waits until the device has printed a text n times.
func (o *output) wait(t *testing.T, text string, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Count(o.String(), text) >= n }, time.Minute, 10*time.Millisecond,
		"the device did not print %q", text)
}

func startHub(t *testing.T, opt hubsim.Options) *hubsim.Server {
	t.Helper()
	opt.Fleet = hubsim.Devices{{ID: "simDevice", Desired: map[string]any{"floor": 1}}}
	hub, err := hubsim.Start(t.Context(), opt)
	require.NoError(t, err)
	t.Cleanup(hub.Close)
	return hub
}

// run runs a device until the test ends or the returned function is called, which gives what Run returned.
func run(t *testing.T, hub *hubsim.Server, opt devicesim.Options) (*output, func() error) {
	t.Helper()
	var err error
	opt.ConnectionString, err = hub.DeviceConnectionString("simDevice")
	require.NoError(t, err)
	opt.CAFile = hub.CAFile()
	out := &output{}
	opt.Out = out
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- devicesim.Run(ctx, opt) }()
	stop := sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = stop() })
	return out, stop
}

// service sends a request of the hub's service API.
func service(t *testing.T, hub *hubsim.Server, method, path, body string) string {
	t.Helper()
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(hub.CAPEM()))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	url := "https://" + hub.HTTPAddr() + path + "?api-version=2021-04-12"
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	_, key, _ := strings.Cut(hub.ConnectionString(), "SharedAccessKey=")
	raw, err := base64.StdEncoding.DecodeString(key)
	require.NoError(t, err)
	req.Header.Set("Authorization", sas.New("localhost", "service", raw, time.Now().Add(time.Hour)))
	res, err := (&http.Client{Transport: transport}).Do(req)
	require.NoError(t, err)
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return string(text)
}

func TestTheDeviceOfTheTutorial(t *testing.T) {
	t.Parallel()
	hub := startHub(t, hubsim.Options{})
	out, stop := run(t, hub, devicesim.Options{Report: true})
	out.wait(t, `desired properties now {"floor":1,"$version":1}`, 1)

	for _, test := range [][2]string{
		{`{"methodName":"lockDoor","payload":{"lockTime":"10m"}}`, `{"status":200,"payload":{"lockTime":"10m","result":"door locked"}}`},
		{`{"methodName":"lockDoor"}`, `{"status":200,"payload":{"result":"door locked"}}`},
		{`{"methodName":"reboot"}`, `{"status":200,"payload":{"result":"rebooting"}}`},
		{`{"methodName":"fly"}`, `{"status":501,"payload":{"error":"the device has no method \"fly\""}}`},
	} {
		require.JSONEq(t, test[1], service(t, hub, "POST", "/twins/simDevice/methods", test[0]))
	}
	out.wait(t, `method lockDoor {"lockTime":"10m"} -> 200`, 1)

	service(t, hub, "PATCH", "/twins/simDevice", `{"properties":{"desired":{"building":43,"floor":3}}}`)
	out.wait(t, `desired properties patch {"building":43,"floor":3,"$version":2}`, 1)

	require.Eventually(t, func() bool {
		v, ok := hub.Device("simDevice")
		return ok && v.Twin.Reported.Values["lastSeen"] != nil
	}, time.Minute, 10*time.Millisecond)

	require.NoError(t, stop())
	require.Contains(t, out.String(), "stopped")
}

func TestItComesBackWhenTheHubDoes(t *testing.T) {
	t.Parallel()
	opt := hubsim.Options{Secret: []byte("the same keys again"), CAFile: filepath.Join(t.TempDir(), "ca.pem")}
	hub := startHub(t, opt)
	out, stop := run(t, hub, devicesim.Options{MinBackoff: 20 * time.Millisecond, MaxBackoff: 100 * time.Millisecond})
	out.wait(t, "desired properties now", 1)

	_, port, err := net.SplitHostPort(hub.MQTTAddr())
	require.NoError(t, err)
	opt.MQTTPort, err = strconv.Atoi(port)
	require.NoError(t, err)
	hub.Close()
	out.wait(t, "not connected", 3)
	hub = startHub(t, opt)
	out.wait(t, "desired properties now", 2)

	hub.Close()
	out.wait(t, "not connected", 5)
	require.NoError(t, stop(), "a device without a hub can be stopped")
}

func TestItReconnectsAfterItsConnectionWasTaken(t *testing.T) {
	t.Parallel()
	hub := startHub(t, hubsim.Options{})
	first, _ := run(t, hub, devicesim.Options{MinBackoff: 20 * time.Millisecond})
	first.wait(t, "desired properties now", 1)
	second, stop := run(t, hub, devicesim.Options{MinBackoff: time.Hour, MaxBackoff: time.Hour})
	second.wait(t, "desired properties now", 1)
	first.wait(t, "not connected", 1)
	first.wait(t, "desired properties now", 2)
	second.wait(t, "not connected", 1)
	require.NoError(t, stop())
	require.Contains(t, service(t, hub, "POST", "/twins/simDevice/methods", `{"methodName":"reboot","connectTimeoutInSeconds":10}`), "rebooting")
}

func TestItRenewsItsTokenInTime(t *testing.T) {
	t.Parallel()
	hub := startHub(t, hubsim.Options{})
	out, _ := run(t, hub, devicesim.Options{TokenLifetime: 3 * time.Second})
	out.wait(t, "renewing the token", 2)
	out.wait(t, "desired properties now", 3)
	require.NotContains(t, out.String(), "not connected", "it went before the hub closed the connection")
}

func TestWhatCannotWorkIsAnErrorAtOnce(t *testing.T) {
	t.Parallel()
	hub := startHub(t, hubsim.Options{})
	good, err := hub.DeviceConnectionString("simDevice")
	require.NoError(t, err)
	for name, test := range map[string]struct {
		opt  devicesim.Options
		want string
	}{
		"no device":   {devicesim.Options{ConnectionString: "HostName=h;SharedAccessKey=YQ=="}, "DeviceId is missing"},
		"broken key":  {devicesim.Options{ConnectionString: "HostName=h;DeviceId=d;SharedAccessKey=sec*ret"}, "not base64"},
		"no CA file":  {devicesim.Options{ConnectionString: good, CAFile: "/nowhere/ca.pem"}, "reading the CA certificates"},
		"refused key": {devicesim.Options{ConnectionString: wrongKey(good), CAFile: hub.CAFile()}, "not Authorized"},
	} {
		err := devicesim.Run(t.Context(), test.opt)
		require.ErrorContains(t, err, test.want, name)
		require.NotContains(t, err.Error(), "sec*ret", "keys are never printed")
	}
}

// wrongKey replaces the key of a connection string.
func wrongKey(connectionString string) string {
	before, _, _ := strings.Cut(connectionString, "SharedAccessKey=")
	return before + "SharedAccessKey=" + base64.StdEncoding.EncodeToString([]byte("0123456789abcdef"))
}
