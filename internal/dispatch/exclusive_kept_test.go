package dispatch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
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

// exclusively gives an exclusive job on all devices; members say what it does.
func exclusively(id, members string) string {
	return fmt.Sprintf(`{"jobId":%q,"queryCondition":"*","exclusive":true,%s}`, id, members)
}

// Bodies of exclusive jobs: a method, and an update in steps.
const (
	rebooting = `"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"reboot"}`
	updating  = `"type":"scheduleSteps","steps":[{"method":{"methodName":"prepare"}},
		{"waitFor":{"path":"properties.reported.fw.status","equals":"done"}},{"method":{"methodName":"finish"}}]`
)

// allHeld runs until every execution of a job waits because another run works on its device.
func (w *world) allHeld(id string) {
	w.t.Helper()
	store := w.observer()
	w.run(func(ctx context.Context) bool {
		rec, err := store.Job(ctx, id)
		if err != nil {
			return false
		}
		shards, err := store.Shards(ctx, rec.RunID, tablestore.ShardQuery{Always: -1})
		held := len(shards) > 0 && err == nil
		for _, s := range shards {
			for _, e := range s.Executions {
				held = held && e.Reason == job.DeviceHeld
			}
		}
		return held
	})
}

// begun runs until so many devices of a job were called, and wait for what comes next.
func (w *world) begun(id string, devices int) {
	w.t.Helper()
	w.run(func(context.Context) bool {
		n := 0
		for _, e := range w.executions(w.status(id)) {
			if e.Attempts > 0 && (e.Awaiting() || e.Waiting()) {
				n++
			}
		}
		return n == devices
	})
}

// Whatever one exclusive run does to a device in several calls, with waits between them, another calls the device before or after.
func TestADeviceIsARunsUntilItsExecutionHasEnded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ first, did string }{
		"steps":        {updating, "prepare finish reboot"},
		"confirmation": {`"type":"scheduleUpdateTwin","updateTwin":{"properties":{"desired":{"on":true}}},"confirm":{"within":"PT1H"}`, "twin reboot"},
		"a retry of a confirmation": {`"type":"scheduleUpdateTwin","updateTwin":{"properties":{"desired":{"on":true}}},"confirm":{"within":"PT1S"},
			"retry":{"criteria":[{"failureType":"notConfirmed","numberOfRetries":20,"delay":"PT1S","maxDelay":"PT1S"}]}`, "(twin )+reboot"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, watchful)
			w.hub.populate(120)
			var done atomic.Bool
			w.hub.reported = func(string) map[string]any {
				if !done.Load() {
					return nil
				}
				return map[string]any{"fw": map[string]any{"status": "done"}, "on": true}
			}
			w.create(exclusively("first", c.first))
			w.begun("first", 120)
			w.create(exclusively("second", rebooting))
			w.allHeld("second")
			require.NotContains(t, w.hub.did("dev-7"), "reboot")
			done.Store(true)
			for _, id := range []string{"first", "second"} {
				require.Equal(t, 120, w.ended(id).Counts().Of(job.Succeeded))
			}
			for device := range w.executions(w.status("second")) {
				require.Regexp(t, "^"+c.did+"$", w.hub.did(device))
			}
			w.nothingHeld()
		})
	}
}

// Between a call that may have reached a device and its retry no other exclusive run calls it. One that surely did not reach the device,
// because that is offline, keeps nobody away, however long it is retried.
func TestARetryKeepsOnlyDevicesThatMayHaveBeenReached(t *testing.T) {
	t.Parallel()
	const retried = `"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"update"},"retry":{"criteria":[
		{"failureType":"deviceOffline","numberOfRetries":9,"delay":"PT1H"},{"failureType":"all","numberOfRetries":1,"delay":"PT4S","jitter":0}]}`
	w := newWorld(t, watchful)
	w.hub.populate(4)
	var failed [4]atomic.Bool
	w.hub.methods(func(id, method string) (iothub.MethodResult, error) {
		n := int(id[len(id)-1] - '0')
		if method != "update" || failed[n].Swap(true) {
			return accept(id, 0)
		}
		return [...]func() (iothub.MethodResult, error){
			func() (iothub.MethodResult, error) { return iothub.MethodResult{}, hubError(iothub.Offline) },
			func() (iothub.MethodResult, error) { return iothub.MethodResult{}, hubError(iothub.TimedOut) },
			func() (iothub.MethodResult, error) { return iothub.MethodResult{Status: 500}, nil },
			func() (iothub.MethodResult, error) { return iothub.MethodResult{}, hubError(iothub.Unreadable) },
		}[n]()
	})
	w.create(exclusively("first", retried))
	w.begun("first", 4)
	w.create(exclusively("second", rebooting))
	require.Equal(t, 4, w.ended("second").Counts().Of(job.Succeeded))
	require.Equal(t, "update reboot", w.hub.did("dev-0"))
	for n := 1; n < 4; n++ {
		require.Equal(t, "update update reboot", w.hub.did(fmt.Sprint("dev-", n)))
	}
	require.Equal(t, job.DeviceOffline, w.executions(w.status("first"))["dev-0"].Reason)
	require.False(t, w.status("first").Status.Ended())
	w.nothingHeld()
}

// What ends an execution, or its run, frees the device; a pause does not.
func TestWhatFreesADevice(t *testing.T) {
	t.Parallel()
	begun := func(t *testing.T) *world {
		t.Helper()
		opts := watchful
		opts.Lease = 3 * time.Second
		w := newWorld(t, opts)
		w.hub.populate(3)
		w.hub.reported = func(string) map[string]any { return nil }
		w.create(exclusively("first", updating))
		w.begun("first", 3)
		w.create(exclusively("second", rebooting))
		w.allHeld("second")
		return w
	}
	t.Run("the end of its run", func(t *testing.T) {
		t.Parallel()
		w := begun(t)
		_, _, err := w.current().d.Pause(t.Context(), "first", "", someone())
		require.NoError(t, err)
		tries := w.queue.count(kindShard)
		w.run(func(context.Context) bool { return w.queue.count(kindShard) > tries+1 })
		require.Equal(t, "prepare", w.hub.did("dev-0"), "a run that is paused keeps its devices")
		_, _, err = w.current().d.Cancel(t.Context(), "first", someone())
		require.NoError(t, err)
		require.Equal(t, 3, w.ended("second").Counts().Of(job.Succeeded))
		require.Equal(t, "prepare reboot", w.hub.did("dev-0"))
		w.nothingHeld()
	})
	t.Run("the end of its run, also when nobody wants it", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, watchful)
		w.hub.populate(3)
		w.hub.reported = func(string) map[string]any { return nil }
		w.create(exclusively("first", updating))
		w.begun("first", 3)
		_, _, err := w.current().d.Cancel(t.Context(), "first", someone())
		require.NoError(t, err)
		require.Equal(t, 3, w.ended("first").Counts().Of(job.Canceled))
		w.nothingHeld()
	})
	t.Run("the end of its execution", func(t *testing.T) {
		t.Parallel()
		w := begun(t)
		run := w.status("first").ID
		_, err := w.current().d.CancelExecution(t.Context(), run, "dev-1", someone())
		for errors.Is(err, ErrNotWaiting) { // somebody is looking at the device
			_, err = w.current().d.CancelExecution(t.Context(), run, "dev-1", someone())
		}
		require.NoError(t, err)
		w.run(func(context.Context) bool { return w.hub.did("dev-1") == "prepare reboot" })
		require.Equal(t, "prepare", w.hub.did("dev-0"))
		require.False(t, w.status("first").Status.Ended())
	})
}

// A device that a worker called, or was about to call, when it died stays its run's, although it is offline when it is called again.
func TestADeviceThatADeadWorkerMayHaveCalledStaysItsRuns(t *testing.T) {
	t.Parallel()
	w := newMortalWorld(t, impatient)
	w.hub.populate(2)
	var died atomic.Bool
	w.hub.methods(func(id, method string) (iothub.MethodResult, error) {
		switch {
		case method != "update":
			return accept(id, 0)
		case !died.Swap(true):
			w.current().dead(errKilled)
			return iothub.MethodResult{}, hubError(iothub.Canceled)
		}
		return iothub.MethodResult{}, hubError(iothub.Offline)
	})
	w.create(exclusively("first", `"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"update"},
		"retry":{"criteria":[{"failureType":"deviceOffline","numberOfRetries":9,"delay":"PT1H"}]}`))
	w.begun("first", 2)
	w.create(exclusively("second", rebooting))
	w.allHeld("second")
	_, _, err := w.current().d.Cancel(t.Context(), "first", someone())
	require.NoError(t, err)
	require.Equal(t, 2, w.ended("second").Counts().Of(job.Succeeded))
	w.nothingHeld()
}

// Rows that dead processes have left, of runs that are gone and of shards that are closed, keep nobody away: who wants a device in one
// deletes it.
func TestWhatTheDeadHoldKeepsNobodyAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, impatient)
	w.hub.populate(100)
	over := w.ended(w.create(exclusively("over", rebooting)))
	store := w.observer()
	var all []uint64
	for device := range w.executions(over) {
		all = append(all, store.HubPrint(device))
	}
	for n, run := range []string{"gone.0", over.ID} {
		a := tablestore.Asked{RunID: run, Owner: "dead", Devices: all[n*50:][:50], Until: time.Now().Add(-time.Minute)}
		require.NoError(t, store.Ask(t.Context(), a))
		require.NoError(t, store.Keep(t.Context(), a, &tablestore.Kept{RunID: run, Devices: a.Devices, Since: time.Now().Add(-time.Hour)}))
		require.NoError(t, store.Ask(t.Context(), a))
	}
	require.Equal(t, 100, w.ended(w.create(exclusively("second", rebooting))).Counts().Of(job.Succeeded))
	w.nothingHeld()
}

// TestExclusiveStepsThroughADeath kills the process at its nth storage request while two runs want the same devices, each for several
// calls: at every device one has ended before the other begins, both come to their end, and nothing stays held.
func TestExclusiveStepsThroughADeath(t *testing.T) {
	t.Parallel()
	whole := regexp.MustCompile("^((prepare )+(finish )+(twin )+(reboot )+|(twin )+(reboot )+(prepare )+(finish )+)$")
	step := 5
	if testing.Short() {
		step = 9
	}
	for n := 1; n <= 72; n += step {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			opts := impatient
			opts.LookDelay, opts.Slices = 1100*time.Millisecond, 1+n%3
			w := newMortalWorld(t, opts)
			w.hub.page = 12
			w.hub.populate(20)
			w.hub.reported = fine
			w.create(exclusively("first", updating))
			w.create(exclusively("second", `"type":"scheduleSteps","steps":[
				{"updateTwin":{"properties":{"desired":{"telemetryInterval":30}}},"confirm":{}},{"method":{"methodName":"reboot"}}]`))
			w.current().left.Store(int64(n))
			for _, id := range []string{"first", "second"} {
				require.Equal(t, job.Statistics{DeviceCount: 20, SucceededCount: 20}, w.ended(id).Counts().Statistics())
			}
			for device := range w.executions(w.status("first")) {
				require.Regexp(t, whole, w.hub.did(device)+" ", device)
			}
			w.nothingHeld()
		})
	}
}

// heldRequests counts what slices ask for.
type heldRequests struct{ asks, queries atomic.Int32 }

func (h *heldRequests) Do(r *http.Request) (*http.Response, error) {
	switch held := strings.Contains(r.URL.String(), "held"); {
	case held && r.Method == http.MethodPut:
		h.asks.Add(1)
	case held && strings.Contains(r.URL.RawQuery, "filter"):
		h.queries.Add(1)
	}
	return http.DefaultClient.Do(r)
}

// A page asks for its devices once, and looks once at what others have, however many steps there are. What it keeps becomes less with each
// look that ends some of them.
func TestAPageAsksForItsDevicesOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, watchful)
	w.hub.populate(10)
	var done atomic.Bool
	w.hub.reported = func(id string) map[string]any {
		if !done.Load() && id == "dev-3" {
			return nil
		}
		return map[string]any{"fw": map[string]any{"status": "done"}}
	}
	var n heldRequests
	client, err := aztables.NewServiceClientFromConnectionString(w.storage, &aztables.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: &n}})
	require.NoError(t, err)
	w.current().d.lanes[0].pacer.store = tablestore.New(client, "testhub", nil)
	id := w.create(exclusively("one", `"type":"scheduleSteps","steps":[{"method":{"methodName":"prepare"}},{"method":{"methodName":"update"}},
		{"waitFor":{"path":"properties.reported.fw.status","equals":"done"}}]`))
	w.run(func(context.Context) bool { return w.status(id).Counts().Of(job.Succeeded) == 9 })
	w.run(func(ctx context.Context) bool {
		row, err := w.observer().Kept(ctx, w.status(id).ID, 0)
		return err == nil && len(row.Devices) == 1
	})
	done.Store(true)
	require.Equal(t, 10, w.ended(id).Counts().Of(job.Succeeded))
	require.Equal(t, "prepare update", w.hub.did("dev-3"))
	w.nothingHeld()
	require.EqualValues(t, 2, n.asks.Load(), "one to ask, and one to keep less")
	require.EqualValues(t, 2, n.queries.Load(), "one to look, and one at the end of the run")
}
