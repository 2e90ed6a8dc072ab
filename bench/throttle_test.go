package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/throttle"
)

func TestLeastTimeIsThatOfTheSlowerAllowance(t *testing.T) {
	t.Parallel()
	s1, s3 := tierCase{throttle.S1, 1}, tierCase{throttle.S3, 1}
	thousand := []jobSpec{{devices: 1000}}
	require.InDelta(t, 25, s1.least(workload{}, thousand), 1e-9, "40 methods a second")
	require.InDelta(t, 20, s1.least(workload{twins: true}, thousand), 1e-9, "50 updates a second")
	require.InDelta(t, 9*3+2.5, s1.least(workload{byQuery: true}, thousand), 1e-9, "a page in 3 s, and the last page's calls")
	require.InDelta(t, 4, s3.least(workload{twins: true, byQuery: true}, thousand), 1e-9, "250 updates a second, 16 pages")
	require.InDelta(t, 2.5, tierCase{throttle.S1, 10}.least(workload{}, thousand), 1e-9, "the hub's clock is ten times as fast")
}

func TestJobsOfAWorkloadShareTheFleet(t *testing.T) {
	t.Parallel()
	for _, byQuery := range []bool{true, false} {
		specs, err := workload{byQuery: byQuery, jobs: 3}.specs(3000, 3000)
		require.NoError(t, err)
		sum := 0
		for _, s := range specs {
			require.InDelta(t, 1000, s.devices, 150)
			require.Equal(t, byQuery, s.condition != "")
			sum += s.devices
		}
		require.Equal(t, 3000, sum)
	}
}

func TestTheAppIsToldScaledRates(t *testing.T) {
	t.Parallel()
	require.Equal(t, map[string]string{
		"FLEETJOBS_HUB_TIER": "S1", "FLEETJOBS_HUB_UNITS": "1", "FLEETJOBS_METHODS_PER_SECOND": "400",
		"FLEETJOBS_TWIN_UPDATES_PER_SECOND": "500", "FLEETJOBS_QUERIES_PER_MINUTE": "200",
	}, scaledSettings(tierCase{throttle.S1, 10}.hub()))
	require.Len(t, scaledSettings(tierCase{throttle.S3, 1}.hub()), 2, "in real time the tier says it all")
	require.Equal(t, 10*time.Second, tierCase{throttle.S1, 10}.hub().Throttle.Queue, "a second of real time")
}

func TestCasesAreChosenByName(t *testing.T) {
	t.Parallel()
	keys := func(b *bench) (keys []string) {
		for _, c := range tierCases() {
			for _, l := range b.workloads(c) {
				keys = append(keys, c.key(l))
			}
		}
		return keys
	}
	require.Len(t, keys(&bench{}), 24)
	require.Equal(t, []string{"S3TwinsQuery3"}, keys(&bench{cases: "S3TwinsQuery3"}))
	require.Equal(t, []string{"S1TwinsList1", "S2TwinsList1", "S3TwinsList1"}, keys(&bench{cases: "TwinsList1"}))
	require.Empty(t, keys(&bench{cases: "S4"}))
	require.Less(t, len(keys(&bench{small: true})), 12)
}

func TestShareOfRefusedRequests(t *testing.T) {
	t.Parallel()
	require.InDelta(t, 0.1, refused(map[throttle.Operation]throttle.Usage{
		throttle.Methods: {Requests: 80, Refused: 10}, throttle.Queries: {Requests: 20}, throttle.Registry: {Requests: 900, Refused: 900},
	}), 1e-9)
	require.Zero(t, refused(nil))
}

func TestQuantiles(t *testing.T) {
	t.Parallel()
	values := []float64{1, 2, 3, 4}
	require.Equal(t, []float64{1, 3, 4, 4}, []float64{quantile(values, 0), quantile(values, 0.5), quantile(values, 0.99), quantile(values, 1)})
}
