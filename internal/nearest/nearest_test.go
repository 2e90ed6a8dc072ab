package nearest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestName(t *testing.T) {
	t.Parallel()
	known := []string{"queryCondition", "deviceIds", "FLEETJOBS_SLICE_SECONDS", "job list", "job show", ""}
	for name, want := range map[string]string{
		"querycondition":             "queryCondition",
		"qeuryCondition":             "queryCondition",
		"deviceId":                   "deviceIds",
		"FLEETJOBS_SLICES_SECOND":    "FLEETJOBS_SLICE_SECONDS",
		"list":                       "job list",
		"st":                         "",
		"desired":                    "",
		"":                           "",
		strings.Repeat("device", 99): "",
	} {
		require.Equal(t, want, Name(name, known), name)
	}
	require.Empty(t, Name("x", nil))
}

func TestDistanceIsAMetric(t *testing.T) {
	t.Parallel()
	words := []string{"", "a", "ab", "ba", "abc", "kitten", "sitting"}
	require.Equal(t, 3, distance("kitten", "sitting"))
	for _, a := range words {
		require.Zero(t, distance(a, a))
		for _, b := range words {
			require.Equal(t, distance(a, b), distance(b, a))
			for _, c := range words {
				require.LessOrEqual(t, distance(a, c), distance(a, b)+distance(b, c))
			}
		}
	}
}
