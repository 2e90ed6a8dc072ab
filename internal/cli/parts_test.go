package cli

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/client"
	"github.com/fleetjobs/fleetjobs/internal/fleetsim"
)

func TestEnvFileRoundTrip(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "folder", "dev.env")
	require.NoError(t, writeEnvFile(path, []variable{{"A", "HostName=h;Key=a+b/c=="}, {"B", ""}}))
	values, err := readEnvFile(path)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"A": "HostName=h;Key=a+b/c==", "B": ""}, values)
	require.ErrorContains(t, writeEnvFile(path, []variable{{"SECRET", "it's"}}), "the value of SECRET holds a quote")
}

func TestCounts(t *testing.T) {
	t.Parallel()
	for n, text := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234"} {
		require.Equal(t, text, count(n))
	}
}

func TestDurations(t *testing.T) {
	t.Parallel()
	for d, text := range map[time.Duration]string{
		-time.Second: "0 s", 340 * time.Millisecond: "0.3 s", 12400 * time.Millisecond: "12 s", 200 * time.Second: "3 min 20 s",
		2*time.Hour + 5*time.Minute: "2 h 5 min",
	} {
		require.Equal(t, text, short(d))
	}
}

func TestTextFromDevicesIsHarmless(t *testing.T) {
	t.Parallel()
	require.Equal(t, "a\uFFFD[31mb\uFFFDc\uFFFDd", plain("a\x1b[31mb\tc\u202ed"))
	require.Equal(t, "Zürich 東京 ✓", plain("Zürich 東京 ✓"))
}

func TestRateLooksBackTenSeconds(t *testing.T) {
	t.Parallel()
	var m meter
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	done := 0
	step := func(perSecond, seconds int) {
		for range seconds {
			m.see(&client.Job{Status: "running", Statistics: client.Statistics{SucceededCount: done}}, now)
			now, done = now.Add(time.Second), done+perSecond
		}
	}
	require.Zero(t, m.rate())
	step(1000, 20)
	require.InDelta(t, 1000, m.rate(), 0.1)
	step(10, 12)
	require.InDelta(t, 10, m.rate(), 0.1, "what was before is forgotten")
	step(0, 12)
	require.Zero(t, m.rate())
}

// TestDemoNoticesWrongCounts: the demo is only worth showing if it can fail.
func TestDemoNoticesWrongCounts(t *testing.T) {
	t.Parallel()
	expected := fleetsim.Expectation{Total: 10, Answering: 6, Offline: 2, Failing: 1, Silent: 1}
	right := client.Job{
		Status: "completed", Statistics: client.Statistics{DeviceCount: 10, SucceededCount: 6, FailedCount: 4},
		FailureReasons: map[string]int{"deviceOffline": 2, "deviceError": 1, "deviceNoAnswer": 1},
	}
	findings := func(change func(*client.Job)) []string {
		job, c := right, demo{}
		change(&job)
		c.checkCounts(&job, expected)
		return c.findings
	}
	require.Empty(t, findings(func(*client.Job) {}))
	for name, change := range map[string]func(*client.Job){
		"status":    func(j *client.Job) { j.Status = "cancelled" },
		"total":     func(j *client.Job) { j.Statistics.DeviceCount = 11 },
		"pending":   func(j *client.Job) { j.Statistics.PendingCount = 1 },
		"succeeded": func(j *client.Job) { j.Statistics.SucceededCount, j.Statistics.FailedCount = 7, 3 },
		"reasons":   func(j *client.Job) { j.FailureReasons = map[string]int{"deviceOffline": 4} },
	} {
		require.NotEmpty(t, findings(change), name)
	}
}
