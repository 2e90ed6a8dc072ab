package schedule_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

func TestDecodeFillsInDefaultsAndKeepsTheRest(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"cron":" 0  2 * * * "}`:                              `{"cron":"0 2 * * *","timeZone":"UTC","overlapPolicy":"skip","catchupWindow":"P1D"}`,
		`{"interval":"PT90M","offset":"PT0S","timeZone":null}`: `{"interval":"PT1H30M","timeZone":"UTC","overlapPolicy":"skip","catchupWindow":"P1D"}`,
		`{"cron":"0 2 * * *","timeZone":"device"}`: `{"cron":"0 2 * * *","timeZone":"device","timeZonePath":"tags.timeZone",` +
			`"overlapPolicy":"allowAll","catchupWindow":"P1D"}`,
		`{"times":["2026-12-01T02:00:00+01:00","2026-12-02T02:00"],"timeZone":"Europe/Berlin","exclude":["2026-12-24"],` +
			`"startTime":"2026-12-01t00:00:00z","endTime":"2027-01-01T00:00","remainingRuns":3,"jitter":"PT5M","overlapPolicy":"bufferOne",` +
			`"catchupWindow":"PT10M","pauseOnFailure":true}`: `{"times":["2026-12-01T01:00:00Z","2026-12-02T02:00:00"],"timeZone":"Europe/Berlin",` +
			`"startTime":"2026-12-01T00:00:00Z","endTime":"2027-01-01T00:00:00","exclude":["2026-12-24"],"remainingRuns":3,"jitter":"PT5M",` +
			`"overlapPolicy":"bufferOne","catchupWindow":"PT10M","pauseOnFailure":true}`,
	} {
		spec, faults := schedule.Decode("schedule", []byte(text))
		require.Empty(t, faults)
		got, err := json.Marshal(spec)
		require.NoError(t, err)
		require.JSONEq(t, want, string(got))
		again, faults := schedule.Decode("schedule", got)
		require.Empty(t, faults)
		require.Empty(t, cmp.Diff(spec, again))
	}
}

func TestFaultsNameFieldValueAndRule(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`[]`:                                     `schedule: []: must be a JSON object`,
		`{"cron":1}`:                             `schedule.cron: 1: must be a string`,
		`{`:                                      `schedule: {: must be JSON`,
		`{}`:                                     `schedule: must have one of cron, interval and times`,
		`{"crons":"* * * * *"}`:                  `schedule.crons: "* * * * *": is not a known member; did you mean "cron"?`,
		`{"cron":"a","cron":"b"}`:                `schedule.cron: "a": stands twice in the object`,
		`{"cron":"0 0 30 2 *"}`:                  `schedule.cron: "0 0 30 2 *": matches no date`,
		`{"cron":"* * * * *","interval":"PT1H"}`: `schedule.interval: must not stand beside cron`,
		`{"cron":"* * * * *","offset":"PT1M"}`:   `schedule.offset: "PT1M": goes with interval only`,
		`{"interval":"PT1H","offset":"PT1H"}`:    `schedule.offset: "PT1H": must be shorter than interval`,
		`{"interval":"P1M"}`:                     `schedule.interval: "P1M": must be an ISO 8601 duration`,
		`{"interval":"P"}`:                       `must be an ISO 8601 duration`,
		`{"interval":"P1DT"}`:                    `must be an ISO 8601 duration`,
		`{"interval":3600}`:                      `schedule.interval: 3600: must be a string`,
		`{"interval":"PT0S"}`:                    `schedule.interval: "PT0S": must be from PT1S to P3660D`,
		`{"interval":"P999999W"}`:                `must be at most P3660D`,
		`{"times":[]}`:                           `schedule.times: has 0 times; must have 1 to 1000`,
		`{"times":["2026-12-01"]}`:               `schedule.times[0]: "2026-12-01": must be an RFC 3339 time`,
		`{"times":["2026-12-01T02:00:00.5Z"]}`:   `whole seconds`,
		`{"times":["1999-12-01T02:00:00Z"]}`:     `years 2000 to 9998`,
		`{"times":["2026-12-01T02:00Z","2026-02-30T02:00"]}`:                                   `schedule.times[1]`,
		`{"times":["2026-12-01T02:00","2026-12-01T02:00:00"]}`:                                 `schedule.times[1]: "2026-12-01T02:00:00": stands twice`,
		`{"cron":"* * * * *","timeZone":"Europe/Berlni"}`:                                      `schedule.timeZone: "Europe/Berlni": must be the name of an IANA time zone, such as "Europe/Berlin" or "UTC", or "device"`,
		`{"cron":"* * * * *","timeZone":"Local"}`:                                              `schedule.timeZone`,
		`{"cron":"* * * * *","timeZone":"../../etc/passwd"}`:                                   `schedule.timeZone`,
		`{"cron":"* * * * *","timeZone":""}`:                                                   `schedule.timeZone: "": must be the name`,
		`{"cron":"* * * * *","timeZonePath":"tags.tz"}`:                                        `schedule.timeZonePath: "tags.tz": goes with timeZone "device" only`,
		`{"cron":"* * * * *","timeZone":"device","timeZonePath":"tz"}`:                         `must be a path below tags`,
		`{"cron":"* * * * *","timeZone":"device","defaultTimeZone":"device"}`:                  `schedule.defaultTimeZone`,
		`{"interval":"PT1H","timeZone":"device"}`:                                              `schedule.interval: "PT1H": has the same instants everywhere`,
		`{"cron":"* * * * *","timeZone":"device","startTime":"2026-12-01T02:00:00Z"}`:          `schedule.startTime: "2026-12-01T02:00:00Z": must be without a zone`,
		`{"times":["2026-12-01T02:00:00Z"],"timeZone":"device"}`:                               `schedule.times: must be without a zone`,
		`{"cron":"* * * * *","startTime":"2026-12-01"}`:                                        `schedule.startTime`,
		`{"cron":"* * * * *","startTime":"2027-01-01T00:00","endTime":"2027-01-01T00:00:00Z"}`: `schedule.endTime: "2027-01-01T00:00:00Z": must be after startTime`,
		`{"cron":"* * * * *","exclude":["24.12."]}`:                                            `or a day such as "2026-12-24"`,
		`{"cron":"* * * * *","remainingRuns":0}`:                                               `schedule.remainingRuns: 0: must be a whole number from 1 to 1000000`,
		`{"cron":"* * * * *","jitter":"P2D"}`:                                                  `schedule.jitter: "P2D": must be from PT0S to P1D`,
		`{"cron":"* * * * *","catchupWindow":"PT10S"}`:                                         `must be from PT1M to P366D`,
		`{"cron":"* * * * *","overlapPolicy":"queue"}`:                                         `schedule.overlapPolicy: "queue": must be one of ["skip"`,
		`{"cron":"* * * * *","pauseOnFailure":1}`:                                              `must be true or false`,
		"{\"cron\":\"\xff\"}":                                                                  `must be UTF-8`,
	} {
		spec, faults := schedule.Decode("schedule", []byte(text))
		require.NotEmpty(t, faults, text)
		require.Contains(t, faults.Error(), want, text)
		require.Empty(t, cmp.Diff(schedule.Spec{}, spec))
	}
	_, faults := schedule.Decode("schedule", []byte(`{"cron":"77 * * * *","jitter":"x","what":1}`))
	require.Len(t, faults, 3, "all of them")
	_, faults = schedule.Decode("schedule", []byte(`{"times":[`+strings.TrimSuffix(strings.Repeat("1,", 900), ",")+`]}`))
	require.Len(t, faults, 50)
}

func TestWindowFaults(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"cron":"* * * * *"}`:                                        `maintenanceWindow.duration: is required`,
		`{"cron":"* * * * *","duration":"PT1S"}`:                      `must be from PT1M to P7D`,
		`{"cron":"* * * * *","duration":"PT1H","jitter":"PT1S"}`:      `maintenanceWindow.jitter: "PT1S": is not a known member`,
		`{"cron":"* * * * *","duration":"PT1H","endBehavior":"stop"}`: `must be one of ["finish" "stopRollout" "cancel"]`,
		`null`: `must be a JSON object`,
	} {
		_, faults := schedule.DecodeWindow("maintenanceWindow", []byte(text))
		require.ErrorContains(t, faults, want, text)
	}
}

func TestDurations(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"PT0S": "PT0S", "P2W": "P14D", "PT90S": "PT1M30S", "P1DT1S": "P1DT1S", "PT36H": "P1DT12H", "P1W1DT1H1M1S": "P8DT1H1M1S",
	} {
		d, err := schedule.ParseDuration(text)
		require.NoError(t, err)
		require.Equal(t, want, d.String())
	}
	for _, text := range []string{"", "P", "PT", "1H", "PT1.5S", "-PT1S", "P1Y", "PT1M1H", "pt1s", "P1W1"} {
		_, err := schedule.ParseDuration(text)
		require.Error(t, err, text)
	}
}

func FuzzDecode(f *testing.F) {
	for _, text := range []string{
		`{"cron":"0 0 L,LW,3W * FRI#2,MONL","timeZone":"device","defaultTimeZone":"Europe/Berlin","exclude":["2026-12-24"]}`,
		`{"interval":"PT1H","offset":"PT5M","startTime":"2026-12-01T02:00:00Z","endTime":"2027-12-01T02:00"}`,
		`{"times":["2026-12-01T02:00:00Z","2026-12-01T02:00"],"timeZone":"Asia/Tokyo","remainingRuns":1,"jitter":"PT1M"}`,
		`{"cron":"* * * * *","duration":"PT1H","endBehavior":"finish"}`, `{"a":1,"a":{}}`, `[]`, `{`, "\xff",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if spec, faults := schedule.Decode("schedule", text); len(faults) == 0 {
			requireSame(t, spec, func(text []byte) (schedule.Spec, schedule.Faults) { return schedule.Decode("schedule", text) })
			s, err := spec.Compile()
			require.NoError(t, err)
			requireForward(t, s.Schedule)
		}
		if w, faults := schedule.DecodeWindow("w", text); len(faults) == 0 {
			requireSame(t, w, func(text []byte) (schedule.WindowSpec, schedule.Faults) { return schedule.DecodeWindow("w", text) })
			_, err := w.Compile()
			require.NoError(t, err)
		}
	})
}

// requireSame demands that what was decoded survives its own JSON.
func requireSame[T any](t *testing.T, v T, decode func([]byte) (T, schedule.Faults)) {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	again, faults := decode(text)
	require.Empty(t, faults, "%s", text)
	require.Empty(t, cmp.Diff(v, again), "%s", text)
}

// requireForward demands that occurrences go on in time.
func requireForward(t *testing.T, s *schedule.Schedule) {
	t.Helper()
	last := begin()
	for _, o := range s.NextN(last, 20) {
		require.True(t, o.At.After(last), "%s then %s", last, o.At)
		last = o.At
	}
}

func FuzzCron(f *testing.F) {
	for _, text := range []string{
		"*/5 0-12/3 1,15,L * MON-FRI", "0 0 0 L-3,LW,15W JAN-MAR ?", "0 0 29 2 MON", "0 0 * * 5#5,SUNL", "TZ= * * * * *", "@every 1s", "-/,",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := schedule.ParseCron(text); err != nil {
			return
		}
		s, err := schedule.Recurrence{Cron: text, TimeZone: "America/Havana"}.Compile()
		require.NoError(t, err)
		requireForward(t, s)
		_, ok := s.Next(begin())
		require.True(t, ok, "what is not refused has a next occurrence")
	})
}

func BenchmarkNext(b *testing.B) {
	for name, text := range map[string]string{
		"daily UTC":            `{"cron":"0 2 * * *"}`,
		"daily New York":       `{"cron":"0 2 * * *","timeZone":"America/New_York"}`,
		"every second":         `{"cron":"* * * * * *","timeZone":"Europe/Berlin"}`,
		"29 February, Mondays": `{"cron":"0 0 29 2 MON"}`,
		"interval":             `{"interval":"PT15M"}`,
	} {
		b.Run(name, func(b *testing.B) {
			s := compile(b, text)
			after := begin()
			for b.Loop() {
				if o, ok := s.Next(after); ok && o.At.Year() < 2100 {
					after = o.At
				} else {
					after = begin()
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	spec, faults := schedule.Decode("schedule", []byte(`{"cron":"0 2 * * MON-FRI","timeZone":"Europe/Berlin"}`))
	require.Empty(b, faults)
	for b.Loop() {
		if _, err := spec.Compile(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJitter(b *testing.B) {
	for b.Loop() {
		_ = schedule.Jitter("job", "device-000001", schedule.MaxJitter)
	}
}

func TestNamesOfZones(t *testing.T) {
	t.Parallel()
	for _, name := range zoneNames() {
		zone(t, name)
	}
	for _, name := range []string{"", "Local", "device", "europe/berlin", "posix/Europe/Berlin", "right/UTC", "/etc/localtime", "A/../UTC", "localtime", strings.Repeat("A", 65)} {
		_, err := schedule.LoadZone(name)
		require.Error(t, err, name)
	}
}

func TestAFaultIsCut(t *testing.T) {
	t.Parallel()
	_, faults := schedule.Decode("schedule", []byte(fmt.Sprintf(`{"cron":"%s"}`, strings.Repeat("ä", 500))))
	require.Len(t, faults, 1)
	require.Less(t, len(faults[0].Value), 90)
}
