package dispatch

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/pace"
	"github.com/fleetjobs/fleetjobs/internal/telemetry/logline"
)

// hubOperation is what the hub is asked for; each has an allowance of its own.
type hubOperation int

const (
	callMethod hubOperation = iota
	callTwin
	callQuery
	hubOperations
)

func (op hubOperation) String() string {
	return [hubOperations]string{"method", "twin", "query"}[op]
}

// allowance is what op uses.
func (op hubOperation) allowance() pace.Operation {
	return [hubOperations]pace.Operation{pace.Methods, pace.TwinUpdates, pace.Queries}[op]
}

// hubMeter counts the calls of a process to one hub.
type hubMeter struct {
	calls     [hubOperations]atomic.Int64
	throttles [hubOperations]atomic.Int64

	throttledMu sync.Mutex
	told        [hubOperations]time.Time // when the last line about throttling was written
	untold      [hubOperations]int       // throttled answers since then
}

// observedHub is the hub with its calls counted.
type observedHub struct {
	Hub
	o    *observer
	lane *lane
}

// InvokeMethod implements [Hub].
func (h observedHub) InvokeMethod(ctx context.Context, deviceID string, m *iothub.Method) (iothub.MethodResult, error) {
	h.asking(ctx, callMethod)
	result, err := h.Hub.InvokeMethod(ctx, deviceID, m)
	h.answered(ctx, callMethod, err)
	return result, err
}

// UpdateTwin implements [Hub].
func (h observedHub) UpdateTwin(ctx context.Context, deviceID string, patch *iothub.TwinPatch) error {
	h.asking(ctx, callTwin)
	err := h.Hub.UpdateTwin(ctx, deviceID, patch)
	h.answered(ctx, callTwin, err)
	return err
}

// QueryPage implements [Hub].
func (h observedHub) QueryPage(ctx context.Context, query, continuation string, maxItems int) (iothub.Page, error) {
	h.asking(ctx, callQuery)
	page, err := h.Hub.QueryPage(ctx, query, continuation, maxItems)
	h.answered(ctx, callQuery, err)
	return page, err
}

func (h observedHub) asking(ctx context.Context, op hubOperation) {
	h.lane.meter.calls[op].Add(1)
	if w, ok := ctx.Value(sliceKey{}).(*sliceWatch); ok {
		w.calling(ctx)
	}
}

func (h observedHub) answered(ctx context.Context, op hubOperation, err error) {
	if err == nil || iothub.KindOf(err) != iothub.Throttled {
		return
	}
	if w, ok := ctx.Value(sliceKey{}).(*sliceWatch); ok {
		w.throttled.Add(1)
	}
	h.o.throttled(ctx, h.lane, op, waitOf(err))
}

// tellEvery is the least time between two lines about throttling of one operation.
const tellEvery = time.Second

func (o *observer) throttled(ctx context.Context, l *lane, op hubOperation, wait time.Duration) {
	m := &l.meter
	m.throttles[op].Add(1)
	m.throttledMu.Lock()
	defer m.throttledMu.Unlock()
	m.untold[op]++
	now := o.now()
	if now.Sub(m.told[op]) < tellEvery {
		return
	}
	if len(o.lanes) > 1 {
		ctx = logline.With(ctx, logline.IDs{Hub: l.name})
	}
	logline.Write(ctx, o.log, logline.HubThrottled{Operation: op.String(), Wait: wait, Throttled: m.untold[op], Limit: l.gate.allowed()})
	m.told[op], m.untold[op] = now, 0
}

// allowed is how many calls the gate lets through at once.
func (g *gate) allowed() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return int(g.limit)
}
