package test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/devstack"
)

// posted is a request that somebody outside got from the app.
type posted struct {
	path, query string
	header      http.Header
	body        []byte
}

// outside is a web server of somebody else: it takes callbacks, after a moment of trouble, and is an Event Grid topic.
func outside(t *testing.T) (address string, requests <-chan posted) {
	t.Helper()
	got := make(chan posted, 100)
	var troubled atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		got <- posted{r.URL.Path, r.URL.RawQuery, r.Header, body}
		if r.URL.Path == "/hook" && !troubled.Swap(true) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, got
}

// cloudEvent is what any reader of CloudEvents finds in one.
type cloudEvent struct {
	SpecVersion string    `json:"specversion"`
	ID          string    `json:"id"`
	Source      string    `json:"source"`
	Type        string    `json:"type"`
	Subject     string    `json:"subject"`
	Time        time.Time `json:"time"`
	Data        view      `json:"data"`
}

// genuine checks a signature by the text of Standard Webhooks, with nothing of ours.
func genuine(p posted, key []byte) bool {
	stamp := p.header.Get("webhook-timestamp")
	at, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || time.Since(time.Unix(at, 0)).Abs() > 5*time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(p.header.Get("webhook-id") + "." + stamp + "."))
	mac.Write(p.body)
	for one := range strings.SplitSeq(p.header.Get("webhook-signature"), " ") {
		text, isV1 := strings.CutPrefix(one, "v1,")
		given, err := base64.StdEncoding.DecodeString(text)
		if isV1 && err == nil && hmac.Equal(given, mac.Sum(nil)) {
			return true
		}
	}
	return false
}

// TestACallbackAndACloudEventArrive: the end of a job reaches its callback, signed and in spite of an answer of 503, and start
// and end reach the Event Grid topic. What the app logs holds neither key nor signature.
func TestACallbackAndACloudEventArrive(t *testing.T) {
	address, requests := outside(t)
	oldKey, newKey := []byte(strings.Repeat("old.", 8)), []byte(strings.Repeat("new.", 8))
	whsec := func(key []byte) string { return "whsec_" + base64.StdEncoding.EncodeToString(key) }
	s := start(t, devstack.Options{
		Devices: 200, OfflineShare: 0.1,
		SettingsOverrides: map[string]string{
			"FLEETJOBS_CALLBACK_ALLOW":     strings.TrimPrefix(address, "http://"),
			"FLEETJOBS_CALLBACK_KEYS":      whsec(newKey) + "," + whsec(oldKey),
			"FLEETJOBS_EVENTGRID_ENDPOINT": address + "/api/events",
			"FLEETJOBS_EVENTGRID_KEY":      "t0p1c",
			"FLEETJOBS_LOG_LEVEL":          "debug",
		},
	})
	job := fmt.Sprintf(`{"type":"scheduleDeviceMethod","queryCondition":"*","cloudToDeviceMethod":{"methodName":"reboot"},
		"notifications":{"callbackUrl":"%s/hook?sig=s3cr3t"}}`, address)
	s.put("told", job)
	callbacks, published := map[string][]posted{}, map[string]posted{}
	for limit := time.After(patience); len(callbacks["completed"]) < 2 || len(published) < 2; {
		select {
		case p := <-requests:
			if p.path == "/hook" {
				callbacks[kindOf(t, p.body)] = append(callbacks[kindOf(t, p.body)], p)
				continue
			}
			require.Equal(t, "/api/events", p.path)
			require.Equal(t, "t0p1c", p.header.Get("aeg-sas-key"))
			require.Equal(t, "application/cloudevents-batch+json; charset=utf-8", p.header.Get("Content-Type"))
			var batch []json.RawMessage
			require.NoError(t, json.Unmarshal(p.body, &batch))
			require.Len(t, batch, 1)
			p.body = batch[0]
			published[kindOf(t, p.body)] = p
		case <-limit:
			t.Fatalf("not everything arrived: %d callbacks, %d events published; %s", len(callbacks), len(published),
				s.call(http.MethodGet, "/api/jobs/told", "").body)
		}
	}
	last := s.until("told", ended)
	v := last[len(last)-1]
	require.Len(t, callbacks, 1, "the callback hears of the end alone")
	first, again := callbacks["completed"][0], callbacks["completed"][1]
	require.Equal(t, first.header.Get("webhook-id"), again.header.Get("webhook-id"), "a repeated event has its id")
	for _, p := range []posted{first, again} {
		require.Equal(t, "sig=s3cr3t", p.query)
		require.True(t, genuine(p, newKey))
		require.True(t, genuine(p, oldKey), "receivers may still know the old key")
		require.False(t, genuine(p, []byte("another key")))
		tampered := p
		tampered.body = append([]byte(" "), p.body...)
		require.False(t, genuine(tampered, newKey))
	}
	for _, body := range [][]byte{again.body, published["completed"].body, published["started"].body} {
		var e cloudEvent
		require.NoError(t, json.Unmarshal(body, &e))
		require.Equal(t, "1.0", e.SpecVersion)
		require.Equal(t, s.URL+"/api/jobs/told", e.Source+"/"+e.Subject)
		if e.Type == "io.fleetjobs.job.completed" {
			require.Equal(t, first.header.Get("webhook-id"), e.ID)
			require.Equal(t, v.EndTime, e.Time)
			require.Equal(t, v, e.Data, "the job as the API gives it")
		}
	}
	shown := s.call(http.MethodGet, "/api/jobs/told", "")
	require.Contains(t, string(shown.body), "/hook?redacted")
	for _, secret := range []string{"s3cr3t", "t0p1c", whsec(newKey), again.header.Get("webhook-signature")} {
		require.NotContains(t, string(shown.body)+s.log.String(), secret)
	}
}

func kindOf(t *testing.T, body []byte) string {
	t.Helper()
	var e cloudEvent
	require.NoError(t, json.Unmarshal(body, &e))
	return strings.TrimPrefix(e.Type, "io.fleetjobs.job.")
}

// TestAPrivateAddressIsNotCalled: without the setting a job can not make the app call what stands beside it.
func TestAPrivateAddressIsNotCalled(t *testing.T) {
	address, requests := outside(t)
	s := start(t, devstack.Options{Devices: 1, SettingsOverrides: map[string]string{"FLEETJOBS_CALLBACK_ALLOW": ""}})
	for _, url := range []string{
		address, strings.Replace(address, "http:", "https:", 1), "https://169.254.169.254/metadata/instance", "https://[::ffff:10.0.0.1]/",
		"https://localhost/", "https://2130706433/",
	} {
		a := s.call(http.MethodPut, "/api/jobs/ssrf", fmt.Sprintf(`{"type":"scheduleDeviceMethod","queryCondition":"*",
			"cloudToDeviceMethod":{"methodName":"reboot"},"notifications":{"callbackUrl":%q}}`, url))
		require.Equal(t, http.StatusBadRequest, a.status, "%s: %s", url, a.body)
		require.Contains(t, string(a.body), "FLEETJOBS_CALLBACK_ALLOW")
	}
	require.Equal(t, http.StatusNotFound, s.call(http.MethodGet, "/api/jobs/ssrf", "").status)
	require.Empty(t, requests)
}
