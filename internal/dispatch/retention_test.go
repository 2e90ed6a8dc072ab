package dispatch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/archive"
	"github.com/fleetjobs/fleetjobs/internal/azurite/azuritetest"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// clock is a clock that the test sets forward.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) pass(d time.Duration) { c.ahead.Add(int64(d)) }

// keeping gives options of a deployment that keeps for a day what has ended.
func keeping(c *clock) Options {
	return Options{
		Lease: 600 * time.Millisecond, Flush: 100 * time.Millisecond, Silence: 400 * time.Millisecond, Tick: 200 * time.Millisecond,
		RetryDelay: time.Millisecond, Now: c.now, Retention: Retention{After: 24 * time.Hour},
	}
}

// expired gives the audit trail's entries of what was deleted because its time was over.
func (w *world) expired(jobID string) []*job.Change {
	w.t.Helper()
	all, _, err := w.observer().Changes(w.t.Context(), tablestore.ChangeQuery{JobID: jobID, Max: 100})
	require.NoError(w.t, err)
	var found []*job.Change
	for _, c := range all {
		if c.Action == job.ActionExpired {
			found = append(found, c)
		}
	}
	return found
}

func TestAJobGoesWhenItsRetentionHasPassed(t *testing.T) {
	t.Parallel()
	c := &clock{}
	w := newWorld(t, keeping(c))
	w.hub.populate(3)
	run := w.ended(w.create(lockDoor))

	c.pass(24*time.Hour - time.Minute)
	require.NoError(t, w.current().d.Tick(t.Context()))
	require.Equal(t, job.StatusCompleted, w.status(run.JobID).Status, "not yet")

	w.goneLater(run.ID, c)
	entries := w.expired(run.JobID)
	require.Len(t, entries, 1)
	require.Equal(t, job.Principal{Kind: job.PrincipalRetention}, entries[0].By)
	require.Equal(t, job.StatusCompleted, entries[0].From)
	require.Contains(t, entries[0].Note, "kept for P1D")
}

// Without the setting nothing is deleted, and no tick asks for what has ended.
func TestWithoutRetentionJobsStay(t *testing.T) {
	t.Parallel()
	c := &clock{}
	opts := keeping(c)
	opts.Retention = Retention{}
	w := newWorld(t, opts)
	w.hub.populate(1)
	run := w.ended(w.create(lockDoor))
	c.pass(10 * 366 * 24 * time.Hour)
	require.NoError(t, w.current().d.Tick(t.Context()))
	require.Equal(t, job.StatusCompleted, w.status(run.JobID).Status)
}

// Old runs of a recurring job go, and the job stays; once the job itself has ended it goes when its last run is gone.
func TestARecurringJobOutlivesItsRuns(t *testing.T) {
	t.Parallel()
	c := &clock{}
	w := newWorld(t, keeping(c))
	w.hub.populate(2)
	id := w.create(`{"jobId":"nightly","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*",
		"schedule":{"interval":"P3650D"}}`)
	store := w.observer()
	var rec *job.Record
	runs := func(n, ended int) func(ctx context.Context) bool {
		return func(ctx context.Context) bool {
			var err error
			if rec, err = store.Job(ctx, id); err != nil || rec.Series.Runs != n {
				return false
			}
			all, _, err := store.Runs(ctx, tablestore.RunQuery{Job: rec, Max: 10})
			return err == nil && len(all) == ended && len(rec.Series.Running) == 0
		}
	}
	for n := 1; n <= 2; n++ {
		_, _, err := w.current().d.RunNow(t.Context(), id, "", someone())
		require.NoError(t, err)
		w.run(runs(n, n))
		c.pass(20 * time.Hour) // the second one ends 20 hours after the first
	}
	w.run(runs(2, 1))
	require.Equal(t, job.StatusScheduled, rec.Status)
	entries := w.expired(id)
	require.Len(t, entries, 1)
	require.Equal(t, rec.RunNumber(1), entries[0].RunID)

	_, _, err := w.current().d.Cancel(t.Context(), id, someone())
	require.NoError(t, err)
	c.pass(25 * time.Hour)
	w.goneLater(rec.RunID, c)
	require.Len(t, w.expired(id), 3, "two runs and the job")
}

// later lets a quarter of an hour pass, in which the timer ticks once, and delivers what is sent then.
func (w *world) later(c *clock) {
	w.t.Helper()
	c.pass(15 * time.Minute)
	_ = w.current().d.Tick(w.t.Context()) // a killed process fails; the next tick repairs
	for {
		due := w.queue.receive()
		if len(due) == 0 {
			return
		}
		for _, m := range due {
			w.deliver(w.t.Context(), m)
		}
	}
}

// goneLater is later until a job is gone, and the rows of a run of it.
func (w *world) goneLater(runID string, c *clock) {
	w.t.Helper()
	store := w.observer()
	for range 12 {
		w.later(c)
		_, err := store.Job(w.t.Context(), job.OwnerOf(runID))
		is, goneErr := store.IsGone(w.t.Context(), runID)
		require.NoError(w.t, goneErr)
		if errors.Is(err, job.ErrNotFound) && !is {
			_, err := store.Run(w.t.Context(), runID)
			require.ErrorIs(w.t, err, job.ErrNotFound)
			shards, err := store.Shards(w.t.Context(), runID, tablestore.ShardQuery{Always: -1})
			require.NoError(w.t, err)
			require.Empty(w.t, shards)
			return
		}
	}
	require.Fail(w.t, "the job is still there")
}

// lines encodes executions as one line each, for tests.
func lines(executions []job.Execution, _ bool) ([]byte, error) {
	var b bytes.Buffer
	for _, e := range executions {
		fmt.Fprintf(&b, "%s %s\n", e.DeviceID, e.State)
	}
	return b.Bytes(), nil
}

// exporting gives a world whose runs are exported into a container.
func exporting(t *testing.T, c *clock) (*world, *container.Client) {
	t.Helper()
	w := newWorldOn(t, azuritetest.StartWithBlobs(t), keeping(c))
	w.exports = func(p *process) *Export {
		client, err := container.NewClientFromConnectionString(w.storage, "exports", &container.ClientOptions{
			ClientOptions: azcore.ClientOptions{Transport: p, Retry: policy.RetryOptions{MaxRetries: -1}},
		})
		require.NoError(t, err)
		return &Export{
			Blobs: archive.New(client, "testhub"), Extension: ".txt", ContentType: "text/plain", BlockShards: 1, Encode: lines,
			JobJSON: func(rec *job.Record, run *job.Run) ([]byte, error) {
				return json.Marshal(map[string]any{"jobId": rec.JobID, "status": run.Status, "devices": run.Counts().Total()})
			},
		}
	}
	w.boot(0)
	client, err := container.NewClientFromConnectionString(w.storage, "exports", nil)
	require.NoError(t, err)
	return w, client
}

// blobText reads a blob, "" when there is none.
func blobText(t *testing.T, c *container.Client, name string) string {
	t.Helper()
	got, err := c.NewBlockBlobClient(name).DownloadStream(t.Context(), nil)
	if err != nil {
		return ""
	}
	text, err := io.ReadAll(got.Body)
	require.NoError(t, err)
	require.NoError(t, got.Body.Close())
	return string(text)
}

// TestAnExportMayDieAtAnyRequest kills the process at its nth request, to tables or blobs, from when a run's time is over: in the end
// the run is deleted, once, and all of it is in the blobs.
func TestAnExportMayDieAtAnyRequest(t *testing.T) {
	t.Parallel()
	const devices, last = 250, 40
	step := int64(1)
	if testing.Short() {
		step = 7
	}
	for n := int64(1); n <= last; n += step {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			c := &clock{}
			w, blobs := exporting(t, c)
			w.hub.populate(devices)
			run := w.ended(w.create(lockDoor))
			c.pass(25 * time.Hour)
			w.current().left.Store(n)
			w.goneLater(run.ID, c)
			folder := "testhub/" + run.JobID + "/" + run.ID
			text := blobText(t, blobs, folder+"/executions.txt")
			require.Equal(t, devices, strings.Count(text, " succeeded\n"))
			for i := range devices {
				require.Equal(t, 1, strings.Count("\n"+text, fmt.Sprintf("\ndev-%d ", i)), i)
			}
			require.JSONEq(t, fmt.Sprintf(`{"jobId":%q,"status":"completed","devices":%d}`, run.JobID, devices), blobText(t, blobs, folder+"/job.json"))
			entries := w.expired(run.JobID)
			require.Len(t, entries, 1, "deleted once")
			require.Contains(t, entries[0].Note, "exported to exports/"+folder)
		})
	}
}

// brokenBlobs does to blobs what a test wants.
type brokenBlobs struct {
	Blobs
	send   func(id string) error
	commit func(ids []string) []string
}

func (b brokenBlobs) Send(ctx context.Context, name, id string, data []byte) error {
	if err := b.send(id); err != nil {
		return err
	}
	return b.Blobs.Send(ctx, name, id, data)
}

func (b brokenBlobs) Commit(ctx context.Context, name, kind string, ids []string) error {
	return b.Blobs.Commit(ctx, name, kind, b.commit(ids))
}

// What is not exported, wholly and verifiably, is not deleted, however often the timer tries.
func TestARunThatCanNotBeExportedIsKept(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]brokenBlobs{
		"the account takes nothing": {send: func(string) error { return errors.New("no route") }, commit: func(ids []string) []string { return ids }},
		"the last block is refused": {send: func(id string) error {
			if strings.HasPrefix(id, "000002") {
				return errors.New("503")
			}
			return nil
		}, commit: func(ids []string) []string { return ids }},
		"a block is lost": {send: func(string) error { return nil }, commit: func(ids []string) []string { return ids[:len(ids)-1] }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &clock{}
			w, blobs := exporting(t, c)
			w.hub.populate(250)
			run := w.ended(w.create(lockDoor))
			healthy := w.exports
			w.exports = func(p *process) *Export {
				e := healthy(p)
				broken.Blobs = e.Blobs
				e.Blobs = broken
				return e
			}
			w.boot(0)
			c.pass(25 * time.Hour)
			for n := range 3 {
				w.later(c)
				require.Equal(t, n+1, w.queue.count(kindExpire))
			}
			require.Equal(t, job.StatusCompleted, w.status(run.JobID).Status)
			require.Len(t, w.executions(run), 250)
			require.Empty(t, w.expired(run.JobID))

			w.exports = healthy
			w.boot(0)
			w.goneLater(run.ID, c)
			require.Equal(t, 250, strings.Count(blobText(t, blobs, "testhub/"+run.JobID+"/"+run.ID+"/executions.txt"), "\n"))
		})
	}
}
