package api

import (
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// openapi.yaml and the routing table list the same paths and methods.
func TestEveryRouteIsDescribed(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromData(openAPI)
	require.NoError(t, err)
	described := map[string][]string{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			params := []string{}
			for _, p := range op.Parameters {
				if p.Value.In == "query" {
					params = append(params, p.Value.Name)
				}
			}
			described[method+" "+path] = params
		}
	}
	served := map[string]bool{}
	for _, rt := range (&handler{}).table() {
		for method, e := range rt.methods {
			name := method + " " + prefix + strings.Join(rt.path, "/")
			served[name] = true
			require.ElementsMatch(t, e.params, described[name], name)
		}
	}
	require.Len(t, described, len(served))
}

// The words of /api/health/details are those that are described, here and for operators.
func TestEveryWordOfHealthIsExplained(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromData(openAPI)
	require.NoError(t, err)
	page, err := os.ReadFile("../../docs/health.md")
	require.NoError(t, err)
	for name, words := range map[string][]any{
		"HealthProblem": {string(tablesDown), string(queueDown), string(hubDown), string(queueStalled), string(timerOverdue)},
		"HealthState": {
			string(partOK), string(partRefused), string(partUnreachable), string(partThrottled), string(partQuotaSpent), string(partFailed),
		},
	} {
		schema := doc.Components.Schemas[name].Value
		require.Equal(t, words, schema.Enum)
		for _, word := range words {
			require.Contains(t, schema.Description, fmt.Sprintf("- `%s`: ", word))
			require.Contains(t, string(page), fmt.Sprintf("| `%s` | ", word))
		}
	}
	require.Equal(t, []any{string(healthOK), string(unhealthy)}, doc.Components.Schemas["Health"].Value.Properties["status"].Value.Enum)
}

func TestEveryKindOfProblemIsExplained(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/problems.md")
	require.NoError(t, err)
	kinds := []problemKind{
		invalidRequest, notSignedIn, roleMissing, unknownPath, unknownJob, unknownTemplate, unknownRun, unknownExecution, methodNotAllowed, idTaken, jobEnded,
		jobNotEnded, executionNotWaiting, notRecurring, tooManyRuns, changedMeanwhile, batchNotWaiting, ownApproval,
		editedMeanwhile, versionMissing,
		bodyTooLarge, unsupportedMedia, keyReused, internalError, hubUnavailable, storageUnavailable,
	}
	for _, k := range kinds {
		require.Contains(t, string(page), "\n## "+k.slug+"\n")
		require.Contains(t, string(page), fmt.Sprintf("| [%s](#%s) | %d |", k.slug, k.slug, k.status))
	}
	require.Equal(t, len(kinds), strings.Count(string(page), "\n## "))
}

func TestPrefersCSV(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]bool{
		"":                                 false,
		"*/*":                              false,
		"application/json":                 false,
		"text/csv":                         true,
		"TEXT/CSV; charset=utf-8":          true,
		"text/csv, */*":                    true,
		"text/csv;q=0.5, */*":              false,
		"text/csv, application/json":       false,
		"text/csv, application/json;q=0.9": true,
		"text/csv;q=0":                     false,
		"text/csv;q=x":                     false,
		"text/*":                           true,
		"application/xml":                  false,
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": false,
		";;,text/csv": true,
	} {
		require.Equal(t, want, prefersCSV([]string{accept}), accept)
	}
	require.True(t, prefersCSV([]string{"*/*", "text/csv"}), "several header lines are one list")
}

func TestCellsThatASpreadsheetWouldCarryOut(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", "＝1", "＋1", "－1", "＠x"} {
		require.Equal(t, "'"+text, safeCell(text))
	}
	for _, text := range []string{"", "a=1", "{\"a\":1}", "1", "é", "'=1"} {
		require.Equal(t, text, safeCell(text))
	}
}

func TestNoneMatch(t *testing.T) {
	t.Parallel()
	require.True(t, noneMatch([]string{`"a"`, `W/"b" , "c"`}, `"b"`))
	require.True(t, noneMatch([]string{"*"}, `"b"`))
	require.False(t, noneMatch([]string{`"a", b, W/"c"`}, `"b"`))
	require.False(t, noneMatch(nil, `"b"`))
}

func TestETagTellsBodiesApart(t *testing.T) {
	t.Parallel()
	again := []byte("a")
	require.Equal(t, etag([]byte("a")), etag(again))
	require.NotEqual(t, etag([]byte("a")), etag([]byte("b")))
	require.Regexp(t, `^"[!#-~]+"$`, etag(nil))
}

// A path is split at its slashes and decoded once: what was escaped stays inside its segment.
func FuzzSplit(f *testing.F) {
	for _, path := range []string{"/api/jobs", "/api/jobs/a%2Fb", "/api/jobs/%2e%2e/x", "/api//", "/api/", "/ap", "/api/%", "/api/%zz"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		segments, ok := split(path)
		if !ok {
			require.Nil(t, segments)
			return
		}
		escaped := make([]string, len(segments))
		for i, s := range segments {
			require.NotEmpty(t, s)
			escaped[i] = url.PathEscape(s)
		}
		again, ok := split(prefix + strings.Join(escaped, "/"))
		require.True(t, ok)
		require.Equal(t, segments, again)
		require.Len(t, segments, strings.Count(path[len(prefix):], "/")+1)
	})
}

// No token but our own for the same listing is taken.
func FuzzParseToken(f *testing.F) {
	f.Add(position{shard: 3, offset: 99}.token("job.1", "failed"), "job.1", "failed")
	f.Add(position{}.token("job.1", ""), "job.1", "failed")
	f.Add("MS4wLjEwMC4", "r", "")
	f.Add("!", "r", "")
	f.Fuzz(func(t *testing.T, token, runID, filter string) {
		p, err := parseToken(token, runID, filter)
		if err != nil {
			require.Len(t, job.FaultsOf(err), 1)
			require.Zero(t, p)
			return
		}
		if token != "" {
			require.Equal(t, token, p.token(runID, filter))
		}
		require.True(t, p.shard >= 0 && p.shard <= maxShardNumber && p.offset >= 0 && p.offset < job.ShardSize)
	})
}

func TestTokensOfOtherListings(t *testing.T) {
	t.Parallel()
	want := position{shard: 12, offset: 34}
	token := want.token("job.1", "failed")
	got, err := parseToken(token, "job.1", "failed")
	require.NoError(t, err)
	require.Equal(t, want, got)
	for _, listing := range [][2]string{{"job.2", "failed"}, {"job.1", ""}, {"job.1", "succeeded"}} {
		_, err := parseToken(token, listing[0], listing[1])
		require.ErrorContains(t, err, "belongs to another listing")
	}
	_, err = parseToken(position{shard: -1}.token("job.1", ""), "job.1", "")
	require.Error(t, err)
	_, err = parseToken(position{offset: job.ShardSize}.token("job.1", ""), "job.1", "")
	require.Error(t, err)
}

// Values are shown cut, and never as broken text.
func TestShown(t *testing.T) {
	t.Parallel()
	require.Equal(t, strings.Repeat("a", 79)+"…", shown(strings.Repeat("a", 79)+"é"+"b"))
	require.Equal(t, "a�", shown("a\xff"))
}
