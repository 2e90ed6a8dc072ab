package dispatch

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// What a review found where features meet, each once wrong.

// A run whose window closes while it waits for its turn keeps every other from beginning.
func TestARunWhoseWindowClosesGivesUpItsPlaceInTheRow(t *testing.T) {
	t.Parallel()
	clock := clockAt(t, "2026-12-01T02:00:00Z")
	opts := oneAtATime
	opts.Now = clock.now
	w := newWorld(t, opts)
	w.hub.populate(1)
	hold := w.hub.held(nil)
	create := func(body string) {
		def, err := job.Decode([]byte(body), clock.now())
		require.NoError(t, err)
		_, err = w.current().d.Create(t.Context(), def, "", someone())
		require.NoError(t, err)
	}
	create(prioritised("first", 5))
	w.run(func(context.Context) bool { return w.hub.called("dev-0") == 1 })
	create(`{"jobId":"windowed","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"deviceIds":["dev-0"],
		"maintenanceWindow":{"cron":"0 1 * * *","duration":"PT2H"}}`)
	w.run(w.waits("windowed"))
	create(prioritised("other", 5))
	w.run(w.waits("other"))
	clock.jump(time.Hour + time.Minute) // the window closes
	close(hold)
	require.Equal(t, job.StatusCompleted, w.ended("other").Status)
	require.Nil(t, w.status("windowed").Waiting)
}

// Devices without a zone count twice where supervisions open the shards.
func TestDevicesWithoutAZoneCountOnceInARollout(t *testing.T) {
	t.Parallel()
	w, clock := clocked(t, "2026-11-30T10:00:00Z", 6)
	w.home("Asia/Tokyo", "Europe/Berlin", "")
	w.recur(`{"jobId":"daily","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*",
		"rollout":{"maxConcurrency":100},"schedule":{"cron":"0 2 * * *","timeZone":"device","remainingRuns":1}}`)
	clock.jump(9 * time.Hour)
	w.run(func(context.Context) bool { return w.total() >= 2 })
	clock.jump(9 * time.Hour)
	w.run(func(context.Context) bool { return w.total() >= 4 })
	clock.jump(30 * time.Hour)
	_, runs := w.rests(1)
	require.Equal(t, 6, runs[0].Counts.Total())
}

// A device of a run with spreadBy that was cancelled before its shard was opened counts twice.
func TestADeviceCancelledBeforeItsShardOpensCountsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	w.hub.populate(40)
	w.hub.tag(func(int) any { return "a" })
	hold := w.hub.held(nil)
	id := w.create(careful(`{"spreadBy":"tags.site","batches":[{"number":10},{"gate":{"approval":true}}]}`, ""))
	w.run(func(ctx context.Context) bool {
		rec, err := w.observer().Job(ctx, id)
		if err != nil {
			return false
		}
		run, err := w.observer().Run(ctx, rec.RunID)
		return err == nil && run.PlanDone && run.Enqueued == 1
	})
	run := w.status(id)
	_, err := w.current().d.CancelExecution(t.Context(), run.ID, "dev-39", someone())
	require.NoError(t, err)
	close(hold)
	approved := false
	run = w.endedAfter(id, func() {
		if !approved {
			_, _, err := w.current().d.Approve(t.Context(), id, 2, "", job.Caller{Principal: job.Principal{Kind: "user", ID: "other"}})
			approved = err == nil
		}
	})
	require.Equal(t, 40, run.Counts().Total())
}

// The next run after an edit of the target takes over the devices of before.
func TestAnEditOfTheTargetEndsTheSharingOfLists(t *testing.T) {
	t.Parallel()
	w, clock := clocked(t, "2026-12-01T00:30:00Z", 0)
	w.matches(fleet(0, 20)...)
	w.recur(sharing())
	clock.jump(time.Hour - time.Minute)
	_, runs := w.rests(1)
	require.Equal(t, 20, runs[0].Counts.Of(job.Succeeded))
	_, err := w.edit(`{"queryCondition":"tags.site = 'other'"}`, AnyVersion)
	require.NoError(t, err)
	w.matches(fleet(5, 8)...)
	clock.jump(time.Hour - time.Minute)
	_, runs = w.rests(2)
	require.Equal(t, 3, runs[1].Devices)
}

// A copy of a recurring job with an edited list takes the list of before.
func TestACopyTakesTheListAsItWasEdited(t *testing.T) {
	t.Parallel()
	w, _ := clocked(t, "2026-12-01T00:30:00Z", 10)
	w.recur(`{"jobId":"daily","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"deviceIds":["dev-0","dev-1"],"schedule":{"cron":"0 5 * * *"}}`)
	rec, err := w.edit(`{"deviceIds":["dev-7","dev-8","dev-9"]}`, AnyVersion)
	require.NoError(t, err)
	made, err := w.current().d.Copy(t.Context(), rec, nil, job.Copy{Body: []byte(`{"jobId":"twin","schedule":null}`)}, someone())
	require.NoError(t, err)
	got, err := w.observer().List(t.Context(), made.ListID(), 0)
	require.NoError(t, err)
	require.Equal(t, []string{"dev-7", "dev-8", "dev-9"}, got)
}

// once503 refuses one request of the rows of what is held.
type once503 struct{ failed atomic.Bool }

func (o *once503) Do(r *http.Request) (*http.Response, error) {
	if strings.Contains(r.URL.String(), "held") && o.failed.CompareAndSwap(false, true) {
		return &http.Response{StatusCode: 503, Status: "503 Server Busy", Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
	}
	return http.DefaultClient.Do(r)
}

// One refused request of the row of what is held costs the shard's devices their calls.
func TestWhatCannotBeHeldCostsNobodyHisOneCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t, impatient)
	w.hub.populate(20)
	client, err := aztables.NewServiceClientFromConnectionString(w.storage, &aztables.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: &once503{}, Retry: policy.RetryOptions{MaxRetries: -1}}})
	require.NoError(t, err)
	w.current().d.lanes[0].pacer.store = tablestore.New(client, "testhub", nil)
	run := w.ended(w.create(`{"jobId":"one","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*","exclusive":true,"deliveryGuarantee":"atMostOnce"}`))
	require.Equal(t, 20, run.Counts().Of(job.Succeeded))
}
