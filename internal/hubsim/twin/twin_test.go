package twin_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/twin"
)

var (
	created = time.Date(2020, 7, 28, 22, 17, 23, 675682200, time.UTC)
	later   = created.Add(time.Minute)
)

func fresh(t testing.TB) twin.Twin {
	t.Helper()
	tw, err := twin.New(nil, nil, nil, created)
	require.NoError(t, err)
	return tw
}

func patch(t testing.TB, body string) twin.Patch {
	t.Helper()
	p, err := twin.ParsePatch([]byte(body))
	require.NoError(t, err)
	return p
}

func apply(t testing.TB, tw twin.Twin, body string, at time.Time) twin.Twin {
	t.Helper()
	next, err := tw.Apply(patch(t, body), false, at)
	require.NoError(t, err)
	return next
}

func TestNewTwinLooksAsRecorded(t *testing.T) {
	t.Parallel()
	tw := fresh(t)
	require.Equal(t, "AAAAAAAAAAE=", tw.ETag())
	require.EqualValues(t, 2, tw.Version())
	require.JSONEq(t, `{"$metadata":{"$lastUpdated":"2020-07-28T22:17:23.6756822Z"},"$version":1}`, string(tw.Desired.AppendJSON(nil, true)))
	require.JSONEq(t, `{"desired":{"$version":1},"reported":{"$version":1}}`, string(tw.AppendForDevice(nil)))
}

func TestPatchMovesETagVersionsAndMetadata(t *testing.T) {
	t.Parallel()
	tw := apply(t, fresh(t), `{"properties":{"desired":{"username":"userA"}}}`, later)
	require.Equal(t, "AAAAAAAAAAI=", tw.ETag())
	require.EqualValues(t, 3, tw.Version())
	require.JSONEq(t, `{"username":"userA","$metadata":{"$lastUpdated":"2020-07-28T22:18:23.6756822Z","$lastUpdatedVersion":2,
		"username":{"$lastUpdated":"2020-07-28T22:18:23.6756822Z","$lastUpdatedVersion":2}},"$version":2}`, string(tw.Desired.AppendJSON(nil, true)))

	tags := apply(t, tw, `{"tags":{"site":"lab"}}`, later)
	require.EqualValues(t, 4, tags.Version())
	require.EqualValues(t, 2, tags.Desired.Version, "tags have no part in the version of desired properties")
}

func TestMetadataOfWhatDidNotChangeStays(t *testing.T) {
	t.Parallel()
	tw, err := twin.New(nil, map[string]any{"a": map[string]any{"x": 1, "y": 2}, "b": 1}, nil, created)
	require.NoError(t, err)
	tw = apply(t, tw, `{"properties":{"desired":{"a":{"x":5}}}}`, later)

	metadata := tw.Desired.Metadata(true)

	old, now := "2020-07-28T22:17:23.6756822Z", "2020-07-28T22:18:23.6756822Z"
	require.Equal(t, now, metadata["$lastUpdated"])
	require.Equal(t, map[string]any{"$lastUpdated": old}, metadata["b"])
	a, ok := metadata["a"].(map[string]any)
	require.True(t, ok)
	require.Equal(t, now, a["$lastUpdated"])
	require.Equal(t, map[string]any{"$lastUpdated": now, "$lastUpdatedVersion": int64(2)}, a["x"])
	require.Equal(t, map[string]any{"$lastUpdated": old}, a["y"])
}

func TestReportsLeaveETagAndVersionAlone(t *testing.T) {
	t.Parallel()
	tw, err := fresh(t).Report(map[string]any{"fw": "1.0", "$version": 9}, later)
	require.NoError(t, err)
	require.Equal(t, fresh(t).ETag(), tw.ETag())
	require.Equal(t, fresh(t).Version(), tw.Version())
	require.EqualValues(t, 2, tw.Reported.Version)
	require.NotContains(t, string(tw.Reported.AppendJSON(nil, false)), "$lastUpdatedVersion")
}

func TestWhatAServiceCannotWriteIsIgnored(t *testing.T) {
	t.Parallel()
	p := patch(t, `{"deviceId":"x","etag":"y","properties":{"reported":{"a":1},"desired":{"$metadata":{},"$version":7,"b":1}}}`)
	require.Equal(t, twin.Patch{Desired: twin.Change{Set: true, Values: map[string]any{"b": json.Number("1")}}}, p)
	require.Equal(t, twin.Patch{}, patch(t, `{"properties":{"reported":{"a":1}}}`))
}

func TestNullOfAWholeSectionClearsIt(t *testing.T) {
	t.Parallel()
	tw := apply(t, fresh(t), `{"tags":{"a":1}}`, later)
	require.Empty(t, apply(t, tw, `{"tags":null}`, later).Tags)
}

func TestPutReplacesOnlyWhatItNames(t *testing.T) {
	t.Parallel()
	tw := apply(t, fresh(t), `{"tags":{"a":1},"properties":{"desired":{"x":1,"y":2}}}`, later)
	tw, err := tw.Apply(patch(t, `{"properties":{"desired":{"y":3,"z":null}}}`), true, later)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"a": json.Number("1")}, tw.Tags)
	require.Equal(t, map[string]any{"y": json.Number("3")}, tw.Desired.Values)
}

func TestReadersKeepWhatTheyRead(t *testing.T) {
	t.Parallel()
	before := apply(t, fresh(t), `{"tags":{"a":{"b":1}}}`, later)
	text := string(twin.AppendValue(nil, before.Tags))
	apply(t, before, `{"tags":{"a":{"b":2,"c":3}}}`, later)
	require.Equal(t, text, string(twin.AppendValue(nil, before.Tags)))
}

func TestLimits(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ body, want string }{
		"tags size":     {`{"tags":{` + many(3, 3000) + `}}`, "tags: its size of 9006 bytes exceeds 8192"},
		"desired size":  {`{"properties":{"desired":{` + many(9, 4000) + `}}}`, "properties.desired: its size"},
		"long string":   {`{"tags":{"a":"` + strings.Repeat("x", 4097) + `"}}`, "tags.a: its string is longer than 4096"},
		"deep":          {`{"tags":` + strings.Repeat(`{"a":`, 11) + `1` + strings.Repeat(`}`, 11) + `}`, "nested deeper than 10"},
		"key with dot":  {`{"tags":{"a.b":1}}`, `the key "a.b"`},
		"key with $":    {`{"tags":{"$a":1}}`, `the key "$a"`},
		"key too long":  {`{"tags":{"` + strings.Repeat("k", 1025) + `":1}}`, "a key is longer than 1024"},
		"great integer": {`{"tags":{"a":4503599627370496}}`, "its integer is not between"},
		"in an array":   {`{"tags":{"a":[1,{"b c":1}]}}`, "tags.a[1]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := fresh(t).Apply(patch(t, test.body), false, later)
			var limit *twin.LimitError
			require.ErrorAs(t, err, &limit)
			require.ErrorContains(t, err, test.want)
		})
	}
	for name, body := range map[string]string{
		"two tags of 4000":    `{"tags":{` + many(2, 4000) + `}}`,
		"eight of 4000":       `{"properties":{"desired":{` + many(8, 4000) + `}}}`,
		"ten deep":            `{"tags":` + strings.Repeat(`{"a":`, 10) + `1` + strings.Repeat(`}`, 10) + `}`,
		"greatest integer":    `{"tags":{"a":4503599627370495,"b":-4503599627370496}}`,
		"control characters":  `{"tags":{` + many(2, 4000) + `,"c":"` + strings.Repeat(`\u0007`, 1000) + `"}}`,
		"deleting a bad name": `{"tags":{"a b":null}}`,
	} {
		_, err := fresh(t).Apply(patch(t, body), false, later)
		require.NoError(t, err, name)
	}
}

// many returns n members of keys of two bytes and strings of a size.
func many(n, size int) string {
	members := make([]string, n)
	for i := range members {
		members[i] = `"k` + string(rune('a'+i)) + `":"` + strings.Repeat("x", size) + `"`
	}
	return strings.Join(members, ",")
}

func TestMalformedPatches(t *testing.T) {
	t.Parallel()
	for _, body := range []string{``, `[]`, `"x"`, `{`, `{"tags":[]}`, `{"tags":1}`, `{"properties":{"desired":"x"}}`, `{"properties":[]}`, `{"tags":{}} x`} {
		_, err := twin.ParsePatch([]byte(body))
		require.Error(t, err, body)
	}
}

// TestMergeIsJSONMergePatch compares with another implementation of RFC 7396.
func TestMergeIsJSONMergePatch(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		document, change := object(t, "document", 3), object(t, "patch", 3)
		base := twin.NewSection(nil, created).Replace(document, created)
		baseText := twin.AppendValue(nil, base.Values)
		want, err := jsonpatch.MergePatch(baseText, twin.AppendValue(nil, change))
		require.NoError(t, err)

		got := base.Merge(change, later)

		require.JSONEq(t, string(want), string(twin.AppendValue(nil, got.Values)))
		require.EqualValues(t, 3, got.Version)
		require.JSONEq(t, string(baseText), string(twin.AppendValue(nil, base.Values)), "the section before must not change")
		sameShape(t, got.Values, got.Metadata(true))
	})
}

// sameShape checks that metadata has exactly the properties that there are.
func sameShape(t require.TestingT, v any, metadata map[string]any) {
	require.Contains(t, metadata, "$lastUpdated")
	values, _ := v.(map[string]any)
	for key, below := range values {
		child, ok := metadata[key].(map[string]any)
		require.True(t, ok, "no metadata of %q", key)
		sameShape(t, below, child)
	}
	for key := range metadata {
		if key[0] != '$' {
			require.Contains(t, values, key, "metadata of a property that is not there")
		}
	}
}

func object(t *rapid.T, label string, depth int) map[string]any {
	out := map[string]any{}
	for _, key := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 0, 4, rapid.ID[string]).Draw(t, label) {
		switch kind := rapid.IntRange(0, 4).Draw(t, "kind"); {
		case kind == 0:
			out[key] = nil
		case kind == 1 && depth > 0:
			out[key] = object(t, label, depth-1)
		case kind == 2:
			out[key] = []any{1, "x"}
		default:
			out[key] = rapid.IntRange(0, 3).Draw(t, "number")
		}
	}
	return out
}

func TestValuesAreWrittenAsJSON(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{"a":[1,2.50,1e3,null,true],"b":{"c":"<é\"\\\u0007 >"}}`, `"plain"`, `-0`, `[]`, `{}`, `false`,
	} {
		v, err := twin.Decode([]byte(text))
		require.NoError(t, err)
		require.JSONEq(t, text, string(twin.AppendValue(nil, v)))
	}
	ordered := string(twin.AppendValue(nil, map[string]any{"b": []any{map[string]any{"c": 1.5}}, "a": int64(1)}))
	require.Less(t, strings.Index(ordered, "a"), strings.Index(ordered, "b"), "keys in order")
	require.JSONEq(t, `{"a":1,"b":[{"c":1.5}]}`, ordered)
}
