package localhost

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// run is one invocation of a timer under test.
type run struct {
	at      string // time of day
	pastDue bool
	next    string // ScheduleStatus.Next, empty if there is no status
	retry   int    // RetryContext.RetryCount, -1 without
}

// timerBench runs a timer listener inside a synctest bubble, which starts at midnight of 2000-01-01.
type timerBench struct {
	listener *timerListener
	store    *statusStore
	mu       sync.Mutex
	runs     []run
	takes    []time.Duration // how long each run takes; the last one counts for the rest
	fails    int             // the first so many runs fail
}

func newTimerBench(t *testing.T, schedule string, store *statusStore) *timerBench {
	t.Helper()
	s, err := parseSchedule(schedule)
	require.NoError(t, err)
	if store == nil {
		store = &statusStore{memory: map[string]timerStatus{}}
	}
	b := &timerBench{store: store}
	fn := &function{name: "Clock", trigger: binding{Type: typeTimerTrigger, Name: "timer"}, schedule: s}
	b.listener = &timerListener{fn: fn, store: store, log: slog.New(slog.DiscardHandler), now: time.Now, invoke: b.invoke}
	return b
}

func (b *timerBench) invoke(_ context.Context, inv *invocation) error {
	body, err := inv.body()
	if err != nil {
		return err
	}
	var envelope struct {
		Data     struct{ Timer timerInfo }
		Metadata struct{ RetryContext *retryContext }
	}
	if err := json.Unmarshal(body, &envelope); err != nil {
		return err
	}
	r := run{at: time.Now().UTC().Format(time.TimeOnly), pastDue: envelope.Data.Timer.IsPastDue, retry: -1}
	if status := envelope.Data.Timer.ScheduleStatus; status != nil {
		r.next = status.Next[11:19]
	}
	if c := envelope.Metadata.RetryContext; c != nil {
		r.retry = c.RetryCount
	}
	b.mu.Lock()
	b.runs = append(b.runs, r)
	n := len(b.runs)
	b.mu.Unlock()
	if len(b.takes) > 0 {
		time.Sleep(b.takes[min(n, len(b.takes))-1])
	}
	if n <= b.fails {
		return errors.New("failed")
	}
	return nil
}

// listenFor runs the listener for a time.
func (b *timerBench) listenFor(t *testing.T, d time.Duration) []run {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	require.NoError(t, b.listener.listen(ctx, t.Context()))
	return b.runs
}

func TestTimerRunsBySchedule(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTimerBench(t, "0 */5 * * * *", nil)
		require.Equal(t, []run{
			{"00:05:00", false, "00:05:00", -1}, {"00:10:00", false, "00:10:00", -1},
		}, b.listenFor(t, 11*time.Minute))
	})
}

func TestTimersOftenerThanMinutelyHaveNoStatus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTimerBench(t, "*/10 * * * * *", nil)
		require.Equal(t, []run{{"00:00:10", false, "", -1}, {"00:00:20", false, "", -1}}, b.listenFor(t, 25*time.Second))
		require.Empty(t, b.store.memory)
	})
}

// A run that outlasts its schedule is followed by one run at once, which is not past due; the rest is dropped.
func TestTimerOverrun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTimerBench(t, "0 */5 * * * *", nil)
		b.takes = []time.Duration{12 * time.Minute, 0}
		got := b.listenFor(t, 26*time.Minute)
		require.Equal(t, []run{
			{"00:05:00", false, "00:05:00", -1},
			{"00:17:00", false, "00:10:00", -1},
			{"00:20:00", false, "00:20:00", -1},
			{"00:25:00", false, "00:25:00", -1},
		}, got)
	})
}

func TestTimerIsPastDueOnceAfterDowntime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &statusStore{dir: t.TempDir()}
		newTimerBench(t, "0 */5 * * * *", store).listenFor(t, 6*time.Minute)
		time.Sleep(time.Hour)
		got := newTimerBench(t, "0 */5 * * * *", store).listenFor(t, 5*time.Minute)
		require.Equal(t, []run{{"01:06:00", true, "00:10:00", -1}, {"01:10:00", false, "01:10:00", -1}}, got)
	})
}

// The first start is never past due, but what it records makes the next one so.
func TestTimerThatNeverRanCanBePastDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &statusStore{dir: t.TempDir()}
		require.Empty(t, newTimerBench(t, "0 */5 * * * *", store).listenFor(t, time.Minute))
		time.Sleep(10 * time.Minute)
		got := newTimerBench(t, "0 */5 * * * *", store).listenFor(t, time.Second)
		require.Equal(t, []run{{"00:11:00", true, "00:05:00", -1}}, got)
	})
}

func TestTimerWithAChangedScheduleStartsAfresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &statusStore{dir: t.TempDir()}
		newTimerBench(t, "0 */5 * * * *", store).listenFor(t, 6*time.Minute)
		time.Sleep(time.Hour)
		got := newTimerBench(t, "0 */7 * * * *", store).listenFor(t, 2*time.Minute)
		require.Equal(t, []run{{"01:07:00", false, "01:07:00", -1}}, got)
	})
}

func TestTimerRunOnStartup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTimerBench(t, "0 0 * * * *", nil)
		b.listener.fn.trigger.RunOnStartup = true
		require.Equal(t, []run{{"00:00:00", false, "01:00:00", -1}}, b.listenFor(t, time.Minute))
	})
}

func TestTimerRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTimerBench(t, "0 */5 * * * *", nil)
		b.listener.fn.retry = &retryPolicy{max: 2, low: 10 * time.Second}
		b.fails = 4
		require.Equal(t, []run{
			{"00:05:00", false, "00:05:00", 0},
			{"00:05:10", false, "00:05:00", 1},
			{"00:05:20", false, "00:05:00", 2},
			{"00:10:00", false, "00:10:00", 0},
			{"00:10:10", false, "00:10:00", 1},
		}, b.listenFor(t, 11*time.Minute))
	})
}

// Tests move the clock: a sleeping timer notices.
func TestTimerFollowsAMovedClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTimerBench(t, "0 0 * * * *", nil)
		start := time.Now()
		b.listener.now = func() time.Time {
			if time.Since(start) > time.Second {
				return time.Now().Add(time.Hour)
			}
			return time.Now()
		}
		require.Len(t, b.listenFor(t, 3*time.Second), 1)
	})
}

// A run by hand sees the recorded status and leaves no trace in it.
func TestTimerRunByHand(t *testing.T) {
	t.Parallel()
	b := newTimerBench(t, "0 */5 * * * *", nil)
	recorded := timerStatus{Next: time.Date(2026, 1, 1, 7, 5, 0, 0, time.UTC)}
	require.NoError(t, b.store.save("Clock", recorded))
	inv, err := b.listener.manualRun()
	require.NoError(t, err)
	require.NoError(t, b.invoke(t.Context(), inv))
	require.Equal(t, "07:05:00", b.runs[0].next)
	require.False(t, b.runs[0].pastDue)
	require.Equal(t, recorded, b.store.memory["Clock"])
}
