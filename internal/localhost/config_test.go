package localhost

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTimeSpan(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"00:00:01":         time.Second,
		"01:02:03":         time.Hour + 2*time.Minute + 3*time.Second,
		"1.00:00:00":       24 * time.Hour,
		"00:05":            5 * time.Minute,
		"00:00:00.5":       500 * time.Millisecond,
		"00:00:00.1234567": 123456700,
		"-00:00:01":        -time.Second,
	} {
		got, err := timeSpan(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "5", "24:00:00", "00:60:00", "00:00:60", "1:2:3:4", "a:b:c", "00:00:", "00:00:00.", "00:00.5", "00:00:00.12345678", "+1:00:00", "::"} {
		_, err := timeSpan(text)
		require.Error(t, err, text)
	}
}

func TestHostConfig(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	writeFile(t, filepath.Join(root, "host.json"), `{
	  "version": "2.0",
	  "functionTimeout": "00:10:00",
	  "logging": {"logLevel": {"default": "Information"}},
	  "customHandler": {
	    "description": {"defaultExecutablePath": "handler", "arguments": ["--a", "%MODE%", "%UNSET%"]},
	    "enableForwardingHttpRequest": true, "enableProxyingHttpRequest": true
	  },
	  "extensions": {
	    "http": {"routePrefix": ""},
	    "queues": {"batchSize": 16, "newBatchThreshold": 16, "maxPollingInterval": "00:00:01",
	      "visibilityTimeout": "00:00:00", "maxDequeueCount": 5, "messageEncoding": "none"}
	  }
	}`)
	writeFile(t, filepath.Join(root, "handler"), "")

	got, err := loadHostConfig(root, environment{
		"MODE=fast", "AzureFunctionsJobHost__extensions__queues__batchSize=4",
		"azurefunctionsjobhost__CUSTOMHANDLER__initializationTimeout=00:00:05",
	})

	require.NoError(t, err)
	require.Equal(t, hostConfig{
		executable: filepath.Join(root, "handler"), arguments: []string{"--a", "fast"}, workingDir: root,
		stderrIsErrors: true, forwarding: true, proxying: true, initTimeout: 5 * time.Second,
		functionTimeout: 10 * time.Minute, routePrefix: "",
		queues: queueConfig{batchSize: 4, newBatchThreshold: 16, maxDequeueCount: 5, maxPolling: time.Second},
	}, got)
}

func TestHostConfigDefaults(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	writeFile(t, filepath.Join(root, "host.json"),
		`{"version":"2.0","functionTimeout":"-1","customHandler":{"description":{"defaultExecutablePath":"handler"}}}`)

	got, err := loadHostConfig(root, environment{`AzureFunctionsJobHost__customHandler__description__arguments=["-x","-y"]`})

	require.NoError(t, err)
	require.Equal(t, "handler", got.executable, "not a file of the app: looked up in PATH")
	require.Equal(t, []string{"-x", "-y"}, got.arguments)
	require.Equal(t, "api", got.routePrefix)
	require.Equal(t, 30*time.Second, got.initTimeout)
	require.Zero(t, got.functionTimeout, "-1 is unlimited")
	require.True(t, got.queues.base64)
	require.Equal(t, time.Minute, got.queues.maxPolling)
}

func TestHostConfigIsRefused(t *testing.T) {
	t.Parallel()
	const description = `"customHandler":{"description":{"defaultExecutablePath":"handler"}}`
	for _, test := range []struct{ name, host, want string }{
		{"no version", `{` + description + `}`, "version"},
		{"no executable", `{"version":"2.0"}`, "defaultexecutablepath: is required"},
		{"typing error", `{"version":"2.0",` + description + `,"functionTimeOut2":"1"}`, "functiontimeout2: unknown setting"},
		{"typing error below queues", `{"version":"2.0",` + description + `,"extensions":{"queues":{"batchsise":1}}}`, "unknown setting"},
		{"batch too big", `{"version":"2.0",` + description + `,"extensions":{"queues":{"batchSize":33}}}`, "from 1 to 32"},
		{"encoding", `{"version":"2.0",` + description + `,"extensions":{"queues":{"messageEncoding":"hex"}}}`, "neither none nor base64"},
		{"timeout", `{"version":"2.0",` + description + `,"functionTimeout":"00:00:00"}`, "shorter"},
		{"not JSON", `{`, "parsing JSON"},
		{"port", `{"version":"2.0","customHandler":{"port":1,"description":{"defaultExecutablePath":"h"}}}`, "unknown setting"},
		{"retry", `{"version":"2.0",` + description + `,"retry":{"strategy":"fixedDelay","maxRetryCount":1}}`, "delayinterval: is required"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			writeFile(t, filepath.Join(root, "host.json"), test.host)
			_, err := loadHostConfig(root, nil)
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestFunctionsAreFoundOneLevelDownInOrderOfTheirNames(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	writeFile(t, filepath.Join(root, "b-jobs", "function.json"), httpFunction("jobs", "anonymous"))
	writeFile(t, filepath.Join(root, "Clock", "function.json"),
		`{"bindings":[{"type":"timerTrigger","direction":"in","name":"timer","schedule":"%WHEN%"}],
		  "retry":{"strategy":"exponentialBackoff","maxRetryCount":-1,"minimumInterval":"00:00:01","maximumInterval":"00:00:05"}}`)
	writeFile(t, filepath.Join(root, "Aqueue", "function.json"),
		`{"disabled":"OFF","bindings":[{"type":"queueTrigger","direction":"in","name":"msg","queueName":"%Q%"},
		  {"type":"queue","direction":"out","name":"out","queueName":"next","connection":"Other"}]}`)
	writeFile(t, filepath.Join(root, "docs", "readme.txt"), "not a function")

	got, err := loadFunctions(root, hostConfig{}, environment{"WHEN=0 */5 * * * *", "Q=Jobs", "AzureWebJobs.Clock.Disabled=true", "OFF=1"})

	require.NoError(t, err)
	require.Len(t, got, 3)
	require.Equal(t, []string{"Aqueue", "b-jobs", "Clock"}, []string{got[0].name, got[1].name, got[2].name})
	require.Equal(t, "jobs", got[0].trigger.QueueName)
	require.Equal(t, "AzureWebJobsStorage", got[0].trigger.Connection)
	require.Equal(t, "Other", got[0].outputs[0].Connection)
	require.True(t, got[0].disabled)
	require.True(t, got[1].plainHTTP())
	require.True(t, got[2].disabled)
	require.Equal(t, &retryPolicy{max: -1, exponential: true, low: time.Second, high: 5 * time.Second}, got[2].retry)
}

func TestFunctionsAreRefused(t *testing.T) {
	t.Parallel()
	timer := func(extra string) string {
		return `{"bindings":[{"type":"timerTrigger","direction":"in","name":"t","schedule":"0 * * * * *"}]` + extra + `}`
	}
	for _, test := range []struct{ name, path, document, want string }{
		{"nested", "functions/Job/function.json", timer(""), "only directly below"},
		{"name", "1st/function.json", timer(""), "not a valid function name"},
		{"host as name", "Host/function.json", timer(""), "not a valid function name"},
		{"none", "Job/readme", "", "no job functions found"},
		{"no bindings", "Job/function.json", `{"bindings":[]}`, "bindings are missing"},
		{"no trigger", "Job/function.json", `{"bindings":[{"type":"queue","direction":"out","name":"o","queueName":"abc"}]}`, "no trigger"},
		{"unknown binding", "Job/function.json", `{"bindings":[{"type":"blobTrigger","direction":"in","name":"b"}]}`, "not supported"},
		{"unknown member", "Job/function.json", timer(`,"scirptFile":"x"`), "unknown field"},
		{"script missing", "Job/function.json", timer(`,"scriptFile":"x"`), "does not exist"},
		{"setting missing", "Job/function.json", `{"bindings":[{"type":"timerTrigger","direction":"in","name":"t","schedule":"%NOPE%"}]}`, "'%NOPE%' does not resolve"},
		{"schedule", "Job/function.json", `{"bindings":[{"type":"timerTrigger","direction":"in","name":"t","schedule":"often"}]}`, "neither an NCRONTAB"},
		{"queue name", "Job/function.json", `{"bindings":[{"type":"queueTrigger","direction":"in","name":"m","queueName":"a_b"}]}`, "not a queue name"},
		{"no http output", "Job/function.json", `{"bindings":[{"type":"httpTrigger","direction":"in","name":"r"}]}`, "needs an http output"},
		{"reserved route", "Job/function.json", httpFunction("administrators", "anonymous"), "refuses routes"},
		{"auth level", "Job/function.json", httpFunction("x", "user"), "authLevel"},
		{"retry on http", "Job/function.json", `{"retry":{},` + httpFunction("x", "anonymous")[1:], "timer triggers only"},
		{"disabled", "Job/function.json", timer(`,"disabled":3`), "disabled"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			writeFile(t, filepath.Join(root, test.path), test.document)
			_, err := loadFunctions(root, hostConfig{}, nil)
			require.ErrorContains(t, err, test.want)
		})
	}
	t.Run("stray file", func(t *testing.T) {
		t.Parallel()
		root := t.TempDir()
		writeFile(t, filepath.Join(root, "Job", "function.json"), timer(""))
		writeFile(t, filepath.Join(root, "Job", "run.js"), "")
		_, err := loadFunctions(root, hostConfig{}, nil)
		require.ErrorContains(t, err, "more than function.json")
	})
	t.Run("same route twice", func(t *testing.T) {
		t.Parallel()
		root := t.TempDir()
		writeFile(t, filepath.Join(root, "A", "function.json"), httpFunction("x", "anonymous", "get"))
		writeFile(t, filepath.Join(root, "B", "function.json"), httpFunction("X", "anonymous"))
		_, err := loadFunctions(root, hostConfig{}, nil)
		require.ErrorContains(t, err, "share the route")
	})
}

func TestStartRefusesAnAppWithoutExecutable(t *testing.T) {
	t.Parallel()
	a := newApp(t, map[string]string{"Job/function.json": httpFunction("x", "anonymous")})
	host, err := os.ReadFile(filepath.Join(a.root, "host.json"))
	require.NoError(t, err)
	require.NotEmpty(t, host)
	a.options.Env = append(a.options.Env, "AzureFunctionsJobHost__customHandler__description__defaultExecutablePath=no/such/file")
	_, err = Start(t.Context(), a.options)
	require.ErrorContains(t, err, "handler executable")
}
