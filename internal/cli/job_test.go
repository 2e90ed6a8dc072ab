package cli_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/cli"
)

const (
	executionA = `{"deviceId":"a","status":"succeeded","attempts":1,"endTime":"2026-11-23T10:00:01.000Z","deviceStatus":200,"payload":{"ok": true}}`
	executionB = `{"deviceId":"b","status":"failed","attempts":2,"endTime":"2026-11-23T10:00:02.000Z","error":{"code":"deviceOffline","message":"not\u001b[2Jonline"}}`
)

// TestCommands lists what each command asks the API, what it prints and how it exits.
func TestCommands(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args     []string
		replies  map[string][]reply
		requests []string
		out      string
		errors   string
		exit     int
	}{
		"list": {
			args:     []string{"job", "list", "--status", "running", "--type", "method"},
			replies:  map[string][]reply{"GET /api/jobs": {ok(`{"jobs":[` + jobJSON("j1", "running", 12345, 1000, 1) + `]}`)}},
			requests: []string{"GET /api/jobs?pageSize=20&status=running&type=scheduleDeviceMethod"},
			out: "JOB  STATUS   OPERATION      DEVICES  OK     NOT OK  START\n" +
				"j1   running  method reboot  12,345   1,000  1       2026-11-23 10:00:00Z\n",
		},
		"list follows pages up to its limit": {
			args: []string{"job", "list", "--limit", "2", "--json"},
			replies: map[string][]reply{"GET /api/jobs": {
				ok(`{"jobs":[],"continuationToken":"t1"}`), ok(`{"jobs":[{"jobId":"a"},{"jobId":"b"}],"continuationToken":"t2"}`),
			}},
			requests: []string{"GET /api/jobs?pageSize=2", "GET /api/jobs?continuationToken=t1&pageSize=2"},
			out:      "[\n  {\n    \"jobId\": \"a\"\n  },\n  {\n    \"jobId\": \"b\"\n  }\n]\n",
		},
		"runs": {
			args: []string{"job", "runs", "j1", "--limit", "1"},
			replies: map[string][]reply{"GET /api/jobs/j1/runs": {ok(`{"runs":[{"runId":"j1.ab.2","status":"completed","kind":"manual",` +
				`"scheduledTime":"2026-11-23T10:00:00.000Z","endTime":"2026-11-23T10:01:00.000Z","deviceJobStatistics":{"deviceCount":3,"succeededCount":2,"failedCount":1}}],"continuationToken":"t"}`)}},
			requests: []string{"GET /api/jobs/j1/runs?pageSize=1"},
			out: "RUN      STATUS     KIND    FOR                   END                   DEVICES  OK  NOT OK  NOTE\n" +
				"j1.ab.2  completed  manual  2026-11-23 10:00:00Z  2026-11-23 10:01:00Z  3        2   1       -\n",
			errors: "fleetjobs: there are more; use --limit or --all\n",
		},
		"run now": {
			args:     []string{"job", "run-now", "j1"},
			replies:  map[string][]reply{"POST /api/jobs/j1/run": {ok(`{"jobId":"j1","status":"running","statusMessage":"Run 3."}`)}},
			requests: []string{"POST /api/jobs/j1/run"},
			out:      "job j1: running. Run 3.\n",
		},
		"backfill": {
			args:     []string{"job", "backfill", "j1", "--from", "2026-11-20T00:00:00Z", "--to", "2026-11-22T01:00:00+01:00"},
			replies:  map[string][]reply{"POST /api/jobs/j1/backfill": {ok(`{"jobId":"j1","status":"running","statusMessage":"Run 3."}`)}},
			requests: []string{`POST /api/jobs/j1/backfill {"from":"2026-11-20T00:00:00Z","to":"2026-11-22T00:00:00Z"}`},
			out:      "job j1: running. Run 3.\n",
		},
		"pause of one run": {
			args:     []string{"job", "pause", "j1", "--run", "j1.ab.2", "--note", "x"},
			replies:  map[string][]reply{"POST /api/jobs/j1/runs/j1.ab.2/pause": {ok(`{"runId":"j1.ab.2","status":"paused"}`)}},
			requests: []string{`POST /api/jobs/j1/runs/j1.ab.2/pause {"note":"x"}`},
			out:      "run j1.ab.2: paused\n",
		},
		"resume of one run": {
			args:     []string{"job", "resume", "j1", "--run", "j1.ab.2"},
			replies:  map[string][]reply{"POST /api/jobs/j1/runs/j1.ab.2/resume": {ok(`{"runId":"j1.ab.2","status":"running"}`)}},
			requests: []string{"POST /api/jobs/j1/runs/j1.ab.2/resume"},
			out:      "run j1.ab.2: running\n",
		},
		"executions of one run": {
			args:     []string{"job", "executions", "j1", "--run", "j1.ab.2", "--json"},
			replies:  map[string][]reply{"GET /api/jobs/j1/runs/j1.ab.2/executions": {ok(`{"executions":[]}`)}},
			requests: []string{"GET /api/jobs/j1/runs/j1.ab.2/executions?pageSize=100"},
			out:      "[]\n",
		},
		"audit of one job": {
			args: []string{"job", "audit", "j1"},
			replies: map[string][]reply{"GET /api/jobs/j1/audit": {ok(`{"changes":[` +
				`{"time":"2026-11-23T10:00:00.000Z","action":"deleted","jobId":"j1","by":{"kind":"identity","id":"oid-1","name":"eva\u001b[2J","provider":"aad"},"userAgent":"curl/8","statusBefore":"cancelled"},` +
				`{"time":"2026-11-23T09:30:00.000Z","action":"paused","jobId":"j1","runId":"j1.61a6.2","statusBefore":"running","statusAfter":"paused","by":{"kind":"key","id":"0badcafe"},"userAgent":"fleetjobs/1","note":"wait\u001b[2J"},` +
				`{"time":"2026-11-23T09:00:00.000Z","action":"created","jobId":"j1","runId":"j1.61a6.0","by":{"kind":"key","id":"0badcafe"},"userAgent":"fleetjobs/1"}]}`)}},
			requests: []string{"GET /api/jobs/j1/audit?pageSize=20"},
			out: "TIME                  ACTION   JOB        STATUS            BY               WITH         NOTE\n" +
				"2026-11-23 10:00:00Z  deleted  j1         cancelled > gone  eva\uFFFD[2J (oid-1)  curl/8       -\n" +
				"2026-11-23 09:30:00Z  paused   j1.61a6.2  running > paused  key 0badcafe     fleetjobs/1  wait\uFFFD[2J\n" +
				"2026-11-23 09:00:00Z  created  j1         -                 key 0badcafe     fleetjobs/1  -\n",
		},
		"audit of all follows pages up to its limit": {
			args: []string{"job", "audit", "--limit", "2", "--json"},
			replies: map[string][]reply{"GET /api/audit": {
				ok(`{"changes":[{"jobId":"a"}],"continuationToken":"t1"}`), ok(`{"changes":[{"jobId":"b"},{"jobId":"c"}]}`),
			}},
			requests: []string{"GET /api/audit?pageSize=2", "GET /api/audit?continuationToken=t1&pageSize=2"},
			out:      "[\n  {\n    \"jobId\": \"a\"\n  },\n  {\n    \"jobId\": \"b\"\n  }\n]\n",
		},
		"list of nothing": {
			args: []string{"job", "list"}, replies: map[string][]reply{"GET /api/jobs": {ok(`{"jobs":[]}`)}},
			requests: []string{"GET /api/jobs?pageSize=20"}, errors: "fleetjobs: there is no such job\n",
		},
		"list of nothing as JSON": {
			args: []string{"job", "list", "--json", "--all"}, replies: map[string][]reply{"GET /api/jobs": {ok(`{"jobs":[]}`)}},
			requests: []string{"GET /api/jobs?pageSize=100"}, out: "[]\n",
		},
		"show": {
			args:     []string{"job", "show", "j1"},
			replies:  map[string][]reply{"GET /api/jobs/j1": {ok(jobJSON("j1", "running", 4, 2, 1))}},
			requests: []string{"GET /api/jobs/j1"},
			out: `job              j1
status           running. So it goes.
operation        method reboot
payload          {"a":1}
devices          tags.x = 1
created          2026-11-23 09:59:50Z
created by       key 0badcafe
start            2026-11-23 10:00:00Z
end              2026-11-23 10:00:12Z
progress         3 of 4 devices: 2 succeeded, 1 not, 0 in progress, 1 waiting
  succeeded      2
  failed         1
  queued         1
reasons           ` + `
  deviceOffline  1
`,
		},
		"show a job over two hubs": {
			args: []string{"job", "show", "j1"},
			replies: map[string][]reply{"GET /api/jobs/j1": {ok(strings.TrimSuffix(jobJSON("j1", "running", 4, 2, 1), "}") + `,"hubRuns":[` +
				`{"hub":"plant-a","status":"completed","deviceJobStatistics":{"deviceCount":3,"succeededCount":2,"failedCount":1}},` +
				`{"hub":"plant-b","status":"running","deviceJobStatistics":{"deviceCount":1,"pendingCount":1},"waitingBatch":{"batch":2,"waitsFor":["approval"]}}],` +
				`"recurrence":{"runCount":3,"nextRunTimes":["2026-11-24T12:00:00Z"],"localRunTimes":[` +
				`{"localTime":"2026-11-25T02:00:00","earliest":"2026-11-24T12:00:00Z","latest":"2026-11-25T14:00:00Z"}]}}`)}},
			requests: []string{"GET /api/jobs/j1"},
			out: `job              j1
status           running. So it goes.
operation        method reboot
payload          {"a":1}
devices          tags.x = 1
created          2026-11-23 09:59:50Z
created by       key 0badcafe
start            2026-11-23 10:00:00Z
next runs        2026-11-25 02:00:00 at each device (2026-11-24 12:00:00Z to 2026-11-25 14:00:00Z)
runs             3
end              2026-11-23 10:00:12Z
progress         3 of 4 devices: 2 succeeded, 1 not, 0 in progress, 1 waiting
  at plant-a     completed; 3 of 3 devices: 2 succeeded, 1 not
  at plant-b     running; 0 of 1 device: 0 succeeded, 0 not
                 batch 2 waits for approval
                 approve it, as somebody else than its creator, with: fleetjobs job approve j1 --batch 2
  succeeded      2
  failed         1
  queued         1
reasons           ` + `
  deviceOffline  1
`,
		},
		"executions at one hub": {
			args: []string{"job", "executions", "j1", "--hub", "plant-b"},
			replies: map[string][]reply{"GET /api/jobs/j1/executions": {
				ok(`{"executions":[{"deviceId":"d","hub":"plant-b","status":"queued","attempts":0}]}`),
			}},
			requests: []string{"GET /api/jobs/j1/executions?hub=plant-b&pageSize=100"},
			out:      "DEVICE     STATE   REASON  CODE  TRIES  END  ANSWER\nd@plant-b  queued  -       -     0      -    -\n",
		},
		"show, flags after the argument": {
			args:     []string{"job", "show", "j1", "--json"},
			replies:  map[string][]reply{"GET /api/jobs/j1": {ok(`{"jobId":"j1","future":[1]}`)}},
			requests: []string{"GET /api/jobs/j1"},
			out:      "{\n  \"jobId\": \"j1\",\n  \"future\": [\n    1\n  ]\n}\n",
		},
		"show an unknown job": {
			args:     []string{"job", "show", "nope"},
			replies:  map[string][]reply{"GET /api/jobs/nope": {{status: 404, body: `{"title":"There is no such job","detail":"no job has this id"}`}}},
			requests: []string{"GET /api/jobs/nope"},
			errors:   "fleetjobs: GET /api/jobs/nope: There is no such job: no job has this id (HTTP 404)\n", exit: cli.ExitFailure,
		},
		"executions": {
			args: []string{"job", "executions", "j", "--limit", "2"},
			replies: map[string][]reply{"GET /api/jobs/j/executions": {
				ok(`{"executions":[],"continuationToken":"t1"}`), ok(`{"executions":[` + executionA + "," + executionB + `],"continuationToken":"t2"}`),
			}},
			requests: []string{"GET /api/jobs/j/executions?pageSize=2", "GET /api/jobs/j/executions?continuationToken=t1&pageSize=2"},
			out: "DEVICE  STATE      REASON         CODE  TRIES  END                   ANSWER\n" +
				"a       succeeded  -              200   1      2026-11-23 10:00:01Z  {\"ok\":true}\n" +
				"b       failed     deviceOffline  -     2      2026-11-23 10:00:02Z  not\uFFFD[2Jonline\n",
			errors: "fleetjobs: there are more; use --limit or --all\n",
		},
		"executions of a job with steps": {
			args: []string{"job", "executions", "j"},
			replies: map[string][]reply{"GET /api/jobs/j/executions": {ok(`{"executions":[
				{"deviceId":"a","status":"inProgress","attempts":2,"substate":"awaitingConfirmation","awaitedUntil":"2026-11-23T10:10:00.000Z","step":2},
				{"deviceId":"b","status":"timedOut","attempts":2,"step":2,"endTime":"2026-11-23T10:00:02.000Z","error":{"code":"notConfirmed","message":"late"}}]}`)}},
			requests: []string{"GET /api/jobs/j/executions?pageSize=100"},
			out: "DEVICE  STATE               REASON                CODE  TRIES  END                   ANSWER\n" +
				"a       inProgress, step 2  awaitingConfirmation  -     2      -                     until 2026-11-23 10:10:00Z\n" +
				"b       timedOut, step 2    notConfirmed          -     2      2026-11-23 10:00:02Z  late\n",
		},
		"executions as JSON": {
			args: []string{"job", "executions", "j", "--all", "--status", "failed", "--json"},
			replies: map[string][]reply{"GET /api/jobs/j/executions": {
				ok(`{"executions":[{"deviceId":"a"}],"continuationToken":"t1"}`), ok(`{"executions":[{"deviceId":"b"}]}`),
			}},
			requests: []string{"GET /api/jobs/j/executions?pageSize=1000&status=failed", "GET /api/jobs/j/executions?continuationToken=t1&pageSize=1000&status=failed"},
			out:      "[\n  {\"deviceId\":\"a\"},\n  {\"deviceId\":\"b\"}\n]\n",
		},
		"executions as CSV have one header": {
			args: []string{"job", "executions", "j", "--all", "--csv"},
			replies: map[string][]reply{"GET /api/jobs/j/executions": {
				{200, "deviceId,payload\r\na,\"two\r\nlines\"\r\n", http.Header{"X-Continuation-Token": {"t1"}}},
				{200, "deviceId,payload\r\nb,\r\n", nil},
			}},
			requests: []string{"GET /api/jobs/j/executions?pageSize=10000", "GET /api/jobs/j/executions?continuationToken=t1&pageSize=10000"},
			out:      "deviceId,payload\r\na,\"two\r\nlines\"\r\nb,\r\n",
		},
		"executions of no device": {
			args: []string{"job", "executions", "j"}, replies: map[string][]reply{"GET /api/jobs/j/executions": {ok(`{"executions":[]}`)}},
			requests: []string{"GET /api/jobs/j/executions?pageSize=100"}, errors: "fleetjobs: there is no such device in the job\n",
		},
		"one execution": {
			args: []string{"job", "executions", "j", "--device", "a%#?", "--json"}, replies: map[string][]reply{"GET /api/jobs/j/executions": {ok(`{"deviceId":"a%#?"}`)}},
			requests: []string{"GET /api/jobs/j/executions?deviceId=a%25%23%3F"}, out: "{\n  \"deviceId\": \"a%#?\"\n}\n",
		},
		"cancel": {
			args: []string{"job", "cancel", "j"}, replies: map[string][]reply{"POST /api/jobs/j/cancel": {{202, jobJSON("j", "stopping", 2, 1, 0), nil}}},
			requests: []string{"POST /api/jobs/j/cancel"}, out: "job j: stopping. So it goes.\n",
		},
		"delete": {
			args: []string{"job", "delete", "j"}, replies: map[string][]reply{"DELETE /api/jobs/j": {{204, "", nil}}},
			requests: []string{"DELETE /api/jobs/j"}, out: "job j: deleted\n",
		},
		"delete a job that runs": {
			args: []string{"job", "delete", "j"}, replies: map[string][]reply{"DELETE /api/jobs/j": {{409, `{"title":"The job has not ended yet","detail":"cancel it first"}`, nil}}},
			requests: []string{"DELETE /api/jobs/j"}, errors: "fleetjobs: DELETE /api/jobs/j: The job has not ended yet: cancel it first (HTTP 409)\n", exit: cli.ExitFailure,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			for request, replies := range test.replies {
				w.on(request, replies...)
			}
			require.Equal(t, test.exit, w.run(t, test.args...), w.errors.String())
			require.Equal(t, test.requests, w.requests)
			require.Equal(t, test.out, w.out.String())
			require.Equal(t, test.errors, w.errors.String())
		})
	}
}

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	for line, text := range map[string]string{
		"jbo list":                          "did you mean: fleetjobs job list",
		"list":                              "did you mean: fleetjobs job list",
		"job wach x":                        "did you mean: fleetjobs job watch",
		"frobnicate":                        "try: fleetjobs help",
		"help frobnicate":                   "try: fleetjobs help",
		"job show":                          "a job id is missing",
		"job show a b":                      `"b" is too much`,
		"job list --limit 0":                "--limit 0 is too small",
		"job watch x --interval 1ms":        "is too short",
		"job executions x --csv --json":     "--csv does not go with --json",
		"job executions x --device a --csv": "--device shows one device",
	} {
		w := setup(t)
		require.Equal(t, cli.ExitUsage, w.run(t, strings.Fields(line)...), line)
		require.Contains(t, w.errors.String(), text, line)
		require.Empty(t, w.out.String())
	}
}

func TestWhichDeployment(t *testing.T) {
	t.Parallel()
	list := func(t *testing.T, w *world, args ...string) int {
		t.Helper()
		w.on("GET /api/jobs", ok(`{"jobs":[{"jobId":"a"}]}`))
		return w.run(t, append([]string{"job", "list", "--json"}, args...)...)
	}
	t.Run("flags come before the environment", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		w.env["FLEETJOBS_URL"] = "http://127.0.0.1:1"
		require.Equal(t, cli.ExitOK, list(t, w, "--url", w.url, "--key", "other"))
		require.Equal(t, []string{"other"}, w.keys)
		require.Empty(t, w.errors.String())
	})
	t.Run("without both, what fleetjobs dev wrote here", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		w.env = nil
		write(t, w, ".fleetjobs/dev.env", "# local\nFLEETJOBS_URL='"+w.url+"'\nFLEETJOBS_KEY='dev-key'\n")
		require.Equal(t, cli.ExitOK, list(t, w))
		require.Equal(t, []string{"dev-key"}, w.keys)
		require.Equal(t, "fleetjobs: using .fleetjobs/dev.env: "+w.url+"\n", w.errors.String())
	})
	t.Run("the key of the local deployment goes nowhere else", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		w.env = map[string]string{"FLEETJOBS_URL": w.url}
		write(t, w, ".fleetjobs/dev.env", "FLEETJOBS_URL=http://127.0.0.1:1\nFLEETJOBS_KEY=dev-key\n")
		require.Equal(t, cli.ExitOK, list(t, w))
		require.Equal(t, []string{""}, w.keys)
	})
	t.Run("a token for Easy Auth", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		w.env["FLEETJOBS_TOKEN"] = "of-the-environment"
		require.Equal(t, cli.ExitOK, list(t, w))
		require.Equal(t, cli.ExitOK, list(t, w, "--token", "of-the-flag"))
		require.Equal(t, "Bearer of-the-environment", w.headers[0].Get("Authorization"))
		require.Equal(t, "Bearer of-the-flag", w.headers[1].Get("Authorization"))
		require.Equal(t, []string{"the-key", "the-key"}, w.keys)
		require.NotContains(t, w.out.String()+w.errors.String(), "of-the-")
	})
	t.Run("the token of the environment does not go to fleetjobs dev", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		w.env = map[string]string{"FLEETJOBS_TOKEN": "of-azure"}
		write(t, w, ".fleetjobs/dev.env", "FLEETJOBS_URL="+w.url+"\nFLEETJOBS_KEY=dev-key\n")
		require.Equal(t, cli.ExitOK, list(t, w))
		require.Empty(t, w.headers[0].Values("Authorization"))
	})
	t.Run("none at all", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		w.env = nil
		require.Equal(t, cli.ExitUsage, list(t, w))
		require.Contains(t, w.errors.String(), "run 'fleetjobs dev' in this folder")
	})
	t.Run("a bad address", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		require.Equal(t, cli.ExitUsage, list(t, w, "--url", "fleet.example.com"))
		require.Contains(t, w.errors.String(), "absolute URL")
	})
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.on("GET /api/jobs/j", ok(jobJSON("j", "running", 2, 1, 0)))
	ctx, interrupt := context.WithCancel(t.Context())
	w.asleep = interrupt
	require.Equal(t, cli.ExitInterrupted, w.Run(ctx, []string{"job", "watch", "j"}))
	require.Contains(t, w.errors.String(), "the job goes on; follow it again with: fleetjobs job watch j")
}

func TestJSONIsJSON(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.on("DELETE /api/jobs/j", reply{status: 204})
	require.Equal(t, cli.ExitOK, w.run(t, "job", "delete", "j", "--json"))
	require.True(t, json.Valid(w.out.Bytes()))
}
