package api_test

import (
	"encoding/csv"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

// followed reads all pages of a list of executions.
func (w *world) followed(path string) []map[string]any {
	w.t.Helper()
	var all []map[string]any
	for next, pages := path, 0; ; pages++ {
		require.Less(w.t, pages, 500, "the pages do not end")
		page := w.get(next)
		for _, e := range page["executions"].([]any) {
			all = append(all, e.(map[string]any))
		}
		token, more := page["continuationToken"].(string)
		if !more {
			return all
		}
		next = path + "&continuationToken=" + token
	}
}

func ids(executions []map[string]any) []string {
	var out []string
	for _, e := range executions {
		out = append(out, e["deviceId"].(string))
	}
	return out
}

func TestExecutionsTellWhatBecameOfEachDevice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "ok-1", "error-1", "offline-1", "silent-1", "long-1")
	w.put("one-each", lockAll)
	w.finish()
	got := w.followed("/api/jobs/one-each/executions?pageSize=2")
	const at = "2026-11-23T10:00:00.000Z"
	base := func(id, status string, more map[string]any) map[string]any {
		e := map[string]any{"deviceId": id, "status": status, "attempts": 1.0, "startTime": at, "endTime": at}
		maps.Copy(e, more)
		return e
	}
	want := []map[string]any{
		base("ok-1", "succeeded", map[string]any{"deviceStatus": 200.0, "payload": map[string]any{"device": "ok-1"}}),
		base("error-1", "failed", map[string]any{
			"deviceStatus": 500.0, "payload": "=no",
			"error": map[string]any{"code": "deviceError", "message": "the device answered with status 500"},
		}),
		base("offline-1", "failed", map[string]any{"error": map[string]any{
			"code":    "deviceOffline",
			"message": `offline (status 404, DeviceNotOnline)`,
		}}),
		base("silent-1", "timedOut", map[string]any{"error": map[string]any{
			"code":    "deviceNoAnswer",
			"message": `timed out (status 504)`,
		}}),
		base("long-1", "succeeded", map[string]any{
			"deviceStatus": 200.0, "truncated": true,
			"payloadText": `"` + strings.Repeat("x", 4095),
		}),
	}
	require.Empty(t, cmp.Diff(want, got))

	for _, e := range want {
		id := e["deviceId"].(string)
		require.Empty(t, cmp.Diff(e, w.get("/api/jobs/one-each/executions/"+id)), "by path")
		require.Empty(t, cmp.Diff(e, w.get("/api/jobs/one-each/executions?deviceId="+id)), "by parameter")
	}
}

func TestExecutionsAreFilteredAndPaged(t *testing.T) {
	t.Parallel()
	var devices []string
	for i := range 330 {
		kind := "ok"
		if i%7 == 0 {
			kind = "offline"
		}
		devices = append(devices, fmt.Sprintf("%s-%03d", kind, i))
	}
	w := newWorld(t, devices...)
	w.put("paged", lockAll)
	w.finish()
	var offline []string
	for _, id := range devices {
		if strings.HasPrefix(id, "offline") {
			offline = append(offline, id)
		}
	}
	for _, size := range []int{1000, 330, 100, 99, 7} {
		path := fmt.Sprintf("/api/jobs/paged/executions?pageSize=%d", size)
		require.Equal(t, devices, ids(w.followed(path)), "in pages of %d", size)
		require.Equal(t, offline, ids(w.followed(path+"&status=failed")), "failed, in pages of %d", size)
		require.Empty(t, w.followed(path+"&status=queued"))
	}
	require.Len(t, w.get("/api/jobs/paged/executions")["executions"], 100, "the default")

	first := w.call(http.MethodGet, "/api/jobs/paged/executions?pageSize=5&status=failed", "")
	token := first.json(t)["continuationToken"].(string)
	require.Contains(t, first.header.Get("Link"), publicURL+"/api/jobs/paged/executions?continuationToken="+token+"&pageSize=5&status=failed")
	for _, path := range []string{"?status=succeeded&continuationToken=" + token, "?continuationToken=" + token, "?continuationToken=xyz"} {
		w.problem(w.call(http.MethodGet, "/api/jobs/paged/executions"+path, ""), http.StatusBadRequest, "invalid-request")
	}
	w.put("other", lockAll)
	w.finish()
	w.problem(w.call(http.MethodGet, "/api/jobs/other/executions?status=failed&continuationToken="+token, ""), http.StatusBadRequest, "invalid-request")
}

func TestExecutionsOfModules(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "ok-1", "offline-1")
	overModules := strings.Replace(lockAll, `"*"`, `"FROM devices.modules WHERE moduleId = 'm'"`, 1)
	preview := w.call(http.MethodPost, "/api/jobs?validateOnly=true", overModules).json(t)
	require.Equal(t, []any{"ok-1/m", "offline-1/m"}, preview["firstDeviceIds"])

	w.put("modules", overModules)
	w.finish()
	all := w.followed("/api/jobs/modules/executions?pageSize=1")
	require.Len(t, all, 2)
	ok := all[0]
	require.Equal(t, []any{"ok-1", "m", "succeeded"}, []any{ok["deviceId"], ok["moduleId"], ok["status"]})
	require.Equal(t, "deviceOffline", all[1]["error"].(map[string]any)["code"])
	for _, path := range []string{"?deviceId=ok-1&moduleId=m", "/ok-1?moduleId=m"} {
		require.Empty(t, cmp.Diff(ok, w.get("/api/jobs/modules/executions"+path)))
	}
	for path, want := range map[string]int{
		"/ok-1": 404, "?deviceId=ok-1": 404, "?deviceId=ok-1&moduleId=n": 404, "/ok-1%2Fm": 404, "?deviceId=ok-1%2Fm": 400,
		"?moduleId=m": 400, "?deviceId=ok-1&moduleId=": 400, "/ok-1?moduleId=a%2Fb": 400,
	} {
		require.Equal(t, want, w.call(http.MethodGet, "/api/jobs/modules/executions"+path, "").status, path)
	}
	file := w.call(http.MethodGet, "/api/jobs/modules/executions?deviceId=ok-1&moduleId=m", "", "Accept", "text/csv")
	require.Regexp(t, `,errorMessage,moduleId\r\nok-1,succeeded,.*,m\r\n$`, file.body)

	w.problem(w.call(http.MethodPost, "/api/jobs/modules/executions/ok-1/cancel?moduleId=m", ""), http.StatusConflict, "execution-not-waiting")
	w.problem(w.call(http.MethodPost, "/api/jobs/modules/executions/ok-1/cancel", ""), http.StatusNotFound, "unknown-execution")
	require.Equal(t, http.StatusAccepted, w.call(http.MethodPost, "/api/jobs/modules/rerun", `{"jobId":"again"}`).status)
	w.finish()
	again := w.followed("/api/jobs/again/executions?pageSize=1")
	require.Len(t, again, 1)
	require.Equal(t, []any{"offline-1", "m"}, []any{again[0]["deviceId"], again[0]["moduleId"]})
}

// Devices that a cancelled run never reached are canceled everywhere, although nobody wrote that into their rows.
func TestExecutionsThatWereNeverReached(t *testing.T) {
	t.Parallel()
	const n = 3000 // more shards than a run enqueues ahead, and than one page reads
	w := newWorld(t, fleet("ok", n)...)
	w.put("cut", lockAll)
	selected := func() bool { return w.get("/api/jobs/cut")["selection"].(map[string]any)["state"] == "complete" }
	w.until(selected)
	w.until(func() bool { return succeededCount(w.get("/api/jobs/cut")) > 0 })
	w.call(http.MethodPost, "/api/jobs/cut/cancel", "")
	w.finish()

	job := w.get("/api/jobs/cut")
	canceled := int(job["executionStatistics"].(map[string]any)["canceled"].(float64))
	require.Positive(t, canceled)
	all := w.followed("/api/jobs/cut/executions?pageSize=1000")
	require.Len(t, all, n)
	byState := map[any]int{}
	for _, e := range all {
		byState[e["status"]]++
		if e["status"] == "canceled" {
			require.Equal(t, "jobCanceled", e["error"].(map[string]any)["code"])
			require.Contains(t, e, "endTime")
		}
	}
	require.Equal(t, canceled, byState["canceled"], "the list agrees with the counts: %v", byState)
	require.Equal(t, n-canceled, byState["succeeded"])
	require.Positive(t, byState["succeeded"])
	require.Len(t, w.followed("/api/jobs/cut/executions?pageSize=1000&status=canceled"), canceled)
	require.Empty(t, w.followed("/api/jobs/cut/executions?pageSize=1000&status=queued"))

	last := fmt.Sprintf("ok-%05d", n-1)
	require.Equal(t, "canceled", w.get("/api/jobs/cut/executions?deviceId=" + last)["status"])
}

// The same for a run that its time limit ended, where two ways of ending share a state.
func TestExecutionsAfterTheTimeLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, append(fleet("silent", 100), fleet("ok", 900)...)...)
	w.put("limited", strings.Replace(lockAll, "{", `{"maxExecutionTimeInSeconds":1,`, 1))
	w.until(func() bool {
		reasons, _ := w.get("/api/jobs/limited")["failureReasons"].(map[string]any)
		return reasons["deviceNoAnswer"] == 100.0
	})
	w.clock.moveTo(w.clock.Now().Add(2 * time.Second)) // the silent ones took the time
	w.finish()
	job := w.get("/api/jobs/limited")
	require.Equal(t, "completed", job["status"])
	require.Equal(t, "timeLimit", job["endReason"])
	reasons := job["failureReasons"].(map[string]any)
	require.EqualValues(t, 100, reasons["deviceNoAnswer"])
	require.Positive(t, reasons["notStarted"])
	require.Contains(t, job["statusMessage"], fmt.Sprintf("The time limit passed; %v devices were not called.", reasons["notStarted"]))

	byReason := map[string]any{}
	for _, e := range w.followed("/api/jobs/limited/executions?status=timedOut&pageSize=70") {
		code := e["error"].(map[string]any)["code"].(string)
		n, _ := byReason[code].(float64)
		byReason[code] = n + 1
	}
	require.Empty(t, cmp.Diff(reasons, byReason))
}

func TestExecutionsBeforeTheStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("waiting", later)
	r := w.call(http.MethodGet, "/api/jobs/waiting/executions", "")
	require.JSONEq(t, `{"executions":[]}`, string(r.body))
	w.problem(w.call(http.MethodGet, "/api/jobs/waiting/executions/ok-1", ""), http.StatusNotFound, "unknown-execution")
}

// Ids may hold what a forwarded path does not survive; the parameter takes them all.
func TestExecutionOfADeviceWithAnAwkwardID(t *testing.T) {
	t.Parallel()
	awkward := []string{"a%2Fb", "x#1", "what?", "a+b", "=1+1", "..", "a:b@c;d,e"}
	w := newWorld(t, awkward...)
	w.put("awkward", lockAll)
	w.finish()
	for _, id := range awkward {
		require.Equal(t, id, w.get("/api/jobs/awkward/executions?deviceId=" + url.QueryEscape(id))["deviceId"])
		require.Equal(t, id, w.get("/api/jobs/awkward/executions/" + url.PathEscape(id))["deviceId"])
	}
	w.problem(w.call(http.MethodGet, "/api/jobs/awkward/executions/a%2Fb", ""), http.StatusNotFound, "unknown-execution")
	w.problem(w.call(http.MethodGet, "/api/jobs/awkward/executions?deviceId=none", ""), http.StatusNotFound, "unknown-execution")
	for _, bad := range []string{"?deviceId=", "?deviceId=a%20b", "?deviceId=x&status=failed", "?status=lost", "?pageSize=1001", "?pageSize=0"} {
		w.problem(w.call(http.MethodGet, "/api/jobs/awkward/executions"+bad, ""), http.StatusBadRequest, "invalid-request")
	}
}

func TestExecutionsAsCSV(t *testing.T) {
	t.Parallel()
	devices := append([]string{"=cmd()", "error-1", "offline-1", "long-1"}, fleet("ok", 1200)...)
	w := newWorld(t, devices...)
	w.put("file", lockAll)
	w.finish()
	r := w.call(http.MethodGet, "/api/jobs/file/executions", "", "Accept", "text/csv")
	require.Equal(t, http.StatusOK, r.status)
	require.Equal(t, "text/csv; charset=utf-8; header=present", r.header.Get("Content-Type"))
	require.Equal(t, `attachment; filename="file-executions.csv"`, r.header.Get("Content-Disposition"))
	require.Equal(t, "Accept", r.header.Get("Vary"))
	require.True(t, strings.HasPrefix(string(r.body), "deviceId,status,attempts,startTime,endTime,deviceStatus,payload,truncated,errorCode,errorMessage,moduleId\r\n"))

	rows, err := csv.NewReader(strings.NewReader(string(r.body))).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 1001, "a header and the default page")
	const at = "2026-11-23T10:00:00.000Z"
	require.Equal(t, []string{"'=cmd()", "succeeded", "1", at, at, "200", `{"device": "=cmd()"}`, "", "", "", ""}, rows[1])
	require.Equal(t, []string{"error-1", "failed", "1", at, at, "500", `"=no"`, "", "deviceError", "the device answered with status 500", ""}, rows[2])
	require.Equal(t, []string{"offline-1", "failed", "1", at, at, "", "", "", "deviceOffline", `offline (status 404, DeviceNotOnline)`, ""}, rows[3])
	require.Equal(t, "true", rows[4][7])

	token := r.header.Get("X-Continuation-Token")
	require.Contains(t, r.header.Get("Link"), `rel="next"`)
	rest := w.call(http.MethodGet, "/api/jobs/file/executions?continuationToken="+token, "", "Accept", "text/csv")
	more, err := csv.NewReader(strings.NewReader(string(rest.body))).ReadAll()
	require.NoError(t, err)
	require.Len(t, more, len(devices)-1000+1)
	require.Empty(t, rest.header.Get("X-Continuation-Token"))

	whole := w.call(http.MethodGet, "/api/jobs/file/executions?pageSize=10000", "", "Accept", "text/csv")
	require.Equal(t, len(devices)+1, strings.Count(string(whole.body), "\r\n"))
	one := w.call(http.MethodGet, "/api/jobs/file/executions?deviceId=ok-00007", "", "Accept", "text/csv")
	require.Equal(t, 2, strings.Count(string(one.body), "\r\n"))
}
