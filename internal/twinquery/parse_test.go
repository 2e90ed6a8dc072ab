package twinquery_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

// Conditions of the documentation and of users, and their canonical text.
func TestParseCondition_printsCanonically(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                            "*",
		" * ":                         "*",
		"FROM devices":                "*",
		"from DEVICES.Modules":        "FROM devices.modules",
		"deviceId IN ['a','b']":       "deviceId IN ['a', 'b']",
		`tags.location.region = "US"`: "tags.location.region = 'US'",
		"FROM devices.modules WHERE moduleId='x'":         "FROM devices.modules WHERE moduleId = 'x'",
		"tags.[[group]].name='x'":                         "tags.[[group]].name = 'x'",
		"properties.reported.[[$iotin:deviceinfo]]":       "properties.reported.[[$iotin:deviceinfo]]",
		"properties.reported.$version > 4":                "properties.reported.$version > 4",
		"tags.[[plain]].5th = .5":                         "tags.plain.5th = .5",
		"tags.a = 1 AND .5 < 1":                           "tags.a = 1 AND .5 < 1",
		"tags.x<>-1 and TRUE":                             "tags.x != -1 AND true",
		"tags.x = 0xFf OR tags.x=undefined":               "tags.x = 0xFf OR tags.x = undefined",
		"tags.a NIN [1,[2,'x'],null]":                     "tags.a NIN [1, [2, 'x'], null]",
		"not tags.a = 1 and tags.b = 2":                   "NOT tags.a = 1 AND tags.b = 2",
		"not (tags.a = 1 and tags.b = 2)":                 "NOT (tags.a = 1 AND tags.b = 2)",
		"((tags.a + 1)) * 2 % 3 > - tags.b - -4":          "(tags.a + 1) * 2 % 3 > -tags.b - -4",
		"tags.a - (tags.b - tags.c) = 0":                  "tags.a - (tags.b - tags.c) = 0",
		"(tags.a or tags.b) and tags.c":                   "(tags.a OR tags.b) AND tags.c",
		"tags.a or (tags.b and tags.c)":                   "tags.a OR tags.b AND tags.c",
		"tags.a = not tags.b":                             "tags.a = (NOT tags.b)",
		`tags.q = 'it\'s \"\\\u00e9\u0001'`:               `tags.q = 'it\'s "\\é\u0001'`,
		`tags.q = '\ud83d\ude00\ud800'`:                   "tags.q = '😀\ufffd'",
		"is_defined(tags.a) AND startswith(deviceId,'x')": "IS_DEFINED(tags.a) AND STARTSWITH(deviceId, 'x')",
		"tags.größe = 1\r\n\tAND tags.a_b$ = 2":           "tags.größe = 1 AND tags.a_b$ = 2",
		"DeviceId = 'x'":                                  "DeviceId = 'x'",
		"tags.list[0]['k'] = (-5)[1]":                     "tags.list[0]['k'] = (-5)[1]",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			c, err := twinquery.ParseCondition(text)
			require.NoError(t, err)
			require.Equal(t, want, c.String())
			again, err := twinquery.ParseCondition(want)
			require.NoError(t, err)
			require.Equal(t, want, again.String())
		})
	}
}

func TestParseQuery_printsCanonically(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"SELECT * FROM devices": "SELECT * FROM devices",
		"Select Top 5 DeviceId , LastActivityTime from devices where status = 'enabled'":                                                                           "SELECT TOP 5 DeviceId, LastActivityTime FROM devices WHERE status = 'enabled'",
		"SELECT count() as totalNumberOfDevices FROM devices":                                                                                                      "SELECT COUNT() AS totalNumberOfDevices FROM devices",
		"SELECT properties.reported.telemetryConfig.status AS status, COUNT() AS numberOfDevices FROM devices GROUP BY properties.reported.telemetryConfig.status": "SELECT properties.reported.telemetryConfig.status AS status, COUNT() AS numberOfDevices FROM devices GROUP BY properties.reported.telemetryConfig.status",
		"SELECT AVG(tags.a), min(tags.[[a b]]) FROM devices.modules WHERE tags.x":                                                                                  "SELECT AVG(tags.a), MIN(tags.[[a b]]) FROM devices.modules WHERE tags.x",
		"SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'myJobId' AND devices.jobs.createdTimeUtc > '2016-09-01'":                                           "SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'myJobId' AND devices.jobs.createdTimeUtc > '2016-09-01'",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			q, err := twinquery.ParseQuery(text)
			require.NoError(t, err)
			require.Equal(t, want, q.String())
			require.Empty(t, q.Unknown)
		})
	}
}

// The position is that of the offending token; | in the text marks it.
func TestParse_refuses(t *testing.T) {
	t.Parallel()
	brackets := "lists stand in square brackets: IN ['a', 'b']"
	for _, tc := range []struct{ text, expected, found, hint string }{
		{"tags.a =|", `a value after "="`, "end of text", ""},
		{"tags.a = |AND tags.b = 1", `a value after "="`, `"AND"`, ""},
		{"|= 1", "a value", `"="`, ""},
		{"(tags.a = 1|", `an operator or ")"`, "end of text", ""},
		{"tags.a = 1|)", "an operator or the end of the text", `")"`, ""},
		{"tags.a = 1\n  AND (é|", `an operator or ")"`, "end of text", ""},
		{"tags.a |tags.b", "an operator or the end of the text", `"tags"`, ""},
		{"tags.a = |'x", "a string that ends with '", "a string without an end", `close the string, or write a quote inside it as \'`},
		{`tags.a = 'x|\u12'`, `\u and four hexadecimal digits`, `"\\u"`, ""},
		{"tags.a |== 1", `"="`, `"=="`, `equality is written with one "="`},
		{"tags.a = 1 |&& tags.b", "AND", `"&&"`, "write AND"},
		{"tags.a = 1 ||| tags.b", "OR", `"||"`, "write OR"},
		{"|!tags.a", `"!="`, `"!"`, "negation is written NOT"},
		{"tags.a = 1|;", "the end of the text", `";"`, "leave the semicolon out"},
		{"tags.a = |‘x’", "a name, a value or an operator", `"‘"`, `strings stand in straight quotes, 'like this' or "like this"`},
		{"tags.my|#a = 1", "a name, a value or an operator", `"#"`, "a name with other characters than letters, digits, _ and $ stands in double brackets, such as tags.[[my-name]]"},
		{"tags.a = |\x00", "a name, a value or an operator", `"\x00"`, ""},
		{"tags.a = |\xff", "UTF-8 text", "bytes that are not UTF-8", ""},
		{"tags.a = |'\xff'", "UTF-8 text", "bytes that are not UTF-8", ""},
		{"tags.|[[]] = 1", "a name in double brackets, such as [[group]]", `"[["`, ""},
		{"tags. |= 1", `a name after "."`, `"="`, ""},
		{"tags.|group.name = 1", `a name after "."`, `"group"`, "group is a keyword; as a name it is written [[group]]"},
		{"tags.a = |5x", "a number", `"5x"`, ""},
		{"tags.a = |0x", "a number", `"0x"`, ""},
		{"tags.a = |1e999", "a number in range", `"1e999"`, ""},
		{"tags.a |LIKE 'x%'", "an operator or the end of the text", `"LIKE"`, "there is no LIKE; for a prefix use STARTSWITH(path, 'prefix')"},
		{"(tags.a |between 1 and 2)", `an operator or ")"`, `"between"`, "there is no BETWEEN; use x >= low AND x <= high"},
		{"tags.a |IS NULL", "an operator or the end of the text", `"IS"`, "there is no IS; use IS_DEFINED(path) or NOT IS_DEFINED(path)"},
		{"tags.a |NOT IN ['x']", "an operator or the end of the text", `"NOT"`, "there is no NOT after a value; use NIN [...] for NOT IN, NOT before the whole comparison for the rest"},
		{"tags.a = 1 |ORDER BY tags.a", "an operator or the end of the text", `"ORDER"`, "there is no ORDER BY; sort the rows after the query"},
		{"tags.a = 1 |GROUP BY tags.a", "an operator or the end of the text", `"GROUP"`, "a condition has no GROUP BY"},
		{"deviceId IN |('a','b')", `a list after "IN"`, `"("`, brackets},
		{"deviceId nin |'a'", `a list after "nin"`, `"'a'"`, brackets},
		{"deviceId IN ['a' |'b']", `"," or "]"`, `"'b'"`, ""},
		{"deviceId IN ['a',|]", `a value after ","`, `"]"`, ""},
		{"tags.l[0 = 1|", `"]"`, "end of text", ""},
		{"|STARTS_WITH(deviceId,'x')", "a function of twin queries", `"STARTS_WITH"`, "use STARTSWITH(path, 'prefix')"},
		{"|contains(deviceId,'x')", "a function of twin queries", `"contains"`, "there is no search inside strings; use STARTSWITH(path, 'prefix') or a tag made for it"},
		{"|COUNT() > 1", "a function of twin queries", `"COUNT"`, "aggregates stand after SELECT only"},
		{"|IS_DEFINED()", "IS_DEFINED with 1 argument(s)", "0", ""},
		{"IS_DEFINED(tags.a |tags.b)", `an operator, "," or ")"`, `"tags"`, ""},
		{"|SELECT * FROM devices WHERE tags.a = 1", "a condition", `"SELECT"`, "give only the condition after WHERE"},
		{"|WHERE tags.a = 1", "a condition", `"WHERE"`, "leave WHERE out: give only the condition after it"},
		{"FROM |devices.jobs WHERE status = 'failed'", "devices or devices.modules", `"devices"`, "a condition chooses devices or modules, not rows of jobs"},
		{"FROM devices WHERE|", `a value after "WHERE"`, "end of text", ""},
		{"FROM devices.|things", "devices, devices.modules or devices.jobs", `"things"`, ""},
	} {
		t.Run(tc.text, func(t *testing.T) {
			t.Parallel()
			text, offset := unmark(tc.text)
			_, err := twinquery.ParseCondition(text)
			requireSyntaxError(t, err, text, twinquery.SyntaxError{
				Offset: offset, Expected: tc.expected, Found: tc.found, Hint: tc.hint,
			})
		})
	}
}

func TestParseQuery_refuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ text, expected, found, hint string }{
		{"|", "SELECT", "end of text", ""},
		{"|deviceId = 'a'", "SELECT", `"deviceId"`, ""},
		{"SELECT |", "*, a property path or an aggregate", "end of text", ""},
		{"SELECT |DISTINCT tags.a FROM devices", "*, a property path or an aggregate", `"DISTINCT"`, "there is no DISTINCT; use GROUP BY"},
		{"SELECT TOP |0 * FROM devices", "a whole number above 0 after TOP", `"0"`, ""},
		{"SELECT *|", `"," or FROM`, "end of text", ""},
		{"SELECT * FROM |twins", "devices, devices.modules or devices.jobs", `"twins"`, ""},
		{"SELECT * FROM devices |d", "WHERE, GROUP BY or the end of the text", `"d"`, ""},
		{"SELECT * FROM devices |JOIN m IN devices.modules", "WHERE, GROUP BY or the end of the text", `"JOIN"`, "there is no JOIN; query devices and devices.modules one after the other"},
		{"SELECT * FROM devices WHERE tags.a = 1 |LIMIT 5", "an operator, GROUP BY or the end of the text", `"LIMIT"`, "there is no LIMIT or OFFSET; use SELECT TOP n, or pages"},
		{"SELECT * FROM devices WHERE|", `a value after "WHERE"`, "end of text", ""},
		{"SELECT tags.a, COUNT() FROM devices GROUP BY tags.a|, tags.b", "the end of the text", `","`, "GROUP BY takes one property and comes last"},
		{"SELECT COUNT(|*) FROM devices", `")"`, `"*"`, "COUNT() takes no argument"},
		{"SELECT SUM(|) FROM devices", "a property path", `")"`, ""},
		{"SELECT |ABS(tags.a) FROM devices", "COUNT, AVG, SUM, MIN or MAX", `"ABS"`, "other functions cannot stand after SELECT"},
		{"SELECT tags.a AS |from FROM devices", "a name after AS", `"from"`, ""},
		{"SELECT COUNT(), |tags.a FROM devices", "an aggregate, or the property of GROUP BY", `"tags.a"`, ""},
		{"SELECT * FROM devices GROUP BY |tags.a", "no GROUP BY after SELECT *", `"tags.a"`, "name the property and an aggregate after SELECT"},
		{"SELECT |jobId FROM devices.jobs", "*", `"jobId"`, "of rows of jobs only SELECT * is possible"},
		{"SELECT * FROM devices.jobs |GROUP BY status", "the end of the text", `"GROUP"`, "rows of jobs cannot be grouped"},
	} {
		t.Run(tc.text, func(t *testing.T) {
			t.Parallel()
			text, offset := unmark(tc.text)
			_, err := twinquery.ParseQuery(text)
			requireSyntaxError(t, err, text, twinquery.SyntaxError{
				Offset: offset, Expected: tc.expected, Found: tc.found, Hint: tc.hint,
			})
		})
	}
}

// unmark removes the mark, which is the first | of the text.
func unmark(marked string) (text string, offset int) {
	offset = strings.Index(marked, "|")
	return marked[:offset] + marked[offset+1:], offset
}

func requireSyntaxError(t *testing.T, err error, text string, want twinquery.SyntaxError) {
	t.Helper()
	var got *twinquery.SyntaxError
	require.ErrorAs(t, err, &got, "%v", err)
	before := text[:want.Offset]
	want.Line = 1 + strings.Count(before, "\n")
	want.Column = 1 + len([]rune(before[strings.LastIndex(before, "\n")+1:]))
	require.Empty(t, cmp.Diff(want, *got))
}

func TestSyntaxError_isOneLine(t *testing.T) {
	t.Parallel()
	_, err := twinquery.ParseCondition("tags.a =")
	require.EqualError(t, err, `1:9: expected a value after "=", found end of text`)
	_, err = twinquery.ParseCondition("tags.é = 1\nAND tags.b == 2")
	require.EqualError(t, err, `2:12: expected "=", found "=="; hint: equality is written with one "="`)
}

func TestParse_limitsLengthInCharacters(t *testing.T) {
	t.Parallel()
	condition := func(n int) string {
		const frame = "tags.a = ''"
		return "tags.a = '" + strings.Repeat("é", n-len(frame)) + "'"
	}
	c, err := twinquery.ParseCondition(condition(twinquery.MaxConditionLength))
	require.NoError(t, err)
	_, err = twinquery.ParseQuery(c.Query("deviceId"))
	require.NoError(t, err, "what is accepted as a condition must fit into a query")

	_, err = twinquery.ParseCondition(condition(twinquery.MaxConditionLength + 1))
	var syntax *twinquery.SyntaxError
	require.ErrorAs(t, err, &syntax)
	require.Equal(t, twinquery.MaxConditionLength+1, syntax.Column)

	_, err = twinquery.ParseQuery("SELECT * FROM devices" + strings.Repeat(" ", twinquery.MaxLength))
	require.ErrorContains(t, err, "at most 8192 characters")
}

func TestParse_limitsNesting(t *testing.T) {
	t.Parallel()
	for _, open := range []string{"(", "[", "NOT ", "-", "f(", "tags.a[", "1 IN ["} {
		_, err := twinquery.ParseCondition(strings.Repeat(open, 1000))
		require.ErrorContains(t, err, "at most 200 levels of nesting", open)
	}
	deep := strings.Repeat("(", twinquery.MaxDepth-1)
	_, err := twinquery.ParseCondition(deep + "true" + strings.ReplaceAll(deep, "(", ")"))
	require.NoError(t, err)
	_, err = twinquery.ParseCondition("tags.a" + strings.Repeat("+1", 4000))
	require.NoError(t, err, "a chain is long, not deep")
}

// What the parser does not know is no error: only a hub can tell.
func TestParseCondition_listsUnknown(t *testing.T) {
	t.Parallel()
	type unknown = twinquery.Unknown
	for text, want := range map[string]unknown{
		"LOWER(tags.a) = 'x'":       {Kind: twinquery.UnknownFunction, Offset: 0, Text: "LOWER"},
		"NOT ends_with(tags.a,'x')": {Kind: twinquery.UnknownFunction, Offset: 4, Text: "ENDS_WITH"},
		"tags.a = 'it''s'":          {Kind: twinquery.UnknownSyntax, Offset: 12, Text: "''"},
		`tags.a = 'C:\temp'`:        {Kind: twinquery.UnknownSyntax, Offset: 12, Text: `\t`},
		"tags.a = 1e5":              {Kind: twinquery.UnknownSyntax, Offset: 9, Text: "1e5"},
		"tags.list[0] = 1":          {Kind: twinquery.UnknownSyntax, Offset: 9, Text: "["},
		"'x' IN tags.list":          {Kind: twinquery.UnknownSyntax, Offset: 7, Text: "tags.list"},
		"tags.a IN []":              {Kind: twinquery.UnknownSyntax, Offset: 10, Text: "[]"},
		"tags.a IN [tags.b]":        {Kind: twinquery.UnknownSyntax, Offset: 11, Text: "tags.b"},
		"tags.top = 1":              {Kind: twinquery.UnknownSyntax, Offset: 5, Text: "top"},
		"building = 43":             {Kind: twinquery.UnknownField, Offset: 0, Text: "building"},
		"moduleId = 'x'":            {Kind: twinquery.UnknownField, Offset: 0, Text: "moduleId"},
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			c, err := twinquery.ParseCondition(text)
			require.NoError(t, err)
			require.Len(t, c.Unknown, 1)
			got := c.Unknown[0]
			require.NotEmpty(t, got.Reason)
			require.Equal(t, want.Offset+1, got.Column)
			require.Equal(t, 1, got.Line)
			got.Reason, got.Line, got.Column = "", 0, 0
			require.Equal(t, want, got)
		})
	}
}

func TestCondition_Query(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"*":                          "SELECT deviceId FROM devices",
		" tags.a  =  \"x\" OR true ": "SELECT deviceId FROM devices WHERE tags.a  =  \"x\" OR true",
		"FROM devices.modules WHERE moduleId = 'm'": "SELECT deviceId FROM devices.modules WHERE moduleId = 'm'",
		"FROM devices.modules":                      "SELECT deviceId FROM devices.modules",
	} {
		c, err := twinquery.ParseCondition(text)
		require.NoError(t, err)
		require.Equal(t, want, c.Query("deviceId"))
		_, err = twinquery.ParseQuery(c.Query("deviceId"))
		require.NoError(t, err)
	}
}

// System names are case-insensitive and may follow the name of the source; tags and properties are case-sensitive.
func TestPath_Key(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"SELECT * FROM devices WHERE DEVICEID = 1":                         "deviceId",
		"SELECT * FROM devices WHERE devices.connectionstate = 1":          "connectionState",
		"SELECT * FROM devices WHERE Tags.DeviceId = 1":                    "tags.DeviceId",
		"SELECT * FROM devices WHERE Properties.Reported.Desired = 1":      "properties.reported.Desired",
		"SELECT * FROM devices WHERE capabilities.iotedge = 1":             "capabilities.iotEdge",
		"SELECT * FROM devices.modules WHERE devices.modules.ModuleId = 1": "moduleId",
		"SELECT * FROM devices.modules WHERE devices.deviceid = 1":         "deviceId",
		"SELECT * FROM devices.jobs WHERE devices.jobs.JOBTYPE = 1":        "jobType",
		"SELECT * FROM devices.jobs WHERE devices.jobs.createdTimeUtc = 1": "createdDateTimeUtc",
	} {
		q, err := twinquery.ParseQuery(query)
		require.NoError(t, err)
		path, ok := q.Where.(*twinquery.Binary).X.(*twinquery.Path)
		require.True(t, ok)
		require.Equal(t, want, strings.Join(path.Key, "."), query)
		require.Empty(t, q.Unknown, query)
	}
}
