package job_test

import (
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// A criterion is met from its threshold on and not before, whatever the numbers.
func TestAnAbortCriterionIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		some := rapid.IntRange(0, 2000)
		c := job.CountsOf(job.Succeeded, job.NoReason, some.Draw(t, "succeeded")).
			Plus(job.CountsOf(job.Failed, job.DeviceError, some.Draw(t, "failed"))).
			Plus(job.CountsOf(job.TimedOut, job.DeviceNoAnswer, some.Draw(t, "timedOut"))).
			Plus(job.CountsOf(job.Rejected, job.NoReason, some.Draw(t, "rejected")))
		uncalled := job.CountsOf(job.TimedOut, job.NotStarted, some.Draw(t, "notStarted")).
			Plus(job.CountsOf(job.Canceled, job.JobCanceled, some.Draw(t, "canceled"))).
			Plus(job.CountsOf(job.Queued, job.NoReason, some.Draw(t, "queued"))).
			Plus(job.CountsOf(job.InProgress, job.NoReason, some.Draw(t, "inProgress")))
		hundredths := rapid.IntRange(1, 10_000).Draw(t, "threshold")
		criterion := job.AbortCriterion{
			FailureType:                rapid.SampledFrom(job.AbortTypes()).Draw(t, "failureType"),
			ThresholdPercentage:        float64(hundredths) / 100,
			MinNumberOfExecutedDevices: rapid.IntRange(1, 5000).Draw(t, "least"),
		}
		failures := map[job.FailureType]int{
			job.FailureFailed: c.Of(job.Failed), job.FailureTimedOut: c.Of(job.TimedOut), job.FailureRejected: c.Of(job.Rejected),
			job.FailureAll: c.Total() - c.Of(job.Succeeded),
		}[criterion.FailureType]
		want := c.Total() > 0 && c.Total() >= criterion.MinNumberOfExecutedDevices &&
			big.NewRat(int64(failures), int64(max(1, c.Total()))).Cmp(big.NewRat(int64(hundredths), 10_000)) >= 0
		abort := &job.Abort{Criteria: []job.AbortCriterion{criterion}}
		require.Equal(t, want, abort.Met(c, job.Counts{}) != nil)
		require.Equal(t, want, abort.Met(c.Plus(uncalled), uncalled) != nil, "devices that were not called do not count")
	})
}

func TestAbortCriteriaAreChecked(t *testing.T) {
	t.Parallel()
	def, err := job.Decode(twinJob(`"abort":{"criteria":[{"thresholdPercentage":12.5},
		{"failureType":"timedOut","thresholdPercentage":100,"minNumberOfExecutedDevices":7,"action":"cancel"}]}`), time.Now())
	require.NoError(t, err)
	require.Equal(t, []job.AbortCriterion{
		{FailureType: job.FailureAll, ThresholdPercentage: 12.5, MinNumberOfExecutedDevices: 1, Action: job.AbortCancel, Over: job.OverRun},
		{FailureType: job.FailureTimedOut, ThresholdPercentage: 100, MinNumberOfExecutedDevices: 7, Action: job.AbortCancel, Over: job.OverRun},
	}, def.Abort.Criteria)
	for member, fault := range map[string]string{
		`"abort":{}`:                                     "abort.criteria: is required: an array of 1 to 10 objects",
		`"abort":{"criteria":[]}`:                        "abort.criteria: []: must be an array of 1 to 10 objects",
		`"abort":{"criterium":[{}]}`:                     `abort.criterium: [{}]: is not a known member; did you mean "criteria"?; abort.criteria: is required: an array of 1 to 10 objects`,
		`"abort":{"criteria":[7]}`:                       "abort.criteria[0]: 7: must be a JSON object",
		`"abort":{"criteria":[{}]}`:                      "abort.criteria[0].thresholdPercentage: is required: a number above 0 and up to 100 with at most two decimals",
		criterion(`0`, ``):                               "abort.criteria[0].thresholdPercentage: 0: must be a number above 0 and up to 100 with at most two decimals",
		criterion(`100.01`, ``):                          "abort.criteria[0].thresholdPercentage: 100.01: must be a number above 0 and up to 100 with at most two decimals",
		criterion(`1.234`, ``):                           "abort.criteria[0].thresholdPercentage: 1.234: must be a number above 0 and up to 100 with at most two decimals",
		criterion(`1`, `"failureType":"FAILED"`):         `abort.criteria[0].failureType: "FAILED": must be "failed", "timedOut", "rejected" or "all"`,
		criterion(`1`, `"minNumberOfExecutedDevices":0`): "abort.criteria[0].minNumberOfExecutedDevices: 0: must be a whole number from 1 to 10000000",
		criterion(`1`, `"over":"site"`):                  `abort.criteria[0].over: "site": must be "run" or "batch"`,
		criterion(`1`, `"action":"stop"`):                `abort.criteria[0].action: "stop": must be "cancel" or "pause"`,
	} {
		_, err := job.Decode(twinJob(member), time.Now())
		require.EqualError(t, err, fault, member)
	}
}

func criterion(threshold, more string) string {
	if more != "" {
		more = "," + more
	}
	return `"abort":{"criteria":[{"thresholdPercentage":` + threshold + more + `}]}`
}

// twinJob is a job with one more member.
func twinJob(member string) []byte {
	return []byte(`{"type":"scheduleUpdateTwin","updateTwin":{"tags":{"a":1}},"queryCondition":"*",` + member + `}`)
}

func TestDevicesThatWereNeverCalledMeetNoAbortCriterion(t *testing.T) {
	t.Parallel()
	abort := &job.Abort{Criteria: []job.AbortCriterion{{FailureType: job.FailureAll, ThresholdPercentage: 20, MinNumberOfExecutedDevices: 10, Action: job.AbortCancel}}}
	for state, reasons := range map[job.ExecutionState][]job.Reason{
		job.TimedOut: {job.LocalTimeMissed, job.StartTimedOut, job.NotStarted}, job.Failed: {job.NoTimeZone, job.InvalidTimeZone, job.MissingParameter, job.InvalidParameter},
	} {
		for _, reason := range reasons {
			require.Nil(t, abort.Met(job.CountsOf(state, reason, 10), job.Counts{}), "%v", reason)
		}
	}
	require.NotNil(t, abort.Met(job.CountsOf(job.Failed, job.DeviceError, 10), job.Counts{}))
}
