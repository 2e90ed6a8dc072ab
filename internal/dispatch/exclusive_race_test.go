package dispatch

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// stalled has the first write of a row of what is kept wait that comes after it was armed.
type stalled struct {
	armed     atomic.Bool
	met, goOn chan struct{}
}

func (s *stalled) Do(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPut && strings.Contains(r.URL.Path, ":kept") && s.armed.CompareAndSwap(true, false) {
		close(s.met)
		<-s.goOn
	}
	return http.DefaultClient.Do(r)
}

// A worker that is slow to free what its shard need not keep frees nothing of what the shard's next worker calls meanwhile.
func TestASlowWorkerFreesNothingOfTheNextOnes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, watchful)
	w.hub.populate(2)
	slow := &stalled{met: make(chan struct{}), goOn: make(chan struct{})}
	client, err := aztables.NewServiceClientFromConnectionString(w.storage, &aztables.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: slow}})
	require.NoError(t, err)
	w.current().d.lanes[0].pacer.store = tablestore.New(client, "testhub", nil)
	var calls atomic.Int32
	called, answer := make(chan struct{}), make(chan struct{})
	w.hub.methods(func(id, method string) (iothub.MethodResult, error) {
		switch {
		case method != "update":
		case id == "dev-1":
			return iothub.MethodResult{}, hubError(iothub.TimedOut)
		case calls.Add(1) == 1: // surely did not reach the device
			slow.armed.Store(true)
			return iothub.MethodResult{}, hubError(iothub.Canceled)
		default:
			close(called)
			<-answer
		}
		return accept(id, 0)
	})
	first := w.create(exclusively("first", `"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"update"},
		"retry":{"criteria":[{"failureType":"timedOut","numberOfRetries":1,"delay":"PT1H"}]}`))
	await := func(done chan struct{}) {
		w.run(func(context.Context) bool {
			select {
			case <-done:
				return true
			default:
				return false
			}
		})
	}
	await(slow.met)
	d := w.current().d
	w.calls.Go(func() {
		_ = d.slice(t.Context(), message{Kind: kindShard, Run: w.status(first).ID}, Delivery{Owner: "next"})
	})
	await(called)
	close(slow.goOn)
	w.create(exclusively("second", rebooting))
	w.run(func(context.Context) bool {
		return w.hub.called("dev-0") == 3 || w.executions(w.status("second"))["dev-0"].Reason == job.DeviceHeld
	})
	did := w.hub.did("dev-0")
	close(answer)
	require.Equal(t, "update update", did, "the first run is calling the device")
	w.run(func(context.Context) bool { return w.hub.called("dev-0") == 3 })
	require.Equal(t, "update update reboot", w.hub.did("dev-0"))
	_, _, err = w.current().d.Cancel(t.Context(), "first", someone())
	require.NoError(t, err)
	require.Equal(t, 2, w.ended("second").Counts().Of(job.Succeeded))
	w.nothingHeld()
}

// Of a device that a slice is about to call nothing is known that an earlier attempt has stored, although that attempt's process had a
// clock that is ahead.
func TestNoClockHasToBeRightForWhatIsUnknown(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	e := job.Execution{DeviceID: "dev-0", Attempts: 1, StartedAt: now.Add(5 * time.Second), NextAttemptAt: now}
	w := &worker{
		d:     &Dispatcher{opts: Options{Now: func() time.Time { return now }}},
		shard: &job.Shard{Executions: []job.Execution{e}}, holds: &holdings{},
	}
	require.True(t, e.Unknown(w.more(map[uint64]int{7: 0}).Since))
}

// A worker that only looked at devices, and ended some, frees nothing of what the shard's next worker has kept since the claim was given
// back, also where no device is called twice and therefore nothing unknown is kept.
func TestALookFreesNothingOfTheNextWorkers(t *testing.T) {
	t.Parallel()
	store := newWorld(t, watchful).observer()
	shard := &job.Shard{RunID: "first.0", Executions: []job.Execution{{DeviceID: "dev-0", State: job.Succeeded}, {DeviceID: "dev-1"}}}
	w := &worker{
		shard: shard, op: &operation{once: true}, log: slog.New(slog.DiscardHandler),
		holds: &holdings{store: store, prints: []uint64{1, 2}},
	}
	w.review(t.Context())
	next := tablestore.Asked{RunID: shard.RunID, Owner: "next", Devices: []uint64{2}, Until: time.Now().Add(time.Minute)}
	require.NoError(t, store.Ask(t.Context(), next))
	require.NoError(t, store.Keep(t.Context(), next, &tablestore.Kept{RunID: shard.RunID, Devices: next.Devices, Since: time.Now()}))
	w.letGo(t.Context(), shard)
	row, err := store.Kept(t.Context(), shard.RunID, 0)
	require.NoError(t, err)
	require.Equal(t, next.Devices, row.Devices)
}
