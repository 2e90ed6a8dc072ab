package api_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

const levelled = `{"type":"scheduleSteps","queryCondition":"*","steps":[
	{"method":{"methodName":"lockDoor","responseTimeoutInSeconds":10}},
	{"updateTwin":{"properties":{"desired":{"level":3}}},"confirm":{"within":"PT5M"}},
	{"waitFor":{"path":"properties.reported.level","equals":3}}]}`

func TestAJobWithStepsShowsThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t, append(fleet("quiet", 2), fleet("ok", 3)...)...)
	w.put("levelled", levelled)
	w.until(func() bool { return w.get("/api/jobs/levelled")["awaiting"] != nil })
	got := w.get("/api/jobs/levelled")
	require.Empty(t, cmp.Diff([]any{
		map[string]any{"method": map[string]any{"methodName": "lockDoor", "responseTimeoutInSeconds": 10.0, "connectTimeoutInSeconds": 0.0}},
		map[string]any{
			"updateTwin": map[string]any{"properties": map[string]any{"desired": map[string]any{"level": 3.0}}},
			"confirm":    map[string]any{"within": "PT5M"},
		},
		map[string]any{"waitFor": map[string]any{"path": "properties.reported.level", "equals": 3.0, "within": "PT10M"}},
	}, got["steps"]))
	require.Equal(t, map[string]any{"awaitingConfirmation": 5.0}, got["awaiting"])

	e := w.get("/api/jobs/levelled/executions/quiet-00001")
	require.Equal(t, []any{"inProgress", "awaitingConfirmation", 2.0}, []any{e["status"], e["substate"], e["step"]})
	require.NotEmpty(t, e["awaitedUntil"])
	require.Nil(t, e["nextAttemptTime"], "the next look is nobody's business")
	require.Nil(t, e["error"])

	w.finish() // the clock goes on with the messages: five minutes pass
	got = w.get("/api/jobs/levelled")
	require.Nil(t, got["awaiting"])
	require.Equal(t, map[string]any{"notConfirmed": 2.0}, got["failureReasons"])
	e = w.get("/api/jobs/levelled/executions/quiet-00001")
	require.Equal(t, []any{"timedOut", 2.0, nil}, []any{e["status"], e["step"], e["substate"]})
	require.Equal(t, map[string]any{"code": "notConfirmed", "message": "not within PT5M: level is not reported, desired is 3"}, e["error"])
	e = w.get("/api/jobs/levelled/executions/ok-00001")
	require.Equal(t, []any{"succeeded", 3.0}, []any{e["status"], e["step"]})
	behind := e["steps"].([]any)
	require.Len(t, behind, 2)
	require.Equal(t, map[string]any{"device": "ok-00001"}, behind[0].(map[string]any)["payload"])
	require.InDelta(t, 200, behind[0].(map[string]any)["deviceStatus"], 0)

	list := w.get("/api/jobs?type=scheduleSteps")["jobs"].([]any)
	require.Len(t, list, 1)
	require.Nil(t, list[0].(map[string]any)["steps"], "a list is without bodies")
	a := w.call(http.MethodPost, "/api/jobs/levelled/rerun", `{"jobId":"again","statuses":["timedOut"]}`)
	require.Equal(t, http.StatusAccepted, a.status, "%s", a.body)
	require.Len(t, w.get("/api/jobs/again")["steps"], 3)
}

func TestATwinJobShowsWhatItConfirms(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fleet("ok", 1)...)
	w.put("level", `{"type":"scheduleUpdateTwin","queryCondition":"*","updateTwin":{"properties":{"desired":{"level":3}}},"confirm":{"properties":["level"]}}`)
	w.finish()
	got := w.get("/api/jobs/level")
	require.Equal(t, map[string]any{"properties": []any{"level"}, "within": "PT10M"}, got["confirm"])
	e := w.get("/api/jobs/level/executions/ok-00000")
	require.Equal(t, []any{"succeeded", nil}, []any{e["status"], e["step"]}, "there is one step only")
}
