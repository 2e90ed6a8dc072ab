package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const lockBuilding = `{"description":"Locks the doors of a building","parameters":[
	{"name":"building","type":"integer","description":"its number"},
	{"name":"lockTime","type":"string","default":"10m"}],
	"job":{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"lockDoor",
		"payload":{"lockTime":"{{parameters.lockTime}}","building":"{{parameters.building}}","site":"{{tags.site ?? 'none'}}"}},
		"queryCondition":"tags.building = {{parameters.building}}"}}`

func TestTemplatesComeAndGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.problem(w.call(http.MethodGet, "/api/templates/lock-building", ""), http.StatusNotFound, "unknown-template")
	w.problem(w.call(http.MethodPut, "/api/templates/lock-building", lockBuilding, "If-Match", "*"), http.StatusPreconditionFailed, "edited-meanwhile")
	first := w.call(http.MethodPut, "/api/templates/lock-building", lockBuilding, "If-None-Match", "*")
	require.Equal(t, http.StatusOK, first.status, string(first.body))
	require.EqualValues(t, 1, first.json(t)["version"])
	w.problem(w.call(http.MethodPut, "/api/templates/lock-building", lockBuilding, "If-None-Match", "*"), http.StatusPreconditionFailed, "edited-meanwhile")
	got := w.call(http.MethodGet, "/api/templates/lock-building", "")
	require.Equal(t, string(first.body), string(got.body))
	require.Equal(t, first.header.Get("ETag"), got.header.Get("ETag"))
	require.Equal(t, http.StatusNotModified, w.call(http.MethodGet, "/api/templates/lock-building", "", "If-None-Match", got.header.Get("ETag")).status)
	require.EqualValues(t, 1, w.call(http.MethodPut, "/api/templates/lock-building", lockBuilding).json(t)["version"], "a repeated request changes nothing")

	w.clock.moveTo(start.Add(time.Second))
	other := strings.Replace(lockBuilding, `"10m"`, `"20m"`, 1)
	second := w.call(http.MethodPut, "/api/templates/lock-building", other, "If-Match", got.header.Get("ETag"))
	require.EqualValues(t, 2, second.json(t)["version"], string(second.body))
	for _, stale := range []string{got.header.Get("ETag"), `"1"`} {
		w.problem(w.call(http.MethodPut, "/api/templates/lock-building", lockBuilding, "If-Match", stale), http.StatusPreconditionFailed, "edited-meanwhile")
		w.problem(w.call(http.MethodDelete, "/api/templates/lock-building", "", "If-Match", stale), http.StatusPreconditionFailed, "edited-meanwhile")
	}
	for i := range 3 {
		require.Equal(t, http.StatusOK, w.call(http.MethodPut, fmt.Sprint("/api/templates/t", i), lockBuilding).status)
	}
	page := w.call(http.MethodGet, "/api/templates?pageSize=3", "").json(t)
	require.Len(t, page["templates"], 3)
	require.NotContains(t, page["templates"].([]any)[0], "job")
	rest := w.call(http.MethodGet, "/api/templates?pageSize=3&continuationToken="+page["continuationToken"].(string), "").json(t)
	require.Len(t, rest["templates"], 1)
	require.NotContains(t, rest, "continuationToken")
	require.Equal(t, http.StatusBadRequest, w.call(http.MethodGet, "/api/templates?continuationToken=eA!", "").status)

	w.clock.moveTo(start.Add(2 * time.Second))
	require.Equal(t, http.StatusNoContent, w.call(http.MethodDelete, "/api/templates/lock-building", "", "If-Match", `"2"`).status)
	w.problem(w.call(http.MethodDelete, "/api/templates/lock-building", ""), http.StatusNotFound, "unknown-template")
	var actions []any
	for _, c := range w.call(http.MethodGet, "/api/audit", "").json(t)["changes"].([]any) {
		if c := c.(map[string]any); c["templateId"] == "lock-building" {
			actions = append(actions, c["action"], c["version"])
		}
	}
	require.Equal(t, []any{"templateDeleted", 2.0, "templateStored", 2.0, "templateStored", 1.0}, actions)
}

func TestAJobIsMadeOfATemplate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "ok-1")
	require.Equal(t, http.StatusOK, w.call(http.MethodPut, "/api/templates/lock-building", lockBuilding).status)
	const body = `{"template":"lock-building","parameters":{"building":43}}`
	r := w.call(http.MethodPut, "/api/jobs/lock-43", body)
	require.Equal(t, http.StatusAccepted, r.status, string(r.body))
	job := r.json(t)
	require.Equal(t, "tags.building = 43", job["queryCondition"])
	payload := job["cloudToDeviceMethod"].(map[string]any)["payload"]
	require.Equal(t, map[string]any{"lockTime": "10m", "building": 43.0, "site": "{{tags.site ?? \"none\"}}"}, payload)
	from := job["fromTemplate"].(map[string]any)
	require.Equal(t, map[string]any{"building": 43.0, "lockTime": "10m"}, from["parameters"])
	require.EqualValues(t, 1, from["version"])
	require.NotContains(t, from, "request")
	w.finish()
	require.Equal(t, "completed", w.get("/api/jobs/lock-43")["status"])

	require.Equal(t, http.StatusOK, w.call(http.MethodPut, "/api/templates/lock-building", strings.Replace(lockBuilding, "lockDoor", "bolt", 1)).status)
	again := w.call(http.MethodPut, "/api/jobs/lock-43", body)
	require.Equal(t, http.StatusAccepted, again.status, "the same request, whatever became of the template")
	require.Equal(t, "lockDoor", again.json(t)["cloudToDeviceMethod"].(map[string]any)["methodName"])
	w.problem(w.call(http.MethodPut, "/api/jobs/lock-43", strings.Replace(body, "43", "44", 1)), http.StatusConflict, "id-taken")

	over := w.call(http.MethodPost, "/api/jobs?validateOnly=true", `{"template":"lock-building","parameters":{"building":1},"deviceIds":["ok-1"]}`).json(t)
	require.EqualValues(t, 1, over["deviceCount"], "a list takes the place of the condition")
	p := w.problem(w.call(http.MethodPut, "/api/jobs/x", `{"template":"lock-building","parameters":{"bulding":1,"lockTime":5}}`), http.StatusBadRequest, "invalid-request")
	text, err := json.Marshal(p["errors"])
	require.NoError(t, err)
	for _, want := range []string{`did you mean \"building\"?`, "parameters.building", "is required by the template", "must be a string"} {
		require.Contains(t, string(text), want)
	}
	w.problem(w.call(http.MethodPost, "/api/jobs", `{"template":"none"}`), http.StatusBadRequest, "invalid-request")
	w.problem(w.call(http.MethodPost, "/api/jobs", `{"template":["none"]}`), http.StatusBadRequest, "invalid-request")
}

func TestATemplateHidesTheQueryOfItsCallback(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "ok-1")
	body := `{"job":{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"deviceIds":["ok-1"],
		"notifications":{"callbackUrl":"https://example.com/a?sig=secret"}}}`
	for _, method := range []string{http.MethodPut, http.MethodGet} {
		r := w.call(method, "/api/templates/told", map[string]string{http.MethodPut: body}[method])
		require.Equal(t, http.StatusOK, r.status, string(r.body))
		require.NotContains(t, string(r.body), "secret")
		require.Contains(t, string(r.body), "https://example.com/a?redacted")
	}
	p := w.call(http.MethodPut, "/api/templates/told", strings.Replace(body, "secret", "{{parameters.x}}", 1))
	w.problem(p, http.StatusBadRequest, "invalid-request")
}

func TestACopyOfAJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "ok-1", "ok-2")
	w.problem(w.call(http.MethodPost, "/api/jobs/first/copy", ""), http.StatusNotFound, "unknown-job")
	require.Equal(t, http.StatusAccepted, w.call(http.MethodPut, "/api/jobs/first",
		`{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m","payload":"{{x}} <&>","responseTimeoutInSeconds":9},"placeholders":false,
		"deviceIds":["ok-1","ok-2"],"startTime":"2026-12-01T00:00:00Z","timeout":{"inProgress":"PT9S"},"rollout":{"maximumPerMinute":5}}`).status)
	second := w.call(http.MethodPost, "/api/jobs/first/copy", `{"jobId":"second"}`)
	require.Equal(t, http.StatusAccepted, second.status, string(second.body))
	copied, first := second.json(t), w.get("/api/jobs/first")
	for _, same := range []string{"type", "cloudToDeviceMethod", "deviceIdCount", "timeout", "rollout"} {
		require.Equal(t, first[same], copied[same], same)
	}
	require.Equal(t, map[string]any{"jobId": "first", "runId": first["runId"]}, copied["copyOf"])
	require.NotContains(t, copied, "placeholders", "what was sent as it is stays so")
	require.Equal(t, "2026-11-23T10:00:00.000Z", copied["startTime"])
	require.Equal(t, http.StatusAccepted, w.call(http.MethodPost, "/api/jobs/first/copy", `{"jobId":"second"}`).status, "repeated")

	third := w.call(http.MethodPost, "/api/jobs/first/copy", `{"queryCondition":"tags.a=1","rollout":null,"startTime":"2027-01-01T00:00:00Z"}`, "Idempotency-Key", "k").json(t)
	require.Equal(t, "tags.a=1", third["queryCondition"])
	require.NotContains(t, third, "deviceIdCount")
	require.NotContains(t, third, "rollout")
	w.problem(w.call(http.MethodPost, "/api/jobs/first/copy", `{"jobId":"x"}`, "Idempotency-Key", "k2"), http.StatusBadRequest, "invalid-request")
	w.problem(w.call(http.MethodPost, "/api/jobs/first/copy", `{"jobId":"x","rolout":{}}`), http.StatusBadRequest, "invalid-request")
	w.problem(w.call(http.MethodPost, "/api/jobs/first/copy", `[]`), http.StatusBadRequest, "invalid-request")
}
