package job_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// batched is a running run of two batches of a thousand devices each, the second of which has begun.
func batched(t require.TestingT, criterion string, first, second job.Counts) *job.Run {
	def, err := job.Decode(twinJob(`"rollout":{"batches":[{"number":1000},{}]},"abort":{"criteria":[`+criterion+`]}`), noon)
	require.NoError(t, err)
	rec := job.Record{Definition: def}
	run := rec.NewRun()
	require.NoError(t, run.Become(job.StatusRunning, noon))
	run.Devices, run.PlanDone = 2000, true
	s := job.Sight{Selected: 2000, Complete: true}
	for n, c := range []job.Counts{first, second} {
		require.Empty(t, run.Rollout.Step(noon, n, s))
		run.Rollout.Begin(noon, noon, 1000, s)
		if n == 0 {
			run.Rollout.RolledUp(n, c)
			run.Closed = c
			continue
		}
		run.Rollout.Live()
		run.Rollout.Under(n, c)
		run.Live = c
	}
	return &run
}

// Each batch is judged by its own devices, however those of the others ended.
func TestAnAbortCriterionOverTheBatchCountsEachBatchAlone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) job.Counts {
			failed := rapid.IntRange(0, 500).Draw(t, name+" failed")
			return job.CountsOf(job.Failed, job.DeviceError, failed).
				Plus(job.CountsOf(job.Succeeded, job.NoReason, rapid.IntRange(0, 500).Draw(t, name+" succeeded")))
		}
		first, second := draw("first"), draw("second")
		rest := job.CountsOf(job.Succeeded, job.NoReason, 1000-first.Total()) // the second batch begins when the first has ended
		first = first.Plus(rest)
		second = second.Plus(job.CountsOf(job.Queued, job.NoReason, 1000-second.Total()))
		threshold, least := rapid.IntRange(1, 100).Draw(t, "threshold"), rapid.IntRange(1, 1000).Draw(t, "least")
		met := func(c job.Counts) bool {
			return c.Ended() > 0 && c.Ended() >= least && c.Of(job.Failed)*100 >= threshold*c.Ended()
		}
		run := batched(t, fmt.Sprintf(`{"thresholdPercentage":%d,"minNumberOfExecutedDevices":%d,"over":"batch"}`, threshold, least), first, second)
		if first.Ended()+second.Ended() == 2000 {
			return // nothing is left to abort
		}
		criterion, how := run.Abort()
		require.Equal(t, met(first) || met(second), criterion != nil)
		if met(second) {
			require.Contains(t, how, fmt.Sprintf("batch 2: %d of %d executed devices", second.Of(job.Failed), second.Ended()))
		} else if met(first) {
			require.Contains(t, how, "batch 1: ")
		}
	})
}

func TestACriterionOverTheBatchCountsAnewAfterAPause(t *testing.T) {
	t.Parallel()
	good := job.CountsOf(job.Succeeded, job.NoReason, 1000)
	bad := job.CountsOf(job.Failed, job.DeviceError, 50).Plus(job.CountsOf(job.Queued, job.NoReason, 950))
	run := batched(t, `{"thresholdPercentage":50,"minNumberOfExecutedDevices":40,"action":"pause","over":"batch"}`, good, bad)
	met, how := run.Abort()
	require.NotNil(t, met)
	require.Equal(t, "batch 2: 50 of 50 executed devices ended without success; the abort criterion is 50% of at least 40", how)
	require.NoError(t, run.Hold(job.Pause{Since: noon, Note: how}))
	require.NoError(t, run.Resume(noon.Add(time.Minute)))
	met, _ = run.Abort()
	require.Nil(t, met, "what failed before is forgiven")

	without := batched(t, `{"thresholdPercentage":50,"minNumberOfExecutedDevices":40}`, good, bad)
	met, _ = without.Abort()
	require.Nil(t, met, "of the run 50 of 1050 have failed")
	require.Nil(t, without.Rollout.Batches[0].Outcomes, "no counts are kept for nobody")
}

// A run without batches is one batch.
func TestACriterionOverTheBatchWithoutBatches(t *testing.T) {
	t.Parallel()
	def, err := job.Decode(twinJob(`"abort":{"criteria":[{"thresholdPercentage":50,"over":"batch"}]}`), noon)
	require.NoError(t, err)
	rec := job.Record{Definition: def}
	run := rec.NewRun()
	require.NoError(t, run.Become(job.StatusRunning, noon))
	run.Devices, run.Live = 3, job.CountsOf(job.Failed, job.DeviceError, 1).Plus(job.CountsOf(job.Succeeded, job.NoReason, 1))
	met, _ := run.Abort()
	require.NotNil(t, met)
}
