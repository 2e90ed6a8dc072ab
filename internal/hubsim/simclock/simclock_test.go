package simclock_test

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/simclock"
)

func TestAScaledClockRunsFasterFromItsStart(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now := at
	clock := simclock.New(60, func() time.Time { return now })
	require.Equal(t, at, clock.Now())
	now = at.Add(time.Second)
	require.Equal(t, at.Add(time.Minute), clock.Now())
	require.Equal(t, time.Second, clock.Real(time.Minute))
	require.Equal(t, time.Minute, clock.Scaled(time.Second))
	require.Positive(t, simclock.New(0.5, nil).Real(math.MaxInt64), "centuries do not overflow")
	require.Positive(t, simclock.New(1, nil).Real(math.MaxInt64))
}

func TestSleepIsScaledAndEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		clock := simclock.New(60, nil)
		began := time.Now()
		require.True(t, clock.Sleep(t.Context(), time.Minute))
		require.Equal(t, time.Second, time.Since(began))

		ended, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.False(t, clock.Sleep(ended, time.Hour))
		require.False(t, clock.Sleep(ended, 0))
	})
}
