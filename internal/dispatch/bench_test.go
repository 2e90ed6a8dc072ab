package dispatch

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// instantHub answers every call at once and allocates nothing.
type instantHub struct{ answer json.RawMessage }

func (h instantHub) InvokeMethod(context.Context, string, *iothub.Method) (iothub.MethodResult, error) {
	return iothub.MethodResult{Status: 200, Payload: h.answer}, nil
}

func (h instantHub) UpdateTwin(context.Context, string, *iothub.TwinPatch) error { return nil }

func (h instantHub) QueryPage(context.Context, string, string, int) (iothub.Page, error) {
	return iothub.Page{}, nil
}

// callShard calls the devices of a shard without storing anything: what a device costs beside the hub's client and storage.
func callShard(tb testing.TB) func() {
	tb.Helper()
	d := New(&tablestore.Store{}, nil, instantHub{json.RawMessage(`{"ok":true}`)}, Options{Logger: slog.New(slog.DiscardHandler)})
	op, err := methodOperation(d.lanes[0].hub, &job.Method{Name: "reboot", Payload: json.RawMessage(`{"delay":3}`), ResponseTimeoutInSeconds: 30}, job.FailurePolicy{}.Judge)
	require.NoError(tb, err)
	op.lane = d.lanes[0]
	devices := make([]string, job.ShardSize)
	for i := range devices {
		devices[i] = fmt.Sprintf("device-%04d", i)
	}
	return func() {
		w := d.newWorker(&job.Run{}, newShard("j.0", 0, devices), op, time.Now().Add(time.Minute))
		w.callAll(context.Background(), context.Background(), false)
		if !w.shard.Done() {
			tb.Fatal("a device was not called")
		}
	}
}

func BenchmarkCallingAShard(b *testing.B) {
	call := callShard(b)
	b.ReportAllocs()
	for b.Loop() {
		call()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/job.ShardSize, "ns/device")
}

// TestADeviceCostsFewAllocations is the baseline of what bookkeeping may allocate: the goroutine's closure, and the answer.
func TestADeviceCostsFewAllocations(t *testing.T) {
	per := testing.AllocsPerRun(20, callShard(t)) / job.ShardSize
	require.LessOrEqual(t, per, 4.0, "allocations per device")
	t.Logf("%.2f allocations per device", per)
}
