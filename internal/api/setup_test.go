package api_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/api"
	"github.com/fleetjobs/fleetjobs/internal/azurite/azuritetest"
	"github.com/fleetjobs/fleetjobs/internal/dispatch"
	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/notify"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

func TestMain(m *testing.M) { azuritetest.Main(m) }

const publicURL = "https://fleet.example.com"

// world is the API over a real store and a real dispatcher. Time moves only when the test delivers messages.
type world struct {
	t     *testing.T
	clock *clock
	queue *queue
	hub   *hub
	store *tablestore.Store
	jobs  *dispatch.Dispatcher
	log   *bytes.Buffer
	url   string
	http  *http.Client
	spec  *spec
}

// newWorld makes one whose hub has the devices.
func newWorld(t *testing.T, devices ...string) *world {
	t.Helper()
	return newWorldOf(t, nil, devices...)
}

// newWorldOf makes one with hubs beside the default one, hub-1: hub-2 and so on.
func newWorldOf(t *testing.T, others []*hub, devices ...string) *world {
	t.Helper()
	var further []dispatch.FurtherHub
	for i, h := range others {
		name := fmt.Sprintf("hub-%d", i+2)
		further = append(further, dispatch.FurtherHub{Name: name, HostName: name + ".example.com", Hub: h})
	}
	tables, err := aztables.NewServiceClientFromConnectionString(azuritetest.Start(t), nil)
	require.NoError(t, err)
	w := &world{t: t, clock: &clock{now: start}, hub: &hub{devices: devices}, log: &bytes.Buffer{}, spec: loadSpec(t)}
	w.queue = &queue{clock: w.clock}
	w.store = tablestore.New(tables, "hub.example.com", nil)
	require.NoError(t, w.store.Ensure(t.Context()))
	local, err := notify.ParseAllow("127.0.0.1")
	require.NoError(t, err)
	w.jobs = dispatch.New(w.store, w.queue, w.hub, dispatch.Options{
		Now: w.clock.Now, Logger: slog.New(slog.DiscardHandler), OpenShards: 2, QueueOnly: true, // so that runs take several rounds
		HubName: "hub-1", Hubs: further,
		Notify: dispatch.Notify{Sender: notify.New(notify.Options{Source: publicURL + "/api/jobs", Allow: local}), JobJSON: api.JobJSON},
	})
	w.serve(api.Options{Jobs: w.jobs, Store: w.store})
	return w
}

// serve starts the API with o, completed with the world's clock and log.
func (w *world) serve(o api.Options) {
	o.PublicURL, o.Now, o.Logger = publicURL+"/", w.clock.Now, slog.New(slog.NewTextHandler(w.log, nil))
	server := httptest.NewServer(api.New(o))
	w.t.Cleanup(server.Close)
	w.url, w.http = server.URL, server.Client()
	w.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
}

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
	slices.SortStableFunc(q.messages, func(a, b message) int { return a.due.Compare(b.due) })
	m := q.messages[0]
	q.messages = q.messages[1:]
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
	err := w.jobs.Handle(w.t.Context(), dispatch.Delivery{Body: m.body, Owner: fmt.Sprintf("worker-%d", time.Now().UnixNano())})
	require.NoError(w.t, err, "handling %s", m.body)
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

// until delivers messages until done.
func (w *world) until(done func() bool) {
	w.t.Helper()
	for range 1000 {
		if done() {
			return
		}
		require.True(w.t, w.deliver(), "no message is left, and it has not happened")
	}
	w.t.Fatal("it does not happen")
}

// hub answers by the first part of a device's id: ok-, error-, offline-, silent-, long-.
type hub struct {
	devices []string
	mu      sync.Mutex
	fault   error // of every request while it is set
}

func (h *hub) set(fault error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fault = fault
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
		return iothub.MethodResult{Status: 500, Payload: json.RawMessage(`"=no"`)}, nil
	case "offline":
		return iothub.MethodResult{}, &iothub.Error{Kind: iothub.Offline, Op: iothub.OpInvokeMethod, DeviceID: deviceID, Code: "DeviceNotOnline", Status: 404}
	case "silent":
		return iothub.MethodResult{}, &iothub.Error{Kind: iothub.TimedOut, Op: iothub.OpInvokeMethod, DeviceID: deviceID, Status: 504}
	case "long":
		return iothub.MethodResult{Status: 200, Payload: json.RawMessage(`"` + strings.Repeat("x", 5000) + `"`)}, nil
	}
	return iothub.MethodResult{Status: 200, Payload: json.RawMessage(`{"device": "` + deviceID + `"}`)}, nil
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
	if strings.Contains(query, "COUNT()") {
		return iothub.Page{Rows: []json.RawMessage{fmt.Appendf(nil, `{"numberOfDevices":%d}`, len(h.devices))}}, nil
	}
	from, _ := strconv.Atoi(continuation)
	to := min(len(h.devices), from+cmp.Or(most, 100))
	page := iothub.Page{}
	for _, id := range h.devices[from:to] {
		row := fmt.Appendf(nil, `{"deviceId":%q}`, id)
		if strings.Contains(query, "SELECT deviceId, moduleId FROM devices.modules") {
			row = fmt.Appendf(nil, `{"deviceId":%q,"moduleId":"m"}`, id)
		}
		if strings.Contains(query, "properties.reported.level AS p0") && strings.HasPrefix(id, "ok") {
			row = fmt.Appendf(nil, `{"deviceId":%q,"p0":3}`, id)
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

// reply is an answer that was read and held against openapi.yaml.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// json decodes the body.
func (r reply) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	require.NoError(t, json.Unmarshal(r.body, &v), "%s", r.body)
	return v
}

// call sends a request with headers given as name, value pairs.
func (w *world) call(method, path, body string, headers ...string) reply {
	w.t.Helper()
	r, err := w.try(method, path, body, headers...)
	require.NoError(w.t, err)
	return r
}

// try is call for goroutines other than the test's.
func (w *world) try(method, path, body string, headers ...string) (reply, error) {
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := w.http.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return reply{}, err
	}
	r := reply{status: resp.StatusCode, header: resp.Header, body: text}
	return r, w.spec.check(req, body, r)
}

// get reads a path that must answer 200.
func (w *world) get(path string) map[string]any {
	w.t.Helper()
	r := w.call(http.MethodGet, path, "")
	require.Equal(w.t, http.StatusOK, r.status, "%s", r.body)
	return r.json(w.t)
}

// put creates a job that must be accepted.
func (w *world) put(id, body string) reply {
	w.t.Helper()
	r := w.call(http.MethodPut, "/api/jobs/"+id, body)
	require.Equal(w.t, http.StatusAccepted, r.status, "%s", r.body)
	return r
}

const lockAll = `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"lockDoor","payload":{"lockTime":"10m"}},"queryCondition":"*"}`

// later is lockAll, an hour from the start.
const later = `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"lockDoor"},"queryCondition":"*","startTime":"2026-11-23T11:00:00Z"}`

// problem asserts the kind of a problem and gives it.
func (w *world) problem(r reply, status int, slug string) map[string]any {
	w.t.Helper()
	require.Equal(w.t, status, r.status, "%s", r.body)
	require.Equal(w.t, "application/problem+json", r.header.Get("Content-Type"))
	p := r.json(w.t)
	require.Equal(w.t, "https://github.com/fleetjobs/fleetjobs/blob/main/docs/problems.md#"+slug, p["type"])
	require.EqualValues(w.t, status, p["status"])
	return p
}
