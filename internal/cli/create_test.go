package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/cli"
)

func TestCreateSends(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args    []string
		stdin   string
		request string
	}{
		"method on a query": {
			args:    []string{"--id", "r", "--method", "reboot", "--query", "tags.building = 43"},
			request: `PUT /api/jobs/r {"jobId":"r","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"reboot"},"queryCondition":"tags.building = 43"}`,
		},
		"method with everything, at a time from now": {
			args: []string{
				"--id", "r", "--method", "m", "--payload", `"text"`, "--response-timeout", "1m", "--connect-timeout", "5s",
				"--device", "a", "--device", "b", "--start", "+20s", "--max-time", "2h",
			},
			request: `PUT /api/jobs/r {"jobId":"r","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m","payload":"text","responseTimeoutInSeconds":60,"connectTimeoutInSeconds":5},"deviceIds":["a","b"],"startTime":"2026-11-23T10:00:20Z","maxExecutionTimeInSeconds":7200}`,
		},
		"a callback": {
			args:    []string{"--id", "r", "--method", "m", "--query", "*", "--callback-url", "https://a/b?sig=1"},
			request: `PUT /api/jobs/r {"jobId":"r","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*","notifications":{"callbackUrl":"https://a/b?sig=1"}}`,
		},
		"abort criteria": {
			args:    []string{"--id", "r", "--method", "m", "--query", "*", "--abort-at", "12.5", "--abort-min", "50"},
			request: `PUT /api/jobs/r {"jobId":"r","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*","abort":{"criteria":[{"thresholdPercentage":12.5,"minNumberOfExecutedDevices":50}]}}`,
		},
		"retry criteria": {
			args:    []string{"--id", "r", "--method", "m", "--query", "*", "--retries", "3", "--retry-delay", "30s", "--offline-until", "12h"},
			request: `PUT /api/jobs/r {"jobId":"r","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*","retry":{"criteria":[{"failureType":"deviceOffline","until":"PT43200S","delay":"PT30S"},{"numberOfRetries":3,"delay":"PT30S"}]}}`,
		},
		"timeouts, at most once": {
			args:    []string{"--id", "r", "--method", "m", "--query", "*", "--start-within", "2h", "--call-timeout", "20s", "--at-most-once"},
			request: `PUT /api/jobs/r {"jobId":"r","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*","timeout":{"notStarted":"PT7200S","inProgress":"PT20S"},"deliveryGuarantee":"atMostOnce"}`,
		},
		"several hubs": {
			args:    []string{"--id", "r", "--method", "m", "--query", "*", "--hub", "a", "--hub", "b"},
			request: `PUT /api/jobs/r {"jobId":"r","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*","hubs":["a","b"]}`,
		},
		"all hubs": {
			args:    []string{"--id", "r", "--method", "m", "--query", "*", "--hub", "all"},
			request: `PUT /api/jobs/r {"jobId":"r","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*","hubs":"all"}`,
		},
		"an explicit null is a payload": {
			args:    []string{"--method", "m", "--payload", "null", "--query", "*"},
			request: `POST /api/jobs {"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m","payload":null},"queryCondition":"*"}`,
		},
		"twin, devices from standard input": {
			args:    []string{"--desired", `{"floor":3}`, "--tags", `{"old":null}`, "--devices-file", "-", "--start", "2027-01-31T05:00:00+01:00"},
			stdin:   "a\r\n\n b \n",
			request: `POST /api/jobs {"type":"scheduleUpdateTwin","updateTwin":{"tags":{"old":null},"properties":{"desired":{"floor":3}}},"deviceIds":["a","b"],"startTime":"2027-01-31T04:00:00Z"}`,
		},
		"twin that devices confirm": {
			args:    []string{"--desired", `{"floor":3}`, "--confirm-within", "10m", "--query", "*"},
			request: `POST /api/jobs {"type":"scheduleUpdateTwin","updateTwin":{"properties":{"desired":{"floor":3}}},"confirm":{"within":"PT600S"},"queryCondition":"*"}`,
		},
		"from a file, as it is": {
			args:    []string{"-f", "job.json"},
			request: `PUT /api/jobs/from-file {"jobId": "from-file", "unknown": 1}`,
		},
		"from standard input": {
			args: []string{"-f", "-"}, stdin: `{"type":"x"}`,
			request: `POST /api/jobs {"type":"x"}`,
		},
		"from a YAML file": {
			args:    []string{"-f", "job.yaml"},
			request: `PUT /api/jobs/y {"jobId":"y","cloudToDeviceMethod":{"methodName":"m","payload":{"n":1,"f":1.5,"yes":true,"no":null,"1":"2"}},"schedule":{"cron":"0 2 * * *","exclude":["2026-12-24"]},"startTime":"2026-12-01T02:00:00Z"}`,
		},
		"every night": {
			args: []string{
				"--id", "n", "--method", "m", "--query", "*", "--cron", "0 2 * * *", "--time-zone", "Europe/Berlin", "--overlap", "bufferOne", "--runs", "5", "--jitter", "10m",
			},
			request: `PUT /api/jobs/n {"jobId":"n","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*","schedule":{"cron":"0 2 * * *","timeZone":"Europe/Berlin","overlapPolicy":"bufferOne","remainingRuns":5,"jitter":"PT600S"}}`,
		},
		"every six hours": {
			args:    []string{"--id", "n", "--method", "m", "--query", "*", "--every", "6h"},
			request: `PUT /api/jobs/n {"jobId":"n","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*","schedule":{"interval":"PT21600S"}}`,
		},
		"payload from a file": {
			args:    []string{"--method", "m", "--query", "*", "--payload", "@payload.json"},
			request: `POST /api/jobs {"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m","payload":[1,2]},"queryCondition":"*"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.Stdin = strings.NewReader(test.stdin)
			write(t, w, "job.json", `{"jobId": "from-file", "unknown": 1}`)
			write(t, w, "job.yaml", `
jobId: y
cloudToDeviceMethod:
  methodName: m
  payload: {n: 1, f: 1.5, "yes": true, "no": ~, 1: "2"}
schedule: # every night but one
  cron: 0 2 * * *
  exclude: [2026-12-24]
startTime: 2026-12-01T02:00:00Z
`)
			write(t, w, "payload.json", "[1,2]\n")
			for _, route := range []string{"PUT /api/jobs/r", "PUT /api/jobs/from-file", "PUT /api/jobs/y", "PUT /api/jobs/n", "POST /api/jobs"} {
				w.on(route, ok(jobJSON("the-id", "scheduled", 0, 0, 0)))
			}
			require.Equal(t, cli.ExitOK, w.run(t, append([]string{"job", "create"}, test.args...)...), w.errors.String())
			require.Equal(t, []string{test.request}, w.requests)
			require.Equal(t, []string{"the-key"}, w.keys)
			require.Equal(t, "job the-id: scheduled\nfollow it with: fleetjobs job watch the-id\n", w.out.String())
		})
	}
}

func write(t *testing.T, w *world, name, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(w.Dir, name)), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(w.Dir, name), []byte(text), 0o600))
}

func TestCreateRefusesWithAHint(t *testing.T) {
	t.Parallel()
	method := []string{"--method", "m", "--query", "*"}
	for name, test := range map[string]struct {
		args []string
		text string
	}{
		"nothing to do":             {[]string{"--query", "*"}, "what is the job to do?"},
		"two things":                {append(method, "--tags", "{}"), "a job does one thing"},
		"no devices":                {[]string{"--method", "m"}, "which devices?"},
		"two targets":               {append(method, "--device", "a"), "--query does not go with --device"},
		"bad payload":               {append(method, "--payload", "hello"), `--payload '"text"'`},
		"no such file":              {append(method, "--payload", "@nope.json"), "nope.json"},
		"bad start":                 {append(method, "--start", "tomorrow"), "+20s"},
		"start before now":          {append(method, "--start", "+-20s"), "+20s"},
		"odd timeout":               {append(method, "--response-timeout", "1500ms"), "whole number of seconds"},
		"no unit":                   {append(method, "--response-timeout", "30"), `invalid value "30"`},
		"a start beside a schedule": {append(method, "--query", "*", "--cron", "* * * * *", "--start", "+1h"), "--start does not go with --cron and --every"},
		"a zone without a schedule": {append(method, "--query", "*", "--time-zone", "UTC"), "--time-zone is for a job that runs again and again"},
		"YAML with an alias":        {[]string{"-f", "alias.yaml"}, "aliases are not taken"},
		"flags with a file":         {append(method, "-f", "job.json"), "--method does not go with -f"},
		"timeout for a twin":        {[]string{"--tags", "{}", "--query", "*", "--connect-timeout", "5s"}, "goes with --method only"},
		"empty device list":         {[]string{"--method", "m", "--devices-file", "-"}, "names no device"},
		"key with an id":            {append(method, "--id", "x", "--idempotency-key", "y"), "does not go with an id"},
		"an argument":               {append(method, "now"), `"now" is too much`},
		"a misspelt flag":           {append(method, "--wach"), "did you mean --watch?"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			write(t, w, "alias.yaml", "a: &a {}\nb: *a\n")
			require.Equal(t, cli.ExitUsage, w.run(t, append([]string{"job", "create"}, test.args...)...))
			require.Contains(t, w.errors.String(), test.text)
			require.Empty(t, w.requests)
			require.Empty(t, w.out.String())
			require.Equal(t, 2, strings.Count(w.errors.String(), "\n"), "a fault and a hint:\n%s", w.errors.String())
		})
	}
}

func TestCreateShowsEveryFaultThatTheServiceFinds(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.on("POST /api/jobs", reply{status: 400, body: `{"title":"The request is not valid","errors":[{"field":"a","value":"1","rule":"r1"},{"field":"b","rule":"r2"}]}`})
	require.Equal(t, cli.ExitUsage, w.run(t, "job", "create", "--method", "m", "--query", "*"))
	require.Equal(t, "fleetjobs: POST /api/jobs: The request is not valid (HTTP 400)\n  a: 1: r1\n  b: r2\n", w.errors.String())
}

func TestCreateMayBeRepeated(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.on("POST /api/jobs", reply{status: 503}, ok(jobJSON("j", "scheduled", 0, 0, 0)))
	require.Equal(t, cli.ExitOK, w.run(t, "job", "create", "--method", "m", "--query", "*"))
	require.Len(t, w.headers, 2)
	require.NotEmpty(t, w.headers[0].Get("Idempotency-Key"))
	require.Equal(t, w.headers[0].Get("Idempotency-Key"), w.headers[1].Get("Idempotency-Key"))

	w = setup(t)
	w.on("POST /api/jobs", ok(jobJSON("j", "scheduled", 0, 0, 0)))
	require.Equal(t, cli.ExitOK, w.run(t, "job", "create", "--method", "m", "--query", "*", "--idempotency-key", "mine"))
	require.Equal(t, "mine", w.headers[0].Get("Idempotency-Key"))
}

func TestCreateValidates(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ answer, out string }{
		"many": {
			`{"deviceCount":10000,"firstDeviceIds":["a","b"],"warnings":[]}`,
			"the job is valid; it would reach 10,000 devices now, the first of them: a, b\n",
		},
		"one":  {`{"deviceCount":1,"firstDeviceIds":["a"]}`, "the job is valid; it would reach 1 device now: a\n"},
		"none": {`{"deviceCount":0,"firstDeviceIds":[]}`, "the job is valid; no device matches now\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.on("POST /api/jobs", ok(test.answer))
			require.Equal(t, cli.ExitOK, w.run(t, "job", "create", "--method", "m", "--query", "*", "--validate"))
			require.Equal(t, test.out, w.out.String())
			require.True(t, strings.HasPrefix(w.requests[0], "POST /api/jobs?validateOnly=true {"))
		})
	}
}

func TestCreateAndWatch(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.on("PUT /api/jobs/r", ok(jobJSON("r", "scheduled", 0, 0, 0)))
	w.on("GET /api/jobs/r", ok(jobJSON("r", "running", 2, 1, 0)), ok(jobJSON("r", "completed", 2, 1, 1)))
	require.Equal(t, cli.ExitOutcome, w.run(t, "job", "create", "--id", "r", "--method", "reboot", "--query", "*", "--watch"))
	require.Contains(t, w.out.String(), "job r: completed after 13 s.")
	require.Contains(t, w.errors.String(), "1 device did not succeed")
}
