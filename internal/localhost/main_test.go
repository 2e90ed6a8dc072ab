package localhost

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/azurite/azuritetest"
)

// The test binary is also the handler: with this variable set it serves instead of testing.
const handlerVariable = "LOCALHOST_TEST_JOURNAL"

func TestMain(m *testing.M) {
	if root := os.Getenv(parentVariable); root != "" {
		runTestParent(root)
	}
	if journal := os.Getenv(handlerVariable); journal != "" {
		runTestHandler(journal)
	}
	azuritetest.Main(m)
}

// received is one request as the handler saw it.
type received struct {
	Method, URI, Host string
	Header            http.Header
	Chunked           bool
	Body              string
	Pid               int
}

// runTestHandler is a custom handler that writes every request to a journal, and then does what the request (or,
// for its start, the environment) tells it to.
func runTestHandler(journal string) {
	file, err := os.OpenFile(journal, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(os.Stdout, "handler says hello\n")
	fmt.Fprintln(os.Stderr, "handler complains")
	if code, err := strconv.Atoi(os.Getenv("TEST_EXIT_AT_START")); err == nil {
		os.Exit(code)
	}
	handle := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" && r.Method == http.MethodGet && r.Header.Get("X-Azure-Functions-InvocationId") == "" {
			return // readiness
		}
		body, _ := io.ReadAll(r.Body)
		record := received{
			Method: r.Method, URI: r.RequestURI, Host: r.Host, Header: r.Header,
			Chunked: len(r.TransferEncoding) > 0, Body: string(body), Pid: os.Getpid(),
		}
		line, _ := json.Marshal(record)
		_, _ = file.Write(append(line, '\n'))
		act(w, r, string(body))
	}
	address := "127.0.0.1:" + os.Getenv("FUNCTIONS_CUSTOMHANDLER_PORT")
	panic(http.ListenAndServe(address, http.HandlerFunc(handle))) //nolint:gosec // a test
}

// act finds an instruction like do=fail in the query or body and follows it. Without one it answers {}.
func act(w http.ResponseWriter, r *http.Request, body string) {
	_, instruction, _ := strings.Cut("do="+r.URL.Query().Get("do")+" "+body, "do=")
	if strings.HasPrefix(instruction, " ") {
		_, instruction, _ = strings.Cut(body, "do=")
	}
	instruction = instruction[:strings.IndexAny(instruction+" ", ` &\"`)]
	verb, argument, _ := strings.Cut(instruction, ":")
	switch verb {
	case "fail":
		w.WriteHeader(http.StatusInternalServerError)
	case "null":
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "null")
	case "sleep":
		pause, _ := time.ParseDuration(argument)
		time.Sleep(pause)
		reply(w, "{}")
	case "exit":
		code, _ := strconv.Atoi(argument)
		os.Exit(code)
	case "stream":
		_, _ = io.WriteString(w, "first")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	case "redirect":
		http.Redirect(w, r, "/moved", http.StatusFound)
	case "outputs":
		file := os.Getenv("TEST_OUTPUTS")
		reply(w, file)
	default:
		w.Header().Set("X-Handler", "yes")
		reply(w, "{}")
	}
}

func reply(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, text)
}

// app is a packaged app on disk with the test binary as its handler.
type app struct {
	root, journal string
	options       Options
}

// newApp writes an app. Files are given by path below the app root; host.json is made from the settings, which
// replace the defaults.
func newApp(t testing.TB, files map[string]string, settings ...string) *app {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	a := &app{root: t.TempDir(), journal: filepath.Join(t.TempDir(), "journal")}
	host, err := json.Marshal(map[string]any{
		"version":       "2.0",
		"customHandler": map[string]any{"description": map[string]any{"defaultExecutablePath": self}},
		"extensions":    map[string]any{"http": map[string]any{"routePrefix": ""}},
	})
	require.NoError(t, err)
	writeFile(t, filepath.Join(a.root, "host.json"), string(host))
	for name, content := range files {
		writeFile(t, filepath.Join(a.root, name), content)
	}
	a.options = Options{
		AppRoot: a.root, HandlerOutput: io.Discard, killGrace: 50 * time.Millisecond,
		Env: append([]string{handlerVariable + "=" + a.journal}, settings...),
	}
	return a
}

func writeFile(t testing.TB, path, content string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
}

// start runs the app until the test ends, and waits for its handlers.
func (a *app) start(t testing.TB) *Host {
	t.Helper()
	h, err := Start(t.Context(), a.options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	require.NoError(t, h.WaitReady(t.Context()))
	return h
}

// requests are all requests that handlers of the app have seen, readiness polls excepted.
func (a *app) requests(t *testing.T) []received {
	t.Helper()
	file, err := os.Open(a.journal)
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	var all []received
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		var r received
		require.NoError(t, json.Unmarshal(scanner.Bytes(), &r))
		all = append(all, r)
	}
	return all
}

// await waits until the handlers have seen so many requests, and returns them.
func (a *app) await(t *testing.T, count int) []received {
	t.Helper()
	require.Eventually(t, func() bool { return len(a.requests(t)) >= count }, time.Minute, 5*time.Millisecond)
	return a.requests(t)
}

// reply of an HTTP request made by get or do.
type webReply struct {
	status int
	header http.Header
	body   string
}

func get(t *testing.T, url string) webReply {
	t.Helper()
	return do(t, http.MethodGet, url, nil)
}

// do sends a request without following redirects. Headers are given as "Name: value"; a body as "" + text last.
func do(t *testing.T, method, url string, body io.Reader, headers ...string) webReply {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, body)
	require.NoError(t, err)
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		request.Header.Add(name, value)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return webReply{response.StatusCode, response.Header, string(content)}
}

// background makes a request and sends the status of its answer, 0 if there is none.
func background(ctx context.Context, url string) <-chan int {
	status := make(chan int, 1)
	go func() {
		defer close(status)
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return
		}
		response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
		if err != nil {
			return
		}
		_ = response.Body.Close()
		status <- response.StatusCode
	}()
	return status
}

// httpFunction is the function.json of an HTTP function.
func httpFunction(route, level string, methods ...string) string {
	trigger := map[string]any{
		"type": "httpTrigger", "direction": "in", "name": "req", "authLevel": level, "route": route, "methods": methods,
	}
	if methods == nil {
		delete(trigger, "methods")
	}
	document, err := json.Marshal(map[string]any{"bindings": []any{
		trigger, map[string]any{"type": "http", "direction": "out", "name": "res"},
	}})
	if err != nil {
		panic(err)
	}
	return string(document)
}
