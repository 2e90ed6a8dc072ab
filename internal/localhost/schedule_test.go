package localhost

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSchedules(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 11, 23, 1, 2, 3, 500, time.UTC) // a Monday
	for text, want := range map[string]string{
		"*/10 * * * * *":        "2026-11-23T01:02:10Z",
		"0 */5 * * * *":         "2026-11-23T01:05:00Z",
		"*/5 * * * *":           "2026-11-23T01:05:00Z",
		"0 0 0 1 1 *":           "2027-01-01T00:00:00Z",
		"0 30 9 * Jan-Mar Mon":  "2027-01-04T09:30:00Z",
		"0 0 0 13 * 5":          "2027-08-13T00:00:00Z", // day of month AND day of week
		"0 0 0 29 2 *":          "2028-02-29T00:00:00Z",
		"5/20 * * * * *":        "2026-11-23T01:02:05Z",
		"00:30:00":              "2026-11-23T01:32:03.0000005Z",
		"1.00:00:00":            "2026-11-24T01:02:03.0000005Z",
		"0 0 12 * * 0,6":        "2026-11-28T12:00:00Z",
		"  0  0  12  *  *  1-5": "2026-11-23T12:00:00Z",
	} {
		s, err := parseSchedule(text)
		require.NoError(t, err, text)
		require.Equal(t, want, s.next(from).Format(time.RFC3339Nano), text)
	}
}

func TestSchedulesAreRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "* * * *", "* * * * * * *", "60 * * * * *", "0 0 0 31 2 *", "0 0 0 * * 7", "0 0 0 * * 5-7", "0 0 0 L * *", "0 0 0 ? * *",
		"@daily", "@every 10s", "TZ=UTC 0 0 0 * *", "0 0 0 * * 5#1", "-00:01:00", "00:00:00", "*/0 * * * * *",
	} {
		_, err := parseSchedule(text)
		require.Error(t, err, text)
	}
}

func TestSchedulesUnderAMinuteAreNotMonitored(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"*/10 * * * * *": true, "0 * * * * *": false, "0,30 0 * * * *": true, "00:00:59": true, "00:01:00": false,
	} {
		s, err := parseSchedule(text)
		require.NoError(t, err)
		require.Equal(t, want, oftenerThanMinutely(s, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)), text)
	}
}

// Any schedule that is accepted moves forward.
func FuzzSchedule(f *testing.F) {
	for _, seed := range []string{"*/10 * * * * *", "0 30 9 * Jan-Mar Mon", "00:00:01", "0 0 0 29 2 *", "TZ=x", "1-5/2,7 * * * 1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSchedule(text)
		if err != nil {
			return
		}
		at := time.Date(2026, 3, 29, 1, 59, 59, 999, time.UTC)
		for range 3 {
			next := s.next(at)
			if next.IsZero() {
				return
			}
			require.True(t, next.After(at), "%q: %s after %s", text, next, at)
			at = next
		}
	})
}
