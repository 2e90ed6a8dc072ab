package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// tutorial runs both programs of the tutorial, as they are, with jobs run by s.
func (w *world) tutorial(t *testing.T, s server) {
	for _, language := range []struct {
		name            string
		runtime         runtime
		device, service string
	}{
		{"tutorial-node", w.node, nodeExample + "/simDevice.js", nodeExample + "/scheduleJobService.js"},
		{"tutorial-python", w.python, pythonExample + "/sim_device.py", pythonExample + "/schedule_job_service.py"},
	} {
		t.Run(language.name, func(t *testing.T) {
			t.Parallel()
			id := s.name + "-" + language.name
			device := language.runtime.command(t, language.device, "DEVICE_CONNECTION_STRING="+w.register(t, id))
			printed := background(t, device)
			require.Eventually(t, func() bool { return strings.Contains(printed.String(), "connected") }, time.Minute, 50*time.Millisecond,
				"the device did not connect: %s", printed)

			service := language.runtime.command(t, language.service, "IOTHUB_CONNECTION_STRING="+s.connection)
			service.Args = append(service.Args, id)
			said := run(t, service)
			require.Equal(t, 2, strings.Count(said, ": 1 succeeded, 0 failed"), "%s", said)
			for _, line := range []string{`lockDoor {"lockTime":"10m"}`, `"building":"43"`, `"floor":3`} {
				require.Eventually(t, func() bool { return strings.Contains(withoutSpaces(printed.String()), withoutSpaces(line)) },
					time.Minute, 50*time.Millisecond, "the device did not print %s: %s", line, printed)
			}
		})
	}
}

// withoutSpaces makes what json.dumps and JSON.stringify print the same.
func withoutSpaces(text string) string { return strings.ReplaceAll(text, " ", "") }

// background runs a program until the test ends, and gives what it prints.
func background(t *testing.T, cmd *exec.Cmd) *output {
	t.Helper()
	printed := &output{}
	cmd.Stdout, cmd.Stderr = printed, printed
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait() // it was killed
	})
	return printed
}

// examples runs the examples that use the native API.
func (w *world) examples(t *testing.T) {
	inBuilding := strconv.Itoa(w.building)
	env := []string{"FLEETJOBS_URL=" + w.URL, "FLEETJOBS_KEY=" + w.Key, "BUILDING=" + inBuilding, "OFFLINE_DEVICE_ID=" + offlineDevice}
	for _, example := range []struct {
		name    string
		runtime runtime
		program string
	}{
		{"node-backend", runtime{program: []string{"node"}}, "../../examples/node-backend/backend.js"},
		{"python-backend", runtime{program: []string{"python3"}}, "../../examples/python-backend/backend.py"},
	} {
		t.Run(example.name, func(t *testing.T) {
			t.Parallel()
			cmd := example.runtime.command(t, example.program, env...)
			cmd.Args = append(cmd.Args, inBuilding)
			said := run(t, cmd)
			require.Contains(t, said, "created ")
			require.Contains(t, said, "completed "+strconv.Itoa(w.neighbours)+" of "+strconv.Itoa(w.neighbours))
			require.Equal(t, 1, strings.Count(said, "\nfailed "), "%s", said)
			require.Contains(t, said, "\nfailed "+offlineDevice+" deviceOffline ")
		})
	}
	t.Run("web-module", func(t *testing.T) {
		t.Parallel()
		run(t, w.node.command(t, "node/page.mjs", env...))
	})
	t.Run("web-origin", func(t *testing.T) {
		t.Parallel()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, w.URL+"/api/jobs", http.NoBody)
		require.NoError(t, err)
		r.Header.Set("Origin", w.web.URL)
		r.Header.Set("Access-Control-Request-Method", http.MethodPost)
		r.Header.Set("Access-Control-Request-Headers", "content-type,idempotency-key,x-functions-key")
		resp, err := w.web.Client().Do(r)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusNoContent, resp.StatusCode)
		require.Equal(t, w.web.URL, resp.Header.Get("Access-Control-Allow-Origin"))
		require.Equal(t, "content-type,idempotency-key,x-functions-key", resp.Header.Get("Access-Control-Allow-Headers"))
	})
	t.Run("web-browser", func(t *testing.T) {
		t.Parallel()
		w.browse(t)
	})
}

// report is what testdata/drive.html has seen on the page.
type report struct {
	Fault, Status string
	Done, Of      int
	Failures      [][]string
}

// serveWeb serves examples/web and what drives it, before the deployment starts, which must know the origin.
func (w *world) serveWeb(t *testing.T) {
	t.Helper()
	w.reports = make(chan report, 1)
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServer(http.Dir("../../examples/web")))
	mux.HandleFunc("GET /drive.html", func(rw http.ResponseWriter, r *http.Request) { http.ServeFile(rw, r, "testdata/drive.html") })
	mux.HandleFunc("GET /settings", func(rw http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(rw).Encode(map[string]string{"url": w.URL, "key": w.Key, "condition": "tags.building = " + strconv.Itoa(w.building)})
	})
	mux.HandleFunc("POST /report", func(rw http.ResponseWriter, r *http.Request) {
		var seen report
		if err := json.NewDecoder(r.Body).Decode(&seen); err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		select {
		case w.reports <- seen:
		default: // one was sent already
		}
	})
	w.web = httptest.NewServer(mux)
	t.Cleanup(w.web.Close)
}

// browse has a browser use the page.
func (w *world) browse(t *testing.T) {
	browser := findBrowser()
	if browser == "" {
		t.Skip("no browser is installed: Chrome, Chromium, or one that CHROME names")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	// Its sandbox needs rights that neither root nor a container has; the page is ours.
	cmd := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--user-data-dir="+filepath.Join(t.TempDir(), "profile"), "--remote-debugging-port=0", w.web.URL+"/drive.html")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	require.NoError(t, cmd.Start())
	defer func() {
		cancel()
		_ = cmd.Wait() // it was interrupted
	}()
	select {
	case seen := <-w.reports:
		require.Empty(t, seen.Fault)
		require.Equal(t, []int{w.neighbours, w.neighbours}, []int{seen.Done, seen.Of})
		require.Contains(t, seen.Status, "completed: "+strconv.Itoa(w.neighbours-1)+" succeeded, 1 failed")
		require.Len(t, seen.Failures, 1)
		require.Equal(t, []string{offlineDevice, "deviceOffline"}, seen.Failures[0][:2])
	case <-ctx.Done():
		cancel()
		_ = cmd.Wait()
		t.Fatalf("the browser reported nothing: %s", said.String())
	}
}

func findBrowser() string {
	for _, name := range []string{os.Getenv("CHROME"), "google-chrome", "chromium", "chromium-browser"} {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path
		}
	}
	return ""
}
