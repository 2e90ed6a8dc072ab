package kql_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/tools/infracheck/kql"
)

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// rows are four of a table: two of one run, one of another, one that is no JSON.
func rows() []kql.Row {
	texts := []string{
		`{"event": "ended", "run": "a", "failed": 3, "share": 0.5, "at": "2026-11-23T11:00:00Z"}`,
		`{"event": "ended", "run": "b", "failed": 4}`,
		`{"event": "begun", "run": "a", "sure": true}`,
		`Host started`,
	}
	all := make([]kql.Row, len(texts))
	for i, text := range texts {
		all[i] = kql.Row{"timestamp": start.Add(time.Duration(i) * 40 * time.Second), "message": text, "n": int64(i)}
	}
	return all
}

func run(t *testing.T, query string) ([]kql.Row, error) {
	t.Helper()
	q, err := kql.Parse(query)
	require.NoError(t, err)
	require.Equal(t, "traces", q.Table)
	return q.Run(rows())
}

// A query that ends in one row with the column x is worth that.
func TestExpressions(t *testing.T) {
	t.Parallel()
	const json = `| extend e = parse_json(message) `
	for query, want := range map[string]any{
		`| where message startswith "HOST" | project x = n`:                                                                    int64(3),
		`| where message has "started" | project x = n`:                                                                        int64(3),
		`| where message contains "tarte" | project x = n`:                                                                     int64(3),
		`| where n == 1 or n == 2 and n != 2 | project x = n`:                                                                  int64(1),
		`| where (n == 1 or n == 2) and n != 2 | project x = n`:                                                                int64(1),
		`| where n in (3, 7) | project x = tostring(n)`:                                                                        "3",
		`| where n == 3 | project x = 1 + 2 * n - 7 / 2`:                                                                       int64(4),
		`| where n == 3 | project x = 7.0 / 2`:                                                                                 3.5,
		`| where n == 3 | project x = round(2 / 3.0, 2)`:                                                                       0.67,
		`| where n == 3 | project x = bin(timestamp, 1m)`:                                                                      start.Add(2 * time.Minute),
		`| take 1` + json + `| project x = tolong(e.failed)`:                                                                   int64(3),
		`| take 1` + json + `| project x = todouble(e.share)`:                                                                  0.5,
		`| take 1` + json + `| project x = todatetime(e.at)`:                                                                   start.Add(-time.Hour),
		`| take 1` + json + `| project x = toint(e.run)`:                                                                       nil,
		json + `| where isnotempty(e.sure) | project x = tostring(e.sure)`:                                                     "true",
		json + `| where e.event == "begun" | project x = n // why`:                                                             int64(2),
		json + `| where e.event == 'begun' | project x = n`:                                                                    int64(2),
		json + `| where e.event == "ended" | summarize x = count()`:                                                            int64(2),
		json + `| where e.event == "ended" | summarize x = sum(tolong(e.failed))`:                                              int64(7),
		json + `| where e.event == "ended" | summarize x = sum(tolong(e.failed)) / 2`:                                          int64(3),
		json + `| where e.event == "ended" | summarize x = max(todouble(e.failed)) / 2`:                                        2.0,
		json + `| where e.event == "ended" | summarize x = min(tolong(e.failed))`:                                              int64(3),
		json + `| summarize x = countif(tostring(e.run) == "a")`:                                                               int64(2),
		`| summarize x = percentile(n, 50)`:                                                                                    int64(2),
		`| order by n desc | take 1 | project x = n`:                                                                           int64(3),
		`| order by timestamp asc | take 1 | project x = n`:                                                                    int64(0),
		json + `| extend run = tostring(e.run) | summarize arg_max(timestamp, n, e) by run | where run == "a" | project x = n`: int64(2),
	} {
		found, err := run(t, "traces\n"+query)
		require.NoError(t, err, query)
		require.Len(t, found, 1, query)
		require.Equal(t, want, found[0]["x"], query)
	}
}

func TestRowsAreGroupedByValueAndTime(t *testing.T) {
	t.Parallel()
	found, err := run(t, `traces | summarize many = count() by bin(timestamp, 1m)`)
	require.NoError(t, err)
	require.Equal(t, []kql.Row{
		{"timestamp": start, "many": int64(2)},
		{"timestamp": start.Add(time.Minute), "many": int64(1)},
		{"timestamp": start.Add(2 * time.Minute), "many": int64(1)},
	}, found)
}

func TestWhatNoRowHasIsReported(t *testing.T) {
	t.Parallel()
	const ended = `traces | extend e = parse_json(message) | where e.event == "ended" `
	for query, want := range map[string]string{
		`traces | extend e = parse_json(message) | where e.event == "end" or n == 1`:              `line 1: no sample row has the value "end"`,
		`traces | extend e = parse_json(message) | where tostring(e.event) in ("ended", "start")`: `no sample row has the value "start"`,
		`traces | extend e = parse_json(message) | where e.event != "stopped"`:                    `no sample row has the value "stopped"`,
		ended + `| project x = tostring(e.runs)`:                                                  `no sample row has the member runs`,
		ended + "\n| where n > 9\n| project x = n":                                                `line 3: no sample row gets as far as this`,
		ended + `| project x = messages`:                                                          `there is no column messages`,
		ended + `| project x = e.failed + 1`:                                                      `cast to numbers first`,
		ended + `| where e.failed > 1`:                                                            `cannot be ordered`,
		ended + `| summarize x = sum(e.failed)`:                                                   `cast what sum takes`,
		ended + `| summarize x = count() by e.run`:                                                `cast and name what to summarize by`,
		ended + `| summarize x = count() by tostring(e.run)`:                                      `cast and name what to summarize by`,
		ended + `| where e.run in ("a")`:                                                          `cast what is looked for with in`,
		ended + `| summarize count()`:                                                             `needs a name`,
		ended + `| project tostring(e.run)`:                                                       `needs a name`,
		ended + `| where n`:                                                                       `a filter is true or false`,
		ended + `| where n and true`:                                                              `and needs two conditions`,
		ended + `| project x = message.run`:                                                       `string has no members`,
		ended + `| project x = tonumber(n)`:                                                       `the function tonumber is not known`,
		ended + `| summarize x = avg(n)`:                                                          `the aggregate avg is not known`,
		ended + `| where e startswith "x"`:                                                        `startswith needs two texts`,
		ended + `| project x = bin(n, 5)`:                                                         `bin rounds a time`,
	} {
		_, err := run(t, query)
		require.ErrorContains(t, err, want, query)
	}
}

func TestBrokenQueriesAreRefusedWithTheirLine(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		``:                                  `line 1: "" is no name`,
		"traces\n| where":                   `line 2: "" is no value`,
		"traces\n| where n ==":              `line 2: "" is no value`,
		"traces\n\n| where (n == 1":         `line 3: "" instead of ")"`,
		"traces where n == 1":               `line 1: "where" instead of "|"`,
		"traces | join other":               `the operator join is not known here`,
		"traces | where n in 1":             `"1" instead of "("`,
		"traces | where n in (1":            `"" instead of ")"`,
		"traces | order n":                  `"n" instead of "by"`,
		"traces | take many":                `invalid syntax`,
		"traces | where message == \"open":  `cannot read "\"open"`,
		"traces | where n == 1; drop":       `cannot read "; drop"`,
		"traces | extend e = f(1,)":         `")" is no value`,
		"traces | project x = message.":     `"" is no name`,
		"traces | summarize n = count() by": `"" is no value`,
	} {
		_, err := kql.Parse(query)
		require.ErrorContains(t, err, want, query)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`traces | extend e = parse_json(message) | where e.event in ("a", 'b') and n >= 1.5 | summarize x = max(n) by bin(timestamp, 5m)`)
	f.Add(`traces // comment
| order by n desc, message asc | take 10`)
	f.Fuzz(func(t *testing.T, query string) {
		q, err := kql.Parse(query)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		_, _ = q.Run([]kql.Row{{"timestamp": start, "message": query, "n": int64(1)}}) // must not panic
	})
}
