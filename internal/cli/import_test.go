package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/cli"
	"github.com/fleetjobs/fleetjobs/internal/hubsim"
	"github.com/fleetjobs/fleetjobs/internal/iothub"
)

// hubWithJobs is a simulated hub with its own jobs, and the world's environment names it.
func hubWithJobs(t *testing.T, w *world) *http.Client {
	t.Helper()
	w.now = time.Now()
	hub, err := hubsim.Start(context.WithoutCancel(t.Context()), hubsim.Options{Jobs: true})
	require.NoError(t, err)
	t.Cleanup(hub.Close)
	w.env["IOTHUB_CONNECTION_STRING"], w.env["IOTHUB_CA_FILE"] = hub.ConnectionString(), hub.CAFile()
	client, err := iothub.New(iothub.Options{ConnectionString: hub.ConnectionString(), CAFile: hub.CAFile()})
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return &http.Client{Transport: client.Forwarder()}
}

// atHub asks the hub and gives its answer.
func atHub(t *testing.T, hub *http.Client, method, path, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "https://hub"+path+"?api-version=2021-04-12", strings.NewReader(body))
	require.NoError(t, err)
	resp, err := hub.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", text)
	return string(text)
}

func scheduled(kind, start string) string {
	return `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"` + kind + `","payload":{"a":1},"responseTimeoutInSeconds":30},` +
		`"queryCondition":"tags.x = 1","startTime":"` + start + `","maxExecutionTimeInSeconds":60}`
}

func TestImport(t *testing.T) {
	t.Parallel()
	w := setup(t)
	hub := hubWithJobs(t, w)
	for _, id := range []string{"later-1", "later-2"} {
		atHub(t, hub, http.MethodPut, "/jobs/v2/"+id, scheduled("reboot", "2036-01-01T00:00:00Z"))
	}
	atHub(t, hub, http.MethodPut, "/jobs/v2/gone", scheduled("reboot", "2036-01-01T00:00:00Z"))
	atHub(t, hub, http.MethodPost, "/jobs/v2/gone/cancel", "")
	atHub(t, hub, http.MethodPut, "/jobs/v2/soon", scheduled("reboot", w.now.Add(30*time.Second).UTC().Format(time.RFC3339)))
	w.on("GET /api/jobs/later-1", reply{status: http.StatusNotFound, body: `{}`})
	w.on("GET /api/jobs/later-2", ok(jobJSON("later-2", "scheduled", 0, 0, 0)))
	for _, id := range []string{"later-1", "later-2"} {
		w.on("PUT /api/jobs/"+id, reply{status: http.StatusAccepted, body: jobJSON(id, "scheduled", 0, 0, 0)})
	}

	require.Equal(t, cli.ExitOK, w.run(t, "import", "--dry-run"), w.errors.String())
	require.ElementsMatch(t, []string{
		"job later-1: would be created, starts 2036-01-01T00:00:00Z", "job later-2: already here, starts 2036-01-01T00:00:00Z",
		"job soon: left to the hub, it begins within a minute",
	}, strings.Split(strings.TrimSpace(w.out.String()), "\n"))
	require.NotContains(t, strings.Join(w.requests, "\n"), "PUT")

	w.out.Reset()
	require.Equal(t, cli.ExitOK, w.run(t, "import", "--cancel"), w.errors.String())
	require.Contains(t, w.out.String(), "job later-1: created, cancelled at the hub\n")
	require.Contains(t, w.out.String(), "job later-2: already here, cancelled at the hub\n")
	put := ""
	for _, r := range w.requests {
		if rest, found := strings.CutPrefix(r, "PUT /api/jobs/later-1 "); found {
			put = rest
		}
	}
	require.JSONEq(t, `{"jobId":"later-1","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"reboot","payload":{"a":1},
		"responseTimeoutInSeconds":30,"connectTimeoutInSeconds":0},"queryCondition":"tags.x = 1","startTime":"2036-01-01T00:00:00Z",
		"maxExecutionTimeInSeconds":60,"placeholders":false}`, put)
	require.Contains(t, atHub(t, hub, http.MethodGet, "/jobs/v2/later-1", ""), `"status":"cancelled"`)
	require.Contains(t, atHub(t, hub, http.MethodGet, "/jobs/v2/soon", ""), `"jobId":"soon"`)

	w.out.Reset()
	require.Equal(t, cli.ExitOK, w.run(t, "import", "--cancel"))
	require.NotContains(t, w.out.String(), "later", "what was taken over is not listed any more")
}

// A patch goes over as it is: what the native API would read as a placeholder is text at the hub.
func TestImportOfATwinJob(t *testing.T) {
	t.Parallel()
	w := setup(t)
	hub := hubWithJobs(t, w)
	atHub(t, hub, http.MethodPut, "/jobs/v2/patch", `{"type":"scheduleUpdateTwin","updateTwin":{"deviceId":null,"etag":"*","tags":{"site":null},`+
		`"properties":{"desired":{"banner":"{{site}}","$version":3}}},"queryCondition":"FROM devices.modules WHERE moduleId = 'm'","startTime":"2036-01-01T00:00:00Z"}`)
	w.on("GET /api/jobs/patch", reply{status: http.StatusNotFound, body: `{}`})
	w.on("PUT /api/jobs/patch", reply{status: http.StatusAccepted, body: jobJSON("patch", "scheduled", 0, 0, 0)})
	require.Equal(t, cli.ExitOK, w.run(t, "import"), w.errors.String())
	_, put, found := strings.Cut(w.requests[len(w.requests)-1], "PUT /api/jobs/patch ")
	require.True(t, found)
	require.JSONEq(t, `{"jobId":"patch","type":"scheduleUpdateTwin","updateTwin":{"etag":"*","tags":{"site":null},"properties":{"desired":{"banner":"{{site}}"}}},
		"queryCondition":"FROM devices.modules WHERE moduleId = 'm'","startTime":"2036-01-01T00:00:00Z","placeholders":false}`, put)
	require.NotContains(t, atHub(t, hub, http.MethodGet, "/jobs/v2/patch", ""), "cancelled", "unless --cancel says so")
}

func TestImportOfManyJobs(t *testing.T) {
	t.Parallel()
	w := setup(t)
	hub := hubWithJobs(t, w)
	const many = 120 // a page of the hub holds 100
	for i := range many {
		id := fmt.Sprintf("job-%d", i)
		atHub(t, hub, http.MethodPut, "/jobs/v2/"+id, scheduled("reboot", "2036-01-01T00:00:00Z"))
		w.on("GET /api/jobs/"+id, reply{status: http.StatusNotFound, body: `{}`})
	}
	require.Equal(t, cli.ExitOK, w.run(t, "import", "--dry-run"), w.errors.String())
	require.Equal(t, many, strings.Count(w.out.String(), ": would be created, "))
}

// One job that cannot be taken over keeps no other from it.
func TestImportGoesOn(t *testing.T) {
	t.Parallel()
	w := setup(t)
	hub := hubWithJobs(t, w)
	for _, id := range []string{"a", "b"} {
		atHub(t, hub, http.MethodPut, "/jobs/v2/"+id, scheduled("reboot", "2036-01-01T00:00:00Z"))
		w.on("GET /api/jobs/"+id, reply{status: http.StatusNotFound, body: `{}`})
	}
	w.on("PUT /api/jobs/a", reply{status: http.StatusConflict, body: `{"title":"The job id is taken","status":409}`})
	w.on("PUT /api/jobs/b", reply{status: http.StatusAccepted, body: jobJSON("b", "scheduled", 0, 0, 0)})
	require.Equal(t, cli.ExitFailure, w.run(t, "import", "--cancel"))
	require.Contains(t, w.out.String(), "job b: created, cancelled at the hub")
	require.Contains(t, w.errors.String(), "job a: PUT /api/jobs/a: The job id is taken")
	require.Contains(t, w.errors.String(), "1 of 2 jobs were not taken over")
	require.NotContains(t, atHub(t, hub, http.MethodGet, "/jobs/v2/a", ""), "cancelled")
}

func TestImportNeedsAHub(t *testing.T) {
	t.Parallel()
	w := setup(t)
	require.Equal(t, cli.ExitUsage, w.run(t, "import"))
	require.Contains(t, w.errors.String(), "no hub is named")
	key := "SharedAccessKeyName=service;SharedAccessKey=c2VjcmV0c2VjcmV0"
	for text, connection := range map[string]string{
		"HostName is required":        key,
		"names the deployment itself": "HostName=" + strings.TrimPrefix(w.url, "http://") + ";" + key,
	} {
		w.errors = bytes.Buffer{}
		require.Equal(t, cli.ExitUsage, w.run(t, "import", "--hub", connection))
		require.Contains(t, w.errors.String(), text)
		require.NotContains(t, w.errors.String(), "c2VjcmV0")
	}
}
