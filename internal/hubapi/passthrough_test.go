package hubapi_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/hubapi"
)

// hubRecorder is a hub that answers everything and remembers the last request.
type hubRecorder struct {
	mu   sync.Mutex
	last *http.Request
	body string
}

func (h *hubRecorder) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last, h.body = r, string(body)
	header := http.Header{
		"Etag": {`"AAAAAAAAAAE="`}, "X-Ms-Continuation": {"next"}, "Iothub-Errorcode": {"PreconditionFailed"},
		"Connection": {"X-Hop"}, "X-Hop": {"1"}, "Content-Type": {"application/json; charset=utf-8"},
	}
	return &http.Response{StatusCode: 412, Header: header, Body: io.NopCloser(strings.NewReader(`{"Message":"m"}`)), Request: r}, nil
}

func as(policy string) []string {
	return []string{"Authorization", signature(publicHost, policy, start.Add(time.Hour))}
}

func TestTheRestOfAHubIsPassedThrough(t *testing.T) {
	t.Parallel()
	recorder := &hubRecorder{}
	w := newWorld(t, hubapi.Options{Hub: recorder, PassThrough: true})
	r := w.call(http.MethodPatch, "/twins/dev%231?api-version=2020-09-30&code=secret&x=%2F", `{"tags":{}}`,
		"If-Match", `"AAA="`, "x-ms-max-item-count", "3", "x-ms-continuation", "t", "Content-Type", "application/json",
		"User-Agent", "sdk/1", "X-Functions-Key", "secret", "X-Forwarded-For", "10.0.0.1", "Cookie", "a=b", "X-MS-CLIENT-PRINCIPAL", "p")
	require.Equal(t, http.StatusPreconditionFailed, r.status)
	require.JSONEq(t, `{"Message":"m"}`, r.body)
	require.Equal(t, `"AAAAAAAAAAE="`, r.header.Get("ETag"))
	require.Equal(t, "next", r.header.Get("x-ms-continuation"))
	require.Equal(t, "PreconditionFailed", r.header.Get("iothub-errorcode"))
	require.Empty(t, r.header.Get("X-Hop"))

	require.Equal(t, http.MethodPatch, recorder.last.Method)
	require.Equal(t, "/twins/dev%231?api-version=2020-09-30&x=%2F", recorder.last.URL.RequestURI())
	require.JSONEq(t, `{"tags":{}}`, recorder.body)
	got := recorder.last.Header.Clone()
	require.Equal(t, http.Header{
		"If-Match": {`"AAA="`}, "X-Ms-Max-Item-Count": {"3"}, "X-Ms-Continuation": {"t"}, "Content-Type": {"application/json"},
		"User-Agent": {"sdk/1"},
	}, got, "and no credential of the caller")

	w.call(http.MethodPost, "/twins/d", `{}`, "X-HTTP-Method-Override", "PATCH")
	require.Equal(t, http.MethodPatch, recorder.last.Method, "as the SDK for Java has it")
	w.call(http.MethodPost, "/twins/d/methods", `{}`, "X-HTTP-Method-Override", "DELETE")
	require.Equal(t, http.MethodPost, recorder.last.Method)
}

func TestPermissionsOfPassThrough(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hubapi.Options{Hub: &hubRecorder{}, PassThrough: true})
	const passed, refused, unknown = http.StatusPreconditionFailed, http.StatusUnauthorized, http.StatusNotFound
	for _, c := range []struct {
		request                      string
		service, registryRead, owner int
	}{
		{"GET /twins/d", passed, refused, passed},
		{"POST /twins/d/methods", passed, refused, passed},
		{"PATCH /digitaltwins/d", passed, refused, passed},
		{"GET /statistics/service", passed, refused, passed},
		{"GET /statistics/devices", refused, passed, passed},
		{"GET /devices", refused, passed, passed},
		{"GET /devices/d", refused, passed, passed},
		{"PUT /devices/d", refused, refused, passed},
		{"DELETE /devices/d", refused, refused, passed},
		{"POST /devices", refused, refused, passed},
		{"GET /devices/query", refused, passed, passed}, // a device of that name
		{"GET /configurations/c", refused, passed, passed},
		{"PUT /configurations/c", refused, refused, passed},
		{"POST /jobs/create", refused, refused, passed},
		{"GET /jobs/v2", refused, refused, passed}, // an import of that name
		{"POST /devices/d/messages/events", unknown, unknown, unknown},
		{"POST /devices/d/Files", unknown, unknown, unknown},
		{"GET /twins/..", unknown, unknown, unknown},
		{"GET /twins/%2e%2e/devices", unknown, unknown, unknown},
		{"GET /twins/a%2Fb", unknown, unknown, unknown},
		{"GET /twins//d", unknown, unknown, unknown},
		{"GET /devices/?top=3", refused, passed, passed}, // as the SDK for .NET has it
		{"POST /devices/", refused, refused, passed},
		{"GET /devices//", unknown, unknown, unknown},
		{"GET /$sim/stats", unknown, unknown, unknown},
		{"GET /jobs/v2/j", http.StatusOK, refused, http.StatusOK},
		{"GET /jobs/v2/query", http.StatusOK, refused, http.StatusOK},
		{"POST /jobs/v2/j/cancel", unknown, refused, unknown},
		{"PUT /jobs/v2/j", http.StatusBadRequest, refused, http.StatusBadRequest},
		{"POST /devices/query", http.StatusBadRequest, refused, http.StatusBadRequest},
		{"GET /jobs/v2/j/rows", unknown, unknown, unknown},
		{"DELETE /jobs/v2/j", http.StatusMethodNotAllowed, http.StatusMethodNotAllowed, http.StatusMethodNotAllowed},
	} {
		method, path, _ := strings.Cut(c.request, " ")
		for policy, want := range map[string]int{"service": c.service, "registryRead": c.registryRead, "iothubowner": c.owner} {
			require.Equal(t, want, w.call(method, path, "", as(policy)...).status, "%s as %s", c.request, policy)
		}
	}
}

// Without the setting there is nothing but jobs and queries.
func TestPassThroughIsOffUnlessItIsSet(t *testing.T) {
	t.Parallel()
	recorder := &hubRecorder{}
	w := newWorld(t, hubapi.Options{Hub: recorder})
	for _, path := range []string{"/twins/d", "/devices/d", "/statistics/devices", "/jobs/create", "/configurations"} {
		r := w.call(http.MethodGet, path, "", as("iothubowner")...)
		require.Equal(t, http.StatusNotFound, r.status, path)
		require.Equal(t, "GenericNotFound", r.header.Get("iothub-errorcode"))
	}
	require.Nil(t, recorder.last)

	body := `{"query": "SELECT deviceId, tags.a FROM devices WHERE ODD(deviceId)"}`
	require.Equal(t, http.StatusPreconditionFailed, w.call(http.MethodPost, "/devices/query", body).status)
	require.Equal(t, body, recorder.body, "queries over devices are the hub's")
	require.Equal(t, http.StatusUnauthorized, w.call(http.MethodPost, "/devices/query", body, as("registryRead")...).status)
}

// Clients repeat after 503: only a request that did not reach the hub is answered so.
func TestAHubOutOfReach(t *testing.T) {
	t.Parallel()
	for status, fault := range map[int]error{
		http.StatusServiceUnavailable: &net.OpError{Op: "dial", Err: errors.New("refused")},
		http.StatusGatewayTimeout:     &net.OpError{Op: "read", Err: errors.New("reset")},
	} {
		w := newWorld(t, hubapi.Options{PassThrough: true, Hub: roundTrip(func(*http.Request) (*http.Response, error) { return nil, fault })})
		r := w.call(http.MethodPost, "/twins/d/methods", `{}`)
		require.Equal(t, status, r.status)
		require.Contains(t, r.body, `{"Message":"ErrorCode:`)
	}
}

func TestStrangersAreRefusedAsIoTHubDoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hubapi.Options{PassThrough: true})
	for _, path := range []string{"/jobs/v2/lock", "/jobs/v2/query", "/twins/d", "/nothing"} {
		for _, header := range []string{"", "SharedAccessSignature sr=x", "Bearer x", signature(publicHost, "service", start)} {
			r := w.call(http.MethodGet, path, "", "Authorization", header)
			require.Equal(t, http.StatusUnauthorized, r.status, path)
			require.Equal(t, "IotHubUnauthorizedAccess", r.header.Get("iothub-errorcode"))
			require.Regexp(t, `^\{"Message":"ErrorCode:IotHubUnauthorizedAccess;Unauthorized","ExceptionMessage":"Tracking ID:[0-9a-z]+-G:0-TimeStamp:[0-9/]+ [0-9:]+"\}$`, r.body)
		}
	}
	require.NotContains(t, w.log.String(), "sig=")
	require.Contains(t, w.log.String(), "expired")
}

func TestVersions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hubapi.Options{})
	for _, good := range []string{"2018-06-30", "2020-05-31-preview", "2020-09-30", "2021-04-12", "2024-03-31"} {
		w.ok(http.MethodGet, "/jobs/v2/j?api-version="+good, "")
	}
	for _, bad := range []string{"", "1", "2021-04-12'", "latest"} {
		r := w.call(http.MethodGet, "/jobs/v2/j?api-version="+bad, "")
		require.Equal(t, http.StatusBadRequest, r.status, bad)
		require.Equal(t, "InvalidProtocolVersion", r.header.Get("iothub-errorcode"))
	}
}
