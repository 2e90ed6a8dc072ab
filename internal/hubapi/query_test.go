package hubapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/hubapi"
)

// pages reads a query to its end and gives the device ids, and how many pages there were.
func (w *world) pages(query string, size int) (ids []string, pages int) {
	w.t.Helper()
	headers := []string{"x-ms-max-item-count", fmt.Sprint(size)}
	for {
		r := w.query(query, headers...)
		pages++
		rows := r.rows(w.t)
		require.LessOrEqual(w.t, len(rows), size)
		for _, row := range rows {
			ids = append(ids, row["jobId"].(string)+" "+row["deviceId"].(string))
		}
		token := r.header.Values("x-ms-continuation")
		if len(token) == 0 {
			return ids, pages
		}
		headers = []string{"x-ms-max-item-count", fmt.Sprint(size), "x-ms-continuation", token[0]}
	}
}

func TestRowsOfJobs(t *testing.T) {
	t.Parallel()
	devices := append(fleet("ok", 230), fleet("offline", 20)...)
	w := newWorld(t, hubapi.Options{}, devices...)
	for _, id := range []string{"first", "second"} {
		w.ok(http.MethodPut, "/jobs/v2/"+id, strings.Replace(lockAll, `"lock"`, `"`+id+`"`, 1))
		w.finish()
		w.clock.moveTo(w.clock.Now().Add(time.Second))
	}
	rows := func(job string, ids []string) []string {
		all := make([]string, len(ids))
		for i, id := range ids {
			all[i] = job + " " + id
		}
		return all
	}

	got, pages := w.pages("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'first'", 50)
	require.Equal(t, rows("first", devices), got, "each device once, and no page after a full last one")
	require.Equal(t, 5, pages)

	got, pages = w.pages("select * from devices.jobs where devices.jobs.jobId='first' and devices.jobs.status = 'failed'", 100)
	require.Equal(t, rows("first", fleet("offline", 20)), got)
	require.Equal(t, 1, pages)

	got, _ = w.pages("SELECT * FROM devices.jobs WHERE devices.jobs.deviceId = 'ok-00007'", 100)
	require.Equal(t, []string{"second ok-00007", "first ok-00007"}, got, "of all jobs, the newest first")

	got, _ = w.pages("SELECT * FROM devices.jobs", 33)
	require.Equal(t, append(rows("second", devices), rows("first", devices)...), got)

	got, pages = w.pages("SELECT TOP 120 * FROM devices.jobs WHERE devices.jobs.jobId = 'first'", 50)
	require.Equal(t, rows("first", devices[:120]), got)
	require.Equal(t, 3, pages)

	for _, query := range []string{
		"SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'nope'",
		"SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'not an id'",
		"SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'first' AND devices.jobs.jobId = 'second'",
		"SELECT * FROM devices.jobs WHERE devices.jobs.createdTimeUtc > '2027-01-01'",
	} {
		require.JSONEq(t, `[]`, w.query(query).body, query)
	}

	token := w.query("SELECT * FROM devices.jobs", "x-ms-max-item-count", "1").header.Get("x-ms-continuation")
	for _, c := range []struct{ body, token, code string }{
		{`{"query":"SELECT deviceId FROM devices.jobs"}`, "", "ArgumentInvalid"},
		{`{"query":"SELECT * FROM devices.jobs WHERE ("}`, "", "ArgumentInvalid"},
		{`{"query":"SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'first'"}`, token, "ArgumentInvalid"},
		{`{"query":null}`, "", "ArgumentNull"},
		{`{}`, "", "ArgumentNull"},
		{`[]`, "", "ArgumentInvalid"},
	} {
		r := w.call(http.MethodPost, "/devices/query", c.body, "x-ms-continuation", c.token)
		require.Equal(t, http.StatusBadRequest, r.status, c.body)
		require.Equal(t, c.code, r.header.Get("iothub-errorcode"), c.body)
	}
	// Names of JSON members have no case: the Go library sends a capital.
	require.Len(t, w.ok(http.MethodPost, "/devices/query", `{"Query":"SELECT TOP 1 * FROM devices.jobs"}`).rows(t), 1)
}

func TestRowsOfAJobThatRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hubapi.Options{}, append(fleet("ok", 300), "long-1")...)
	w.ok(http.MethodPut, "/jobs/v2/lock", lockAll)
	require.Empty(t, w.query("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'lock'").rows(t), "before any device is selected")
	words := map[string]bool{}
	for more := true; more; more = w.deliver() {
		for _, row := range w.query("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'lock' AND devices.jobs.status != 'failed'").rows(t) {
			words[row["status"].(string)] = true
		}
	}
	require.Equal(t, map[string]bool{"pending": true, "completed": true}, words)
	// What was cut is shown as text.
	long := w.query("SELECT * FROM devices.jobs WHERE devices.jobs.deviceId = 'long-1'").rows(t)[0]
	payload := long["outcome"].(map[string]any)["deviceMethodResponse"].(map[string]any)["payload"]
	require.Regexp(t, `^"x+$`, payload)
}
