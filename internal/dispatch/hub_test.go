package dispatch

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
)

// testHub has devices dev-0, dev-1, ...; what a call does is the test's.
type testHub struct {
	mu      sync.Mutex
	devices []string
	page    int
	asked   string // the last query
	calls   map[string]int
	first   time.Time
	answer  func(id string, call int) (iothub.MethodResult, error)
	query   func(continuation string) error
	slow    func(ctx context.Context, id string) error // before a call is answered; nil is at once
}

func newTestHub() *testHub {
	return &testHub{calls: map[string]int{}, page: 100, answer: accept}
}

func accept(string, int) (iothub.MethodResult, error) {
	return iothub.MethodResult{Status: 200, Payload: json.RawMessage(`{"ok":true}`)}, nil
}

func (h *testHub) populate(n int) {
	for i := range n {
		h.devices = append(h.devices, fmt.Sprintf("dev-%d", i))
	}
}

func (h *testHub) InvokeMethod(ctx context.Context, id string, _ *iothub.Method) (iothub.MethodResult, error) {
	h.mu.Lock()
	h.calls[id]++
	n := h.calls[id]
	if h.first.IsZero() {
		h.first = time.Now()
	}
	answer := h.answer
	h.mu.Unlock()
	if h.slow != nil {
		if err := h.slow(ctx, id); err != nil {
			return iothub.MethodResult{}, err
		}
	}
	return answer(id, n)
}

func (h *testHub) UpdateTwin(ctx context.Context, id string, _ *iothub.TwinPatch) error {
	_, err := h.InvokeMethod(ctx, id, nil)
	return err
}

func (h *testHub) QueryPage(_ context.Context, query, continuation string, _ int) (iothub.Page, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = query
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
	to := min(from+h.page, len(h.devices))
	var p iothub.Page
	for _, id := range h.devices[from:to] {
		device, module := job.SplitTarget(id)
		row, _ := json.Marshal(map[string]string{"deviceId": device, "moduleId": module})
		p.Rows = append(p.Rows, row)
	}
	if to < len(h.devices) {
		p.Continuation = fmt.Sprint(to)
	}
	return p, nil
}

func (h *testHub) called(id string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls[id]
}
