package twinquery_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

const twinJSON = `{
	"deviceId": "dev-1", "etag": "AAAAAAAAAAE=", "status": "enabled", "statusReason": null, "connectionState": "Connected",
	"lastActivityTime": "2026-01-02T03:04:05Z", "version": 7, "capabilities": {"iotEdge": false},
	"tags": {"building": 43, "floor": 1, "empty": null, "group": {"name": "g"}, "on": true, "list": [1, "x", {"k": 2}],
		"location": {"region": "US", "plant": "Redmond43"}, "my-key": "dash", "5th": 5},
	"properties": {
		"desired": {"config": 2, "name": "a", "$version": 3, "$metadata": {"$lastUpdated": "2026-01-01T00:00:00Z"}},
		"reported": {"config": 2, "name": "b", "connectivity": "wifi", "$version": 9}
	}
}`

func twin(t testing.TB) twinquery.Map {
	t.Helper()
	var m map[string]any
	require.NoError(t, json.Unmarshal([]byte(twinJSON), &m))
	return m
}

func TestMatch(t *testing.T) {
	t.Parallel()
	doc := twin(t)
	for condition, want := range map[string]bool{
		// Documented.
		"*":                           true,
		"deviceId = 'dev-1'":          true,
		"deviceId IN ['a', 'dev-1']":  true,
		"deviceId NIN ['a', 'dev-1']": false,
		"tags.location.region = 'US'": true,
		"tags.location.region = \"US\" AND properties.reported.connectivity IN ['wired', 'wifi']": true,
		"properties.desired.config = properties.reported.config":                                  true,
		"properties.desired.name != properties.reported.name":                                     true,
		"is_defined(properties.reported.connectivity)":                                            true,
		"connectionState = 'Connected'":                                                           true,
		"capabilities.iotEdge = false":                                                            true,
		"capabilities.iotEdge":                                                                    false,
		"lastActivityTime >= '2026-01-02'":                                                        true,
		"tags.[[group]].name = 'g'":                                                               true,
		"tags.building = 43 AND tags.floor IN [1,2]":                                              true,
		// Case.
		"DEVICEID = 'dev-1'":         true,
		"tags.Building = 43":         false,
		"deviceId = 'DEV-1'":         false,
		"devices.status = 'enabled'": true,
		// Only true keeps a row.
		"tags":                false,
		"tags.list":           false,
		"tags.location.plant": false,
		"tags.building":       false,
		"tags.empty":          false,
		"tags.nothing":        false,
		"tags.on":             true,
		"null":                false,
		"undefined":           false,
		"false":               false,
		"true":                true,
		// IS_DEFINED includes null.
		"IS_DEFINED(tags.empty)":                true,
		"IS_DEFINED(tags.nothing)":              false,
		"NOT IS_DEFINED(tags.nothing)":          true,
		"IS_DEFINED(tags.location)":             true,
		"IS_DEFINED(tags.building.nothing)":     false,
		"STARTSWITH(tags.location.plant,'Red')": true,
		"STARTSWITH(tags.location.plant,'red')": false,
		"STARTSWITH(tags.building,'4')":         false,
		// Numbers, precedence.
		"tags.building = 0x2B":                               true,
		"tags.building = 43.0":                               true,
		"tags.building > -1":                                 true,
		"-tags.floor = -1":                                   true,
		"1 + 2 * 3 = 7":                                      true,
		"(1 + 2) * 3 = 9":                                    true,
		"7 - 2 - 1 = 4 AND 12 / 3 / 2 = 2":                   true,
		"7 % 4 = 3":                                          true,
		"tags.building - 3 = 40":                             true,
		"1 / 0 = 1 / 0":                                      false,
		"false AND false OR true":                            true,
		"NOT tags.floor = 2 AND tags.floor = 1":              true,
		"NOT (tags.floor = 1 OR true)":                       false,
		"tags.floor <= 1 AND tags.floor >= 1":                true,
		"tags.floor < 1 OR tags.floor <> 1":                  false,
		"'a' < 'b' AND 'a' < 'aa' AND 'B' < 'a'":             true,
		"properties.reported.$version = 9":                   true,
		"properties.desired.$metadata.$lastUpdated > '2025'": true,
		"tags.[[my-key]] = 'dash' AND tags.5th = 5":          true,
		// Three-valued logic.
		"tags.nothing = 1 OR true":         true,
		"NOT (tags.nothing = 1 AND false)": true,
		"NOT (tags.nothing = 1 OR false)":  false,
		"true AND tags.nothing":            false,
		"NOT tags.location.region":         false,
		// Lists.
		"tags.nothing NIN [1]":                                       false,
		"tags.building NIN ['43', null]":                             true,
		"tags.empty IN [1, null]":                                    true,
		"tags.list IN [1]":                                           false,
		"tags.floor IN [undefined]":                                  false,
		"tags.location.region IN ['a','b','c','d','e','f','g','US']": true,
		"tags.floor IN ['a','b','c','d','e','f','g',1]":              true,
		// Unknown to the documentation.
		"'x' IN tags.list":      true,
		"'y' NIN tags.list":     true,
		"'y' IN tags.building":  false,
		"tags.list[0] = 1":      true,
		"tags.list[2]['k'] = 2": true,
		"tags.list[3] = 1":      false,
		"tags.list[0.5] = 1":    false,
		"LOWER('A') = 'a'":      false,
	} {
		t.Run(condition, func(t *testing.T) {
			t.Parallel()
			c, err := twinquery.ParseCondition(condition)
			require.NoError(t, err)
			require.Equal(t, want, c.Match(doc, twinquery.Options{}))
			again, err := twinquery.ParseCondition(c.String())
			require.NoError(t, err)
			require.Equal(t, want, again.Match(doc, twinquery.Options{}), "canonical text %s", c)
		})
	}
}

// The semantics that nobody has documented can be switched one by one.
func TestMatch_options(t *testing.T) {
	t.Parallel()
	doc := twin(t)
	missing := twinquery.Options{MissingIsNull: true}
	mixed := twinquery.Options{MixedTypesDiffer: true}
	not := twinquery.Options{NotUndefinedIsTrue: true}
	for _, tc := range []struct {
		condition string
		byDefault bool
		opt       twinquery.Options
		switched  bool
	}{
		{"tags.nothing = null", false, missing, true},
		{"tags.nothing IN [null]", false, missing, true},
		{"tags.nothing NIN ['a']", false, missing, true},
		{"IS_DEFINED(tags.nothing)", false, missing, false},
		{"tags.empty = null", true, missing, true},
		{"tags.building != '43'", false, mixed, true},
		{"tags.building = '43'", false, mixed, false},
		{"NOT tags.building = '43'", false, mixed, true},
		{"tags.building < '44'", false, mixed, false},
		{"tags.nothing != 1", false, mixed, false},
		{"tags.nothing != 1", false, twinquery.Options{MissingIsNull: true, MixedTypesDiffer: true}, true},
		{"NOT tags.nothing = 1", false, not, true},
		{"NOT tags.on", false, not, false},
	} {
		t.Run(fmt.Sprintf("%s %+v", tc.condition, tc.opt), func(t *testing.T) {
			t.Parallel()
			c, err := twinquery.ParseCondition(tc.condition)
			require.NoError(t, err)
			require.Equal(t, tc.byDefault, c.Match(doc, twinquery.Options{}))
			require.Equal(t, tc.switched, c.Match(doc, tc.opt))
		})
	}
}

// Documents may hold numbers as Go programs write them.
func TestMatch_numbersOfGo(t *testing.T) {
	t.Parallel()
	c, err := twinquery.ParseCondition("version = 7")
	require.NoError(t, err)
	for _, v := range []any{7, int32(7), int64(7), uint64(7), 7.0, json.Number("7")} {
		require.True(t, c.Match(twinquery.Map{"version": v}, twinquery.Options{}), "%T", v)
	}
	require.False(t, c.Match(twinquery.Map{"version": json.Number("x")}, twinquery.Options{}))
}

func TestConst_Value(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]any{"null": nil, "true": true, "-0x10": -16.0, "'x'": "x"} {
		c, err := twinquery.ParseCondition(text)
		require.NoError(t, err)
		v, ok := c.Expr.(*twinquery.Const).Value()
		require.True(t, ok)
		require.Equal(t, want, v)
	}
	c, err := twinquery.ParseCondition("undefined")
	require.NoError(t, err)
	_, ok := c.Expr.(*twinquery.Const).Value()
	require.False(t, ok)
}

// fleet returns twins whose tags are spread over buildings and floors.
func fleet(n int) []twinquery.Document {
	docs := make([]twinquery.Document, n)
	for i := range docs {
		docs[i] = twinquery.Map{
			"deviceId": fmt.Sprintf("dev-%06d", i),
			"tags":     map[string]any{"building": float64(i % 50), "floor": float64(i % 7)},
		}
	}
	return docs
}

func BenchmarkMatch(b *testing.B) {
	docs := fleet(100_000)
	for _, condition := range []string{
		"tags.building = 43 AND tags.floor IN [1,2]",
		"STARTSWITH(deviceId, 'dev-0999') OR NOT IS_DEFINED(tags.building)",
	} {
		c, err := twinquery.ParseCondition(condition)
		require.NoError(b, err)
		b.Run(condition, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for _, doc := range docs {
					c.Match(doc, twinquery.Options{})
				}
			}
		})
	}
}

func TestMatch_doesNotAllocate(t *testing.T) {
	doc := twin(t)
	c, err := twinquery.ParseCondition("tags.building = 43 AND NOT tags.floor IN [3,4] AND STARTSWITH(deviceId, 'dev')")
	require.NoError(t, err)
	require.Zero(t, testing.AllocsPerRun(100, func() { c.Match(doc, twinquery.Options{}) }))
}
