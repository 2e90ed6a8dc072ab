package job_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/schedule"
	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

func zoneNames(t *testing.T) []string {
	t.Helper()
	list, err := os.ReadFile("../schedule/testdata/zones.txt")
	require.NoError(t, err)
	return strings.Fields(string(list))
}

// ownTime is a recurring job by local time, created at now.
func ownTime(t rapid.TB, members string, now time.Time) *job.Record {
	def, err := job.Decode([]byte(`{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*",`+members+`}`), now)
	require.NoError(t, err)
	rec := &job.Record{Definition: def, RunID: "j.abc.0", Status: job.StatusScheduled}
	rec.JobID = "j"
	require.NoError(t, rec.Recurs(now))
	return rec
}

// partOf gives the part that a device with a zone, "" for none, is selected with: the first whose filter fits.
func partOf(t rapid.TB, parts []job.Part, zone string) job.Part {
	tags := map[string]any{}
	if zone != "" {
		tags["timeZone"] = zone
	}
	device := twinquery.Map{"deviceId": "d", "tags": tags}
	for _, p := range parts {
		q, err := twinquery.ParseQuery("SELECT deviceId FROM devices WHERE " + p.Filter)
		require.NoError(t, err, p.Filter)
		docs := slices.Values([]twinquery.Document{device})
		if len(slices.Collect(q.Run(docs, twinquery.Options{}))) == 1 {
			return p
		}
	}
	require.Fail(t, "no part has the device", zone)
	return job.Part{}
}

// Over zones and years (since 2012 no zone has skipped a day): whatever zones a fleet has, each device has its turn exactly once per civil day, when its own clock first
// shows the time or later; parts open one after the other; and the runs, which overlap, are one for each day.
func TestEachDeviceExactlyOncePerCivilDayAtItsOwnLocalTime(t *testing.T) {
	t.Parallel()
	all := zoneNames(t)
	rapid.Check(t, func(t *rapid.T) {
		zones := rapid.SliceOfNDistinct(rapid.SampledFrom(all), 1, 12, rapid.ID).Draw(t, "zones")
		hour, minute := rapid.IntRange(0, 23).Draw(t, "hour"), rapid.IntRange(0, 59).Draw(t, "minute")
		now := time.Date(rapid.IntRange(2012, 2037).Draw(t, "year"), 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, rapid.IntRange(0, 364).Draw(t, "day"))
		rec := ownTime(t, fmt.Sprintf(`"schedule":{"cron":"%d %d * * *","timeZone":"device"}`, minute, hour), now)
		values := make([]string, len(zones))
		for i, z := range zones {
			raw, err := json.Marshal(z)
			require.NoError(t, err)
			values[i] = string(raw)
		}
		turns := map[string][]time.Time{}
		const days = 4
		for day := range days {
			now = rec.Series.Next
			b, err := rec.Recur(now)
			require.NoError(t, err)
			require.Len(t, b.Runs, 1, "one run for each day, whatever still goes on")
			run := b.Runs[0]
			require.True(t, run.Divided())
			parts, err := run.DivideByZone(values, now)
			require.NoError(t, err)
			require.True(t, slices.IsSortedFunc(parts, func(a, b job.Part) int { return a.At.Compare(b.At) }))
			require.False(t, parts[0].At.Before(now), "no zone is there before the run begins")
			require.Equal(t, 1+day, run.Occurrence.Number)
			for _, z := range zones {
				p := partOf(t, parts, z)
				require.Equal(t, job.NoReason, p.Reason)
				turns[z] = append(turns[z], p.At)
			}
			require.Equal(t, job.NoTimeZone, partOf(t, parts, "").Reason)
		}
		for zone, at := range turns {
			loc, err := schedule.LoadZone(zone)
			require.NoError(t, err)
			for i, turn := range at {
				day := at[0].In(loc).AddDate(0, 0, i).Format(time.DateOnly)
				require.Equal(t, day, turn.In(loc).Format(time.DateOnly), "%s has its turn on each day", zone)
				shown := turn.In(loc).Hour()*60 + turn.In(loc).Minute()
				require.GreaterOrEqual(t, shown, hour*60+minute, "%s: not before the time", zone)
				earlier := turn.Add(-time.Second).In(loc)
				require.True(t, earlier.Day() != turn.In(loc).Day() || earlier.Hour()*60+earlier.Minute() < hour*60+minute, "%s: when it is first shown", zone)
			}
		}
	})
}

func TestWhereADevicesZoneComesFrom(t *testing.T) {
	t.Parallel()
	begin := func(members string) *job.Record {
		rec := ownTime(t, `"schedule":{"cron":"0 2 * * *","timeZone":"device"`+members+`}`, noon)
		b, err := rec.Recur(rec.Series.Next)
		require.NoError(t, err)
		return b.Runs[0]
	}
	values := []string{``, `"Asia/Tokyo"`, `"Asia/Tokio"`, `7`, `{"a":1}`, `"Europe/Berlin"`, `"Europe/Paris"`}
	run := begin("")
	parts, err := run.DivideByZone(values, run.StartTime)
	require.NoError(t, err)
	berlin := partOf(t, parts, "Europe/Berlin")
	require.Equal(t, berlin, partOf(t, parts, "Europe/Paris"), "zones of one instant are one part")
	require.Equal(t, 9*time.Hour-1*time.Hour, berlin.At.Sub(partOf(t, parts, "Asia/Tokyo").At))
	invalid := partOf(t, parts, "Asia/Tokio")
	require.Equal(t, job.InvalidTimeZone, invalid.Reason)
	require.Equal(t, run.Occurrence.Local.Latest, invalid.At, "who gets a zone meanwhile is not lost")
	require.Equal(t, job.Part{Reason: job.InvalidTimeZone, At: run.Occurrence.Local.Latest}, parts[len(parts)-1], "what no condition compares with comes last")
	require.Equal(t, job.NoTimeZone, partOf(t, parts, "").Reason)

	fallback := begin(`,"defaultTimeZone":"Europe/Berlin"`)
	parts, err = fallback.DivideByZone(values, fallback.StartTime)
	require.NoError(t, err)
	require.Equal(t, partOf(t, parts, "Europe/Berlin"), partOf(t, parts, ""))
	require.Equal(t, job.InvalidTimeZone, partOf(t, parts, "Asia/Tokio").Reason, "a wrong zone is not replaced")

	late, err := begin(`,"catchupWindow":"PT2H"`).DivideByZone(values, run.StartTime.Add(8*time.Hour))
	require.NoError(t, err)
	require.Equal(t, job.LocalTimeMissed, partOf(t, late, "Asia/Tokyo").Reason, "5 hours in Tokyo are 3 after its time")
	require.Equal(t, job.NoReason, partOf(t, late, "Europe/Berlin").Reason)

	many := make([]string, job.MaxParts+1)
	for i := range many {
		many[i] = fmt.Sprintf(`"Zone/%d"`, i)
	}
	_, err = run.DivideByZone(many, noon)
	require.ErrorContains(t, err, "more than 1000 different values of tags.timeZone")

	shard := &job.Shard{Executions: make([]job.Execution, 2)}
	(&job.Part{}).EndUnplaced(shard, noon)
	require.False(t, shard.Done())
	invalid.EndUnplaced(shard, noon)
	require.Equal(t, map[string]int{"invalidTimeZone": 2}, job.Count(shard.Executions).ReasonMap())
}

// Runs of a daily schedule by local time last longer than a day, so that a run meets the next only after its last zone's time.
func TestRunsByLocalTimeOverlapByNature(t *testing.T) {
	t.Parallel()
	for policy, want := range map[string][]int{"skip": {1, 2, 2}, "bufferOne": {1, 2, 2}, "allowAll": {1, 2, 3}, "cancelOther": {1, 2, 2}} {
		rec := ownTime(t, `"schedule":{"cron":"0 2 * * *","timeZone":"device","overlapPolicy":"`+policy+`"}`, noon)
		for day, runs := range want { // none of them ends
			_, err := rec.Recur(rec.Series.Next)
			require.NoError(t, err)
			require.Equal(t, runs, rec.Series.Runs, "%s, day %d", policy, day)
		}
		if policy == "cancelOther" {
			require.Equal(t, job.EndSuperseded, rec.Series.Cancels(1), "whose last zone's time has passed")
			require.Empty(t, rec.Series.Cancels(2))
		}
	}
}

// A run that somebody wants now has no local time.
func TestRunNowIsForAllZonesAtOnce(t *testing.T) {
	t.Parallel()
	now := noon.Add(time.Hour)
	rec := ownTime(t, `"schedule":{"cron":"0 2 * * *","timeZone":"device"}`, now)
	require.NoError(t, rec.Ask(now, func(s *schedule.Series, st schedule.State) (schedule.State, error) { return s.RunNow(st, now) }))
	b, err := rec.Recur(now)
	require.NoError(t, err)
	require.Len(t, b.Runs, 1)
	require.False(t, b.Runs[0].Divided())
	require.Zero(t, b.Runs[0].NewRun().LastStart)
}

// The window opens and closes for each zone by itself.
func TestWindowsByLocalTime(t *testing.T) {
	t.Parallel()
	def, err := job.Decode([]byte(plus(`"maintenanceWindow":{"cron":"0 2 * * *","duration":"PT2H","timeZone":"device"}`)), noon)
	require.NoError(t, err)
	rec := &job.Record{Definition: def}
	require.True(t, rec.Divided())
	now := time.Date(2026, 12, 1, 1, 30, 0, 0, time.UTC)
	parts, err := rec.DivideByZone([]string{`"Europe/Berlin"`, `"Europe/London"`, `"Asia/Tokyo"`}, now)
	require.NoError(t, err)
	for zone, opens := range map[string]string{
		"Europe/Berlin": "2026-12-01T01:30:00Z", // half past two: it is open
		"Europe/London": "2026-12-01T02:00:00Z",
		"Asia/Tokyo":    "2026-12-01T17:00:00Z",
	} {
		p := partOf(t, parts, zone)
		require.Equal(t, zone, p.Zone)
		require.Equal(t, opens, p.At.UTC().Format(time.RFC3339), zone)
	}
	open, until, err := rec.Opening(now)
	require.NoError(t, err)
	require.True(t, open)
	require.Zero(t, until, "nothing closes for the run as a whole")

	once := job.Definition{MaintenanceWindow: def.MaintenanceWindow}
	spec := *def.MaintenanceWindow
	spec.EndTime, err = schedule.ParseMoment("2026-12-01T12:00")
	require.NoError(t, err)
	once.MaintenanceWindow = &spec
	parts, err = (&job.Record{Definition: once}).DivideByZone([]string{`"Asia/Tokyo"`}, now.Add(12*time.Hour))
	require.NoError(t, err)
	require.Equal(t, job.WindowClosed, partOf(t, parts, "Asia/Tokyo").Reason)
}

func TestWhatLocalTimeGoesWith(t *testing.T) {
	t.Parallel()
	local := `"schedule":{"cron":"0 2 * * *","timeZone":"device"}`
	for members, field := range map[string]string{
		local: "",
		local + `,"rollout":{"maximumPerMinute":60}`:                                                                      "",
		local + `,"maintenanceWindow":{"cron":"0 1 * * *","duration":"PT3H","timeZone":"device"}`:                         "",
		local + `,"maintenanceWindow":{"cron":"0 1 * * *","duration":"PT3H","timeZone":"Europe/Berlin"}`:                  "",
		local + `,"rollout":{"orderBy":"tags.site"}`:                                                                      "rollout",
		local + `,"rollout":{"batches":[{"number":1},{}]}`:                                                                "rollout",
		local + `,"maintenanceWindow":{"cron":"0 1 * * *","duration":"PT3H","timeZone":"device","timeZonePath":"tags.z"}`: "maintenanceWindow.timeZonePath",
		`"schedule":{"cron":"0 2 * * *","timeZone":"device","timeZonePath":"tags.a-b"}`:                                   "schedule.timeZonePath",
		`"schedule":{"interval":"PT1H","timeZone":"device"}`:                                                              "schedule.interval",
	} {
		_, err := job.Decode([]byte(plus(members)), noon)
		if field == "" {
			require.NoError(t, err, members)
			continue
		}
		faults := job.FaultsOf(err)
		require.NotEmpty(t, faults, members)
		require.Equal(t, field, faults[0].Field, members)
	}
	for _, members := range []string{`"deviceIds":["a"],` + local, `"queryCondition":"FROM devices.modules",` + local} {
		_, err := job.Decode([]byte(target(members)), noon)
		require.Len(t, job.FaultsOf(err), 1, members)
	}
}
