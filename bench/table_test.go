package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTable(t *testing.T) {
	t.Parallel()
	tab := table{title: "A title", notes: []string{"A note."}}
	tab.add("ratio", "a / b", "", 0.5, 0.93, 0.87).goal = atLeast(0.8)
	tab.add("lag", "lag", "s", 3, 4).goal = atMost(2)
	tab.add("rate", "rate", "devices/s", 12345.6)
	require.Equal(t, `### A title

| figure | median | min .. max  | unit      | goal   | met |
| ---    | ---    | ---         | ---       | ---    | --- |
| a / b  | 0.87   | 0.5 .. 0.93 |           | >= 0.8 | yes |
| lag    | 3.5    | 3 .. 4      | s         | <= 2   | NO  |
| rate   | 12346  |             | devices/s |        |     |

A note.
`, tab.String())
}

func TestReportHoldsEveryRow(t *testing.T) {
	t.Parallel()
	var tab table
	tab.add("ratio", "a / b", "", 0.7).goal = atLeast(0.8)
	tab.add("rate", "rate", "devices/s", 1, 2)
	r := newReport(t.Context(), &bench{})
	r.add("instant", tab)
	missed := false
	require.Equal(t, []reportRow{
		{Name: "instant.ratio", Value: 0.7, Goal: ">= 0.8", Met: &missed, Samples: []float64{0.7}},
		{Name: "instant.rate", Value: 1.5, Unit: "devices/s", Samples: []float64{1, 2}},
	}, r.Rows)
}

func TestOwnProcess(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("this system has no /proc")
	}
	peak, err := peakMemory(os.Getpid())
	require.NoError(t, err)
	require.Positive(t, peak)
	_, err = cpuSeconds(os.Getpid(), os.Getppid())
	require.NoError(t, err)
	_, err = cpuSeconds(-1)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestScenariosAreChosenByName(t *testing.T) {
	t.Parallel()
	chosen, err := choose("storage,instant")
	require.NoError(t, err)
	require.Equal(t, []string{"storage", "instant"}, []string{chosen[0].name, chosen[1].name})
	_, err = choose("nothing")
	require.ErrorContains(t, err, "choose from instant,")
}
