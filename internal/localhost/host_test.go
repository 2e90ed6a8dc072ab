package localhost

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/devca"
)

const queueTriggerFile = `{"bindings":[{"type":"queueTrigger","direction":"in","name":"msg","queueName":"jobs"},
	{"type":"queue","direction":"out","name":"out","queueName":"next"}]}`

// withQueues gives an app queues in memory, by name.
func (a *app) withQueues() func(name string) *memoryQueue {
	queues := map[string]*memoryQueue{}
	find := func(name string) *memoryQueue {
		if queues[name] == nil {
			queues[name] = &memoryQueue{}
		}
		return queues[name]
	}
	for _, name := range []string{"jobs", "jobs-poison", "next"} {
		find(name)
	}
	a.options.openQueue = func(_, name string) (messageQueue, error) { return find(name), nil }
	return find
}

func TestHandlerStartsWithTheHostsEnvironment(t *testing.T) {
	t.Parallel()
	a := newApp(t, map[string]string{"Job/function.json": httpFunction("x", "anonymous")}, "MY_SETTING=1")
	var output bytes.Buffer
	a.options.HandlerOutput = &output
	h := a.start(t)
	environ, err := os.ReadFile("/proc/" + strconv.Itoa(h.Pids()[0]) + "/environ")
	if err != nil {
		t.Skip("no /proc here")
	}
	variables := environment(strings.Split(string(environ), "\x00"))
	port, _ := variables.lookup("FUNCTIONS_CUSTOMHANDLER_PORT")
	other, _ := variables.lookup("FUNCTIONS_HTTPWORKER_PORT")
	id, _ := variables.lookup("FUNCTIONS_CUSTOMHANDLER_WORKER_ID")
	otherID, _ := variables.lookup("FUNCTIONS_HTTPWORKER_ID")
	root, _ := variables.lookup("FUNCTIONS_APP_ROOT_PATH")
	setting, _ := variables.lookup("MY_SETTING")
	require.Equal(t, []string{port, id, a.root, "1"}, []string{other, otherID, root, setting})
	require.Len(t, id, 36)
	require.NoError(t, h.Close())
	require.Contains(t, output.String(), "[handler 0 INFO] handler says hello\n")
	require.Contains(t, output.String(), "[handler 0 ERROR] handler complains\n")
}

func TestRoutingAndKeys(t *testing.T) {
	t.Parallel()
	a := newApp(t, map[string]string{
		"Open/function.json":  httpFunction("open/{id:int}", "anonymous", "get"),
		"Keyed/function.json": httpFunction("keyed", "function"),
		"Admin/function.json": httpFunction("secret", "admin"),
		"Off/function.json":   httpFunction("off", "anonymous"),
	}, "AzureWebJobs.Off.Disabled=true")
	a.options.EnforceKeys = true
	a.options.Keys = Keys{Master: "master", Host: "host", Further: []string{"second"}, Functions: map[string]string{"Keyed": "own", "Admin": "admin"}}
	h := a.start(t)
	require.Equal(t, "host", h.HostKey())
	require.NotEmpty(t, h.Keys().Functions["Open"], "missing keys are made up")

	for _, test := range []struct {
		method, path, header string
		want                 int
	}{
		{"GET", "/", "", 200},
		{"GET", "/open/1", "", 200},
		{"GET", "/open/x", "", 404},
		{"POST", "/open/1", "", 404}, // never 405
		{"GET", "/off", "", 404},
		{"GET", "/Keyed?code=own", "", 200},
		{"GET", "/keyed?code=host", "", 200},
		{"GET", "/keyed?code=second", "", 200},
		{"GET", "/keyed?code=master", "", 200},
		{"GET", "/keyed", "x-functions-key: own", 200},
		{"GET", "/keyed?code=own", "x-functions-key: wrong", 401},
		{"GET", "/keyed?code=admin", "", 401},
		{"GET", "/keyed", "", 401},
		{"GET", "/secret?code=host", "", 401},
		{"GET", "/secret?code=second", "", 401},
		{"GET", "/secret?code=admin", "", 401},
		{"GET", "/secret?code=master", "", 200},
		{"GET", "/admin/host/ping", "", 200},
		{"GET", "/admin/host/status", "", 401},
		{"GET", "/admin/host/status?code=host", "", 401},
		{"GET", "/admin/host/status?code=master", "", 200},
		{"GET", "/admin/functions/keyed?code=master", "", 200},
		{"GET", "/admin/functions?code=master", "", 200},
		{"GET", "/admin/nothing?code=master", "", 404},
		{"POST", "/admin/functions/keyed?code=master", "", 400},
	} {
		headers := []string{}
		if test.header != "" {
			headers = append(headers, test.header)
		}
		got := do(t, test.method, h.URL()+test.path, nil, headers...)
		require.Equal(t, test.want, got.status, test)
		if test.want == 401 {
			require.Empty(t, got.body)
		}
	}
	require.Contains(t, get(t, h.URL()+"/admin/host/status?code=master").body, `"state":"Running"`)
}

func TestBrowsersAreAnsweredByTheHost(t *testing.T) {
	t.Parallel()
	a := newApp(t, map[string]string{"Job/function.json": httpFunction("x", "function")})
	a.options.EnforceKeys = true
	a.options.CORS = []string{"http://localhost:5173"}
	h := a.start(t)

	preflight := func(origin string) webReply {
		return do(t, http.MethodOptions, h.URL()+"/x", nil, "Origin: "+origin,
			"Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: x-functions-key")
	}
	allowed := preflight("http://localhost:5173")
	require.Equal(t, 204, allowed.status)
	require.Equal(t, "http://localhost:5173", allowed.header.Get("Access-Control-Allow-Origin"))
	require.Equal(t, "PUT", allowed.header.Get("Access-Control-Allow-Methods"))
	require.Equal(t, "x-functions-key", allowed.header.Get("Access-Control-Allow-Headers"))
	require.Empty(t, preflight("http://evil.example").header.Get("Access-Control-Allow-Origin"))
	plain := do(t, http.MethodGet, h.URL()+"/x?code="+h.HostKey(), nil, "Origin: http://localhost:5173")
	require.Equal(t, "http://localhost:5173", plain.header.Get("Access-Control-Allow-Origin"))
	require.Len(t, a.requests(t), 1, "preflight requests do not reach the handler")
}

func TestBrowsersAreAllowedByLocalSettings(t *testing.T) {
	t.Parallel()
	const settings = `{"IsEncrypted": false, "Values": {}, "Host": {"CORS": "http://localhost:5173, https://app.example", "CORSCredentials": true}}`
	a := newApp(t, map[string]string{"Job/function.json": httpFunction("x", "anonymous"), "local.settings.json": settings})
	h := a.start(t)
	ask := func(origin string) http.Header {
		return do(t, http.MethodGet, h.URL()+"/x", nil, "Origin: "+origin).header
	}
	for _, origin := range []string{"http://localhost:5173", "https://app.example"} {
		require.Equal(t, origin, ask(origin).Get("Access-Control-Allow-Origin"))
		require.Equal(t, "true", ask(origin).Get("Access-Control-Allow-Credentials"))
	}
	require.Empty(t, ask("https://app.example:8443").Get("Access-Control-Allow-Origin"))
	require.Empty(t, ask("https://evil.example").Get("Access-Control-Allow-Credentials"))
	preflight := do(t, http.MethodOptions, h.URL()+"/x", nil, "Origin: https://app.example", "Access-Control-Request-Method: DELETE")
	require.Equal(t, 204, preflight.status)
	require.Equal(t, "DELETE", preflight.header.Get("Access-Control-Allow-Methods"))
	require.Equal(t, "true", preflight.header.Get("Access-Control-Allow-Credentials"))
}

func TestOptionsComeBeforeLocalSettings(t *testing.T) {
	t.Parallel()
	a := newApp(t, map[string]string{
		"Job/function.json": httpFunction("x", "anonymous"), "local.settings.json": `{"Host": {"CORS": "https://app.example"}}`,
	})
	a.options.CORS = []string{"*"}
	h := a.start(t)
	got := do(t, http.MethodGet, h.URL()+"/x", nil, "Origin: https://other.example").header
	require.Equal(t, "*", got.Get("Access-Control-Allow-Origin"))
	require.Empty(t, got.Get("Access-Control-Allow-Credentials"))
}

func TestLocalSettingsThatNoBrowserCanUseAreRefused(t *testing.T) {
	t.Parallel()
	for settings, want := range map[string]string{
		`{"Host": {"CORS": "*", "CORSCredentials": true}}`: "must name the origins",
		`{"Host": `: "reading local.settings.json",
	} {
		a := newApp(t, map[string]string{"Job/function.json": httpFunction("x", "anonymous"), "local.settings.json": settings})
		_, err := Start(t.Context(), a.options)
		require.ErrorContains(t, err, want)
	}
}

func TestBeforeTheHandlerIsReadyTheHostIsNotRunning(t *testing.T) {
	t.Parallel()
	a := newApp(t, map[string]string{"Job/function.json": httpFunction("x", "anonymous")},
		"AzureFunctionsJobHost__customHandler__description__defaultExecutablePath=sleep",
		`AzureFunctionsJobHost__customHandler__description__arguments=["60"]`)
	h, err := Start(t.Context(), a.options)
	require.NoError(t, err)
	got := get(t, h.URL()+"/x")
	require.Equal(t, 503, got.status)
	require.Equal(t, "Function host is not running.\n", got.body)
	require.Contains(t, get(t, h.URL()+"/admin/host/status").body, "Initializing")
	require.NoError(t, h.Close())
	require.ErrorIs(t, h.WaitReady(t.Context()), errClosed)
	require.NoError(t, h.Err())
}

const (
	forwarding = "AzureFunctionsJobHost__customHandler__enableForwardingHttpRequest=true"
	proxying   = "AzureFunctionsJobHost__customHandler__enableProxyingHttpRequest=true"
)

func TestForwarding(t *testing.T) {
	t.Parallel()
	a := newApp(t, map[string]string{"Job/function.json": httpFunction("api/{*rest}", "anonymous")}, forwarding)
	h := a.start(t)
	host := strings.TrimPrefix(h.URL(), "http://")

	got := do(t, http.MethodPut, h.URL()+"/api/jobs/a%3Fb?x=1&x=2", strings.NewReader("body"),
		"User-Agent: me", "X-Azure-Functions-InvocationId: forged", "X-Forwarded-For: 1.2.3.4",
		"Content-Type: text/x", "Content-Language: de", "x-functions-key: k")
	require.Equal(t, 200, got.status)
	require.Equal(t, "yes", got.header.Get("X-Handler"))
	require.Equal(t, "{}", got.body)
	seen := a.requests(t)[0]
	require.Equal(t, "PUT /api/jobs/a?x=1,2", seen.Method+" "+seen.URI)
	require.Equal(t, host, seen.Host)
	require.Equal(t, "body", seen.Body)
	require.False(t, seen.Chunked)
	require.Equal(t, "me Azure-Functions-Host/"+hostVersion, seen.Header.Get("User-Agent"))
	ids := seen.Header.Values("X-Azure-Functions-InvocationId")
	require.Len(t, ids, 2)
	require.Equal(t, "forged", ids[0])
	require.Len(t, ids[1], 36)
	require.Equal(t, "1.2.3.4", seen.Header.Get("X-Forwarded-For"))
	require.Equal(t, "text/x", seen.Header.Get("Content-Type"))
	require.Equal(t, "k", seen.Header.Get("x-functions-key"))
	require.Empty(t, seen.Header.Get("Content-Language"))

	chunked := do(t, http.MethodPost, h.URL()+"/api/x", io.MultiReader(strings.NewReader("chunked")))
	require.Equal(t, 500, chunked.status, "the host cannot forward a chunked body")
	redirect := get(t, h.URL()+"/api/x?do=redirect")
	require.Equal(t, 302, redirect.status, "redirects reach the caller")
	require.Equal(t, 500, get(t, h.URL()+"/api/x?do=fail").status)
	require.Equal(t, Stats{Started: 4, Succeeded: 3, Failed: 1}, h.Stats()["Job"], "an error answer is no failed invocation")
	dead := get(t, h.URL()+"/api/x?do=exit:1")
	require.Equal(t, 500, dead.status)
	require.Empty(t, dead.body)
}

func TestProxying(t *testing.T) {
	t.Parallel()
	a := newApp(t, map[string]string{"Job/function.json": httpFunction("api/{*rest}", "anonymous")}, forwarding, proxying)
	h := a.start(t)

	got := do(t, http.MethodPost, h.URL()+"/api/a%3Fb//c?x=1&x=2;y&%zz", io.MultiReader(strings.NewReader("chunked")),
		"User-Agent: me", "X-Azure-Functions-InvocationId: forged", "X-Forwarded-For: 1.2.3.4",
		"X-Forwarded-Prefix: /p", "Forwarded: for=1.2.3.4", "Content-Language: de")
	require.Equal(t, 200, got.status)
	seen := a.requests(t)[0]
	require.Equal(t, "/api/a%3Fb//c?x=1&x=2;y&%zz", seen.URI, "verbatim")
	require.True(t, strings.HasPrefix(seen.Host, "127.0.0.1:"))
	require.NotEqual(t, strings.TrimPrefix(h.URL(), "http://"), seen.Host, "Host is the handler's")
	require.Equal(t, "chunked", seen.Body)
	require.True(t, seen.Chunked)
	require.Equal(t, "me", seen.Header.Get("User-Agent"))
	require.Equal(t, "127.0.0.1", seen.Header.Get("X-Forwarded-For"))
	require.Equal(t, strings.TrimPrefix(h.URL(), "http://"), seen.Header.Get("X-Forwarded-Host"))
	require.Equal(t, "http", seen.Header.Get("X-Forwarded-Proto"))
	require.Empty(t, seen.Header.Get("X-Forwarded-Prefix")+seen.Header.Get("Forwarded"))
	require.Equal(t, "de", seen.Header.Get("Content-Language"))
	id := seen.Header.Values("X-Azure-Functions-InvocationId")
	require.Len(t, id, 1)
	require.Len(t, id[0], 36)
	require.Equal(t, id, seen.Header.Values("X-Ms-Invocation-Id"))

	response, err := http.Get(h.URL() + "/api/x?do=stream") //nolint:noctx // closed below
	require.NoError(t, err)
	first := make([]byte, 5)
	_, err = io.ReadFull(response.Body, first)
	require.NoError(t, err)
	require.Equal(t, "first", string(first), "answers are streamed")
	require.NoError(t, response.Body.Close())
	require.Eventually(t, func() bool { return h.Stats()["Job"].InFlight == 0 }, time.Minute, 5*time.Millisecond,
		"the caller's going away reaches the handler")
	http.DefaultClient.CloseIdleConnections()

	require.Equal(t, 502, get(t, h.URL()+"/api/x?do=exit:1").status)
}

// With both modes off an HTTP request travels in an envelope, and redirects of the handler are followed.
func TestHTTPEnvelope(t *testing.T) {
	t.Parallel()
	a := newApp(t, map[string]string{"Job/function.json": httpFunction("jobs/{id}", "anonymous")},
		`TEST_OUTPUTS={"Outputs":{"res":{"statusCode":201,"headers":{"Location":"/x"},"body":"made"}}}`)
	h := a.start(t)
	got := do(t, http.MethodPost, h.URL()+"/jobs/42?do=outputs&a=1&a=2", strings.NewReader(`{"name":"x"}`))
	require.Equal(t, []any{201, "made", "/x"}, []any{got.status, got.body, got.header.Get("Location")})
	seen := a.requests(t)[0]
	require.Equal(t, "POST /Job", seen.Method+" "+seen.URI)
	require.Contains(t, seen.Body, `"Params":{"id":"42"}`)
	require.Contains(t, seen.Body, `"a":"1,2"`)
	require.Contains(t, seen.Body, `"Body":"{\"name\":\"x\"}"`)
	require.Contains(t, seen.Body, `"name":"\"x\""`)

	require.Equal(t, 200, get(t, h.URL()+"/jobs/42?do=redirect").status)
	all := a.requests(t)
	require.Equal(t, "GET /moved", all[len(all)-1].Method+" "+all[len(all)-1].URI, "the body is lost")
	require.Equal(t, 500, get(t, h.URL()+"/jobs/42?do=fail").status)
}

func TestQueueMessageReachesTheHandler(t *testing.T) {
	t.Parallel()
	a := newApp(t, map[string]string{"Work/function.json": queueTriggerFile}, forwarding,
		`TEST_OUTPUTS={"Outputs":{"out":["one","done"]},"Logs":["hello"]}`,
		"AzureFunctionsJobHost__extensions__queues__maxDequeueCount=2")
	queue := a.withQueues()
	h := a.start(t)
	send := func(text string) {
		require.NoError(t, queue("jobs").Send(t.Context(), queueConfig{base64: true}.encode(text)))
	}
	send("do=outputs")
	seen := a.await(t, 1)[0]
	require.Equal(t, "POST /Work", seen.Method+" "+seen.URI)
	require.Equal(t, "application/json; charset=utf-8", seen.Header.Get("Content-Type"))
	require.Equal(t, "Azure-Functions-Host/"+hostVersion, seen.Header.Get("User-Agent"))
	require.Equal(t, hostVersion, seen.Header.Get("X-Azure-Functions-HostVersion"))
	require.NotEmpty(t, seen.Header.Get("Traceparent"))
	require.Len(t, seen.Header.Get("X-Azure-Functions-InvocationId"), 36)
	require.Empty(t, seen.Header.Get("Accept-Encoding"))
	require.True(t, seen.Chunked)
	require.Contains(t, seen.Body, `"msg":"\"do=outputs\""`)
	require.Eventually(t, func() bool { return len(queue("next").texts()) == 2 }, time.Minute, 5*time.Millisecond)
	require.ElementsMatch(t, []string{"b25l", "ZG9uZQ=="}, queue("next").texts())
	require.Eventually(t, func() bool { return len(queue("jobs").texts()) == 0 }, time.Minute, 5*time.Millisecond)

	for _, bad := range []string{"do=fail", "do=redirect"} {
		send(bad)
	}
	require.Eventually(t, func() bool { return len(queue("jobs-poison").texts()) == 2 }, time.Minute, 5*time.Millisecond)
	require.Equal(t, Stats{Started: 5, Succeeded: 1, Failed: 4}, h.Stats()["Work"])
}

func TestFunctionsRunByHand(t *testing.T) {
	t.Parallel()
	a := newApp(t, map[string]string{
		"Work/function.json":  queueTriggerFile,
		"Clock/function.json": `{"bindings":[{"type":"timerTrigger","direction":"in","name":"timer","schedule":"0 0 0 1 1 *"}]}`,
	})
	a.withQueues()
	a.options.EnforceKeys = true
	h := a.start(t)
	run := func(name, key, body string) int {
		return do(t, http.MethodPost, h.URL()+"/admin/functions/"+name, strings.NewReader(body), "x-functions-key: "+key).status
	}
	master := h.Keys().Master
	require.Equal(t, 401, run("Work", h.HostKey(), `{"input":"x"}`))
	require.Equal(t, 404, run("Nope", master, `{}`))
	require.Equal(t, 400, run("Work", master, `x`))
	require.Equal(t, 202, run("Work", master, `{"input":"by hand"}`))
	require.Contains(t, a.await(t, 1)[0].Body, `"msg":"\"by hand\""`)
	require.Equal(t, 202, run("clock", master, ``))
	require.Contains(t, a.await(t, 2)[1].Body, `"IsPastDue":false`)
}

func TestRequestsAreSpreadOverInstances(t *testing.T) {
	t.Parallel()
	a := newApp(t, map[string]string{"Job/function.json": httpFunction("x", "anonymous")})
	a.options.Instances = 3
	h := a.start(t)
	for range 6 {
		require.Equal(t, 200, get(t, h.URL()+"/x").status)
	}
	byPid := map[int]int{}
	for _, r := range a.requests(t) {
		byPid[r.Pid]++
	}
	want := map[int]int{}
	for _, pid := range h.Pids() {
		want[pid] = 2
	}
	require.Equal(t, want, byPid)
}

func TestHTTPSBesideHTTP(t *testing.T) {
	t.Parallel()
	authority, err := devca.New([]string{"localhost"})
	require.NoError(t, err)
	a := newApp(t, map[string]string{"Job/function.json": httpFunction("x", "anonymous")})
	a.options.TLS = &tls.Config{Certificates: []tls.Certificate{authority.Server}, MinVersion: tls.VersionTLS12}
	h := a.start(t)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(authority.PEM))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+h.TLSAddr()+"/x", http.NoBody)
	require.NoError(t, err)
	resp, err := transport.RoundTrip(r)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, http.StatusOK, do(t, http.MethodGet, h.URL()+"/x", nil).status)
}
