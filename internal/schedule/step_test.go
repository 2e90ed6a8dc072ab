package schedule_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

func TestOverlapPolicies(t *testing.T) {
	t.Parallel()
	const full = schedule.MaxBuffered
	for _, c := range []struct {
		policy           schedule.OverlapPolicy
		running, waiting int
		want             schedule.Action
	}{
		{schedule.Skip, 0, 0, schedule.ActStart},
		{schedule.Skip, 1, 0, schedule.ActSkip},
		{schedule.BufferOne, 0, 0, schedule.ActStart},
		{schedule.BufferOne, 1, 0, schedule.ActBuffer},
		{schedule.BufferOne, 1, 1, schedule.ActDrop},
		{schedule.BufferAll, 0, 0, schedule.ActStart},
		{schedule.BufferAll, 1, full - 1, schedule.ActBuffer},
		{schedule.BufferAll, 1, full, schedule.ActDrop},
		{schedule.CancelOther, 0, 0, schedule.ActStart},
		{schedule.CancelOther, 1, 0, schedule.ActReplace},
		{schedule.CancelOther, 1, 1, schedule.ActReplace},
		{schedule.AllowAll, 9, 9, schedule.ActStart},
	} {
		require.Equal(t, c.want, c.policy.Decide(c.running, c.waiting), "%s %d %d", c.policy, c.running, c.waiting)
	}
}

// begin is when the schedules of these tests are created; they are due every hour.
func begin() time.Time { return time.Date(2026, 12, 1, 0, 30, 0, 0, time.UTC) }

func hourly(t testing.TB, members string) *schedule.Series {
	t.Helper()
	return compile(t, `{"interval":"PT1H"`+members+`}`)
}

func hour(n int) time.Time { return begin().Truncate(time.Hour).Add(time.Duration(n) * time.Hour) }

func ids(starts []schedule.Start) []string {
	list := []string{}
	for _, s := range starts {
		list = append(list, s.ID())
	}
	return list
}

func TestAfterAnOutageTheCatchUpWindowDecides(t *testing.T) {
	t.Parallel()
	s := hourly(t, `,"catchupWindow":"PT2H","overlapPolicy":"bufferAll"`)
	st, d := s.Step(s.Begin(begin()), hour(10), 0)
	require.Equal(t, []string{"20261201T080000Z"}, ids(d.Start))
	require.Equal(t, []string{"20261201T090000Z", "20261201T100000Z"}, ids(st.Buffer))
	require.Equal(t, schedule.Counters{Occurrences: 10, Started: 1, Missed: 7}, st.Counters)
	require.Equal(t, hour(11), d.Next)

	same, d := s.Step(st, hour(10), 1)
	require.Empty(t, d.Start)
	require.Empty(t, cmp.Diff(st, same), "a step that is repeated changes nothing")
	st, d = s.Step(st, hour(10).Add(time.Minute), 0)
	require.Equal(t, []string{"20261201T090000Z"}, ids(d.Start))
	require.Len(t, st.Buffer, 1)
}

func TestCancelOtherRunsTheNewestOnly(t *testing.T) {
	t.Parallel()
	s := hourly(t, `,"overlapPolicy":"cancelOther"`)
	st, d := s.Step(s.Begin(begin()), hour(3), 0)
	require.Equal(t, []string{"20261201T030000Z"}, ids(d.Start), "of three that are due at once")
	require.False(t, d.CancelRunning)
	st, d = s.Step(st, hour(4), 1)
	require.Empty(t, d.Start)
	require.True(t, d.CancelRunning)
	st, d = s.Step(st, hour(5), 1)
	require.True(t, d.CancelRunning, "still going on")
	st, d = s.Step(st, hour(5), 0)
	require.Equal(t, []string{"20261201T050000Z"}, ids(d.Start))
	require.Equal(t, schedule.Counters{Occurrences: 5, Started: 2, Dropped: 3}, st.Counters)
}

func TestWhatComesInAPauseNeverRuns(t *testing.T) {
	t.Parallel()
	s := hourly(t, "")
	st := s.Begin(begin()).Pause(begin(), "works on the line")
	st, d := s.Step(st, hour(2), 0)
	require.Zero(t, d.Next, "nothing to wait for")
	st, err := s.RunNow(st, hour(2))
	require.NoError(t, err)
	st, d = s.Step(st, hour(2), 0)
	require.Equal(t, []string{"20261201T020000Z-1"}, ids(d.Start), "a request runs in a pause")
	st = st.Resume(hour(4), "done")
	require.Equal(t, "done", st.Note)
	st, d = s.Step(st, hour(5), 0)
	require.Equal(t, []string{"20261201T050000Z"}, ids(d.Start))
	require.Equal(t, schedule.Counters{Occurrences: 5, Requested: 1, Started: 2, Paused: 4}, st.Counters)
}

func TestAFailedRunPauses(t *testing.T) {
	t.Parallel()
	s := hourly(t, `,"pauseOnFailure":true`)
	st := s.Failed(s.Begin(begin()), hour(1), "r1")
	require.True(t, st.Paused)
	require.Contains(t, st.Note, "r1")
	without := hourly(t, "")
	require.False(t, without.Failed(without.Begin(begin()), hour(1), "r1").Paused)
}

func TestRemainingRunsEndASchedule(t *testing.T) {
	t.Parallel()
	s := hourly(t, `,"remainingRuns":2,"overlapPolicy":"bufferAll"`)
	st, d := s.Step(s.Begin(begin()), hour(9), 0)
	require.Len(t, d.Start, 1)
	require.Len(t, st.Buffer, 1)
	require.False(t, d.Ended, "one waits")
	st, d = s.Step(st, hour(9), 0)
	require.Equal(t, []string{"20261201T020000Z"}, ids(d.Start))
	require.True(t, d.Ended)
	require.Equal(t, schedule.Counters{Occurrences: 2, Started: 2}, st.Counters)
	st, err := s.RunNow(st, hour(9))
	require.NoError(t, err)
	_, d = s.Step(st, hour(9), 0)
	require.Len(t, d.Start, 1, "a request is not limited")
}

func TestWhatIsReplacedGivesItsShareBack(t *testing.T) {
	t.Parallel()
	s := hourly(t, `,"remainingRuns":3,"overlapPolicy":"cancelOther"`)
	st, running := s.Begin(begin()), 0
	for n := range 4 {
		st, _ = s.Step(st, hour(n+1), running)
		running = 1
	}
	require.Equal(t, 1, st.Remaining, "one has started, one waits")
	require.Equal(t, schedule.Counters{Occurrences: 4, Started: 1, Dropped: 2}, st.Counters)
}

func TestRequestsTakePlacesInTheBuffer(t *testing.T) {
	t.Parallel()
	s := hourly(t, `,"overlapPolicy":"bufferOne"`)
	st, err := s.Begin(begin()), error(nil)
	for range schedule.MaxBuffered {
		st, err = s.RunNow(st, begin())
		require.NoError(t, err)
	}
	_, err = s.RunNow(st, begin())
	require.ErrorIs(t, err, schedule.ErrTooMany)
	st, _ = s.Step(st, hour(1), 1)
	require.Equal(t, int64(1), st.Counters.Dropped)
	require.Len(t, st.Buffer, schedule.MaxBuffered)
}

func TestADeviceLocalOccurrenceIsLateWhenTheLastZoneIs(t *testing.T) {
	t.Parallel()
	s := compile(t, `{"times":["2026-12-05T02:00"],"timeZone":"device","catchupWindow":"PT1H"}`)
	last := time.Date(2026, 12, 5, 14, 0, 0, 0, time.UTC)
	_, d := s.Step(s.Begin(begin()), last.Add(time.Hour), 0)
	require.Len(t, d.Start, 1)
	st, d := s.Step(s.Begin(begin()), last.Add(time.Hour+time.Second), 0)
	require.Empty(t, d.Start)
	require.Equal(t, int64(1), st.Counters.Missed)
	require.True(t, d.Ended)
}

func TestAClockThatGoesBackRepeatsNothing(t *testing.T) {
	t.Parallel()
	s := hourly(t, `,"overlapPolicy":"allowAll"`)
	st, _ := s.Step(s.Begin(begin()), hour(5), 0)
	st, _ = s.Step(st, hour(2), 0)
	st, d := s.Step(st, hour(5), 0)
	require.Empty(t, d.Start)
	require.Equal(t, int64(5), st.Counters.Occurrences)
}

func TestBackfill(t *testing.T) {
	t.Parallel()
	s := hourly(t, `,"overlapPolicy":"allowAll"`)
	st, err := s.Backfill(s.Begin(begin()), hour(-3), hour(0), begin())
	require.NoError(t, err)
	_, d := s.Step(st, begin(), 1)
	require.Equal(t, []string{"20261130T210000Z-1", "20261130T220000Z-1", "20261130T230000Z-1"}, ids(d.Start))
	_, err = s.Backfill(st, hour(-3), hour(1), begin())
	require.ErrorIs(t, err, schedule.ErrFuture)
	_, err = s.Backfill(st, begin(), begin(), begin())
	require.ErrorIs(t, err, schedule.ErrNone)
	_, err = s.Backfill(st, hour(-schedule.MaxBuffered), hour(0), begin())
	require.ErrorIs(t, err, schedule.ErrTooMany)
}

// A year of every second is decided in bounded steps, and every occurrence is counted.
func TestAStepIsBounded(t *testing.T) {
	t.Parallel()
	s := compile(t, `{"interval":"PT1S","catchupWindow":"PT1M","overlapPolicy":"allowAll"}`)
	st, now, steps, started := s.Begin(begin()), begin().Add(12*time.Hour), 0, 0
	for again := true; again; steps++ {
		var d schedule.Decision
		st, d = s.Step(st, now, started)
		require.LessOrEqual(t, len(d.Start), 100)
		started, again = started+len(d.Start), d.Again
	}
	require.Equal(t, 5, steps)
	require.Equal(t, schedule.Counters{Occurrences: 43201, Started: 61, Missed: 43140}, st.Counters)
}

// machine drives a schedule through random steps, outages, clock jumps, pauses and requests, and runs what it is told to.
type machine struct {
	series  *schedule.Series
	spec    schedule.Spec
	state   schedule.State
	now     time.Time
	latest  time.Time
	running int
	seen    map[string]bool
}

func newMachine(t *rapid.T) *machine {
	text := fmt.Sprintf(`{"cron":"%s","timeZone":%q,"overlapPolicy":%q,"catchupWindow":%q%s}`,
		rapid.SampledFrom([]string{"*/30 * * * *", "30 2 * * *", "0 */5 * * *"}).Draw(t, "cron"),
		rapid.SampledFrom([]string{"UTC", "America/New_York", "Pacific/Apia", "device"}).Draw(t, "zone"),
		rapid.SampledFrom(schedule.OverlapPolicies()).Draw(t, "policy"),
		rapid.SampledFrom([]string{"PT1M", "PT2H", "P3D"}).Draw(t, "catchup"),
		rapid.SampledFrom([]string{"", `,"remainingRuns":7`}).Draw(t, "limit"))
	spec, faults := schedule.Decode("schedule", []byte(text))
	require.Empty(t, faults)
	series, err := spec.Compile()
	require.NoError(t, err)
	now := time.Date(2026, 3, 7, 0, 0, 0, 0, time.UTC) // the day before a gap in New York
	return &machine{series: series, spec: spec, state: series.Begin(now), now: now, latest: now, seen: map[string]bool{}}
}

func (m *machine) step(t *rapid.T) {
	for range 50 {
		text, err := json.Marshal(m.state) // it survives being stored
		require.NoError(t, err)
		m.state = schedule.State{}
		require.NoError(t, json.Unmarshal(text, &m.state))
		before := m.running
		st, d := m.series.Step(m.state, m.now, m.running)
		m.state = st
		for _, s := range d.Start {
			require.False(t, m.seen[s.ID()], "%s starts twice", s.ID())
			m.seen[s.ID()] = true
			m.running++
		}
		if m.spec.OverlapPolicy != schedule.AllowAll {
			require.LessOrEqual(t, m.running, max(1, before), "runs overlap")
		}
		if d.CancelRunning {
			require.Positive(t, before)
			m.running = 0
			d.Again = true
		}
		if !d.Again {
			return
		}
	}
	t.Fatal("the schedule never comes to rest")
}

func (m *machine) check(t *rapid.T) {
	c := m.state.Counters
	require.Equal(t, c.Occurrences+c.Requested, c.Started+c.Skipped+c.Missed+c.Dropped+c.Paused+int64(len(m.state.Buffer)))
	require.Equal(t, len(m.seen), int(c.Started))
	if m.spec.RemainingRuns > 0 {
		require.LessOrEqual(t, c.Started-c.Requested, int64(m.spec.RemainingRuns))
		return
	}
	all, more := m.series.Between(time.Date(2026, 3, 7, 0, 0, 0, 0, time.UTC), m.state.Handled.Add(1), 1_000_000)
	require.False(t, more)
	require.Equal(t, len(all), int(c.Occurrences), "every occurrence up to %s is counted", m.state.Handled)
}

// Nothing runs twice, nothing is lost silently, counters add up to the occurrences, whatever happens.
func TestSchedulesUnderRandomTroubles(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		t.Repeat(map[string]func(*rapid.T){
			"tick": func(t *rapid.T) { m.now = m.now.Add(10 * time.Second); m.step(t) },
			"time passes": func(t *rapid.T) {
				m.now = m.now.Add(time.Duration(rapid.IntRange(1, 40*3600).Draw(t, "seconds")) * time.Second)
				m.step(t)
			},
			"clock goes back": func(t *rapid.T) { m.now = m.now.Add(-time.Hour); m.step(t) },
			"a run ends":      func(t *rapid.T) { m.running = max(0, m.running-1); m.step(t) },
			"pause":           func(*rapid.T) { m.state = m.state.Pause(m.now, "") },
			"resume":          func(*rapid.T) { m.state = m.state.Resume(m.now, "") },
			"run now": func(*rapid.T) {
				if st, err := m.series.RunNow(m.state, m.now); err == nil {
					m.state = st
				}
			},
			"backfill": func(*rapid.T) {
				if st, err := m.series.Backfill(m.state, m.now.Add(-24*time.Hour), m.now, m.now); err == nil {
					m.state = st
				}
			},
			"": m.check,
		})
	})
}
