package twinquery_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

// requireReparse checks that canonical text parses to itself. Printing adds spaces and parentheses, so that a text just
// within the limits may print beyond them.
func requireReparse(t *testing.T, canonical string, err error, again string) {
	t.Helper()
	if err != nil && strings.Contains(err.Error(), "expected at most ") {
		return
	}
	require.NoError(t, err, canonical)
	require.Equal(t, canonical, again)
}

func requireGoodError(t *testing.T, text string, err error) {
	t.Helper()
	var syntax *twinquery.SyntaxError
	require.ErrorAs(t, err, &syntax)
	require.True(t, 0 <= syntax.Offset && syntax.Offset <= len(text))
	require.NotContains(t, syntax.Error(), "\n")
	require.NotEmpty(t, syntax.Expected)
	require.NotEmpty(t, syntax.Found)
}

func FuzzParseCondition(f *testing.F) {
	for _, seed := range []string{
		"*", "tags.a = 1 AND NOT tags.[[group]].b IN ['x', \"y\", 0xF]", `tags.q = 'it\'s \u00e9'''`, "FROM devices.modules WHERE x",
		"a.b[0] = -(-5) - -3", "f(1, g(2)) <> null", "tags.a == 1", "((((", "tags.a = NOT b", "1.5e3 < .5",
	} {
		f.Add(seed)
	}
	doc := twin(f)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := twinquery.ParseCondition(text)
		if err != nil {
			requireGoodError(t, text, err)
			return
		}
		again, err := twinquery.ParseCondition(c.String())
		if err != nil {
			requireReparse(t, c.String(), err, "")
			return
		}
		requireReparse(t, c.String(), nil, again.String())
		for _, opt := range []twinquery.Options{{}, {MissingIsNull: true, MixedTypesDiffer: true, NotUndefinedIsTrue: true}} {
			require.Equal(t, c.Match(doc, opt), again.Match(doc, opt), "the canonical text means the same")
		}
		_, err = twinquery.ParseQuery(c.Query("deviceId"))
		require.NoError(t, err, "the whole query of a condition is a query")
	})
}

func FuzzParseQuery(f *testing.F) {
	for _, seed := range []string{
		"SELECT * FROM devices", "SELECT TOP 3 deviceId AS d, tags.[[x y]] FROM devices.modules WHERE tags.a IN [1]",
		"SELECT tags.a, COUNT(), MAX(tags.b) AS m FROM devices GROUP BY tags.a", "SELECT * FROM devices.jobs WHERE devices.jobs.status='x'",
	} {
		f.Add(seed)
	}
	doc := twin(f)
	f.Fuzz(func(t *testing.T, text string) {
		q, err := twinquery.ParseQuery(text)
		if err != nil {
			requireGoodError(t, text, err)
			return
		}
		again, err := twinquery.ParseQuery(q.String())
		if err != nil {
			requireReparse(t, q.String(), err, "")
			return
		}
		requireReparse(t, q.String(), nil, again.String())
		for range q.Run(func(yield func(twinquery.Document) bool) { yield(doc) }, twinquery.Options{}) {
			require.True(t, utf8.ValidString(q.String()))
		}
	})
}

// expression generates expression text with its own spacing and redundant parentheses.
func expression(depth int) *rapid.Generator[string] {
	leaf := rapid.OneOf(
		rapid.SampledFrom([]string{
			"1", "-2", "0x1F", "3.25", "'x'", `"it's"`, `'\u0041\'\\'`, "true", "FALSE", "null", "undefined", "deviceId",
			"tags.a", "tags.[[my key]].b", "properties.reported.$version", "[1, 'x']", "tags.l[0]",
		}),
		rapid.Map(rapid.StringMatching(`[a-zA-Z_$][a-zA-Z0-9_$]{0,8}`), func(name string) string { return "tags.[[" + name + "]]" }),
	)
	if depth == 0 {
		return leaf
	}
	sub := expression(depth - 1)
	return rapid.OneOf(leaf, rapid.Custom(func(t *rapid.T) string {
		x, y := sub.Draw(t, "x"), sub.Draw(t, "y")
		op := rapid.SampledFrom([]string{"=", "!=", "<>", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", " and ", " OR "}).Draw(t, "op")
		return rapid.SampledFrom([]string{
			x + op + y, "(" + x + ")" + op + "( " + y + ")", "NOT " + x, "not(" + x + ")", "-(" + x + ")", "- " + x,
			"(" + x + ") in [1,\t'b', -3]", "(" + x + ")nin ['a']", "IS_DEFINED(" + x + ")", "starts(" + x + "," + y + ")",
		}).Draw(t, "form")
	}))
}

// What an expression prints parses again, prints the same and means the same.
func TestExpr_String_roundTrip(t *testing.T) {
	t.Parallel()
	doc := twin(t)
	rapid.Check(t, func(rt *rapid.T) {
		text := expression(4).Draw(rt, "expression")
		c, err := twinquery.ParseCondition(text)
		if err != nil {
			rt.Fatalf("%q does not parse: %v", text, err)
		}
		again, err := twinquery.ParseCondition(c.String())
		if err != nil {
			rt.Fatalf("%q prints %q, which does not parse: %v", text, c, err)
		}
		if again.String() != c.String() {
			rt.Fatalf("%q prints %q, which prints %q", text, c, again)
		}
		if c.Match(doc, twinquery.Options{}) != again.Match(doc, twinquery.Options{}) {
			rt.Fatalf("%q and its canonical text %q match differently", text, c)
		}
	})
}

// Every prefix of a valid condition either parses or is refused with a position inside it.
func TestParseCondition_prefixes(t *testing.T) {
	t.Parallel()
	const text = `tags.[[group]].a = 'é\u0041' AND NOT (properties.reported.x IN [1, -2.5, 0xF] OR STARTSWITH(deviceId, "d"))`
	_, err := twinquery.ParseCondition(text)
	require.NoError(t, err)
	for i := range text {
		if _, err := twinquery.ParseCondition(text[:i]); err != nil {
			requireGoodError(t, text[:i], err)
		}
	}
}
