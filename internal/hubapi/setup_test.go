package hubapi_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/azurite/azuritetest"
	"github.com/fleetjobs/fleetjobs/internal/dispatch"
	"github.com/fleetjobs/fleetjobs/internal/hubapi"
	"github.com/fleetjobs/fleetjobs/internal/hubauth"
	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

func TestMain(m *testing.M) { azuritetest.Main(m) }

const publicHost = "fleet.example.com"

// key is that of all policies of the tests.
var key = []byte("0123456789abcdef0123456789abcdef")

// world is the hub's routes over a real store and a real dispatcher. Time moves only when the test delivers messages.
type world struct {
	t     *testing.T
	clock *clock
	queue *queue
	hub   *hub
	store *tablestore.Store
	jobs  *dispatch.Dispatcher
	log   *bytes.Buffer
	url   string
}

// newWorld makes one whose hub has the devices. opts is completed with the rest.
func newWorld(t *testing.T, opts hubapi.Options, devices ...string) *world {
	t.Helper()
	tables, err := aztables.NewServiceClientFromConnectionString(azuritetest.Start(t), nil)
	require.NoError(t, err)
	w := &world{t: t, clock: &clock{now: start}, hub: &hub{devices: devices}, log: &bytes.Buffer{}}
	w.queue = &queue{clock: w.clock}
	w.store = tablestore.New(tables, "hub.example.com", nil)
	require.NoError(t, w.store.Ensure(t.Context()))
	w.jobs = dispatch.New(w.store, w.queue, w.hub, dispatch.Options{
		Now: w.clock.Now, Logger: slog.New(slog.DiscardHandler), OpenShards: 2, QueueOnly: true, HubName: "hub-1",
		Hubs: []dispatch.FurtherHub{{Name: "hub-2", HostName: "hub-2.example.com", Hub: &hub{devices: devices}}},
	})
	policies, err := hubauth.ParsePolicies("service=" + base64.StdEncoding.EncodeToString(key) +
		",registryRead=" + base64.StdEncoding.EncodeToString(key) + ",iothubowner=" + base64.StdEncoding.EncodeToString(key))
	require.NoError(t, err)
	opts.Jobs, opts.Store, opts.Now, opts.HubName = w.jobs, w.store, w.clock.Now, "hub-1"
	opts.Callers = hubauth.New(hubauth.Options{Policies: policies, Hosts: []string{publicHost}, Now: w.clock.Now})
	opts.Logger = slog.New(slog.NewTextHandler(w.log, nil))
	if opts.Hub == nil {
		opts.Hub = roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("nothing is to reach the hub") })
	}
	server := httptest.NewServer(hubapi.New(opts))
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

var start = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) moveTo(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.After(c.now) {
		c.now = t
	}
}

// queue keeps messages until the test delivers them.
type queue struct {
	clock    *clock
	mu       sync.Mutex
	messages []message
}

type message struct {
	body []byte
	due  time.Time
}

func (q *queue) Send(_ context.Context, body []byte, delay time.Duration) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.messages = append(q.messages, message{body: body, due: q.clock.Now().Add(delay)})
	return nil
}

// next takes the message that is due first.
func (q *queue) next() (message, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.messages) == 0 {
		return message{}, false
	}
	first := 0
	for i, m := range q.messages {
		if m.due.Before(q.messages[first].due) {
			first = i
		}
	}
	m := q.messages[first]
	q.messages = append(q.messages[:first], q.messages[first+1:]...)
	return m, true
}

// deliver hands one message to the dispatcher, at its time, and reports whether there was one.
func (w *world) deliver() bool {
	w.t.Helper()
	m, ok := w.queue.next()
	if !ok {
		return false
	}
	w.clock.moveTo(m.due)
	require.NoError(w.t, w.jobs.Handle(w.t.Context(), dispatch.Delivery{Body: m.body}), "handling %s", m.body)
	return true
}

// finish delivers messages until none is left: every run that was started has ended.
func (w *world) finish() {
	w.t.Helper()
	for range 10_000 {
		if !w.deliver() {
			return
		}
	}
	w.t.Fatal("the messages do not end")
}

// hub answers by the first part of a device's id: ok-, error-, offline-, silent-.
type hub struct {
	devices []string
	mu      sync.Mutex
	fault   error // of every request while it is set
}

func (h *hub) enter() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fault
}

func (h *hub) InvokeMethod(_ context.Context, deviceID string, _ *iothub.Method) (iothub.MethodResult, error) {
	if err := h.enter(); err != nil {
		return iothub.MethodResult{}, err
	}
	kind, _, _ := strings.Cut(deviceID, "-")
	switch kind {
	case "error":
		return iothub.MethodResult{Status: 500, Payload: json.RawMessage(`"no"`)}, nil
	case "long":
		return iothub.MethodResult{Status: 200, Payload: json.RawMessage(`"` + strings.Repeat("x", 5000) + `"`)}, nil
	case "offline":
		return iothub.MethodResult{}, &iothub.Error{Kind: iothub.Offline, Op: iothub.OpInvokeMethod, DeviceID: deviceID, Code: "DeviceNotOnline", Status: 404}
	case "silent":
		return iothub.MethodResult{}, &iothub.Error{Kind: iothub.TimedOut, Op: iothub.OpInvokeMethod, DeviceID: deviceID, Status: 504}
	}
	return iothub.MethodResult{Status: 200, Payload: json.RawMessage(`{"device":"` + deviceID + `"}`)}, nil
}

func (h *hub) UpdateTwin(context.Context, string, *iothub.TwinPatch) error { return h.enter() }

// QueryPage gives all devices, or the module m of each, whatever the condition, except that it refuses one that mentions REFUSED.
func (h *hub) QueryPage(_ context.Context, query, continuation string, most int) (iothub.Page, error) {
	if err := h.enter(); err != nil {
		return iothub.Page{}, err
	}
	if strings.Contains(query, "REFUSED") {
		return iothub.Page{}, &iothub.Error{Kind: iothub.Rejected, Op: iothub.OpQuery, Status: 400, Message: "no such function"}
	}
	from, _ := strconv.Atoi(continuation)
	to := min(len(h.devices), from+cmp.Or(most, 100))
	page := iothub.Page{}
	for _, id := range h.devices[from:to] {
		row := fmt.Appendf(nil, `{"deviceId":%q}`, id)
		if strings.Contains(query, "SELECT deviceId, moduleId FROM devices.modules") {
			row = fmt.Appendf(nil, `{"deviceId":%q,"moduleId":"m"}`, id)
		}
		page.Rows = append(page.Rows, row)
	}
	if to < len(h.devices) {
		page.Continuation = strconv.Itoa(to)
	}
	return page, nil
}

// fleet names n devices of one kind.
func fleet(kind string, n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%s-%05d", kind, i)
	}
	return ids
}

// signature makes an Authorization header as IoT Hub's SDKs do.
func signature(resource, policy string, expiry time.Time) string {
	sr, se := url.QueryEscape(resource), strconv.FormatInt(expiry.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(sr + "\n" + se))
	sig := url.QueryEscape(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return "SharedAccessSignature sr=" + sr + "&sig=" + sig + "&se=" + se + "&skn=" + policy
}

type reply struct {
	status int
	header http.Header
	body   string
}

// json decodes the body.
func (r reply) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	require.NoError(t, json.Unmarshal([]byte(r.body), &v), "%s", r.body)
	return v
}

// rows decodes a body that is an array.
func (r reply) rows(t *testing.T) []map[string]any {
	t.Helper()
	var v []map[string]any
	require.NoError(t, json.Unmarshal([]byte(r.body), &v), "%s", r.body)
	return v
}

// call sends a request under the policy "service", with headers given as name, value pairs.
func (w *world) call(method, path, body string, headers ...string) reply {
	w.t.Helper()
	if !strings.Contains(path, "api-version") {
		separator := "?"
		if strings.Contains(path, "?") {
			separator = "&"
		}
		path += separator + "api-version=2021-04-12"
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	require.NoError(w.t, err)
	req.Header.Set("Authorization", signature(publicHost, "service", w.clock.Now().Add(time.Hour)))
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(w.t, err)
	defer resp.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(resp.Body)
	require.NoError(w.t, err)
	return reply{resp.StatusCode, resp.Header, string(text)}
}

// ok is call for what must be answered with 200.
func (w *world) ok(method, path, body string, headers ...string) reply {
	w.t.Helper()
	r := w.call(method, path, body, headers...)
	require.Equal(w.t, http.StatusOK, r.status, "%s", r.body)
	require.Equal(w.t, "application/json; charset=utf-8", r.header.Get("Content-Type"))
	return r
}

// query runs a query.
func (w *world) query(text string, headers ...string) reply {
	w.t.Helper()
	body, err := json.Marshal(map[string]string{"query": text})
	require.NoError(w.t, err)
	return w.ok(http.MethodPost, "/devices/query", string(body), headers...)
}
