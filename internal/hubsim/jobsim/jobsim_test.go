package jobsim_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/jobsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/simclock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// devices is a fleet of n devices that a hub works on at one every interval.
type devices struct {
	n        int
	interval time.Duration
	refusal  error
}

func (d devices) Select(string) ([]string, error) {
	ids := make([]string, d.n)
	for i := range ids {
		ids[i] = fmt.Sprintf("d%d", i)
	}
	return ids, d.refusal
}

func (d devices) Pace(ctx context.Context, last time.Time) (time.Time, bool) {
	due := last.Add(d.interval)
	return due, simclock.New(1, nil).Sleep(ctx, time.Until(due))
}

// engine returns an engine whose jobs are queued and scheduled for a second each.
func engine(t *testing.T, fleet devices, maxActive int) *jobsim.Engine {
	t.Helper()
	e := jobsim.New(t.Context(), jobsim.Options{Fleet: fleet, Clock: simclock.New(1, nil), MaxActive: maxActive})
	t.Cleanup(e.Close)
	return e
}

// spec is a job whose devices answer at once.
func spec(id string) jobsim.Spec {
	return jobsim.Spec{ID: id, Type: "scheduleDeviceMethod", Condition: "*", Call: func(context.Context, string) jobsim.Outcome {
		return jobsim.Outcome{Status: 200, Payload: []byte(`1`)}
	}}
}

func status(t *testing.T, e *jobsim.Engine, id string) string {
	t.Helper()
	v, err := e.Get(id)
	require.NoError(t, err)
	return v.Status
}

// create makes a job and waits until it has settled.
func create(t *testing.T, e *jobsim.Engine, s jobsim.Spec) {
	t.Helper()
	_, err := e.Create(s)
	require.NoError(t, err)
}

func TestAJobIsQueuedScheduledRunningAndCompleted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := engine(t, devices{n: 50, interval: 100 * time.Millisecond}, 1)
		v, err := e.Create(spec("j"))
		require.NoError(t, err)
		require.Equal(t, "queued", v.Status)
		require.False(t, v.Started)

		var seen []string
		for range 80 {
			if s := status(t, e, "j"); !slices.Contains(seen, s) {
				seen = append(seen, s)
			}
			time.Sleep(100 * time.Millisecond)
		}

		require.Equal(t, []string{"queued", "scheduled", "running", "completed"}, seen)
		v, err = e.Get("j")
		require.NoError(t, err)
		require.Equal(t, jobsim.Counts{Total: 50, Succeeded: 50}, v.Counts)
		require.Equal(t, 7*time.Second, v.Ended.Sub(v.Created), "2 s until it starts, 10 devices a second")
		e.Close()
	})
}

func TestCountsMoveWhileAJobRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := engine(t, devices{n: 10, interval: time.Second}, 0)
		s := spec("j")
		s.Call = func(_ context.Context, id string) jobsim.Outcome {
			time.Sleep(1500 * time.Millisecond)
			if id == "d0" {
				return jobsim.Outcome{Fault: &jobsim.Fault{Code: "DeviceNotOnline"}}
			}
			return jobsim.Outcome{}
		}
		create(t, e, s)
		time.Sleep(5700 * time.Millisecond) // 3 are picked: d0 and d1 have ended

		v, err := e.Get("j")
		require.NoError(t, err)
		require.Equal(t, jobsim.Counts{Total: 10, Failed: 1, Succeeded: 1, Running: 1, Pending: 7}, v.Counts)
		var states []string
		for _, row := range e.Rows(jobsim.Position{}) {
			states = append(states, row.Status)
		}
		require.Equal(t, []string{"failed", "completed", "running", "pending"}, states[:4])
		e.Close()
	})
}

func TestAFutureJobWaitsForItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := engine(t, devices{n: 1}, 1)
		s := spec("j")
		s.Start = time.Now().Add(time.Hour)
		create(t, e, s)
		create(t, e, spec("now"))
		time.Sleep(59 * time.Minute)
		require.Equal(t, "scheduled", status(t, e, "j"))
		require.Equal(t, "completed", status(t, e, "now"), "a job of the future is not active")
		time.Sleep(2 * time.Minute)
		v, err := e.Get("j")
		require.NoError(t, err)
		require.Equal(t, "completed", v.Status)
		require.Equal(t, s.Start, v.Ended)
		e.Close()
	})
}

func TestTheLimitOfActiveJobs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := engine(t, devices{n: 60, interval: time.Second}, 2)
		create(t, e, spec("a"))
		create(t, e, spec("b"))
		_, err := e.Create(spec("c"))
		require.ErrorIs(t, err, jobsim.ErrTooMany)
		_, err = e.Get("c")
		require.ErrorIs(t, err, jobsim.ErrNotFound, "what is refused does not exist")

		due := spec("due")
		due.Start = time.Now().Add(10 * time.Second)
		create(t, e, due)
		time.Sleep(30 * time.Second)
		require.Equal(t, "scheduled", status(t, e, "due"), "it waits until another has ended")
		time.Sleep(35 * time.Second)
		require.Equal(t, []string{"completed", "completed", "running"}, []string{status(t, e, "a"), status(t, e, "b"), status(t, e, "due")})
		create(t, e, spec("c"))
		e.Close()
	})
}

func TestOnlyJobsThatDoNotRunAreCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := engine(t, devices{n: 10, interval: time.Second}, 1)
		create(t, e, spec("queued"))
		v, err := e.Cancel("queued")
		require.NoError(t, err)
		require.Equal(t, "cancelled", v.Status)
		synctest.Wait()

		create(t, e, spec("running"))
		time.Sleep(3 * time.Second)
		v, err = e.Cancel("running")
		require.ErrorIs(t, err, jobsim.ErrNotNow)
		require.Equal(t, "running", v.Status)
		time.Sleep(time.Minute)
		_, err = e.Cancel("running")
		require.ErrorIs(t, err, jobsim.ErrNotNow, "an ended one is not either")
		_, err = e.Cancel("nothing")
		require.ErrorIs(t, err, jobsim.ErrNotFound)
		require.Equal(t, "cancelled", status(t, e, "queued"))
		e.Close()
	})
}

func TestAnIDIsTakenForThirtyDaysAfterItsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := engine(t, devices{n: 1}, 0)
		create(t, e, spec("j"))
		time.Sleep(29 * 24 * time.Hour)
		_, err := e.Create(spec("j"))
		require.ErrorIs(t, err, jobsim.ErrExists)
		time.Sleep(25 * time.Hour)
		_, err = e.Get("j")
		require.ErrorIs(t, err, jobsim.ErrNotFound)
		for range e.Rows(jobsim.Position{}) {
			require.Fail(t, "its devices are gone too")
		}
		create(t, e, spec("j"))
		e.Close()
	})
}

func TestTheExecutionTimeEndsAJob(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := engine(t, devices{n: 100, interval: time.Second}, 0)
		s := spec("j")
		s.MaxExecution = 10*time.Second + 500*time.Millisecond
		create(t, e, s)
		time.Sleep(time.Minute)
		v, err := e.Get("j")
		require.NoError(t, err)
		require.Equal(t, "completed", v.Status)
		require.Equal(t, jobsim.Counts{Total: 100, Succeeded: 10, Failed: 90}, v.Counts)
		require.Equal(t, 12500*time.Millisecond, v.Ended.Sub(v.Created))
		e.Close()
	})
}

func TestAConditionThatCannotBeReadFailsTheJob(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := engine(t, devices{refusal: errors.New("line 1")}, 1)
		create(t, e, spec("j"))
		time.Sleep(3 * time.Second)
		v, err := e.Get("j")
		require.NoError(t, err)
		require.Equal(t, "failed", v.Status)
		require.Equal(t, "line 1", v.FailureReason)
		create(t, e, spec("next"))
		e.Close()
	})
}

func TestRowsGoOnWhereTheyStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := engine(t, devices{n: 3}, 0)
		for _, id := range []string{"a", "b", "c"} {
			create(t, e, spec(id))
		}
		time.Sleep(3 * time.Second)
		var all []string
		var at jobsim.Position
		for {
			more := false
			for next, row := range e.Rows(at) {
				if more { // one row a page
					at = next
					break
				}
				all, more = append(all, row.JobID+row.DeviceID), true
				at = jobsim.Position{Job: next.Job + 1}
			}
			if !more {
				break
			}
		}
		require.Equal(t, []string{"ad0", "ad1", "ad2", "bd0", "bd1", "bd2", "cd0", "cd1", "cd2"}, all)
		var later []string
		for v := range e.After(1) {
			later = append(later, v.ID)
		}
		require.Equal(t, []string{"b", "c"}, later)
		e.Close()
	})
}

func TestCloseEndsWhatRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := engine(t, devices{n: 1000}, 0)
		var calls atomic.Int64
		s := spec("running")
		s.Call = func(ctx context.Context, _ string) jobsim.Outcome {
			calls.Add(1)
			<-ctx.Done()
			return jobsim.Outcome{}
		}
		create(t, e, s)
		future := spec("future")
		future.Start = time.Now().Add(time.Hour)
		create(t, e, future)
		time.Sleep(3 * time.Second)
		e.Close()
		require.EqualValues(t, 1000, calls.Load())
		require.Equal(t, "running", status(t, e, "running"), "it did not complete")
		create(t, e, spec("late"))
		_, err := e.Cancel("late")
		require.NoError(t, err)
	})
}
