// Package logicapp_test runs the workflow definitions of this folder: a small interpreter executes them, action by action and
// expression by expression, against a stand-in for the API and against a whole local deployment, and holds every request
// against openapi.yaml. It is no Logic Apps: what only Azure can show is listed in docs/logic-apps.md.
package logicapp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	hostKey = "the-host-key"
	jobID   = "lock-08584000000000000000000000000CU01"
)

// workflow is a definition as the code view of the portal has it.
type workflow struct {
	Definition struct {
		Schema         string `json:"$schema"`
		ContentVersion string `json:"contentVersion"`
		Parameters     map[string]struct {
			Type         string `json:"type"`
			DefaultValue any    `json:"defaultValue"`
		} `json:"parameters"`
		Triggers map[string]struct {
			Type string `json:"type"`
		} `json:"triggers"`
		Actions map[string]*action `json:"actions"`
	} `json:"definition"`
}

func load(t *testing.T, file string) *workflow {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var w workflow
	decoder := json.NewDecoder(bytes.NewReader(text))
	require.NoError(t, decoder.Decode(&w))
	return &w
}

// checker holds a request against openapi.yaml: the path, the parameters, the body.
func checker(t *testing.T) func(*http.Request, []byte) error {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("../../internal/api/openapi.yaml")
	require.NoError(t, err)
	router, err := legacy.NewRouter(doc)
	require.NoError(t, err)
	return func(r *http.Request, body []byte) error {
		copied := r.Clone(r.Context())
		copied.URL.Host, copied.URL.Scheme, copied.Host = "", "", ""
		copied.Body = io.NopCloser(bytes.NewReader(body))
		return checkRequest(router, copied)
	}
}

func checkRequest(router routers.Router, r *http.Request) error {
	route, path, err := router.FindRoute(r)
	if err != nil {
		return err
	}
	return openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{
		Request: r, PathParams: path, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: func(_ context.Context, in *openapi3filter.AuthenticationInput) error {
			if r.Header.Get("x-functions-key") == "" && r.URL.Query().Get("code") == "" {
				return in.NewError(http.ErrNoCookie)
			}
			return nil
		}},
	})
}

// stub answers as the API does for one job with a given end.
type stub struct {
	*httptest.Server
	job   map[string]any
	polls int         // answers of 202 before the end
	call  chan string // callback addresses that were given
}

func newStub(t *testing.T, job map[string]any) *stub {
	t.Helper()
	s := &stub{job: job, polls: 2, call: make(chan string, 1)}
	s.Server = httptest.NewServer(s)
	t.Cleanup(func() {
		s.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return s
}

func (s *stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, body any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}
	path, _ := strings.CutPrefix(r.URL.Path, "/api/jobs/"+jobID)
	switch r.Method + " " + path {
	case "PUT ":
		var in struct {
			Notifications struct{ CallbackURL string }
		}
		_ = json.NewDecoder(r.Body).Decode(&in)
		if in.Notifications.CallbackURL != "" {
			s.call <- in.Notifications.CallbackURL
		}
		s.accepted(w, r)
		answer(http.StatusAccepted, map[string]any{"jobId": jobID, "status": "running"})
	case "GET /result":
		if s.polls--; s.polls > 0 {
			s.accepted(w, r)
			answer(http.StatusAccepted, map[string]any{"jobId": jobID, "status": "running"})
			return
		}
		answer(http.StatusOK, s.job)
	case "GET ":
		answer(http.StatusOK, s.job)
	case "POST /cancel":
		answer(http.StatusOK, s.job)
	case "GET /executions":
		answer(http.StatusOK, map[string]any{"executions": []any{map[string]any{"deviceId": "d-1", "status": "failed"}}})
	default:
		answer(http.StatusNotFound, map[string]any{})
	}
}

// accepted names the address to poll, with the key if it came as a parameter.
func (s *stub) accepted(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Location", s.URL+"/api/jobs/"+jobID+"/result?"+r.URL.RawQuery)
	w.Header().Set("Retry-After", "5")
}

func newEngine(t *testing.T, address string) *engine {
	t.Helper()
	return &engine{
		scope: scope{
			parameters: map[string]any{"functionAppUrl": address, "hostKey": hostKey},
			trigger:    map[string]any{"building": 43},
			run:        strings.TrimPrefix(jobID, "lock-"),
			bodies:     map[string]any{},
		},
		pause: func(time.Duration) {},
		check: checker(t),
	}
}

func ended(status string, succeeded, failed int) map[string]any {
	return map[string]any{
		"jobId": jobID, "status": status, "statusMessage": "It has ended.",
		"deviceJobStatistics": map[string]any{"succeededCount": succeeded, "failedCount": failed},
	}
}

// outcomes are the ends of a job, and what a workflow makes of each.
func outcomes() map[string]outcome {
	unplannable := ended("failed", 0, 0)
	unplannable["failureReason"] = "The hub refused the query."
	return map[string]outcome{
		"every device succeeded": {
			job: ended("completed", 7, 0), last: "Report_success", body: "7 doors of building 43 are locked.",
		},
		"some devices failed": {
			job: ended("completed", 6, 1), last: "Report_the_others",
			body: map[string]any{"jobId": jobID, "reasons": nil, "devices": []any{map[string]any{"deviceId": "d-1", "status": "failed"}}},
			more: []string{"GET /api/jobs/" + jobID + "/executions"},
		},
		"the job was cancelled": {
			job: ended("cancelled", 3, 4), last: "Stop_as_cancelled", end: terminated{Status: "Cancelled"},
		},
		"the job could not be carried out": {
			job: unplannable, last: "Stop_as_failed", end: terminated{"Failed", "JobFailed", "The hub refused the query."},
		},
		"a job fails without a reason": {
			job: ended("failed", 0, 0), last: "Stop_as_failed", end: terminated{"Failed", "JobFailed", "It has ended."},
		},
	}
}

type outcome struct {
	job  map[string]any
	last string // the action that ends the branch
	body any    // what it gives
	end  error  // how the run ends, if early
	more []string
}

func (o outcome) hold(t *testing.T, e *engine, err error) {
	t.Helper()
	if o.end == nil {
		require.NoError(t, err)
		require.Equal(t, o.body, e.bodies[o.last])
	} else {
		var end terminated
		require.ErrorAs(t, err, &end)
		require.Equal(t, o.end, end)
	}
	require.Contains(t, e.ran, o.last)
}

func TestPollingWaitsAndTakesTheBranchOfTheOutcome(t *testing.T) {
	t.Parallel()
	w := load(t, "workflow.json")
	for name, o := range outcomes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEngine(t, newStub(t, o.job).URL)
			waited := time.Duration(0)
			e.pause = func(d time.Duration) { waited += d }

			o.hold(t, e, e.run(t.Context(), w.Definition.Actions))
			job := "/api/jobs/" + jobID
			require.Equal(t, append([]string{"PUT " + job, "GET " + job + "/result", "GET " + job + "/result"}, o.more...), e.calls)
			require.Equal(t, 10*time.Second, waited)
		})
	}
}

// all calls f for each action, with those inside of branches.
func all(actions map[string]*action, f func(name string, a *action, siblings map[string]*action)) {
	for name, a := range actions {
		f(name, a, actions)
		for _, inner := range []map[string]*action{a.Actions, a.Else.Actions, a.Default.Actions} {
			all(inner, f)
		}
		for _, c := range a.Cases {
			all(c.Actions, f)
		}
	}
}

func TestDefinitionsKeepTheRulesOfTheLanguage(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"workflow.json", "workflow-webhook.json"} {
		d := load(t, file).Definition
		require.Equal(t, "https://schema.management.azure.com/providers/Microsoft.Logic/schemas/2016-06-01/workflowdefinition.json#", d.Schema)
		require.NotEmpty(t, d.ContentVersion)
		require.Len(t, d.Triggers, 1)
		require.Equal(t, "securestring", d.Parameters["hostKey"].Type)
		for name, p := range d.Parameters {
			require.Nil(t, p.DefaultValue, "%s: a secret or an address of ours has no place here: %s", file, name)
		}
		var seen []string
		all(d.Actions, func(name string, a *action, siblings map[string]*action) {
			require.NotContains(t, seen, name, "names are unique in the whole definition")
			seen = append(seen, name)
			require.Regexp(t, `^[A-Za-z0-9_]{1,80}$`, name)
			for before, statuses := range a.RunAfter {
				require.Contains(t, siblings, before, "%s runs after what is not beside it", name)
				require.Subset(t, []string{"Succeeded", "Failed", "Skipped", "TimedOut"}, statuses)
			}
			if bytes.Contains(a.Inputs, []byte("hostKey")) {
				require.Contains(t, a.RuntimeConfiguration.SecureData.Properties, "inputs", "%s shows the key in the history of runs", name)
			}
			if slices.Contains([]string{"Http", "HttpWebhook"}, a.Type) && name == "Lock_the_doors" {
				require.NotEmpty(t, a.Limit.Timeout, "%s waits for ever", name)
			}
		})
	}
}

// A job's outcomes reach every action of the definition.
func TestEveryActionIsReached(t *testing.T) {
	t.Parallel()
	w := load(t, "workflow.json")
	var there, reached []string
	all(w.Definition.Actions, func(name string, _ *action, _ map[string]*action) { there = append(there, name) })
	for _, o := range outcomes() {
		e := newEngine(t, newStub(t, o.job).URL)
		_ = e.run(t.Context(), w.Definition.Actions) // ends early for some, as another test shows
		reached = append(reached, e.ran...)
	}
	slices.Sort(reached)
	require.ElementsMatch(t, there, slices.Compact(reached))
}

func TestTheInterpreterRefusesWhatAzureWould(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ actions, want string }{
		"an action that has not run":   {`{"A": {"type": "Compose", "inputs": "@body('B')"}, "B": {"type": "Compose", "inputs": 1, "runAfter": {"A": []}}}`, "does not exist, or not yet"},
		"a circle":                     {`{"A": {"type": "Compose", "inputs": 1, "runAfter": {"A": []}}}`, "in a circle"},
		"a parameter without a value":  {`{"A": {"type": "Compose", "inputs": "@{parameters('gone')}"}}`, "does not exist"},
		"a member that is not there":   {`{"A": {"type": "Compose", "inputs": "@triggerBody()['floor']"}}`, "there is no floor"},
		"a callback URL out of place":  {`{"A": {"type": "Compose", "inputs": "@listCallbackUrl()"}}`, "HttpWebhook only"},
		"an expression without an end": {`{"A": {"type": "Compose", "inputs": "@{triggerBody("}}`, "has no end"},
		"a path that the API has not":  {`{"A": {"type": "Http", "inputs": {"method": "GET", "uri": "@{parameters('functionAppUrl')}/api/job"}}}`, "does not fit openapi.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var actions map[string]*action
			require.NoError(t, json.Unmarshal([]byte(c.actions), &actions))
			require.ErrorContains(t, newEngine(t, "http://127.0.0.1:1").run(t.Context(), actions), c.want)
		})
	}
}
