package dispatch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/pace"
)

// at gives lockDoor with a member hubs.
func at(hubs string) string { return strings.Replace(lockDoor, `{`, `{"hubs":`+hubs+`,`, 1) }

// hubOf makes a hub with n devices, which have the ids that those of every other such hub have.
func hubOf(n int) *testHub {
	h := newTestHub()
	h.populate(n)
	return h
}

// atHubs gives the runs at the hubs of a run, by name, as the store knows them.
func (w *world) atHubs(run *job.Run) map[string]*job.Run {
	w.t.Helper()
	all := map[string]*job.Run{}
	for _, h := range run.Hubs {
		child, err := w.observer().Run(w.t.Context(), job.HubRunID(run.ID, h.Hub))
		require.NoError(w.t, err)
		all[h.Hub] = child
	}
	return all
}

func TestAJobWorksAtAllHubs(t *testing.T) {
	t.Parallel()
	other := hubOf(120)
	w := newWorld(t, Options{}, other, hubOf(0))
	w.hub.populate(250)
	run := w.ended(w.create(at(`"all"`)))

	require.Equal(t, job.StatusCompleted, run.Status)
	require.Equal(t, job.EndFinished, run.EndReason)
	require.Equal(t, job.Statistics{DeviceCount: 370, SucceededCount: 370}, run.Counts().Statistics())
	require.Len(t, run.Hubs, 3)
	want := map[string]int{"default": 250, "hub-2": 120, "hub-3": 0}
	for _, h := range run.Hubs {
		require.Equal(t, job.StatusCompleted, h.Status, h.Hub)
		require.Equal(t, want[h.Hub], h.Counts.Of(job.Succeeded), h.Hub)
	}
	for hub, child := range w.atHubs(run) {
		require.Len(t, w.executions(child), want[hub])
	}
	for i := range 120 {
		id := fmt.Sprintf("dev-%d", i)
		require.Equal(t, []int{1, 1}, []int{w.hub.called(id), other.called(id)}, "the same id is another device at each hub")
	}
	rec, err := w.observer().Job(t.Context(), "lock")
	require.NoError(t, err)
	require.Equal(t, run.Hubs, rec.AtHubs, "the job's own row knows it too")
	require.Empty(t, w.queue.poison)
}

func TestAJobOfOneHubIsThatHubsAlone(t *testing.T) {
	t.Parallel()
	other := hubOf(30)
	w := newWorld(t, Options{}, other)
	w.hub.populate(10)
	run := w.ended(w.create(at(`["hub-2"]`)))
	require.Equal(t, job.Statistics{DeviceCount: 30, SucceededCount: 30}, run.Counts().Statistics())
	require.Equal(t, "hub-2", run.Hub)
	require.Nil(t, run.Hubs)
	require.Zero(t, w.hub.called("dev-0"))
}

func TestUnknownHubsAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{}, hubOf(1))
	def, err := job.Decode([]byte(at(`["hub-2","hub-s"]`)), time.Now())
	require.NoError(t, err)
	_, err = w.current().d.Create(t.Context(), def, "", someone())
	require.ErrorContains(t, err, `hubs[1]`)
	require.ErrorContains(t, err, `is no hub of this deployment; did you mean "hub-2"?`)
	_, err = w.current().d.Preview(t.Context(), def)
	require.ErrorContains(t, err, `hubs[1]`)
}

// TestABlockedHubHoldsNoOtherUp has one hub refuse everything until the other has done all it had to do.
func TestABlockedHubHoldsNoOtherUp(t *testing.T) {
	t.Parallel()
	broken := hubOf(150)
	refuse := func(string) error { return &iothub.Error{Kind: iothub.HubFault, Message: "the role is gone"} }
	broken.query = refuse
	w := newWorld(t, Options{ProbeDelay: 50 * time.Millisecond}, broken)
	w.hub.populate(150)
	id := w.create(at(`"all"`))
	var blocked *job.Run
	w.run(func(ctx context.Context) bool {
		rec, err := w.observer().Job(ctx, id)
		if err != nil || rec.Status != job.StatusBlocked {
			return false
		}
		blocked = w.status(id)
		return blocked.Status == job.StatusBlocked && blocked.Hubs[0].Status == job.StatusCompleted
	})
	require.Equal(t, job.StatusBlocked, blocked.Hubs[1].Status)
	require.Contains(t, blocked.Block.Reason, "hub-2: ")
	require.Equal(t, 150, blocked.Counts().Of(job.Succeeded))
	require.Zero(t, broken.called("dev-0"))

	broken.mu.Lock()
	broken.query = nil
	broken.mu.Unlock()
	run := w.ended(id)
	require.Equal(t, job.StatusCompleted, run.Status)
	require.Equal(t, job.Statistics{DeviceCount: 300, SucceededCount: 300}, run.Counts().Statistics())
}

// TestAThrottledHubSlowsNoOtherDown has one hub throttle every call until the other has ended: neither its gate nor its ledger
// is the other's.
func TestAThrottledHubSlowsNoOtherDown(t *testing.T) {
	t.Parallel()
	busy := hubOf(20)
	busy.answer = func(string, int) (iothub.MethodResult, error) {
		return iothub.MethodResult{}, &iothub.Error{Kind: iothub.Throttled, Wait: 10 * time.Second}
	}
	w := newWorld(t, Options{Rates: pace.Rates{pace.Methods: 1000}}, busy)
	w.hub.populate(300)
	id := w.create(at(`["default","hub-2"]`))
	d := w.current().d
	w.run(func(context.Context) bool {
		run := w.status(id)
		return len(run.Hubs) == 2 && run.Hubs[0].Status.Ended() && d.lane("hub-2").gate.closed() > time.Second
	})
	require.LessOrEqual(t, d.lane("default").gate.closed(), time.Duration(0))
	own, _, err := w.observer().Ledger(t.Context(), pace.Methods)
	require.NoError(t, err)
	w.run(func(ctx context.Context) bool { // the busy hub alone is pushed back
		ledger, _, err := w.observer().Hub("hub-2.test").Ledger(ctx, pace.Methods)
		return err == nil && ledger.Next.After(own.Next)
	})
	_, _, err = d.Cancel(t.Context(), id, someone())
	require.NoError(t, err)
	run := w.ended(id)
	require.Equal(t, job.StatusCancelled, run.Status)
	require.Equal(t, job.EndCancelled, run.EndReason)
	require.Equal(t, 300, run.Counts().Of(job.Succeeded))
	require.Equal(t, 20, run.Counts().Of(job.Canceled))
}

func TestAPauseAndAResumeReachEveryHub(t *testing.T) {
	t.Parallel()
	held := make(chan struct{})
	slow := func(ctx context.Context, _ string) error {
		select {
		case <-held:
		case <-ctx.Done():
		}
		return nil
	}
	other := hubOf(40)
	other.slow = slow
	w := newWorld(t, Options{CallsInFlight: 4}, other)
	w.hub.populate(40)
	w.hub.slow = slow
	id := w.create(at(`"all"`))
	everywhere := func(want job.Status) func(context.Context) bool {
		return func(context.Context) bool {
			run := w.status(id)
			if len(run.Hubs) == 0 {
				return false
			}
			for _, h := range run.Hubs {
				if h.Status != want {
					return false
				}
			}
			return run.Status == want
		}
	}
	w.run(everywhere(job.StatusRunning))
	_, run, err := w.current().d.Pause(t.Context(), id, "lunch", someone())
	require.NoError(t, err)
	require.Equal(t, job.StatusPaused, run.Status)
	w.run(everywhere(job.StatusPaused))
	require.Equal(t, "lunch", w.status(id).Hubs[1].Pause.Note)

	_, _, err = w.current().d.Resume(t.Context(), id, "", someone())
	require.NoError(t, err)
	close(held)
	run = w.ended(id)
	require.Equal(t, job.StatusCompleted, run.Status)
	require.Equal(t, job.Statistics{DeviceCount: 80, SucceededCount: 80}, run.Counts().Statistics())
}

// TestAbortCountsPerHub has all devices of one hub fail: its run is aborted, and the other goes on.
func TestAbortCountsPerHub(t *testing.T) {
	t.Parallel()
	bad := hubOf(200)
	bad.answer = func(string, int) (iothub.MethodResult, error) { return iothub.MethodResult{Status: 500}, nil }
	w := newWorld(t, Options{}, bad)
	w.hub.populate(200)
	body := strings.Replace(at(`"all"`), `{`,
		`{"abort":{"criteria":[{"failureType":"failed","thresholdPercentage":50,"minNumberOfExecutedDevices":10,"action":"cancel"}]},`, 1)
	run := w.ended(w.create(body))
	require.Equal(t, job.StatusCancelled, run.Status)
	require.Equal(t, job.EndAborted, run.EndReason)
	require.Contains(t, run.FailureReason, "hub-2: ")
	require.Equal(t, job.StatusCompleted, run.Hubs[0].Status)
	require.Equal(t, 200, run.Hubs[0].Counts.Of(job.Succeeded))
	require.Equal(t, job.StatusCancelled, run.Hubs[1].Status)
}

// TestAHubThatLeftTheSettingsBlocksItsRunAlone creates a job and lets a process without the hub carry it out.
func TestAHubThatLeftTheSettingsBlocksItsRunAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{ProbeDelay: 50 * time.Millisecond}, hubOf(5))
	w.hub.populate(5)
	id := w.create(at(`["default","hub-2"]`))
	others := w.others
	w.others = nil
	w.boot(0)
	w.run(func(context.Context) bool {
		rec, err := w.observer().Job(t.Context(), id)
		return err == nil && rec.Status == job.StatusBlocked
	})
	require.Contains(t, w.status(id).Block.Reason, `hub-2: `)
	require.Contains(t, w.status(id).Block.Reason, `the app's settings name no hub "hub-2"`)
	w.others = others
	w.boot(0)
	run := w.ended(id)
	require.Equal(t, job.Statistics{DeviceCount: 10, SucceededCount: 10}, run.Counts().Statistics())
}

// TestAProcessMayDieAtAnyRequestOfAJobOverHubs kills the process at its nth storage request.
func TestAProcessMayDieAtAnyRequestOfAJobOverHubs(t *testing.T) {
	t.Parallel()
	const last, step = 61, 6 // every request takes many worlds, and TestAProcessMayDieAtAnyRequest does it for one hub
	for n := int64(1); n <= last; n += step {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			w := newMortalWorld(t, impatient, hubOf(70))
			w.hub.populate(70)
			id := w.create(at(`"all"`))
			w.current().left.Store(n)
			run := w.ended(id)
			require.Equal(t, job.StatusCompleted, run.Status)
			require.Equal(t, job.Statistics{DeviceCount: 140, SucceededCount: 140}, run.Counts().Statistics())
			for hub, child := range w.atHubs(run) {
				require.Len(t, w.executions(child), 70, hub)
			}
		})
	}
}

// TestAnApprovalAndAnEditReachEveryHub has two batches at each of two hubs, of which the second waits for somebody.
func TestAnApprovalAndAnEditReachEveryHub(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick, hubOf(30))
	w.hub.populate(30)
	id := w.create(strings.Replace(at(`"all"`), "{", `{"rollout":{"batches":[{"number":10},{"gate":{"approval":true}}]},`, 1))
	w.run(func(context.Context) bool {
		run := w.status(id)
		return len(run.Hubs) == 2 && run.Hubs[0].Counts.Of(job.Succeeded) == 10 && run.Hubs[1].Counts.Of(job.Succeeded) == 10
	})
	w.run(func(context.Context) bool {
		want := &job.WaitingBatch{Batch: 2, WaitsFor: []job.Wait{job.WaitApproval}}
		hubs := w.status(id).Hubs
		return cmp.Equal(want, hubs[0].Waiting) && cmp.Equal(want, hubs[1].Waiting)
	})
	d := w.current().d
	_, _, err := d.Approve(t.Context(), id, 2, "", someone())
	require.ErrorIs(t, err, ErrOwnApproval)
	other := job.Caller{Principal: job.Principal{Kind: job.PrincipalIdentity, ID: "eva"}}
	_, _, err = d.Approve(t.Context(), id, 5, "", other)
	require.ErrorIs(t, err, job.ErrNotWaiting)

	rec, run, err := d.Edit(t.Context(), id, Edit{Patch: []byte(`{"maxExecutionTimeInSeconds":3600}`), Version: 1}, someone())
	require.NoError(t, err)
	require.Equal(t, 2, rec.Version(run))
	w.run(func(context.Context) bool {
		for _, child := range w.atHubs(w.status(id)) {
			if child.Deadline.IsZero() {
				return false
			}
		}
		return true
	})
	ended := w.endedAfter(id, func() { // an approval reaches those hubs whose gate waits for it by then
		if _, _, err := w.current().d.Approve(t.Context(), id, 2, "fine", other); err != nil {
			require.True(t, errors.Is(err, job.ErrNotWaiting) || errors.Is(err, ErrEnded), "%v", err)
		}
	})
	require.Equal(t, job.Statistics{DeviceCount: 60, SucceededCount: 60}, ended.Counts().Statistics())
	require.Equal(t, job.EndFinished, ended.EndReason)
}
