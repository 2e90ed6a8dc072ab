package test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/cli"
	"github.com/fleetjobs/fleetjobs/internal/devstack"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
	"github.com/fleetjobs/fleetjobs/internal/iothub"
)

// sdk sends requests as a service client of IoT Hub does that has a connection string.
func (s *stack) sdk(connection string) func(method, path, body string) answer {
	s.t.Helper()
	client, err := iothub.New(iothub.Options{ConnectionString: connection, CAFile: s.CAFile})
	require.NoError(s.t, err)
	s.t.Cleanup(client.Close)
	return func(method, path, body string) answer {
		s.t.Helper()
		r, err := http.NewRequestWithContext(s.t.Context(), method, "https://hub"+path, strings.NewReader(body))
		require.NoError(s.t, err)
		query := r.URL.Query()
		query.Set("api-version", "2021-04-12")
		r.URL.RawQuery = query.Encode()
		resp, err := client.Forwarder().RoundTrip(r)
		require.NoError(s.t, err)
		defer resp.Body.Close() //nolint:errcheck // read to its end
		b, err := io.ReadAll(resp.Body)
		require.NoError(s.t, err)
		return answer{resp.StatusCode, resp.Header, b}
	}
}

// TestAClientOfIoTHub uses the app as if it were a hub, and looks at the same jobs through the native API.
func TestAClientOfIoTHub(t *testing.T) {
	s := start(t, devstack.Options{Devices: 250, PassThrough: true})
	hub := s.sdk(s.ConnectionString)

	a := hub(http.MethodPut, "/jobs/v2/theirs", method("reboot", "*"))
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	require.JSONEq(t, `{"jobId":"theirs","type":"scheduleDeviceMethod","status":"queued"}`, string(a.body))
	s.until("theirs", ended)
	require.JSONEq(t, `{"kind":"policy","id":"iothubowner"}`, string(createdBy(t, s.call(http.MethodGet, "/api/jobs/theirs", "").body)))
	s.put("ours", strings.Replace(method("reboot", "*"), "{", `{"startTime":"2036-01-01T00:00:00Z",`, 1))
	a = hub(http.MethodGet, "/jobs/v2/query", "")
	require.Contains(t, string(a.body), `"jobId":"ours"`)
	require.Contains(t, string(hub(http.MethodGet, "/jobs/v2/ours", "").body), `"status":"scheduled"`)
	require.Equal(t, http.StatusOK, hub(http.MethodPost, "/jobs/v2/ours/cancel", "").status)
	require.Equal(t, "cancelled", s.job("ours").Status)

	var rows []map[string]any
	a = hub(http.MethodPost, "/devices/query", `{"query":"SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'theirs'"}`)
	require.NoError(t, json.Unmarshal(a.body, &rows), "%s", a.body)
	require.Len(t, rows, 100)
	require.NotEmpty(t, a.header.Get("x-ms-continuation"))

	// The rest is the hub's.
	a = hub(http.MethodPost, "/devices/query", `{"query":"SELECT COUNT() AS n FROM devices"}`)
	require.JSONEq(t, `[{"n":250}]`, string(a.body))
	a = hub(http.MethodPatch, "/twins/dev-000001", `{"tags":{"by":"facade"}}`)
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	a = hub(http.MethodPost, "/twins/dev-000001/methods", `{"methodName":"lockDoor","payload":null}`)
	require.Contains(t, string(a.body), `"status":200`)
	require.JSONEq(t, `{"totalDeviceCount":250,"enabledDeviceCount":250,"disabledDeviceCount":0}`, string(hub(http.MethodGet, "/statistics/devices", "").body))
	require.Equal(t, http.StatusNotFound, hub(http.MethodGet, "/$sim/stats", "").status)
}

// TestAJobOverModules runs over the modules that some devices have, made with either API.
func TestAJobOverModules(t *testing.T) {
	s := start(t, devstack.Options{Devices: 3, PassThrough: true, Journal: true})
	hub := s.sdk(s.ConnectionString)
	for _, path := range []string{"dev-000001/modules/door", "dev-000002/modules/door", "dev-000002/modules/other"} {
		a := hub(http.MethodPut, "/devices/"+path, `{}`)
		require.Equal(t, http.StatusCreated, a.status, "%s", a.body)
	}
	const doors = "FROM devices.modules WHERE moduleId = 'door'"
	want := map[string]int{"dev-000001/door": 1, "dev-000002/door": 1}

	s.put("ours", method("reboot", doors))
	s.until("ours", ended)
	require.Equal(t, want, s.Hub.CallCounts(fault.Methods))
	found := string(s.call(http.MethodGet, "/api/jobs/ours/executions?deviceId=dev-000002&moduleId=door", "").body)
	require.Contains(t, found, `"deviceId":"dev-000002","moduleId":"door","status":"succeeded"`)

	a := hub(http.MethodPut, "/jobs/v2/theirs", `{"type":"scheduleUpdateTwin","updateTwin":{"etag":"*","tags":{"locked":true}},"queryCondition":"`+doors+`"}`)
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	s.until("theirs", ended)
	require.Equal(t, want, s.Hub.CallCounts(fault.TwinUpdate))
	a = hub(http.MethodPost, "/devices/query", `{"query":"SELECT * FROM devices.modules WHERE tags.locked = true"}`)
	require.Equal(t, 2, strings.Count(string(a.body), `"moduleId":"door"`), "%s", a.body)
}

func createdBy(t *testing.T, body []byte) json.RawMessage {
	t.Helper()
	var v struct{ CreatedBy json.RawMessage }
	require.NoError(t, json.Unmarshal(body, &v))
	return v.CreatedBy
}

// TestATokenOpensTheHubsRoutes plays Entra ID: the app asks it for its keys, and believes what they signed.
func TestATokenOpensTheHubsRoutes(t *testing.T) {
	const tenant, client = "11111111-2222-3333-4444-555555555555", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	entra := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"keys":[{"kty":"RSA","use":"sig","kid":"k","n":%q,"e":"AQAB"}]}`, base64.RawURLEncoding.EncodeToString(key.N.Bytes()))
	}))
	t.Cleanup(entra.Close)
	s := start(t, devstack.Options{Devices: 1, SettingsOverrides: map[string]string{
		"FLEETJOBS_ENTRA_TENANT": tenant, "FLEETJOBS_ENTRA_AUDIENCES": "https://iothubs.azure.net",
		"FLEETJOBS_ENTRA_PRINCIPALS": client + "=ServiceConnect", "FLEETJOBS_ENTRA_AUTHORITY": entra.URL,
	}})
	put := func(id, oid string, roles ...string) int {
		token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
			"iss": "https://sts.windows.net/" + tenant + "/", "tid": tenant, "aud": "https://iothubs.azure.net", "oid": oid, "appid": "back end",
			"exp": time.Now().Add(time.Hour).Unix(), "roles": roles,
		})
		token.Header["kid"] = "k"
		text, err := token.SignedString(key)
		require.NoError(t, err)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.URL+"/jobs/v2/"+id+"?api-version=2021-04-12", strings.NewReader(method("reboot", "*")))
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+text)
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		http.DefaultClient.CloseIdleConnections()
		return resp.StatusCode
	}
	require.Equal(t, http.StatusUnauthorized, put("a", "stranger"))
	require.Equal(t, http.StatusUnauthorized, put("a", "reader", "Jobs.Read"))
	require.Equal(t, http.StatusOK, put("a", client))
	require.Equal(t, http.StatusOK, put("b", "writer", "Jobs.Write"))
	by := createdBy(t, s.call(http.MethodGet, "/api/jobs/a", "").body)
	require.JSONEq(t, `{"kind":"identity","id":"`+client+`","name":"back end","provider":"aad"}`, string(by))
}

// TestAHubsRoutesAreClosed asks without a credential of the app's own: with none, with the host's key, and with the hub's.
func TestAHubsRoutesAreClosed(t *testing.T) {
	s := start(t, devstack.Options{Devices: 1, SettingsOverrides: map[string]string{"FLEETJOBS_SAS_POLICIES": ""}})
	host, err := url.Parse(s.URL)
	require.NoError(t, err)
	require.NotEmpty(t, host.Port())
	stranger := s.sdk(s.ConnectionString) // right in form, and no policy is set
	for _, path := range []string{"/jobs/v2/query", "/jobs/v2/j", "/twins/dev-000001", "/devices", "/statistics/devices", "/configurations"} {
		for _, a := range []answer{s.call(http.MethodGet, path, ""), stranger(http.MethodGet, path, "")} {
			require.Equal(t, http.StatusUnauthorized, a.status, path)
			require.Equal(t, "IotHubUnauthorizedAccess", a.header.Get("iothub-errorcode"))
			require.Contains(t, string(a.body), `"Message":"ErrorCode:IotHubUnauthorizedAccess;Unauthorized"`)
		}
	}
	// The invocations of functions are no routes.
	for _, path := range []string{"/RunShard", "/devices/../RunShard", "/TimerDispatch"} {
		require.Contains(t, []int{http.StatusNotFound, http.StatusUnauthorized}, s.call(http.MethodPost, path, "{}").status, path)
	}
}

// TestImportFromAHub takes over what waits at a hub that has jobs of its own.
func TestImportFromAHub(t *testing.T) {
	s := start(t, devstack.Options{Devices: 2, HubJobs: true})
	hub := s.sdk(s.HubConnectionString)
	later := strings.Replace(method("reboot", "*"), "{", `{"startTime":"2036-01-01T00:00:00Z",`, 1)
	for _, id := range []string{"a", "b"} {
		require.Equal(t, http.StatusOK, hub(http.MethodPut, "/jobs/v2/"+id, later).status)
	}
	run := func(args ...string) string {
		var out, faults bytes.Buffer
		env := map[string]string{
			"FLEETJOBS_URL": s.URL, "FLEETJOBS_KEY": s.Key, "IOTHUB_CONNECTION_STRING": s.HubConnectionString, "IOTHUB_CA_FILE": s.CAFile,
		}
		m := &cli.Main{
			Stdin: strings.NewReader(""), Stdout: &out, Stderr: &faults, Dir: t.TempDir(), Version: "test",
			Getenv: func(name string) string { return env[name] }, Width: func() int { return 0 }, Now: time.Now,
			Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
		}
		require.Equal(t, cli.ExitOK, m.Run(t.Context(), append([]string{"import"}, args...)), faults.String())
		return out.String()
	}
	require.Equal(t, "job a: would be created, starts 2036-01-01T00:00:00Z\njob b: would be created, starts 2036-01-01T00:00:00Z\n", run("--dry-run"))
	require.Equal(t, "job a: created\njob b: created\n", run())
	require.Equal(t, "job a: already here, cancelled at the hub\njob b: already here, cancelled at the hub\n", run("--cancel"))
	require.Equal(t, "no job waits at the hub\n", run())
	require.Equal(t, "scheduled", s.job("a").Status)
	require.Contains(t, string(hub(http.MethodGet, "/jobs/v2/a", "").body), `"status":"cancelled"`)
}
