package throttle_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/throttle"
)

func TestAllowancesAreTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		op                 throttle.Operation
		s1, s2, s3         int64 // a minute, one unit
		tenS1, tenS2, ten3 int64 // ten units
	}{
		{throttle.Registry, 100, 100, 5000, 1000, 1000, 50_000},
		{throttle.Queries, 20, 20, 1000, 200, 200, 10_000},
		{throttle.Methods, 40 * 60, 120 * 60, 6144 * 60, 400 * 60, 1200 * 60, 61440 * 60},
		{throttle.TwinReads, 100 * 60, 100 * 60, 500 * 60, 100 * 60, 100 * 60, 5000 * 60},
		{throttle.TwinUpdates, 50 * 60, 50 * 60, 250 * 60, 50 * 60, 50 * 60, 2500 * 60},
		{throttle.JobCalls, 100, 100, 5000, 1000, 1000, 50_000},
		{throttle.JobDevices, 10 * 60, 10 * 60, 50 * 60, 10 * 60, 10 * 60, 500 * 60},
		{throttle.Connections, 100 * 60, 120 * 60, 6000 * 60, 120 * 60, 1200 * 60, 60_000 * 60},
	} {
		require.Equal(t,
			[]int64{row.s1, row.s2, row.s3, row.tenS1, row.tenS2, row.ten3},
			[]int64{
				throttle.S1.PerMinute(row.op, 1), throttle.S2.PerMinute(row.op, 1), throttle.S3.PerMinute(row.op, 1),
				throttle.S1.PerMinute(row.op, 10), throttle.S2.PerMinute(row.op, 10), throttle.S3.PerMinute(row.op, 10),
			}, row.op)
		require.Equal(t, row.s1, throttle.F1.PerMinute(row.op, 1), "the free tier is as S1: %s", row.op)
	}
	require.EqualValues(t, 500, throttle.S2.PerMinute(throttle.JobDevices, 50)/6, "from 10 units on a unit adds a device a second")
	require.Equal(t, []int{1, 1, 5, 10}, []int{throttle.F1.MaxJobs(), throttle.S1.MaxJobs(), throttle.S2.MaxJobs(), throttle.S3.MaxJobs()})
}

func TestTheBasicTierHasNoMethods(t *testing.T) {
	t.Parallel()
	hub, err := throttle.New(throttle.Options{Tier: throttle.B2})
	require.NoError(t, err)
	require.True(t, hub.Take(throttle.Methods, start, 1).Missing)
	require.Equal(t, throttle.Verdict{}, hub.Take(throttle.Registry, start, 1))
	require.Zero(t, hub.MaxJobs())
}

func TestOperationsDoNotShareTheirAllowance(t *testing.T) {
	t.Parallel()
	hub, err := throttle.New(throttle.Options{Tier: throttle.S1})
	require.NoError(t, err)
	for range 20 {
		require.Equal(t, throttle.Verdict{}, hub.Take(throttle.Queries, start, 1), "a minute's queries at once")
	}
	for _, wait := range []time.Duration{3 * time.Second, 6 * time.Second, 9 * time.Second} {
		require.Equal(t, throttle.Verdict{Wait: wait}, hub.Take(throttle.Queries, start, 1))
	}
	require.Equal(t, throttle.Verdict{Wait: 2 * time.Second, Refused: true}, hub.Take(throttle.Queries, start, 1))
	require.Equal(t, throttle.Verdict{}, hub.Take(throttle.Methods, start, 1))
	require.EqualValues(t, 1, hub.Usage()[throttle.Queries].Refused)

	strict, err := throttle.New(throttle.Options{Tier: throttle.S1, Burst: -1, Queue: -1})
	require.NoError(t, err)
	require.False(t, strict.Take(throttle.Queries, start, 1).Refused)
	require.True(t, strict.Take(throttle.Queries, start.Add(2*time.Second), 1).Refused)
	require.False(t, strict.Take(throttle.Queries, start.Add(3*time.Second), 1).Refused)
}

func TestJobsAreNeverRefusedTheirDevices(t *testing.T) {
	t.Parallel()
	hub, err := throttle.New(throttle.Options{Tier: throttle.S1})
	require.NoError(t, err)
	var last throttle.Verdict
	for range 1000 {
		last = hub.Take(throttle.JobDevices, start, 1)
		require.False(t, last.Refused)
	}
	require.Equal(t, 99900*time.Millisecond, last.Wait, "ten a second from the first on")
}

func TestTheDaysMessagesAreSpentUntilMidnight(t *testing.T) {
	t.Parallel()
	hub, err := throttle.New(throttle.Options{Tier: throttle.F1, Quota: true})
	require.NoError(t, err)
	hub.Charge(throttle.Methods, start, 600, 0)             // two messages and one
	hub.Charge(throttle.Registry, start, 1<<20, 1<<20)      // free
	hub.Charge(throttle.TwinReads, start, -1, 512)          // one
	hub.Charge(throttle.Queries, start, -1, (8000-4)*512-1) // the rest
	require.EqualValues(t, 8000, hub.Messages())
	require.True(t, hub.Take(throttle.Methods, start, 1).Spent)
	require.False(t, hub.Take(throttle.Registry, start, 1).Spent)
	require.False(t, hub.Take(throttle.Methods, start.Add(24*time.Hour), 1).Spent)
	require.Zero(t, hub.Messages())
}

func TestANilHubMetersNothing(t *testing.T) {
	t.Parallel()
	hub, err := throttle.New(throttle.Options{})
	require.NoError(t, err)
	require.Nil(t, hub)
	require.Equal(t, throttle.Verdict{}, hub.Take(throttle.Methods, start, 1))
	hub.Charge(throttle.Methods, start, 1, 1)
	hub.Reset()
	require.Zero(t, hub.Messages())
	require.Nil(t, hub.Usage())
	require.Zero(t, hub.MaxJobs())
	require.Zero(t, hub.Options())
}

func TestRefusedOptions(t *testing.T) {
	t.Parallel()
	for _, o := range []throttle.Options{{Tier: "S4"}, {Tier: throttle.S1, Units: -1}, {Tier: throttle.S1, Units: 1000}} {
		_, err := throttle.New(o)
		require.Error(t, err)
	}
	tier, err := throttle.ParseTier("s2")
	require.NoError(t, err)
	require.Equal(t, throttle.S2, tier)
}
