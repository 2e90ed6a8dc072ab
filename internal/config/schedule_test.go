package config

import (
	"testing"
	"time"

	"github.com/netresearch/go-cron"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestLargestGapOfASchedule(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]time.Duration{
		"* * * * * *":           time.Second,
		"*/10 * * * * *":        10 * time.Second,
		"  0  * * * * *":        time.Minute,
		"*/7 * * * * *":         7 * time.Second,
		"*/45 * * * * *":        45 * time.Second,
		"0 */5 * * * *":         5 * time.Minute,
		"0 */7 * * * *":         7 * time.Minute,
		"0 0 * * * *":           time.Hour,
		"0,20,30 * * * * *":     30 * time.Second,
		"0-4,50-55/5 * * * * *": 46 * time.Second,
		"30/10 * * * * *":       40 * time.Second,
		"0 10-40 * * * *":       30 * time.Minute,
		"59 59 * * * *":         time.Hour,
	} {
		got, err := largestGap(spec)
		require.NoError(t, err, spec)
		require.Equal(t, want, got, spec)
	}
}

func TestSchedulesThatAreRefused(t *testing.T) {
	t.Parallel()
	for spec, rule := range map[string]string{
		"":                   "six fields",
		"* * * * *":          "six fields", // the host takes five, with seconds 0
		"00:00:10":           "six fields", // the host takes a TimeSpan, on some plans
		"* * * * * * *":      "six fields",
		"* * 9-17 * * *":     "hour, day, month and day-of-week",
		"* * * * * MON":      "hour, day, month and day-of-week",
		"60 * * * * *":       `second "60": must be *, or numbers from 0 to 59`,
		"-1 * * * * *":       "must be *",
		"x * * * * *":        "must be *",
		"1, * * * * *":       "must be *",
		"*/0 * * * * *":      "must have a step from 1 to 59",
		"*/60 * * * * *":     "must have a step from 1 to 59",
		"* 50-10 * * * *":    `minute "50-10": must have a range that goes up`,
		"* 1-2-3 * * * *":    "must be *",
		"TZ=UTC * * * * * *": "six fields",
	} {
		_, err := largestGap(spec)
		require.ErrorContains(t, err, rule, spec)
	}
}

// A second opinion: a cron library walks the same schedules over two hours.
func TestLargestGapAgreesWithACronLibrary(t *testing.T) {
	t.Parallel()
	parser := cron.MustNewParser(cron.Second | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
	rapid.Check(t, func(t *rapid.T) {
		field := rapid.StringMatching(`(\*|[1-5]?[0-9]|[1-5]?[0-9]-5[0-9])(/[1-5]?[1-9])?(,[1-5]?[0-9])?`)
		spec := field.Draw(t, "second") + " " + field.Draw(t, "minute") + " * * * *"
		got, err := largestGap(spec)
		if err != nil {
			t.Skip("refused: ", err)
		}
		schedule, err := parser.Parse(spec)
		if err != nil {
			t.Skip("the library refuses: ", err)
		}
		var want time.Duration
		start := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
		for at := schedule.Next(start); at.Before(start.Add(2 * time.Hour)); {
			next := schedule.Next(at)
			want = max(want, next.Sub(at))
			at = next
		}
		if got != want {
			t.Fatalf("%s: got %v, want %v", spec, got, want)
		}
	})
}

func FuzzLargestGap(f *testing.F) {
	f.Add("*/10 * * * * *")
	f.Add("0-4,50-55/5 1/2 * * * *")
	f.Fuzz(func(t *testing.T, spec string) {
		gap, err := largestGap(spec)
		if (err == nil) != (gap >= time.Second && gap <= time.Hour) {
			t.Fatalf("%q: %v, %v", spec, gap, err)
		}
	})
}
