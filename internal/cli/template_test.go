package cli_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/cli"
)

const storedTemplate = `{"templateId":"lock","version":2,"description":"Locks doors","job":{},
	"parameters":[{"name":"building","type":"integer","required":true},{"name":"note","type":"string","default":"x"},{"name":"ids","type":"array"}]}`

func TestTemplateCommands(t *testing.T) {
	t.Parallel()
	w := setup(t)
	write(t, w, "lock.yaml", "description: Locks doors\njob: {type: x}\n")
	w.on("PUT /api/templates/lock", ok(storedTemplate))
	require.Equal(t, cli.ExitOK, w.run(t, "template", "put", "lock", "-f", "lock.yaml"), w.errors.String())
	require.Equal(t, "template lock: version 2\n", w.out.String())
	require.JSONEq(t, `{"description":"Locks doors","job":{"type":"x"}}`, strings.SplitN(w.requests[0], " ", 3)[2])

	w.on("GET /api/templates", ok(`{"templates":[`+storedTemplate+`]}`))
	require.Equal(t, cli.ExitOK, w.run(t, "template", "list"))
	require.Contains(t, w.out.String(), "lock      2        building, note, ids  Locks doors")
	w.on("GET /api/templates/lock", ok(storedTemplate))
	require.Equal(t, cli.ExitOK, w.run(t, "template", "show", "lock"))
	require.Contains(t, w.out.String(), `"templateId"`)
	w.on("DELETE /api/templates/lock", reply{status: http.StatusNoContent})
	require.Equal(t, cli.ExitOK, w.run(t, "template", "delete", "lock"))
	require.Contains(t, w.out.String(), "template lock: deleted\n")
	require.Equal(t, cli.ExitUsage, w.run(t, "template", "put", "lock"))
	require.Equal(t, cli.ExitUsage, w.run(t, "template", "put", "lock", "-f", "none.yaml"))
	require.Equal(t, cli.ExitUsage, w.run(t, "template", "shwo", "lock"))
	require.Contains(t, w.errors.String(), "did you mean: fleetjobs template show")
}

// TestAJobOfATemplateTypesItsValues: what the template declares decides, not what a value looks like.
func TestAJobOfATemplateTypesItsValues(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.on("GET /api/templates/lock", ok(storedTemplate))
	w.on("PUT /api/jobs/lock-43", reply{status: http.StatusAccepted, body: `{"jobId":"lock-43","status":"scheduled"}`})
	require.Equal(t, cli.ExitOK, w.run(t, "job", "create", "--id", "lock-43", "--template", "lock", "-p", "building=43", "-p", "note=43", "-p", `ids=["a"]`, "-p", "other=1=2",
		"--max-devices", "5"), w.errors.String())
	require.JSONEq(t, `{"jobId":"lock-43","template":"lock","parameters":{"building":43,"note":"43","ids":["a"],"other":"1=2"},"maxDevices":5}`,
		strings.SplitN(w.requests[1], " ", 3)[2])
	for _, wrong := range [][]string{
		{"--template", "lock", "-p", "building=forty"},
		{"--template", "lock", "-p", "building"},
		{"--method", "m", "--query", "*", "-p", "building=43"},
	} {
		require.Equal(t, cli.ExitUsage, w.run(t, append([]string{"job", "create"}, wrong...)...), wrong)
	}
}

func TestJobCopy(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.on("POST /api/jobs/a/copy", reply{status: http.StatusAccepted, body: `{"jobId":"b","status":"scheduled"}`})
	write(t, w, "other.yaml", "rollout: null\nstartTime: 2027-01-01T00:00:00Z\n")
	require.Equal(t, cli.ExitOK, w.run(t, "job", "copy", "a", "--id", "b", "--device", "x", "--start", "+1h", "-f", "other.yaml"), w.errors.String())
	require.JSONEq(t, `{"jobId":"b","deviceIds":["x"],"startTime":"2026-11-23T11:00:00Z","rollout":null}`, strings.SplitN(w.requests[0], " ", 3)[2])
	require.Empty(t, w.headers[0].Get("Idempotency-Key"))
	require.Equal(t, cli.ExitOK, w.run(t, "job", "copy", "a", "--query", "*"))
	require.JSONEq(t, `{"queryCondition":"*"}`, strings.SplitN(w.requests[1], " ", 3)[2])
	require.NotEmpty(t, w.headers[1].Get("Idempotency-Key"))
	require.Equal(t, cli.ExitUsage, w.run(t, "job", "copy"))
}
