package schedule_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

// next gives up to n times after an instant as a zone's clock shows them.
func next(s *schedule.Schedule, after time.Time, n int, loc *time.Location) []string {
	var list []string
	for _, o := range s.NextN(after, n) {
		list = append(list, o.At.In(loc).Format(time.RFC3339))
	}
	return list
}

func TestIntervalsCountFromTheEpoch(t *testing.T) {
	t.Parallel()
	s := compile(t, `{"interval":"PT6H","offset":"PT1H"}`)
	require.Equal(t, []string{"2026-12-01T07:00:00Z", "2026-12-01T13:00:00Z"}, next(s.Schedule, at(t, "2026-12-01T01:00:00Z"), 2, time.UTC))
	require.Equal(t, []string{"2026-12-01T01:00:00Z"}, next(s.Schedule, at(t, "2026-12-01T01:00:00Z").Add(-1), 1, time.UTC))
	before := time.Date(1969, 12, 31, 23, 0, 0, 0, time.UTC)
	require.Equal(t, []string{"1970-01-01T01:00:00Z"}, next(s.Schedule, before, 1, time.UTC))
}

func TestTimesMayBeInstantsAndWallTimes(t *testing.T) {
	t.Parallel()
	s := compile(t, `{"times":["2026-03-29T02:30","2026-03-29T03:00","2026-03-29T02:00:00Z","2026-01-01T00:00:00+01:00"],"timeZone":"Europe/Berlin"}`)
	require.Equal(t, []string{"2026-01-01T00:00:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00"},
		next(s.Schedule, at(t, "2025-01-01T00:00:00Z"), 9, zone(t, "Europe/Berlin")), "02:30 does not exist and falls on 03:00")
}

func TestBoundsAndExclusions(t *testing.T) {
	t.Parallel()
	berlin := zone(t, "Europe/Berlin")
	s := compile(t, `{"cron":"0 0,12 * * *","timeZone":"Europe/Berlin","startTime":"2026-12-24T00:00","endTime":"2026-12-27T12:00",
		"exclude":["2026-12-25","2026-12-24T12:00","2026-12-26T11:00:00Z"]}`)
	require.Equal(t, []string{"2026-12-24T00:00:00+01:00", "2026-12-26T00:00:00+01:00", "2026-12-27T00:00:00+01:00"},
		next(s.Schedule, time.Time{}, 9, berlin), "startTime is the first moment, endTime no longer one")

	every := compile(t, `{"interval":"PT1S","exclude":["2026-12-25","2026-12-26"],"timeZone":"Europe/Berlin"}`)
	require.Equal(t, []string{"2026-12-27T00:00:00+01:00"}, next(every.Schedule, at(t, "2026-12-24T22:59:59Z"), 1, berlin))

	gone := compile(t, `{"times":["2026-12-25T01:00"],"exclude":["2026-12-25"]}`)
	_, ok := gone.Next(begin())
	require.False(t, ok)
}

func TestBetweenIsHalfOpenAndBounded(t *testing.T) {
	t.Parallel()
	s := compile(t, `{"cron":"0 * * * *"}`)
	list, more := s.Between(hour(1), hour(4), 10)
	require.Len(t, list, 3)
	require.False(t, more)
	require.Equal(t, hour(1), list[0].At)
	list, more = s.Between(hour(1), hour(4), 2)
	require.Len(t, list, 2)
	require.True(t, more)
}

// The zone has no such day: its occurrence runs when the next day begins, and is one with that of the next day's midnight.
func TestDaysThatAZoneSkips(t *testing.T) {
	t.Parallel()
	for name, day := range map[string]string{
		"Pacific/Apia": "2011-12-30", "Pacific/Fakaofo": "2011-12-30", "Pacific/Kwajalein": "1993-08-21", "Pacific/Kiritimati": "1994-12-31",
	} {
		loc := zone(t, name)
		skipped, err := time.Parse(time.DateOnly, day)
		require.NoError(t, err)
		dayBefore := schedule.CivilOf(skipped.Add(-12*time.Hour), time.UTC).In(loc)
		after := skipped.AddDate(0, 0, 1).Format(time.DateOnly)
		show := func(hour int) (list []string) {
			for _, o := range daily(t, hour, 0, name).NextN(dayBefore, 2) {
				list = append(list, o.At.In(loc).Format("2006-01-02T15:04"))
			}
			return list
		}
		require.Equal(t, []string{after + "T00:00", after + "T02:00"}, show(2), name)
		require.Equal(t, []string{after + "T00:00", skipped.AddDate(0, 0, 2).Format(time.DateOnly) + "T00:00"}, show(0), name)
	}
}

func TestEachDeviceAtItsOwnLocalTime(t *testing.T) {
	t.Parallel()
	s := compile(t, `{"cron":"30 2 * * *","timeZone":"device","startTime":"2026-03-29T00:00"}`)
	require.True(t, s.DeviceLocal())
	o, ok := s.Next(at(t, "2026-01-01T00:00:00Z"))
	require.True(t, ok)
	require.Equal(t, "2026-03-29T02:30:00", o.Local.String())
	require.Equal(t, at(t, "2026-03-28T12:30:00Z"), o.At, "when the first zone on earth gets there")
	require.Equal(t, at(t, "2026-03-29T14:30:00Z"), s.Latest(o))

	berlin, paris, tokyo := zone(t, "Europe/Berlin"), zone(t, "Europe/Paris"), zone(t, "Asia/Tokyo")
	require.Equal(t, []schedule.Due{
		{At: at(t, "2026-03-28T17:30:00Z"), Zones: []*time.Location{tokyo}},
		{At: at(t, "2026-03-29T01:00:00Z"), Zones: []*time.Location{berlin, paris}}, // 02:30 does not exist there
	}, s.Instants(o, []*time.Location{berlin, tokyo, paris}))
	require.Equal(t, []string{"2026-03-29T02:30:00+09:00", "2026-03-30T02:30:00+09:00"}, next(s.In(tokyo), at(t, "2026-01-01T00:00:00Z"), 2, tokyo))
	for _, name := range zoneNames() {
		here := s.InstantIn(o, zone(t, name))
		require.False(t, here.Before(o.At) || here.After(s.Latest(o)), name)
	}
}

func TestTheZoneOfADevice(t *testing.T) {
	t.Parallel()
	var zones schedule.Zones
	for _, c := range []struct {
		value, fallback, want string
		outcome               schedule.ZoneOutcome
	}{
		{`"Asia/Tokyo"`, "UTC", "Asia/Tokyo", schedule.ZoneFromTwin},
		{``, "UTC", "UTC", schedule.ZoneDefault},
		{`null`, "UTC", "UTC", schedule.ZoneDefault},
		{``, "", "", schedule.ZoneMissing},
		{`"Asia/Tokio"`, "UTC", "", schedule.ZoneInvalid},
		{`9`, "UTC", "", schedule.ZoneInvalid},
		{`""`, "UTC", "", schedule.ZoneInvalid},
		{`"Local"`, "UTC", "", schedule.ZoneInvalid},
	} {
		for range 2 { // the second time from memory
			loc, outcome := zones.OfDevice([]byte(c.value), c.fallback)
			require.Equal(t, c.outcome, outcome, c.value)
			require.Equal(t, c.want != "", outcome.Found())
			if outcome.Found() {
				require.Equal(t, c.want, loc.String())
			}
		}
	}
}

func TestJitterIsStableAndEven(t *testing.T) {
	t.Parallel()
	const most = schedule.Duration(10 * time.Minute)
	require.Equal(t, 498*time.Second, schedule.Jitter("job", "device", most), "the same for ever")
	require.NotEqual(t, schedule.Jitter("job2", "device", most), schedule.Jitter("job", "device", most))
	require.NotEqual(t, schedule.Jitter("jobde", "vice", most), schedule.Jitter("job", "device", most))
	require.Zero(t, schedule.Jitter("job", "device", 0))
	require.Zero(t, schedule.Jitter("job", "device", schedule.Duration(time.Second)))
	var buckets [10]int
	for i := range 10_000 {
		delay := schedule.Jitter("job", string(rune('a'+i%26))+time.Duration(i).String(), most)
		require.True(t, delay >= 0 && delay < time.Duration(most))
		require.Zero(t, delay%(6*time.Second), "whole hundredths")
		buckets[delay/time.Minute]++
	}
	for _, n := range buckets {
		require.InDelta(t, 1000, n, 150)
	}
	for text, want := range map[string]time.Duration{"PT1S": time.Second, "PT10S": time.Second, "PT199S": time.Second, "PT1H": 36 * time.Second, "P1D": 864 * time.Second} {
		d, err := schedule.ParseDuration(text)
		require.NoError(t, err)
		require.Equal(t, want, schedule.JitterStep(d), text)
		require.Less(t, schedule.Jitter("job", "device", d), time.Duration(d))
	}
}

func TestCompileRefusesWhatDecodeRefuses(t *testing.T) {
	t.Parallel()
	for _, r := range []schedule.Recurrence{{}, {Cron: "x"}, {Cron: "* * * * *", TimeZone: "x"}, {Interval: -1}} {
		_, err := r.Compile()
		require.Error(t, err)
		_, err = schedule.Spec{Recurrence: r}.Compile()
		require.Error(t, err)
		_, err = schedule.WindowSpec{Recurrence: r}.Compile()
		require.Error(t, err)
	}
}
