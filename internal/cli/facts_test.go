package cli_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/fleetjobs/fleetjobs/internal/cli"
)

// TestShowTellsAllThatAJobSays: rules, target and origin of a job stand in its description, what it does not say does not.
func TestShowTellsAllThatAJobSays(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.on("GET /api/jobs/nightly", ok(`{"jobId":"nightly","type":"scheduleDeviceMethod","status":"paused","statusMessage":"Paused: why.",
		"queryCondition":"tags.floor = 3","cloudToDeviceMethod":{"methodName":"reboot","responseTimeoutInSeconds":15,"connectTimeoutInSeconds":60},
		"createdTime":"2026-11-23T09:59:50.000Z","startTime":"2026-11-23T10:00:00.000Z","startedTime":"2026-11-23T10:20:00.000Z",
		"endReason":"aborted","runId":"nightly.5f.2","selection":{"state":"complete","deviceCount":3},
		"paused":{"since":"2026-11-23T10:30:00.000Z","by":{"kind":"key","id":"0badcafe"},"note":"why\u001b[2J"},
		"schedule":{"cron":"0 2 * * *","timeZone":"Europe/Berlin","overlapPolicy":"skip","catchupWindow":"P1D"},
		"maintenanceWindow":{"cron":"0 1 * * *","timeZone":"Europe/Berlin","duration":"PT4H"},
		"rollout":{"maximumPerMinute":100,"batches":[{"number":10},{"gate":{"approval":true,"successThresholdPercentage":90}}]},
		"rolloutStatus":{"begunCount":10,"batches":[{"batch":2,"state":"running","begunCount":3,
			"approval":{"by":{"kind":"key","id":"feed"},"remark":"looks good"}}]},
		"recurrence":{"runCount":2,"runningCount":1,"remainingRuns":8,"counters":{"started":2,"skipped":1,"missed":0},"nextRunTimes":[]},
		"retry":{"criteria":[{"failureType":"all","numberOfRetries":0}]},"maxDevices":5000,"priority":7,"exclusive":true,"endless":false,
		"fromTemplate":{"template":"reboot","version":2,"parameters":{"floor":3}},"version":1,"madeUpLater":{"some":["a","b"]}}`))
	require.Equal(t, cli.ExitOK, w.run(t, "job", "show", "nightly"), w.errors.String())
	require.Equal(t, `job                 nightly
status              paused. Paused: why.
operation           method reboot
call timeouts       60 s to connect, 15 s to answer
devices             tags.floor = 3
created             2026-11-23 09:59:50Z
start               2026-11-23 10:00:00Z
started             2026-11-23 10:20:00Z
runs                2; 1 in progress; 8 left; 1 skipped
end reason          aborted
run id              nightly.5f.2
paused              since 2026-11-23T10:30:00.000Z, by (kind key, id 0badcafe), note why`+"\uFFFD"+`[2J
schedule            cron 0 2 * * *, timeZone Europe/Berlin, overlapPolicy skip, catchupWindow P1D
maintenance window  cron 0 1 * * *, timeZone Europe/Berlin, duration PT4H
rollout             maximumPerMinute 100, batches (number 10; gate (approval, successThresholdPercentage 90))
retry               criteria (failureType all, numberOfRetries 0)
max devices         5000
priority            7
exclusive           yes
from template       template reboot, version 2, parameters (floor 3)
made up later       some (a; b)
progress            0 of 0 devices: 0 succeeded, 0 not, 0 in progress, 0 waiting
  batch 2           running; 3 begun, 0 ended, 0 succeeded; approved by key feed: looks good
`, w.out.String())
}

// TestShowLeavesNoMemberOut takes every member of a job that openapi.yaml knows, with a value that is found again in the description, or
// is one that the description has words of its own for.
func TestShowLeavesNoMemberOut(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../api/openapi.yaml")
	require.NoError(t, err)
	var api struct {
		Components struct {
			Schemas map[string]struct{ Properties map[string]any }
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &api))
	properties := api.Components.Schemas["Job"].Properties
	require.Greater(t, len(properties), 40)
	inWords := strings.Fields(`status cloudToDeviceMethod updateTwin createdTime startTime endTime maxExecutionTimeInSeconds failureReason
		deviceJobStatistics deviceIdCount startedTime executionStatistics failureReasons awaiting warnings recurrence rolloutStatus hubRuns createdBy
		selection version`) // those of which the types matter; TestCommands shows them
	for name := range properties {
		if slices.Contains(inWords, name) {
			continue
		}
		w := setup(t)
		body := `{"jobId":"sentinel"}`
		switch name {
		case "jobId":
		case "steps":
			body = `{"jobId":"j","steps":[{"methodName":"sentinel"}]}`
		case "type":
			body = `{"jobId":"j","type":"sentinel"}`
		default:
			body = `{"jobId":"j","` + name + `":"sentinel"}`
		}
		w.on("GET /api/jobs/j", ok(body))
		require.Equal(t, cli.ExitOK, w.run(t, "job", "show", "j"), "%s: %s", name, w.errors.String())
		require.Contains(t, w.out.String(), "sentinel", name)
	}
}

// TestOneDeviceInFull: what a list cuts or leaves out is there when one device is asked for.
func TestOneDeviceInFull(t *testing.T) {
	t.Parallel()
	w := setup(t)
	long := strings.Repeat("x", 100)
	w.on("GET /api/jobs/j/executions", ok(`{"deviceId":"a","status":"queued","attempts":1,"startTime":"2026-11-23T10:00:00.000Z",
		"nextAttemptTime":"2026-11-23T10:01:00.000Z","deviceStatus":500,"payload":{"why":"`+long+`"},"error":{"code":"deviceError","message":"status 500"}}`))
	require.Equal(t, cli.ExitOK, w.run(t, "job", "executions", "j", "--device", "a"), w.errors.String())
	require.Equal(t, `device id          a
status             queued
attempts           1
start time         2026-11-23T10:00:00.000Z
next attempt time  2026-11-23T10:01:00.000Z
device status      500
payload            {"why":"`+long+`"}
error              code deviceError, message status 500
`, w.out.String())
	w.out.Reset()
	w.on("GET /api/jobs/j/executions", ok(`{"executions":[{"deviceId":"a","status":"queued","attempts":1,
		"nextAttemptTime":"2026-11-23T10:01:00.000Z","error":{"code":"deviceError","message":"status 500"}}]}`))
	require.Equal(t, cli.ExitOK, w.run(t, "job", "executions", "j"), w.errors.String())
	require.Contains(t, w.out.String(), "again at 2026-11-23 10:01:00Z: status 500")
}

func TestRunsSayWhyTheyStandStill(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.on("GET /api/jobs/j/runs", ok(`{"runs":[
		{"runId":"j.4","status":"blocked","statusMessage":"Blocked by the hub."},{"runId":"j.3","status":"completed","endReason":"timeLimit"},
		{"runId":"j.2","status":"cancelled","endReason":"aborted","failureReason":"30 % failed"},
		{"runId":"j.1","status":"completed","endReason":"finished","statusMessage":"Every device has ended."}]}`))
	require.Equal(t, cli.ExitOK, w.run(t, "job", "runs", "j"), w.errors.String())
	var notes []string
	for line := range strings.Lines(w.out.String()) {
		cells := strings.Split(strings.TrimSpace(line), "  ")
		notes = append(notes, strings.TrimSpace(cells[len(cells)-1]))
	}
	require.Equal(t, []string{"NOTE", "Blocked by the hub.", "timeLimit", "30 % failed", "-"}, notes)
}

func TestALengthOfTimeHasAUnit(t *testing.T) {
	t.Parallel()
	w := setup(t)
	require.Equal(t, cli.ExitUsage, w.run(t, "job", "create", "--method", "m", "--query", "*", "--every", "10"))
	require.Contains(t, w.errors.String(), `invalid value "10" for flag -every: the unit is missing: 10s, 10m and 10h are seconds, minutes and hours`)
	w.errors.Reset()
	require.Equal(t, cli.ExitUsage, w.run(t, "job", "create", "--method", "m", "--query", "*", "--every", "soon"))
	require.Contains(t, w.errors.String(), "no length of time, such as 30s, 10m, 1h30m or, as in JSON, PT10M")

	w.on("POST /api/jobs", ok(jobJSON("j1", "scheduled", 0, 0, 0)))
	for _, every := range []string{"10m", "PT10M", "600s"} {
		require.Equal(t, cli.ExitOK, w.run(t, "job", "create", "--method", "m", "--query", "*", "--every", every), w.errors.String())
		require.Contains(t, w.requests[len(w.requests)-1], `"interval":"PT600S"`)
	}
}
