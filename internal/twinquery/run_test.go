package twinquery_test

import (
	"encoding/json"
	"iter"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

const fleetJSON = `[
	{"deviceId": "a", "status": "enabled",  "tags": {"plant": "x", "load": 1, "name": "n1"}},
	{"deviceId": "b", "status": "disabled", "tags": {"plant": "y", "load": 5, "name": "n3"}},
	{"deviceId": "c", "status": "enabled",  "tags": {"plant": "x", "load": 3, "name": "n2"}},
	{"deviceId": "d", "status": "enabled",  "tags": {"load": "much"}},
	{"deviceId": "e", "status": "enabled"}
]`

func docs(t *testing.T, text string) iter.Seq[twinquery.Document] {
	t.Helper()
	var maps []map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &maps))
	return func(yield func(twinquery.Document) bool) {
		for _, m := range maps {
			if !yield(twinquery.Map(m)) {
				return
			}
		}
	}
}

func TestQuery_Run(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"SELECT * FROM devices WHERE tags.plant = 'y'":                                                  `[{"deviceId":"b","status":"disabled","tags":{"plant":"y","load":5,"name":"n3"}}]`,
		"SELECT DeviceId, tags.plant FROM devices WHERE tags.load < 4":                                  `[{"deviceId":"a","plant":"x"},{"deviceId":"c","plant":"x"}]`,
		"SELECT TOP 2 devices.deviceId AS id FROM devices":                                              `[{"id":"a"},{"id":"b"}]`,
		"SELECT tags.plant AS p FROM devices WHERE deviceId = 'd'":                                      `[{}]`,
		"SELECT deviceId FROM devices WHERE false":                                                      `null`,
		"SELECT COUNT() AS total FROM devices":                                                          `[{"total":5}]`,
		"SELECT COUNT(), SUM(tags.load) FROM devices":                                                   `[{"$1":5,"$2":9}]`,
		"SELECT COUNT() AS n FROM devices WHERE false":                                                  `[{"n":0}]`,
		"SELECT SUM(tags.x) AS s, AVG(tags.x) AS a FROM devices":                                        `[{"s":0}]`,
		"SELECT AVG(tags.load) AS avg, MIN(tags.load) AS min, MAX(tags.load) AS max FROM devices":       `[{"avg":3,"min":1,"max":5}]`,
		"SELECT MIN(tags.name) AS min, MAX(tags.name) AS max FROM devices":                              `[{"min":"n1","max":"n3"}]`,
		"SELECT tags.plant AS plant, COUNT() AS n FROM devices GROUP BY tags.plant":                     `[{"plant":"x","n":2},{"plant":"y","n":1},{"n":2}]`,
		"SELECT Status, COUNT() AS numberOfDevices FROM devices WHERE IS_DEFINED(tags) GROUP BY status": `[{"status":"enabled","numberOfDevices":3},{"status":"disabled","numberOfDevices":1}]`,
		"SELECT TOP 1 tags.plant, MAX(tags.load) AS load FROM devices GROUP BY tags.plant":              `[{"plant":"x","load":3}]`,
		"SELECT COUNT() AS n FROM devices WHERE false GROUP BY status":                                  `null`,
		"SELECT COUNT() AS n, tags FROM devices WHERE tags.plant='x' GROUP BY tags":                     `[{"n":1,"tags":{"plant":"x","load":1,"name":"n1"}},{"n":1,"tags":{"plant":"x","load":3,"name":"n2"}}]`,
	} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			q, err := twinquery.ParseQuery(query)
			require.NoError(t, err)
			encoded, err := json.Marshal(slices.Collect(q.Run(docs(t, fleetJSON), twinquery.Options{})))
			require.NoError(t, err)
			require.JSONEq(t, want, string(encoded))
		})
	}
}

// Values of different types are different groups, also if they read alike.
func TestQuery_Run_groupsByTypeAndValue(t *testing.T) {
	t.Parallel()
	q, err := twinquery.ParseQuery("SELECT tags.v, COUNT() AS n FROM devices GROUP BY tags.v")
	require.NoError(t, err)
	input := docs(t, `[{"tags":{"v":1}},{"tags":{"v":"1"}},{"tags":{"v":1.0}},{"tags":{"v":null}},{"tags":{"v":"null"}},{},{"tags":{"v":"undefined"}}]`)
	want := []map[string]any{
		{"v": 1.0, "n": int64(2)},
		{"v": "1", "n": int64(1)},
		{"v": nil, "n": int64(1)},
		{"v": "null", "n": int64(1)},
		{"n": int64(1)},
		{"v": "undefined", "n": int64(1)},
	}
	require.Empty(t, cmp.Diff(want, slices.Collect(q.Run(input, twinquery.Options{}))))
}

func TestQuery_Run_readsJobRows(t *testing.T) {
	t.Parallel()
	q, err := twinquery.ParseQuery(`SELECT * FROM devices.jobs
		WHERE devices.jobs.deviceId = 'd1' AND devices.jobs.createdTimeUtc > '2016-09-01' AND devices.jobs.status = 'failed'`)
	require.NoError(t, err)
	require.Equal(t, twinquery.Jobs, q.Source)
	rows := docs(t, `[
		{"deviceId":"d1","status":"failed","createdDateTimeUtc":"2016-09-29T18:18:56.7787107Z"},
		{"deviceId":"d1","status":"failed","createdDateTimeUtc":"2016-08-29T18:18:56.7787107Z"},
		{"deviceId":"d1","status":"completed","createdDateTimeUtc":"2016-09-29T18:18:56.7787107Z"}]`)
	require.Len(t, slices.Collect(q.Run(rows, twinquery.Options{})), 1)
}

// A caller that takes a page reads no more documents than the page needs.
func TestQuery_Run_isLazy(t *testing.T) {
	t.Parallel()
	read := 0
	endless := func(yield func(twinquery.Document) bool) {
		for {
			read++
			if !yield(twinquery.Map{"version": read}) {
				return
			}
		}
	}
	q, err := twinquery.ParseQuery("SELECT version FROM devices WHERE version % 2 = 0")
	require.NoError(t, err)
	require.False(t, q.IsAggregate())
	for row := range q.Run(endless, twinquery.Options{}) {
		if row["version"] == 10 {
			break
		}
	}
	require.Equal(t, 10, read)

	read = 0
	q, err = twinquery.ParseQuery("SELECT TOP 3 version FROM devices")
	require.NoError(t, err)
	require.Len(t, slices.Collect(q.Run(endless, twinquery.Options{})), 3)
	require.Equal(t, 3, read)
}

func TestQuery_shape(t *testing.T) {
	t.Parallel()
	q, err := twinquery.ParseQuery("SELECT TOP 7 status, AVG(version) AS v FROM devices GROUP BY devices.Status")
	require.NoError(t, err)
	require.Equal(t, 7, q.Top)
	require.True(t, q.IsAggregate())
	require.False(t, q.IsAll())
	require.Equal(t, []string{"status"}, q.GroupBy.Key)
	require.Equal(t, "status", q.Items[0].Key())
	require.Equal(t, twinquery.Avg, q.Items[1].Aggregate)
	require.Equal(t, "v", q.Items[1].Key())
}
