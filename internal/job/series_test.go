package job_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

func recurringJob(t require.TestingT, schedule string, now time.Time) *job.Record {
	body := `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*","schedule":` + schedule + `}`
	def, err := job.Decode([]byte(body), now)
	require.NoError(t, err)
	def.JobID = "j"
	rec := &job.Record{Definition: def, RunID: job.SeriesID("j", "abc"), Status: job.StatusScheduled}
	require.NoError(t, rec.Recurs(now))
	return rec
}

// TestASeriesNeverLosesARun plays time passing, runs ending, requests and pauses against one job, stored at each step.
func TestASeriesNeverLosesARun(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 12, 1, 0, 30, 0, 0, time.UTC)
		policy := rapid.SampledFrom([]string{"skip", "bufferOne", "bufferAll", "cancelOther", "allowAll"}).Draw(t, "policy")
		remaining := rapid.SampledFrom([]string{"", `,"remainingRuns":3`, `,"remainingRuns":200`}).Draw(t, "remaining")
		rec := recurringJob(t, `{"interval":"PT1H","overlapPolicy":"`+policy+`"`+remaining+`}`, now)
		live, seen := map[int]*job.Record{}, 0
		recur := func() {
			for again := true; again; {
				b, err := rec.Recur(now)
				require.NoError(t, err)
				require.LessOrEqual(t, len(b.Runs), job.BegunAtOnce)
				for _, run := range b.Runs {
					seen++
					require.Equal(t, seen, run.Occurrence.Number, "numbers have no gaps")
					series, number, ok := job.NumberOf(run.RunID)
					require.True(t, ok)
					require.Equal(t, rec.RunID, series)
					require.Equal(t, seen, number)
					live[seen] = run
				}
				again = b.Again
			}
		}
		end := func() {
			for n, run := range live {
				run.Status = job.StatusCompleted
				require.NoError(t, rec.Followed(run, now))
				delete(live, n)
				return
			}
		}
		check := func() {
			s := rec.Series
			require.Len(t, s.Running, len(live))
			require.LessOrEqual(t, len(live), job.MaxRunsAtOnce)
			c := s.State.Counters
			require.EqualValues(t, seen+len(s.Pending), c.Started)
			require.Equal(t, c.Occurrences+c.Requested, c.Started+c.Skipped+c.Missed+c.Dropped+c.Paused+int64(len(s.State.Buffer)))
			if policy != "allowAll" {
				require.LessOrEqual(t, len(live), 1)
			}
			require.Equal(t, rec.Status == job.StatusRunning || rec.Status == job.StatusStopping, len(live) > 0)
			if rec.Status.Ended() {
				require.Zero(t, s.Next)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"time passes": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 180).Draw(t, "hours")) * time.Hour)
				recur()
			},
			"a run ends": func(*rapid.T) { end(); recur() },
			"cancel": func(t *rapid.T) {
				if !rec.Status.Ended() && rec.EndReason == "" && rapid.IntRange(0, 9).Draw(t, "rare") == 0 {
					require.NoError(t, rec.EndSeries(now))
				}
			},
			"": func(*rapid.T) { check() },
		})
	})
}

func TestARunHasWhatItsJobSays(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 12, 1, 0, 30, 0, 0, time.UTC)
	rec := recurringJob(t, `{"interval":"PT1H"},"rollout":{"maximumPerMinute":10},"maxExecutionTimeInSeconds":60`, now)
	rec.CreatedBy = job.Principal{Kind: job.PrincipalKey, ID: "k"}
	b, err := rec.Recur(now.Add(time.Hour))
	require.NoError(t, err)
	require.Len(t, b.Runs, 1)
	run := b.Runs[0]
	require.NotNil(t, run.NewRun().Rollout)
	require.Equal(t, rec.CreatedBy, run.CreatedBy)
	require.Equal(t, rec.Method, run.Method)
	require.Nil(t, run.Schedule, "a run does not recur")
}

func TestAScheduleThatAJobCannotHave(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct{ members, field string }{
		"beside a start time": {`"startTime":"2026-12-02T00:00:00Z","schedule":{"cron":"0 2 * * *"}`, "startTime"},
		"past":                {`"schedule":{"times":["2026-11-01T00:00:00Z"]}`, "schedule"},
		"too long a jitter":   {`"schedule":{"cron":"0 2 * * *","jitter":"PT25H"}`, "schedule.jitter"},
		"a wrong member":      {`"schedule":{"corn":"0 2 * * *","cron":"0 2 * * *"}`, "schedule.corn"},
		"a wrong expression":  {`"schedule":{"cron":"0 2 30 2 *"}`, "schedule.cron"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := job.Decode([]byte(`{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*",`+c.members+`}`), now)
			faults := job.FaultsOf(err)
			require.Len(t, faults, 1)
			require.Equal(t, c.field, faults[0].Field)
		})
	}
}

// The last keys are known, and there is an end to their number.
func TestKeysOfRequests(t *testing.T) {
	t.Parallel()
	var s job.Series
	require.False(t, s.Knows(""))
	s.Remember("")
	require.Nil(t, s.Keys)
	for n := range 40 {
		s.Remember(fmt.Sprint(n))
	}
	require.Len(t, s.Keys, 32)
	require.False(t, s.Knows("7"))
	require.True(t, s.Knows("8"))
	require.True(t, s.Knows("39"))
}
