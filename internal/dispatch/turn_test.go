package dispatch

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// oneAtATime gives options of a deployment in which one run goes on at once.
var oneAtATime = Options{
	MaxRuns: 1, Flush: 100 * time.Millisecond, Silence: 400 * time.Millisecond, Tick: 200 * time.Millisecond,
	RetryDelay: time.Millisecond,
}

func prioritised(id string, priority int) string {
	return fmt.Sprintf(`{"jobId":%q,"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"deviceIds":["dev-0"],"priority":%d}`, id, priority)
}

// waits tells when the run of a job waits for its turn.
func (w *world) waits(id string) func(context.Context) bool {
	return func(ctx context.Context) bool {
		rec, err := w.observer().Job(ctx, id)
		if err != nil {
			return false
		}
		run, err := w.observer().Run(ctx, rec.RunID)
		return err == nil && run.Waiting != nil
	}
}

// Runs beyond the limit wait, visibly, and begin by priority, then by age.
func TestRunsWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneAtATime)
	w.hub.populate(1)
	hold := w.hub.held(nil)
	w.create(prioritised("first", 5))
	w.run(func(context.Context) bool { return w.hub.called("dev-0") == 1 })
	for _, id := range []string{"second", "third", "urgent"} {
		w.create(prioritised(id, map[string]int{"urgent": 9}[id]+map[string]int{"second": 5, "third": 5}[id]))
		w.run(w.waits(id))
		run := w.status(id)
		require.Equal(t, job.StatusScheduled, run.Status)
		require.Equal(t, 1, run.Waiting.Most)
	}
	require.Equal(t, 1, w.hub.called("dev-0"))
	close(hold)
	var ends []string
	ended := map[string]bool{}
	w.run(func(ctx context.Context) bool {
		for _, id := range []string{"first", "second", "third", "urgent"} {
			if rec, err := w.observer().Job(ctx, id); err == nil && rec.Status.Ended() && !ended[id] {
				ended[id], ends = true, append(ends, id)
			}
		}
		return len(ends) == 4
	})
	for _, id := range []string{"first", "second", "third", "urgent"} {
		require.Equal(t, job.StatusCompleted, w.status(id).Status)
		require.Nil(t, w.status(id).Waiting)
	}
	started := func(id string) time.Time { return w.status(id).StartedAt }
	require.True(t, started("urgent").Before(started("second")), "by priority")
	require.True(t, started("second").Before(started("third")), "by age")
	for i, id := range []string{"urgent", "second", "third"} {
		before := []string{"first", "urgent", "second"}[i]
		require.False(t, started(id).Before(w.status(before).EndedAt), "%s began before %s had ended", id, before)
	}
}

// A run that waits is moved forward or back by an edit of its priority, and is listed once only.
func TestAnEditedPriorityChangesWhoIsNext(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneAtATime)
	w.hub.populate(1)
	hold := w.hub.held(nil)
	w.create(prioritised("first", 5))
	w.run(func(context.Context) bool { return w.hub.called("dev-0") == 1 })
	for _, id := range []string{"second", "third", "fourth"} {
		w.create(prioritised(id, map[string]int{"second": 8, "third": 5, "fourth": 5}[id]))
		w.run(w.waits(id))
	}
	for id, patch := range map[string]string{"second": `{"priority":null}`, "third": `{"priority":1}`, "fourth": `{"priority":9}`} {
		_, run, err := w.current().d.Edit(t.Context(), id, Edit{Patch: []byte(patch), Version: 1}, someone())
		require.NoError(t, err)
		require.NotNil(t, run.Waiting)
	}
	waiting, err := w.observer().Waiting(t.Context(), 10)
	require.NoError(t, err)
	var order []string
	for _, one := range waiting {
		id, _, _ := strings.Cut(one.RunID, ".")
		order = append(order, id)
	}
	require.Equal(t, []string{"fourth", "second", "third"}, order)
	close(hold)
	for _, id := range []string{"fourth", "second", "third"} {
		require.Equal(t, job.StatusCompleted, w.ended(id).Status)
	}
	require.True(t, w.status("fourth").StartedAt.Before(w.status("second").StartedAt))
	require.True(t, w.status("second").StartedAt.Before(w.status("third").StartedAt))
}

// A run that waits may be cancelled, and keeps no other waiting then.
func TestARunThatWaitsIsCancelled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneAtATime)
	w.hub.populate(1)
	hold := w.hub.held(nil)
	w.create(prioritised("first", 5))
	w.run(func(context.Context) bool { return w.hub.called("dev-0") == 1 })
	for _, id := range []string{"urgent", "last"} {
		w.create(prioritised(id, map[string]int{"urgent": 9, "last": 1}[id]))
		w.run(w.waits(id))
	}
	_, _, err := w.current().d.Cancel(t.Context(), "urgent", someone())
	require.NoError(t, err)
	close(hold)
	require.Equal(t, job.StatusCompleted, w.ended("last").Status)
	require.Equal(t, job.StatusCancelled, w.status("urgent").Status)
	w.run(func(ctx context.Context) bool { // what is left of turns and lists goes
		turns, err := w.observer().Turns(ctx)
		waiting, waitErr := w.observer().Waiting(ctx, 10)
		return err == nil && waitErr == nil && len(turns.Runs) == 0 && len(waiting) == 0
	})
}

// TestTurnsThroughADeath kills the process at its nth storage request while two runs share one turn: both come to their end, and
// nothing is left of their turns.
func TestTurnsThroughADeath(t *testing.T) {
	t.Parallel()
	for n := int64(3); n <= 48; n += 5 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			w := newMortalWorld(t, oneAtATime)
			w.hub.populate(1)
			w.create(prioritised("first", 5))
			w.create(prioritised("second", 5))
			w.current().left.Store(n)
			for _, id := range []string{"first", "second"} {
				require.Equal(t, job.Statistics{DeviceCount: 1, SucceededCount: 1}, w.ended(id).Counts().Statistics())
			}
			w.run(func(ctx context.Context) bool {
				turns, err := w.observer().Turns(ctx)
				waiting, waitErr := w.observer().Waiting(ctx, 10)
				return err == nil && waitErr == nil && len(turns.Runs) == 0 && len(waiting) == 0
			})
		})
	}
}
