package hubsim_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/sas"
)

// stuck connects a device that subscribes methods and then never reads again.
func (h *hub) stuck(id string) {
	h.t.Helper()
	roots := x509.NewCertPool()
	require.True(h.t, roots.AppendCertsFromPEM(h.CAPEM()))
	conn, err := tls.Dial("tcp", h.MQTTAddr(), &tls.Config{RootCAs: roots, ServerName: "localhost"})
	require.NoError(h.t, err)
	h.t.Cleanup(func() { _ = conn.Close() })
	connect := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	connect.ProtocolName, connect.ProtocolVersion, connect.CleanSession, connect.Keepalive = "MQTT", 4, true, 1000
	connect.ClientIdentifier, connect.UsernameFlag, connect.PasswordFlag = id, true, true
	connect.Username = "localhost/" + id + "/?api-version=2021-04-12"
	connect.Password = []byte(sas.New("localhost/devices/"+id, "", h.deviceKey(id), time.Now().Add(time.Hour)))
	require.NoError(h.t, connect.Write(conn))
	_, err = packets.ReadPacket(conn)
	require.NoError(h.t, err)
	subscribe := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	subscribe.MessageID, subscribe.Topics, subscribe.Qoss = 1, []string{methods}, []byte{0}
	require.NoError(h.t, subscribe.Write(conn))
	_, err = packets.ReadPacket(conn)
	require.NoError(h.t, err)
}

// TestADeviceThatStopsReading must not hold its callers, nor other devices at all.
func TestADeviceThatStopsReading(t *testing.T) {
	t.Parallel()
	h := start(t, outside("stuck", "well"))
	h.stuck("stuck")
	well := h.connect("well")
	well.subscribe(methods, 0)
	well.answer(func(string, string) (int, string) { return 200, "1" })

	body := `{"methodName":"m","responseTimeoutInSeconds":5,"payload":"` + strings.Repeat("x", 100<<10) + `"}`
	var group sync.WaitGroup
	for range 64 {
		group.Go(func() {
			res, err := h.try("POST", "/twins/stuck/methods", body)
			if err != nil || res.StatusCode != 504 && res.StatusCode != 404 {
				t.Error(fmt.Sprint(err, " ", res.body))
			}
		})
	}
	for range 50 {
		require.Equal(t, 200, h.do("POST", "/twins/well/methods", reboot).StatusCode)
	}
	group.Wait()
	require.Eventually(t, func() bool { return h.Stats().MQTTConnections == 1 }, time.Minute, 20*time.Millisecond,
		"the hub closes a connection that takes nothing")
}
