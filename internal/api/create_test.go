package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
)

func TestPutStoresTheJobAndSaysWhereItsEndIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.put("lock-1", later)
	require.Equal(t, publicURL+"/api/jobs/lock-1/result", r.header.Get("Location"))
	require.Equal(t, "60", r.header.Get("Retry-After"), "the start is an hour away, and the longest wait a minute")
	require.Equal(t, "no-store", r.header.Get("Cache-Control"))

	want := map[string]any{
		"jobId": "lock-1", "type": "scheduleDeviceMethod", "status": "scheduled",
		"statusMessage":       "Waits for its start time, 2026-11-23T11:00:00.000Z.",
		"queryCondition":      "*",
		"cloudToDeviceMethod": map[string]any{"methodName": "lockDoor", "responseTimeoutInSeconds": 30.0, "connectTimeoutInSeconds": 0.0},
		"createdTime":         "2026-11-23T10:00:00.000Z", "startTime": "2026-11-23T11:00:00.000Z",
		"deviceJobStatistics": map[string]any{"deviceCount": 0.0, "pendingCount": 0.0, "runningCount": 0.0, "succeededCount": 0.0, "failedCount": 0.0},
		"executionStatistics": map[string]any{
			"queued": 0.0, "inProgress": 0.0, "succeeded": 0.0, "failed": 0.0, "timedOut": 0.0, "rejected": 0.0, "canceled": 0.0, "removed": 0.0, "inDoubt": 0.0,
		},
		"selection": map[string]any{"state": "pending", "deviceCount": 0.0},
		"createdBy": map[string]any{"kind": "anonymous"}, "version": 1.0,
	}
	got := r.json(t)
	require.Contains(t, got["runId"], "lock-1.")
	delete(got, "runId")
	require.Empty(t, cmp.Diff(want, got))
}

// A retried PUT is no second job and no error, in whatever notation it comes.
func TestPutRepeatedAnswersAsTheFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.put("lock-1", later)
	again := w.put("lock-1", strings.ReplaceAll(later, ",", " ,\n"))
	require.JSONEq(t, string(first.body), string(again.body))
	require.Equal(t, first.header.Get("Location"), again.header.Get("Location"))
	require.Equal(t, first.header.Get("Retry-After"), again.header.Get("Retry-After"))

	other := w.call(http.MethodPut, "/api/jobs/lock-1", lockAll)
	w.problem(other, http.StatusConflict, "id-taken")
}

func TestPutOfAJobThatIsDueStartsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fleet("ok", 3)...)
	r := w.put("now", lockAll)
	require.Equal(t, "2", r.header.Get("Retry-After"))
	w.finish()
	again := w.put("now", lockAll)
	require.Equal(t, "completed", again.json(t)["status"], "the job as it is by then")
}

func TestPostMakesTheID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.call(http.MethodPost, "/api/jobs", later)
	require.Equal(t, http.StatusAccepted, r.status, "%s", r.body)
	id := r.json(t)["jobId"].(string)
	require.Equal(t, publicURL+"/api/jobs/"+id+"/result", r.header.Get("Location"))
	require.Equal(t, id, w.get("/api/jobs/" + id)["jobId"])

	other := w.call(http.MethodPost, "/api/jobs", later)
	require.NotEqual(t, id, other.json(t)["jobId"], "without a key each POST is a job")
}

// The address that an answer gives opens with the key that the caller used, and a key never appears where it was not.
func TestLocationCarriesTheCallersCode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	byQuery := w.call(http.MethodPut, "/api/jobs/a?code=p%2Fq%3D%3D&clientId=default", later)
	require.Equal(t, publicURL+"/api/jobs/a/result?code=p%2Fq%3D%3D", byQuery.header.Get("Location"))
	require.NotContains(t, string(byQuery.body), "p/q")

	byHeader := w.call(http.MethodPut, "/api/jobs/b", later, "x-functions-key", "secret")
	require.Equal(t, publicURL+"/api/jobs/b/result", byHeader.header.Get("Location"))

	waiting := w.call(http.MethodGet, "/api/jobs/a/result?Code=x", "")
	require.Equal(t, publicURL+"/api/jobs/a/result?code=x", waiting.header.Get("Location"), "the host takes the name in any case")
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.call(http.MethodPost, "/api/jobs", later, "Idempotency-Key", "order-7")
	require.Equal(t, http.StatusAccepted, first.status, "%s", first.body)
	again := w.call(http.MethodPost, "/api/jobs", later, "Idempotency-Key", "order-7")
	require.Equal(t, http.StatusAccepted, again.status)
	require.JSONEq(t, string(first.body), string(again.body))

	w.problem(w.call(http.MethodPost, "/api/jobs", lockAll, "Idempotency-Key", "order-7"), http.StatusUnprocessableEntity, "idempotency-key-reused")
	require.Len(t, w.get("/api/jobs")["jobs"], 1)

	for _, bad := range []string{"", "with space", "é", strings.Repeat("k", 256)} {
		p := w.problem(w.call(http.MethodPost, "/api/jobs", later, "Idempotency-Key", bad), http.StatusBadRequest, "invalid-request")
		require.Equal(t, "Idempotency-Key", p["errors"].([]any)[0].(map[string]any)["field"])
	}
}

// A POST that is sent twice at the same moment runs the fleet once.
func TestIdempotencyKeyRace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const senders = 8
	replies := make([]reply, senders)
	errs := make([]error, senders)
	var group sync.WaitGroup
	for i := range senders {
		group.Go(func() {
			replies[i], errs[i] = w.try(http.MethodPost, "/api/jobs", later, "Idempotency-Key", "race")
		})
	}
	group.Wait()
	for i, r := range replies {
		require.NoError(t, errs[i])
		require.Equal(t, http.StatusAccepted, r.status, "%s", r.body)
		require.Equal(t, replies[0].json(t)["jobId"], r.json(t)["jobId"])
	}
	require.Len(t, w.get("/api/jobs")["jobs"], 1)
}

func TestPutRace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bodies := []string{later, lockAll}
	statuses := make([]int, 8)
	errs := make([]error, len(statuses))
	var group sync.WaitGroup
	for i := range statuses {
		group.Go(func() {
			var r reply
			r, errs[i] = w.try(http.MethodPut, "/api/jobs/contested", bodies[i%2])
			statuses[i] = r.status
		})
	}
	group.Wait()
	for i := range statuses {
		require.NoError(t, errs[i])
		require.Contains(t, []int{http.StatusAccepted, http.StatusConflict}, statuses[i])
		require.Equal(t, statuses[i%2], statuses[i], "equal bodies are treated alike")
	}
	require.NotEqual(t, statuses[0], statuses[1], "one of both definitions won")
}

func TestPreviewOfATarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fleet("ok", 12)...)
	r := w.call(http.MethodPost, "/api/jobs?validateOnly=true", strings.Replace(lockAll, `"*"`, `"misspelt.floor = 3"`, 1))
	require.Equal(t, http.StatusOK, r.status, "%s", r.body)
	got := r.json(t)
	require.EqualValues(t, 12, got["deviceCount"])
	require.Len(t, got["firstDeviceIds"], 10)
	require.Len(t, got["warnings"], 1, "a field that no device has")

	r = w.call(http.MethodPost, "/api/jobs?validateOnly=true",
		`{"jobId":"mine","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"deviceIds":["b","a"]}`)
	require.JSONEq(t, `{"deviceCount":2,"firstDeviceIds":["b","a"],"warnings":[]}`, string(r.body))

	require.Empty(t, w.get("/api/jobs")["jobs"], "nothing was created")

	refused := w.call(http.MethodPost, "/api/jobs?validateOnly=true", strings.Replace(lockAll, `"*"`, `"REFUSED(tags.a) = 1"`, 1))
	p := w.problem(refused, http.StatusBadRequest, "invalid-request")
	require.Equal(t, "queryCondition", p["errors"].([]any)[0].(map[string]any)["field"])
}

func TestPreviewWhileTheHubCannotBeAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hub.set(&iothub.Error{Kind: iothub.HubFault, Op: iothub.OpQuery, Message: "no such host"})
	r := w.call(http.MethodPost, "/api/jobs?validateOnly=true", lockAll)
	p := w.problem(r, http.StatusServiceUnavailable, "hub-unavailable")
	require.Equal(t, "30", r.header.Get("Retry-After"))
	require.Contains(t, w.log.String(), p["requestId"])

	w.hub.set(&iothub.Error{Kind: iothub.Throttled, Op: iothub.OpQuery, Wait: 7 * time.Second})
	r = w.call(http.MethodPost, "/api/jobs?validateOnly=true", lockAll)
	w.problem(r, http.StatusServiceUnavailable, "hub-unavailable")
	require.Equal(t, "7", r.header.Get("Retry-After"), "what the hub asks for")
}

// What only the hub can judge does not keep a job out while the hub is away.
func TestJobIsAcceptedWithAWarningWhileTheHubIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hub.set(&iothub.Error{Kind: iothub.HubFault, Op: iothub.OpQuery, Message: "no such host"})
	r := w.put("doubtful", strings.Replace(later, `"*"`, `"SOUNDSLIKE(tags.a, 'b')"`, 1))
	require.Len(t, r.json(t)["warnings"], 1)

	w.hub.set(nil)
	refused := w.call(http.MethodPut, "/api/jobs/refused", strings.Replace(later, `"*"`, `"REFUSED(tags.a)"`, 1))
	w.problem(refused, http.StatusBadRequest, "invalid-request")
}

type fault struct{ Field, Value, Rule string }

func TestBadRequestsNameEveryFault(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cases := []struct {
		name, method, path, body string
		want                     []fault
	}{
		{"all faults of a body at once", "PUT", "/api/jobs/a", `{
			"jobId":"b", "type":"scheduleDeviceMethod", "cloudToDeviceMethod":{"methodName":"lock door","responseTimeoutInSeconds":1},
			"queryCondition":"tags.a = ", "startTime":"tomorrow", "maxExecutionTimeInSeconds":0}`, []fault{
			{"startTime", `"tomorrow"`, `must be an RFC 3339 time with its zone, such as "2026-12-01T02:00:00Z"`},
			{"maxExecutionTimeInSeconds", "0", "must be a whole number from 1 to 31622400"},
			{"cloudToDeviceMethod.responseTimeoutInSeconds", "1", "must be a whole number from 5 to 300"},
			{"cloudToDeviceMethod.methodName", `"lock door"`, "must be 1 to 100 printable ASCII characters without space and without $()<>@,;:\\\"/[]?={}#+"},
			{"queryCondition", `"tags.a = "`, `1:10: expected a value after "=", found end of text`},
			{"jobId", "b", `must be "a", as in the path, or absent`},
		}},
		{"an id that is none", "PUT", "/api/jobs/a_b", later, []fault{
			{"jobId", "a_b", "must be 1 to 64 ASCII letters, digits and -"},
		}},
		{"the id of the path and the body", "PUT", "/api/jobs/a", strings.Replace(later, "{", `{"jobId":"b",`, 1), []fault{
			{"jobId", "b", `must be "a", as in the path, or absent`},
		}},
		{"POST with an id", "POST", "/api/jobs", strings.Replace(later, "{", `{"jobId":"b",`, 1), []fault{
			{"jobId", "b", "must be absent: the service makes the id; PUT /api/jobs/{jobId} takes one of yours"},
		}},
		{"a misspelt member", "POST", "/api/jobs", strings.Replace(later, "startTime", "starttime", 1), []fault{
			{"starttime", `"2026-11-23T11:00:00Z"`, `is not a known member; did you mean "startTime"?`},
		}},
		{"no body", "POST", "/api/jobs", "", []fault{{"body", "", "must be a JSON object; it is empty"}}},
		{"no object", "POST", "/api/jobs", "[]", []fault{{"body", "[]", "must be a JSON object"}}},
		{"no target", "POST", "/api/jobs", `{"type":"scheduleUpdateTwin","updateTwin":{"tags":{"a":1}}}`, []fault{
			{"queryCondition", "", `is required, "*" for all devices; or give deviceIds`},
		}},
		{"parameters", "POST", "/api/jobs?validateOnly=yes", later, []fault{
			{"validateOnly", "yes", "must be one of true, false"},
		}},
		{"unknown parameters, whose values may be keys", "GET", "/api/jobs?kode=secret&top=1", "", []fault{
			{"kode", "", "is not a parameter here; known are status, type, pageSize, continuationToken"},
			{"top", "", "is not a parameter here; known are status, type, pageSize, continuationToken"},
		}},
		{"a repeated parameter", "GET", "/api/jobs?status=running&status=failed", "", []fault{
			{"status", "running, failed", "must be given once"},
		}},
		{"a query that is none", "GET", "/api/jobs?a=%25zz%2&code=%zz", "", []fault{
			{"query", "", "must be well-formed: name=value pairs, joined by &, percent-encoded"},
		}},
		{"filters", "GET", "/api/jobs?status=done&type=x&pageSize=101&continuationToken=.", "", []fault{
			{"status", "done", "must be one of scheduled, running, blocked, paused, stopping, completed, failed, cancelled"},
			{"type", "x", "must be one of scheduleDeviceMethod, scheduleUpdateTwin, scheduleSteps"},
			{"pageSize", "101", "must be a whole number from 1 to 100"},
		}},
		{"a token that is none", "GET", "/api/jobs?continuationToken=abc", "", []fault{
			{"continuationToken", "abc", "is not a token that this service gave"},
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := *w
			w.t = t
			r := w.call(c.method, c.path, c.body)
			w.problem(r, http.StatusBadRequest, "invalid-request")
			var got struct{ Errors []fault }
			require.NoError(t, json.Unmarshal(r.body, &got))
			require.Empty(t, cmp.Diff(c.want, got.Errors))
		})
	}
	require.NotContains(t, w.log.String(), "secret")
}

func TestBodiesThatAreNotRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, kind := range []string{"text/plain", "application/xml", "application/json-patch+json", ";"} {
		w.problem(w.call(http.MethodPost, "/api/jobs", later, "Content-Type", kind), http.StatusUnsupportedMediaType, "unsupported-media-type")
	}
	w.problem(w.call(http.MethodPost, "/api/jobs", later, "Content-Encoding", "gzip"), http.StatusUnsupportedMediaType, "unsupported-media-type")

	r := w.call(http.MethodPut, "/api/jobs/typed", later, "Content-Type", "application/json; charset=utf-8")
	require.Equal(t, http.StatusAccepted, r.status)

	tooLarge := `{"type":"` + strings.Repeat("x", job.MaxBodyBytes) + `"}`
	w.problem(w.call(http.MethodPost, "/api/jobs", tooLarge), http.StatusRequestEntityTooLarge, "body-too-large")
}

// A list of the greatest length fits a body and is not repeated in the answer.
func TestLongListOfDevices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := make([]string, 2500)
	for i := range ids {
		ids[i] = fmt.Sprintf("device-%06d", i)
	}
	list, err := json.Marshal(ids)
	require.NoError(t, err)
	r := w.put("listed", strings.Replace(later, `"queryCondition":"*"`, `"deviceIds":`+string(list), 1))
	got := r.json(t)
	require.EqualValues(t, 2500, got["deviceIdCount"])
	require.NotContains(t, got, "deviceIds")
	require.NotContains(t, got, "queryCondition")
}
