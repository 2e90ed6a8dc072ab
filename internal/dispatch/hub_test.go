package dispatch

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

// testHub has devices dev-0, dev-1, ...; what a call does is the test's.
type testHub struct {
	mu      sync.Mutex
	devices []string
	page    int
	asked   string // the last query
	queries []string
	twins   map[string]twinquery.Map // of the devices, for queries that look at them; nil answers all with all devices
	calls   map[string]int
	first   time.Time
	answer  func(id string, call int) (iothub.MethodResult, error)
	query   func(continuation string) error
	sent    func(id string, body []byte)               // what the hub gets for a device
	slow    func(ctx context.Context, id string) error // before a call is answered; nil is at once

	order    map[string][]string            // what was called on each device
	reported func(id string) map[string]any // what a device reports
	looks    []string                       // queries for that
	blind    func(look int) error           // why the hub does not answer one
}

// methodName finds the name in a prepared method, which tells it to nobody but the hub.
var methodName = regexp.MustCompile(`"methodName":"([^"]*)"`)

func newTestHub() *testHub {
	return &testHub{calls: map[string]int{}, order: map[string][]string{}, page: 100, answer: accept}
}

func accept(string, int) (iothub.MethodResult, error) {
	return iothub.MethodResult{Status: 200, Payload: json.RawMessage(`{"ok":true}`)}, nil
}

func (h *testHub) populate(n int) {
	for i := range n {
		h.devices = append(h.devices, fmt.Sprintf("dev-%d", i))
	}
}

func (h *testHub) InvokeMethod(ctx context.Context, id string, m *iothub.Method) (iothub.MethodResult, error) {
	h.mu.Lock()
	h.calls[id]++
	n := h.calls[id]
	called := "twin"
	if m != nil {
		called = string(methodName.FindSubmatch(reflect.ValueOf(m).Elem().Field(0).Bytes())[1])
	}
	h.order[id] = append(h.order[id], called)
	if h.first.IsZero() {
		h.first = time.Now()
	}
	answer := h.answer
	if h.sent != nil && m != nil {
		h.sent(id, m.Body())
	}
	h.mu.Unlock()
	if h.slow != nil {
		if err := h.slow(ctx, id); err != nil {
			return iothub.MethodResult{}, err
		}
	}
	return answer(id, n)
}

func (h *testHub) UpdateTwin(ctx context.Context, id string, p *iothub.TwinPatch) error {
	if h.sent != nil {
		h.mu.Lock()
		h.sent(id, p.Body())
		h.mu.Unlock()
	}
	_, err := h.InvokeMethod(ctx, id, nil)
	return err
}

func (h *testHub) QueryPage(_ context.Context, query, continuation string, _ int) (iothub.Page, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = query
	h.queries = append(h.queries, query)
	if strings.Contains(query, "properties.reported") && h.reported != nil {
		return h.report(query)
	}
	if h.query != nil {
		if err := h.query(continuation); err != nil {
			return iothub.Page{}, err
		}
	}
	from := 0
	if continuation != "" {
		if _, err := fmt.Sscan(continuation, &from); err != nil {
			return iothub.Page{}, err
		}
	}
	rows := h.rows(query)
	to := min(from+h.page, len(rows))
	var p iothub.Page
	for _, row := range rows[from:to] {
		text, _ := json.Marshal(row)
		p.Rows = append(p.Rows, text)
	}
	if to < len(rows) {
		p.Continuation = fmt.Sprint(to)
	}
	return p, nil
}

// rows answers a query. h.mu is held.
func (h *testHub) rows(query string) []map[string]any {
	var rows []map[string]any
	if h.twins == nil {
		for _, id := range h.devices {
			device, module := job.SplitTarget(id)
			rows = append(rows, map[string]any{"deviceId": device, "moduleId": module})
		}
		return rows
	}
	q, err := twinquery.ParseQuery(query)
	if err != nil {
		panic(err)
	}
	docs := func(yield func(twinquery.Document) bool) {
		for _, id := range h.devices {
			if !yield(h.twins[id]) {
				return
			}
		}
	}
	return slices.Collect(q.Run(docs, twinquery.Options{}))
}

// tag gives every device the tag site that of says, none where that is nil.
func (h *testHub) tag(of func(n int) any) {
	h.twins = map[string]twinquery.Map{}
	for i, id := range h.devices {
		h.twins[id] = twinquery.Map{"deviceId": id, "tags": map[string]any{}}
		if site := of(i); site != nil {
			h.twins[id]["tags"] = map[string]any{"site": site}
		}
	}
}

// report answers a query for what devices report. h.mu is held.
func (h *testHub) report(query string) (iothub.Page, error) {
	h.looks = append(h.looks, query)
	if h.blind != nil {
		if err := h.blind(len(h.looks)); err != nil {
			return iothub.Page{}, err
		}
	}
	q, err := twinquery.ParseQuery(query)
	if err != nil {
		return iothub.Page{}, err
	}
	var p iothub.Page
	for _, id := range h.devices {
		device, module := job.SplitTarget(id)
		doc := twinquery.Map{"deviceId": device, "moduleId": module, "properties": map[string]any{"reported": h.reported(id)}}
		if q.Match(doc, twinquery.Options{}) {
			row, _ := json.Marshal(q.Project(doc))
			p.Rows = append(p.Rows, row)
		}
	}
	return p, nil
}

// did gives what was called on a device, in order.
func (h *testHub) did(id string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.order[id], " ")
}

// looked is how many queries asked what devices report.
func (h *testHub) looked() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.looks)
}

func (h *testHub) called(id string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls[id]
}
