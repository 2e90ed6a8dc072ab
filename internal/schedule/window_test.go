package schedule_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

func window(t testing.TB, text string) *schedule.Window {
	t.Helper()
	spec, faults := schedule.DecodeWindow("maintenanceWindow", []byte(text))
	require.Empty(t, faults, text)
	w, err := spec.Compile()
	require.NoError(t, err)
	return w
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	when, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err)
	return when
}

func spans(list []schedule.Span) [][2]string {
	var texts [][2]string
	for _, s := range list {
		texts = append(texts, [2]string{s.From.Format(time.RFC3339), s.Until.Format(time.RFC3339)})
	}
	return texts
}

func TestAWindowIsOpenFromItsStartUpToItsEnd(t *testing.T) {
	t.Parallel()
	w := window(t, `{"cron":"0 2 * * *","duration":"PT2H","timeZone":"Europe/Berlin"}`)
	require.Equal(t, schedule.StopRollout, w.End())
	for when, want := range map[string]bool{
		"2026-12-01T00:59:59Z": false,
		"2026-12-01T01:00:00Z": true,
		"2026-12-01T02:59:59Z": true,
		"2026-12-01T03:00:00Z": false,
	} {
		open, until := w.Open(at(t, when))
		require.Equal(t, want, open, when)
		if open {
			require.Equal(t, at(t, "2026-12-01T03:00:00Z"), until)
		}
	}
}

// Duration is real time: in the night of a change a window closes an hour earlier or later on the wall, and one that would open
// in the gap opens after it, at its full length.
func TestWindowsAcrossClockChanges(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ window, from, opens, closes string }{
		{`{"cron":"0 1 * * *","duration":"PT4H","timeZone":"Europe/Berlin"}`, "2026-03-28T12:00:00Z", "2026-03-29T01:00:00+01:00", "2026-03-29T06:00:00+02:00"},
		{`{"cron":"30 2 * * *","duration":"PT1H","timeZone":"Europe/Berlin"}`, "2026-03-28T12:00:00Z", "2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00"},
		{`{"cron":"0 1 * * *","duration":"PT4H","timeZone":"Europe/Berlin"}`, "2026-10-24T12:00:00Z", "2026-10-25T01:00:00+02:00", "2026-10-25T04:00:00+01:00"},
		{`{"cron":"30 2 * * *","duration":"PT1H","timeZone":"Europe/Berlin"}`, "2026-10-24T12:00:00Z", "2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"},
	} {
		span, ok := window(t, c.window).NextOpen(at(t, c.from))
		require.True(t, ok)
		require.Equal(t, at(t, c.opens).UTC(), span.From, c.window)
		require.Equal(t, at(t, c.closes).UTC(), span.Until, c.window)
	}
}

func TestWindowsThatOverlapOrTouchAreOne(t *testing.T) {
	t.Parallel()
	w := window(t, `{"cron":"0 0,1,4 * * *","duration":"PT90M"}`)
	require.Equal(t, [][2]string{
		{"2026-12-01T00:00:00Z", "2026-12-01T02:30:00Z"},
		{"2026-12-01T04:00:00Z", "2026-12-01T05:30:00Z"},
		{"2026-12-02T00:00:00Z", "2026-12-02T02:30:00Z"},
	}, spans(w.NextN(at(t, "2026-11-30T12:00:00Z"), 3)))
	touching := window(t, `{"times":["2026-12-01T00:00:00Z","2026-12-01T01:00:00Z"],"duration":"PT1H"}`)
	require.Equal(t, [][2]string{{"2026-12-01T00:00:00Z", "2026-12-01T02:00:00Z"}}, spans(touching.NextN(at(t, "2026-11-30T12:00:00Z"), 9)))
	always := window(t, `{"interval":"PT1H","duration":"PT1H"}`)
	open, until := always.Open(at(t, "2026-12-01T00:30:00Z"))
	require.True(t, open)
	require.True(t, until.After(at(t, "2026-12-31T00:00:00Z")), "the search is bounded, not the window")
}

func TestDeviceLocalWindows(t *testing.T) {
	t.Parallel()
	w := window(t, `{"cron":"0 2 * * SUN","duration":"PT1H","timeZone":"device"}`)
	require.True(t, w.DeviceLocal())
	span, ok := w.In(zone(t, "Asia/Tokyo")).NextOpen(at(t, "2026-12-01T00:00:00Z"))
	require.True(t, ok)
	require.Equal(t, at(t, "2026-12-05T17:00:00Z"), span.From)
	require.Equal(t, at(t, "2026-12-05T18:00:00Z"), span.Until)
	fleet, ok := w.NextOpen(at(t, "2026-12-01T00:00:00Z"))
	require.True(t, ok)
	require.Equal(t, [][2]string{{"2026-12-05T12:00:00Z", "2026-12-06T15:00:00Z"}}, spans([]schedule.Span{fleet}), "anywhere on earth")
	for _, name := range zoneNames() {
		here, ok := w.In(zone(t, name)).NextOpen(at(t, "2026-12-01T00:00:00Z"))
		require.True(t, ok)
		require.False(t, here.From.Before(fleet.From), name)
		require.False(t, here.Until.After(fleet.Until), name)
	}
}

// Open, NextOpen and a count of the starts agree, at random windows and instants.
func TestOpenAgreesWithTheStarts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cron := genCron(t)
		length := time.Duration(rapid.IntRange(1, 3*24*60).Draw(t, "minutes")) * time.Minute
		rec := schedule.Recurrence{Cron: cron, TimeZone: rapid.SampledFrom(zoneNames()).Draw(t, "zone")}
		starts, err := rec.Compile()
		w, failed := schedule.WindowSpec{Recurrence: rec, Duration: schedule.Duration(length)}.Compile()
		if err != nil || failed != nil {
			t.Skip(cron)
		}
		now := time.Unix(rapid.Int64Range(1_700_000_000, 2_000_000_000).Draw(t, "now"), 0).UTC()
		within, _ := starts.Between(now.Add(-length+1), now.Add(1), 1)
		open, until := w.Open(now)
		require.Equal(t, len(within) > 0, open)
		next, ok := w.NextOpen(now)
		switch {
		case open:
			require.True(t, until.After(now))
			require.Equal(t, schedule.Span{From: now, Until: until}, next)
		case ok:
			require.True(t, next.From.After(now))
			justOpen, _ := w.Open(next.From)
			before, _ := w.Open(next.From.Add(-1))
			require.True(t, justOpen && !before)
		}
	})
}
