package schedule_test

import (
	_ "embed"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

//go:embed testdata/zones.txt
var zoneList string

func zoneNames() []string { return strings.Fields(zoneList) }

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := schedule.LoadZone(name)
	require.NoError(t, err, name)
	return loc
}

// compile makes the schedule of some JSON ready.
func compile(t testing.TB, text string) *schedule.Series {
	t.Helper()
	spec, faults := schedule.Decode("schedule", []byte(text))
	require.Empty(t, faults, text)
	s, err := spec.Compile()
	require.NoError(t, err, text)
	return s
}

func daily(t testing.TB, hour, minute int, zone string) *schedule.Series {
	t.Helper()
	return compile(t, fmt.Sprintf(`{"cron":"%d %d * * *","timeZone":%q}`, minute, hour, zone))
}

type zoneYear struct {
	zone string
	year int
}

// hard are the years in which zones did what libraries get wrong.
func hard() []zoneYear {
	return []zoneYear{
		{"America/New_York", 2026},    // gap and repeat at night
		{"America/Havana", 2026},      // gap at midnight
		{"America/Santiago", 2026},    // gap at midnight, summer at new year
		{"Africa/Cairo", 2026},        // gap at midnight
		{"Australia/Lord_Howe", 2026}, // half an hour
		{"Antarctica/Troll", 2026},    // two hours
		{"Africa/Casablanca", 2026},   // four changes, around Ramadan
		{"America/Nuuk", 2026},        // gap before midnight
		{"America/Sao_Paulo", 2018},   // repeat across midnight
		{"America/St_Johns", 2006},    // changes at one minute past midnight
		{"America/Caracas", 2007},     // half an hour, for good
		{"Asia/Pyongyang", 2018},      // half an hour before midnight
		{"Asia/Kathmandu", 1986},      // a quarter of an hour
		{"Pacific/Apia", 2011},        // no 30 December
		{"Pacific/Fakaofo", 2011},     // no 30 December
		{"Pacific/Kwajalein", 1993},   // no 21 August
		{"Pacific/Kiritimati", 1994},  // no 31 December
		{"Pacific/Kiritimati", 1995},  // and the year after
		{"Pacific/Enderbury", 1994},   // no 31 December
		{"Antarctica/Casey", 2010},    // three hours
		{"Europe/Dublin", 2026},       // winter time is the negative one
		{"America/Argentina/San_Luis", 2008},
	}
}

// scan is the oracle: it writes down, minute by minute, what a zone's clock shows, and knows nothing of offsets or transitions.
type scan struct {
	shown map[int64]int64 // wall time to the first minute that shows it
	order []int64         // what each minute shows
	start int64
}

// digits reads a clock as the number yyyymmddhhmm.
func digits(t time.Time) int64 {
	year, month, day := t.Date()
	hour, minute, _ := t.Clock()
	return (((int64(year)*100+int64(month))*100+int64(day))*100+int64(hour))*100 + int64(minute)
}

// newScan scans a year, and two days beside it, for some wall times.
func newScan(year int, loc *time.Location, wanted map[int64]bool) *scan {
	first := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC).Add(-48 * time.Hour)
	last := time.Date(year+1, 1, 1, 0, 0, 0, 0, time.UTC).Add(48 * time.Hour)
	s := &scan{shown: make(map[int64]int64, len(wanted)), order: make([]int64, 0, 540_000), start: first.Unix()}
	for t := first.In(loc); t.Before(last); t = t.Add(time.Minute) {
		wall := digits(t)
		s.order = append(s.order, wall)
		if _, again := s.shown[wall]; wanted[wall] && !again {
			s.shown[wall] = t.Unix()
		}
	}
	return s
}

// calendar gives the days of a year at a time of the day.
func calendar(year int, clock [2]int) (days []time.Time) {
	for d := time.Date(year, 1, 1, clock[0], clock[1], 0, 0, time.UTC); d.Year() == year; d = d.AddDate(0, 0, 1) {
		days = append(days, d)
	}
	return days
}

// instant gives when a wall time runs: when the clock shows it first, or else at the minute at which it has passed over it.
func (s *scan) instant(wall int64) int64 {
	if at, ok := s.shown[wall]; ok {
		return at
	}
	for i := 1; i < len(s.order); i++ {
		if s.order[i-1] < wall && wall < s.order[i] {
			return s.start + int64(i)*60
		}
	}
	return -1
}

// Every daily schedule runs once for each day of the calendar, when the brute-force oracle says, in zones and years that are
// hard, and in random ones.
func TestDailySchedulesAgreeWithAScanOfEveryMinute(t *testing.T) {
	t.Parallel()
	cases := hard()
	random := rand.New(rand.NewPCG(2026, 11))
	names := zoneNames()
	for range samples(t) {
		cases = append(cases, zoneYear{names[random.IntN(len(names))], 1973 + random.IntN(68)})
	}
	for _, c := range cases {
		times := [][2]int{{0, 0}, {2, 30}, {23, 45}, {random.IntN(24), random.IntN(60)}}
		t.Run(fmt.Sprintf("%s %d", c.zone, c.year), func(t *testing.T) {
			t.Parallel()
			wanted := map[int64]bool{}
			for _, at := range times {
				for _, d := range calendar(c.year, at) {
					wanted[digits(d)] = true
				}
			}
			oracle := newScan(c.year, zone(t, c.zone), wanted)
			for _, at := range times {
				requireYear(t, oracle, daily(t, at[0], at[1], c.zone), c.year, at)
			}
		})
	}
}

func samples(t *testing.T) int {
	t.Helper()
	if testing.Short() {
		return 20
	}
	return 120
}

// requireYear walks a year of a daily schedule beside the calendar.
func requireYear(t *testing.T, oracle *scan, s *schedule.Series, year int, clock [2]int) {
	t.Helper()
	days := calendar(year, clock)
	last := oracle.instant(digits(days[0])) - 1
	for _, day := range days {
		want := oracle.instant(digits(day))
		if want == last {
			continue // the zone has no such day; its occurrence and the next day's are one
		}
		o, ok := s.Next(time.Unix(last, 0))
		if !ok || o.At.Unix() != want || want <= last {
			t.Fatalf("of %s: %v, not %s", day, o, time.Unix(want, 0).UTC())
		}
		last = want
	}
}

// In every zone, in some year, a daily schedule never stands still and has each day of the calendar once, in order.
func TestEveryZoneHasOneOccurrencePerDay(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 7))
	for _, name := range zoneNames() {
		loc, year, minutes := zone(t, name), 1970+random.IntN(70), 1+random.IntN(24*60-1)
		s := daily(t, minutes/60, minutes%60, name)
		last := time.Date(year, 1, 1, 0, 0, 0, 0, loc).Add(-1)
		want := time.Date(year, 1, 1, 0, minutes, 0, 0, time.UTC)
		for ; want.Year() == year; want = want.AddDate(0, 0, 1) {
			o, ok := s.Next(last)
			if !ok || !o.At.After(last) || o.Local != schedule.CivilOf(want, time.UTC) {
				t.Fatalf("%s: after %s comes %v, not the one of %s", name, last, o, want)
			}
			if schedule.CivilOf(o.At, loc) != o.Local {
				requireGap(t, o, name)
			}
			last = o.At
		}
	}
}

// requireGap demands that a zone's clock jumps over the wall time of an occurrence at its instant.
func requireGap(t *testing.T, o schedule.Occurrence, name string) {
	t.Helper()
	loc := zone(t, name)
	require.Less(t, schedule.CivilOf(o.At.Add(-time.Second), loc), o.Local, "%s at %s", name, o.At)
	require.Greater(t, schedule.CivilOf(o.At, loc), o.Local, "%s at %s", name, o.At)
}

// Whatever the instant from which one asks, the answer is the first occurrence of the walk that comes after it: also within a
// gap, within a repeated hour, and a nanosecond beside an occurrence.
func TestNextDoesNotDependOnWhereOneAsks(t *testing.T) {
	t.Parallel()
	for _, c := range hard() {
		for _, cron := range []string{"20 * * * *", "7 */3 * * *", "30 2 * * *"} {
			s := compile(t, fmt.Sprintf(`{"cron":%q,"timeZone":%q}`, cron, c.zone))
			begin := time.Date(c.year, 1, 1, 0, 0, 0, 0, time.UTC)
			walk, _ := s.Between(begin, begin.AddDate(1, 0, 3), 30_000)
			random := rand.New(rand.NewPCG(uint64(c.year), 1))
			for i := 1; i < len(walk); i++ {
				gap := walk[i].At.Sub(walk[i-1].At)
				if gap <= 0 {
					t.Fatalf("%s %s goes from %v to %v", c.zone, cron, walk[i-1], walk[i])
				}
				asked := []time.Time{walk[i-1].At, walk[i].At.Add(-1)}
				if i%10 == 0 || gap > time.Hour && gap < 3*time.Hour { // the clock was put back
					for range 9 {
						asked = append(asked, walk[i-1].At.Add(time.Duration(random.Int64N(int64(gap)))))
					}
				}
				for _, after := range asked {
					if o, ok := s.Next(after); !ok || o != walk[i] {
						t.Fatalf("%s %s after %s: %v, not %v", c.zone, cron, after, o, walk[i])
					}
				}
			}
		}
	}
}

// Monrovia was 44 minutes and 30 seconds behind until 1972, which a scan by minutes cannot see.
func TestZonesWithSecondsInTheirOffset(t *testing.T) {
	t.Parallel()
	o, ok := daily(t, 2, 0, "Africa/Monrovia").Next(time.Date(1971, 6, 1, 0, 0, 0, 0, time.UTC))
	require.True(t, ok)
	require.Equal(t, "1971-06-01T02:44:30Z", o.At.Format(time.RFC3339))
}
