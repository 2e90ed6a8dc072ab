package job_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

// Whatever the fleet and the jitter, each device of a shard waits for its own delay, shards hold devices in the order of their
// delays, and no device begins later than the jitter allows.
func TestAShardWaitsByTheDelaysOfItsDevices(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		jitter := schedule.Duration(time.Duration(rapid.IntRange(1, 24*3600).Draw(t, "seconds")) * time.Second)
		run := &job.Run{ID: "j.1", JobID: rapid.StringMatching("[a-z]{1,8}").Draw(t, "job"), Jitter: jitter, StartedAt: time.Unix(1_700_000_000, 0).UTC()}
		ids := make([]string, rapid.IntRange(1, 300).Draw(t, "devices"))
		for i := range ids {
			ids[i] = fmt.Sprint("dev-", i)
		}
		run.SortByDelay(ids)
		s := &job.Shard{Executions: make([]job.Execution, len(ids))}
		for i := range ids {
			s.Executions[i].DeviceID = ids[i]
		}
		run.Delay(s, time.Time{})
		seen, last := map[string]bool{}, run.StartedAt
		for _, e := range s.Executions {
			require.True(t, e.Waiting())
			require.False(t, e.NextAttemptAt.Before(last))
			require.Equal(t, run.StartedAt.Add(schedule.Jitter(run.JobID, e.DeviceID, jitter)), e.NextAttemptAt)
			require.True(t, e.NextAttemptAt.Before(run.StartedAt.Add(time.Duration(jitter))))
			seen[e.DeviceID], last = true, e.NextAttemptAt
		}
		require.Len(t, seen, len(ids))
		require.Equal(t, s.Executions[0].NextAttemptAt, s.WakeAt())
		s.EndRest(job.Outcome{State: job.Canceled, Reason: job.JobCanceled}, last)
		require.Equal(t, len(ids), job.Count(s.Executions).ReasonMap()["jobCanceled"])
	})
}

func TestWhatAJitterGoesWith(t *testing.T) {
	t.Parallel()
	body := func(members string) []byte {
		return []byte(`{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*",
			"schedule":{"cron":"0 2 * * *","jitter":"PT1H"}` + members + `}`)
	}
	for members, rule := range map[string]string{
		``:                                   "",
		`,"maxExecutionTimeInSeconds":3601`:  "",
		`,"timeout":{"notStarted":"PT2H"}`:   "",
		`,"rollout":{"maximumPerMinute":60}`: "must not stand beside rollout, which spreads a run by rates and batches",
		`,"maxExecutionTimeInSeconds":3600`:  "must be shorter than maxExecutionTimeInSeconds",
		`,"timeout":{"notStarted":"PT1H"}`:   "must be shorter than timeout.notStarted",
	} {
		def, err := job.Decode(body(members), time.Now())
		if rule == "" {
			require.NoError(t, err, members)
			require.Equal(t, schedule.Duration(time.Hour), def.Schedule.Jitter)
			continue
		}
		var faults job.Faults
		require.ErrorAs(t, err, &faults, members)
		require.Equal(t, job.Faults{{Field: "schedule.jitter", Rule: rule}}, faults)
	}
}
