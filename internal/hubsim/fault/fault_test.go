package fault_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/latency"
)

func injector(t *testing.T, plan fault.Plan) *fault.Injector {
	t.Helper()
	in, err := fault.NewInjector(plan)
	require.NoError(t, err)
	return in
}

func TestSameDevicesAreOfflineInEveryRun(t *testing.T) {
	t.Parallel()
	plan := fault.Plan{Seed: 7, Offline: fault.Devices{Share: 0.1, IDs: []string{"listed"}}}
	a, b := injector(t, plan), injector(t, plan)
	offline := 0
	for i := range 10_000 {
		id := fmt.Sprintf("dev-%d", i)
		require.Equal(t, a.Offline(id), b.Offline(id))
		if a.Offline(id) {
			offline++
		}
	}
	require.InDelta(t, 1000, offline, 150)
	require.True(t, a.Offline("listed"))
	plan.Seed = 8
	other, same := injector(t, plan), 0
	for i := range 10_000 {
		if id := fmt.Sprintf("dev-%d", i); a.Offline(id) && other.Offline(id) {
			same++
		}
	}
	require.Less(t, same, 300, "another seed is to choose other devices")
}

func TestSharesOfRequests(t *testing.T) {
	t.Parallel()
	in := injector(t, fault.Plan{Operations: map[fault.Operation]fault.Rule{fault.Methods: {
		ThrottleShare: 0.2, RetryAfterSeconds: 3, ErrorShare: 0.1, ErrorStatus: 503, DropBeforeShare: 0.05, DropAfterShare: 0.05,
		Latency: latency.FixedAt(time.Millisecond),
	}}})
	counts := map[fault.Kind]int{}
	for range 10_000 {
		d := in.Next(fault.Methods, "d")
		counts[d.Kind]++
		require.Equal(t, time.Millisecond, d.Latency)
		switch d.Kind {
		case fault.Throttle:
			require.Equal(t, 3, d.RetryAfterSeconds)
			require.Equal(t, 10, d.WaitSeconds)
		case fault.ErrorBefore:
			require.Equal(t, 503, d.Status)
		}
	}
	require.InDelta(t, 2000, counts[fault.Throttle], 200)
	require.InDelta(t, 1000, counts[fault.ErrorBefore], 150)
	require.InDelta(t, 500, counts[fault.DropBefore], 100)
	require.InDelta(t, 500, counts[fault.DropAfter], 100)
	require.Equal(t, fault.Decision{}, in.Next(fault.Query, ""), "no rule for queries")
}

func TestRuleForSomeDevicesAndAFewRequests(t *testing.T) {
	t.Parallel()
	in := injector(t, fault.Plan{Operations: map[fault.Operation]fault.Rule{
		fault.TwinUpdate: {ErrorShare: 1, ErrorAfter: true, Devices: []string{"d1"}, Limit: 2},
	}})
	require.Equal(t, fault.Nothing, in.Next(fault.TwinUpdate, "d2").Kind)
	for range 2 {
		require.Equal(t, fault.Decision{Kind: fault.ErrorAfter, Status: 500}, in.Next(fault.TwinUpdate, "d1"))
	}
	require.Equal(t, fault.Nothing, in.Next(fault.TwinUpdate, "d1").Kind, "the limit is two")
}

func TestInvalidPlansAreNamedAndChangeNothing(t *testing.T) {
	t.Parallel()
	in := injector(t, fault.Plan{Revoked: true})
	for want, plan := range map[string]fault.Plan{
		"offline.share":               {Offline: fault.Devices{Share: 1.5}},
		"operations.methods: the sum": {Operations: map[fault.Operation]fault.Rule{fault.Methods: {ThrottleShare: 0.7, ErrorShare: 0.7}}},
		"errorStatus: 404":            {Operations: map[fault.Operation]fault.Rule{fault.Query: {ErrorStatus: 404}}},
		"unknown operation":           {Operations: map[fault.Operation]fault.Rule{"messages": {}}},
		"must not be negative":        {Operations: map[fault.Operation]fault.Rule{fault.Query: {Limit: -1}}},
		"paging.repeatShare":          {Paging: fault.Paging{RepeatShare: -0.1}},
	} {
		require.ErrorContains(t, in.Replace(plan), want)
	}
	require.True(t, in.Plan().Revoked)
}

func TestPages(t *testing.T) {
	t.Parallel()
	rows, repeat := injector(t, fault.Plan{}).Page(100)
	require.Equal(t, 100, rows)
	require.False(t, repeat)

	in := injector(t, fault.Plan{Paging: fault.Paging{ShortShare: 0.5, EmptyShare: 0.2, RepeatShare: 0.5, LostTokenShare: 0.5}})
	short, empty, repeats, lost := 0, 0, 0, 0
	for range 1000 {
		rows, repeat := in.Page(100)
		require.LessOrEqual(t, rows, 100)
		switch {
		case rows == 0:
			empty++
		case rows < 100:
			short++
		}
		if repeat {
			repeats++
		}
		if in.LoseToken() {
			lost++
		}
	}
	require.InDelta(t, 500, short, 80)
	require.InDelta(t, 200, empty, 60)
	require.InDelta(t, 400, repeats, 80)
	require.InDelta(t, 500, lost, 80)
}
