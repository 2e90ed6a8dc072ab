package twinquery_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

// TestAFilterFindsItsValue: whatever a device has at a path, the condition for that value matches it, and no other one does; also
// narrowed by, and narrowing, another condition.
func TestAFilterFindsItsValue(t *testing.T) {
	t.Parallel()
	path, err := twinquery.ParsePath("Tags.[[group]].name")
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(
			rapid.Map(rapid.String(), func(s string) any { return s }),
			rapid.Map(rapid.Float64(), func(f float64) any { return f }),
			rapid.Map(rapid.Int(), func(n int) any { return float64(n) }),
			rapid.Map(rapid.Bool(), func(b bool) any { return b }),
		)
		has, asked := value.Draw(t, "of the device"), value.Draw(t, "asked for")
		doc := twinquery.Map{"deviceId": "it's", "tags": map[string]any{"group": map[string]any{"name": has}}}
		for _, v := range []any{has, asked} {
			text, err := json.Marshal(v)
			require.NoError(t, err)
			filter, ok := path.Is(text)
			require.True(t, ok)
			for _, job := range []string{"*", "deviceId != 'b' OR deviceId = 'c'"} {
				c, err := twinquery.ParseCondition(job)
				require.NoError(t, err)
				c, err = c.And(filter)
				require.NoError(t, err, filter)
				require.Equal(t, v == has, c.Match(doc, twinquery.Options{}), "%s of %v", filter, has)
				c, err = c.And(twinquery.OneOf([]string{"a", "it's"}))
				require.NoError(t, err)
				require.Equal(t, v == has, c.Match(doc, twinquery.Options{}))
			}
		}
		missing, err := twinquery.ParseCondition(path.Missing())
		require.NoError(t, err)
		require.False(t, missing.Match(doc, twinquery.Options{}))
		require.True(t, missing.Match(twinquery.Map{"tags": map[string]any{"group": has}}, twinquery.Options{}))
	})
	for _, value := range []string{"null", `{"a":1}`, "[1]", "", "x"} {
		_, ok := path.Is(json.RawMessage(value))
		require.False(t, ok, "no condition compares with %s", value)
	}
}

func TestConditionsNarrowEachOther(t *testing.T) {
	t.Parallel()
	for _, row := range [][3]string{
		{"*", "", "*"},
		{"*", "tags.a = 1", "tags.a = 1"},
		{"tags.a = 1 OR tags.b = 2", "tags.c = 3 OR tags.d = 4", "(tags.a = 1 OR tags.b = 2) AND (tags.c = 3 OR tags.d = 4)"},
		{"FROM devices.modules", "deviceId IN ['a']", "FROM devices.modules WHERE deviceId IN ['a']"},
		{"FROM devices.modules WHERE moduleId = 'm'", "tags.a = 1", "FROM devices.modules WHERE moduleId = 'm' AND tags.a = 1"},
	} {
		c, err := twinquery.ParseCondition(row[0])
		require.NoError(t, err)
		c, err = c.And(row[1])
		require.NoError(t, err)
		require.Equal(t, row[2], c.String())
	}
}

// FuzzParsePath: what is taken for a path prints as one, and makes conditions that parse.
func FuzzParsePath(f *testing.F) {
	for _, seed := range []string{"tags.site", "properties.reported.[[a b]].c", "tags.group", "devices.tags.x", "tags", "Tags.1a", "tags.[[]]", "status"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		path, err := twinquery.ParsePath(text)
		if err != nil {
			return
		}
		again, err := twinquery.ParsePath(path.String())
		require.NoError(t, err)
		require.Equal(t, path.String(), again.String())
		filter, ok := path.Is([]byte(`"it's"`))
		require.True(t, ok)
		for _, condition := range []string{filter, path.Missing()} {
			if _, err := twinquery.ParseCondition(condition); err != nil && len(text) < 1000 {
				t.Fatalf("%s: %v", condition, err)
			}
		}
	})
}
