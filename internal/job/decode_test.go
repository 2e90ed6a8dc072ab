package job_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

var now = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

func TestDecodeReadsEveryMember(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body string
		want job.Definition
	}{
		"a method with all members": {
			`{"jobId":"reboot-42","type":"scheduleDeviceMethod","queryCondition":"tags.site = 'Köln'",
			  "cloudToDeviceMethod":{"methodName":"reboot","payload":{"delay": [1, null]},"responseTimeoutInSeconds":5,
			  "connectTimeoutInSeconds":300},"startTime":"2026-12-01T14:30:00.25+02:00","maxExecutionTimeInSeconds":3600}`,
			job.Definition{
				JobID: "reboot-42", Type: job.TypeMethod, QueryCondition: "tags.site = 'Köln'",
				Method: &job.Method{
					Name: "reboot", Payload: json.RawMessage(`{"delay":[1,null]}`), ResponseTimeoutInSeconds: 5, ConnectTimeoutInSeconds: 300,
				},
				StartTime: time.Date(2026, 12, 1, 12, 30, 0, 250e6, time.UTC), MaxExecutionTimeInSeconds: 3600,
			},
		},
		"a method with what it needs": {
			`{"type":"scheduleDeviceMethod","queryCondition":"*","cloudToDeviceMethod":{"methodName":"reboot"}}`,
			job.Definition{Type: job.TypeMethod, QueryCondition: "*", Method: &job.Method{Name: "reboot", ResponseTimeoutInSeconds: 30}},
		},
		"null is as good as absent": {
			`{"jobId":null,"type":"scheduleDeviceMethod","queryCondition":"*","deviceIds":null,"startTime":null,"updateTwin":null,
			  "maxExecutionTimeInSeconds":null,"cloudToDeviceMethod":{"methodName":"reboot","responseTimeoutInSeconds":null,
			  "connectTimeoutInSeconds":null}}`,
			job.Definition{Type: job.TypeMethod, QueryCondition: "*", Method: &job.Method{Name: "reboot", ResponseTimeoutInSeconds: 30}},
		},
		"but a payload of null is a payload": {
			`{"type":"scheduleDeviceMethod","queryCondition":"*","cloudToDeviceMethod":{"methodName":"m","payload":null}}`,
			job.Definition{
				Type: job.TypeMethod, QueryCondition: "*",
				Method: &job.Method{Name: "m", Payload: json.RawMessage("null"), ResponseTimeoutInSeconds: 30},
			},
		},
		"a twin update of both parts": {
			`{"type":"scheduleUpdateTwin","deviceIds":["it's-50%","#1?"],"updateTwin":{"deviceId":"SDKs send it","etag":"*",
			  "tags":{"site": null},"properties":{"desired":{"building":43,"floor":3}}}}`,
			job.Definition{
				Type: job.TypeTwin, DeviceIDs: []string{"it's-50%", "#1?"},
				UpdateTwin: &job.TwinUpdate{
					ETag: "*", Tags: json.RawMessage(`{"site":null}`),
					Properties: &job.TwinProperties{Desired: json.RawMessage(`{"building":43,"floor":3}`)},
				},
			},
		},
		"a start long ago is accepted, as SDKs send it": {
			`{"type":"scheduleUpdateTwin","queryCondition":"*","updateTwin":{"tags":{}},"startTime":"0001-01-01T00:00:00Z"}`,
			job.Definition{Type: job.TypeTwin, QueryCondition: "*", UpdateTwin: &job.TwinUpdate{Tags: json.RawMessage(`{}`)}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := job.Decode([]byte(c.body), now)
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(c.want, got))
		})
	}
}

func TestPayloadsAreAnyJSONValue(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{`"10m"`, `43`, `-1.5e3`, `true`, `null`, `[]`, `{}`, `{"a":1,"a":2}`, `"\ud83c\udf89 <>&"`, `"🎉"`} {
		def, err := job.Decode([]byte(method(`"payload":`+payload)), now)
		require.NoError(t, err, payload)
		require.Equal(t, payload, string(def.Method.Payload), "as it was sent")
	}
}

// method is a job body that is right but for the members of its call; call is comma separated and may name the method.
func method(call string) string {
	if !strings.Contains(call, `"methodName"`) {
		call = `"methodName":"m",` + call
	}
	return `{"type":"scheduleDeviceMethod","queryCondition":"*","cloudToDeviceMethod":{` + strings.Trim(call, ",") + `}}`
}

// plus is a job body that is right but for more members.
func plus(members string) string {
	return `{"type":"scheduleDeviceMethod","queryCondition":"*","cloudToDeviceMethod":{"methodName":"m"},` + members + `}`
}

// target is a job body that is right but for its target.
func target(members string) string {
	return `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},` + members + `}`
}

// patch is a job body that is right but for its twin update.
func patch(update string) string {
	return `{"type":"scheduleUpdateTwin","queryCondition":"*","updateTwin":` + update + `}`
}

const (
	idRule       = "must be a string of 1 to 128 letters, digits and - : . + % _ # * ? ! ( ) , = @ ; $ '"
	jobIDRule    = "must be 1 to 64 ASCII letters, digits and -"
	nameRule     = `must be 1 to 100 printable ASCII characters without space and without $()<>@,;:\"/[]?={}#+`
	timeRule     = `must be an RFC 3339 time with its zone, such as "2026-12-01T02:00:00Z"`
	keyRule      = "a key must have 1 to 1024 bytes, and no control character, space, '.', '$' or '#'"
	numberRule   = "an integer must be from -4503599627370496 to 4503599627370495, another number fit 64 bits"
	responseRule = "must be a whole number from 5 to 300"
	connectRule  = "must be a whole number from 0 to 300"
	timeLimit    = "must be a whole number from 1 to 31622400"
)

// Bodies that are refused, and all that is said of them: field, value as it was sent, rule.
func TestDecodeNamesFieldValueAndRule(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		body string
		want []job.Fault
	}{
		// What is no object.
		{``, []job.Fault{{"body", "", "must be a JSON object"}}},
		{`null`, []job.Fault{{"body", "null", "must be a JSON object"}}},
		{`[{}]`, []job.Fault{{"body", "[{}]", "must be a JSON object"}}},
		{`{"type":`, []job.Fault{{"body", `{"type":`, "must be JSON: the text ends too early, after byte 8"}}},
		{`{"a":1,}`, []job.Fault{{"body", `{"a":1,}`, "must be JSON: invalid character '}' looking for beginning of object key string, after byte 7"}}},
		{`{"a":tru}`, []job.Fault{{"body", `{"a":tru}`, "must be JSON: invalid character '}' in literal true (expecting 'e'), after byte 5"}}},
		{plus(`"jobId":"j"`) + `x`, []job.Fault{{"body", plus(`"jobId":"j"`)[:80] + "…", "must be one JSON object; more follows after byte 105"}}},
		{`{}{}`, []job.Fault{{"body", "{}{}", "must be one JSON object; more follows after byte 2"}}},
		{`{}}`, []job.Fault{{"body", "{}}", "must be one JSON object; more follows after byte 2"}}},
		{`{}]`, []job.Fault{{"body", "{}]", "must be one JSON object; more follows after byte 2"}}},
		{"{\"jobId\":\"\xff\"}", []job.Fault{{"body", "", "must be UTF-8"}}},
		{"\ufeff{}", []job.Fault{{"body", "\ufeff{}", "must be a JSON object"}}},

		// Members that are unknown, twice, or of the wrong kind.
		{plus(`"startTme":1`), []job.Fault{{"startTme", "1", `is not a known member; did you mean "startTime"?`}}},
		{plus(`"QUERYCONDITION":1`), []job.Fault{{"QUERYCONDITION", "1", `is not a known member; did you mean "queryCondition"?`}}},
		{plus(`"color":"red"`), []job.Fault{{"color", `"red"`, `is not a known member`}}},
		{plus(`"` + strings.Repeat("x", 81) + `":1`), []job.Fault{{strings.Repeat("x", 80) + "…", "1", "is not a known member"}}},
		{plus(`"status":null`), []job.Fault{{"status", "null", "is not a known member"}}},
		{plus(`"type":"scheduleDeviceMethod"`), []job.Fault{{"type", `"scheduleDeviceMethod"`, "stands twice in the object"}}},
		{method(`"methodname":"m"`), []job.Fault{{"cloudToDeviceMethod.methodname", `"m"`, `is not a known member; did you mean "methodName"?`}}},
		{method(`"payload":1,"payload":1`), []job.Fault{{"cloudToDeviceMethod.payload", "1", "stands twice in the object"}}},
		{plus(`"jobId":7`), []job.Fault{{"jobId", "7", "must be a string"}}},
		{`{"type":5,"queryCondition":{}}`, []job.Fault{{"type", "5", "must be a string"}, {"queryCondition", "{}", "must be a string"}}},

		// jobId.
		{plus(`"jobId":""`), []job.Fault{{"jobId", `""`, jobIDRule}}},
		{plus(`"jobId":"ä"`), []job.Fault{{"jobId", `"ä"`, jobIDRule}}},
		{plus(`"jobId":"a_b"`), []job.Fault{{"jobId", `"a_b"`, jobIDRule}}},
		{plus(`"jobId":"` + strings.Repeat("a", 65) + `"`), []job.Fault{{"jobId", `"` + strings.Repeat("a", 65) + `"`, jobIDRule}}},

		// type and operation.
		{`{"queryCondition":"*"}`, []job.Fault{{"type", "", `must be "scheduleDeviceMethod", "scheduleUpdateTwin" or "scheduleSteps"`}}},
		{`{"type":"reboot","queryCondition":"*"}`, []job.Fault{{"type", `"reboot"`, `must be "scheduleDeviceMethod", "scheduleUpdateTwin" or "scheduleSteps"`}}},
		{`{"type":"scheduleDeviceMethod","queryCondition":"*"}`, []job.Fault{{"cloudToDeviceMethod", "", "is required with type scheduleDeviceMethod"}}},
		{`{"type":"scheduleUpdateTwin","queryCondition":"*"}`, []job.Fault{{"updateTwin", "", "is required with type scheduleUpdateTwin"}}},
		{plus(`"updateTwin":{}`), []job.Fault{{"updateTwin", "", "goes with type scheduleUpdateTwin only"}}},
		{`{"type":"scheduleUpdateTwin","queryCondition":"*","updateTwin":{"tags":{}},"cloudToDeviceMethod":{}}`, []job.Fault{{"cloudToDeviceMethod", "", "goes with type scheduleDeviceMethod only"}}},

		// The direct method.
		{`{"type":"scheduleDeviceMethod","queryCondition":"*","cloudToDeviceMethod":"reboot"}`, []job.Fault{{"cloudToDeviceMethod", `"reboot"`, "must be a JSON object"}}},
		{method(`"methodName":null`), []job.Fault{{"cloudToDeviceMethod.methodName", "null", nameRule}}},
		{method(`"methodName":1`), []job.Fault{{"cloudToDeviceMethod.methodName", "1", "must be a string"}}},
		{method(`"methodName":"a b"`), []job.Fault{{"cloudToDeviceMethod.methodName", `"a b"`, nameRule}}},
		{method(`"methodName":"a/b"`), []job.Fault{{"cloudToDeviceMethod.methodName", `"a/b"`, nameRule}}},
		{method(`"methodName":"é"`), []job.Fault{{"cloudToDeviceMethod.methodName", `"é"`, nameRule}}},
		{method(`"responseTimeoutInSeconds":4`), []job.Fault{{"cloudToDeviceMethod.responseTimeoutInSeconds", "4", responseRule}}},
		{method(`"responseTimeoutInSeconds":301`), []job.Fault{{"cloudToDeviceMethod.responseTimeoutInSeconds", "301", responseRule}}},
		{method(`"responseTimeoutInSeconds":"30"`), []job.Fault{{"cloudToDeviceMethod.responseTimeoutInSeconds", `"30"`, responseRule}}},
		{method(`"responseTimeoutInSeconds":30.0`), []job.Fault{{"cloudToDeviceMethod.responseTimeoutInSeconds", "30.0", responseRule}}},
		{method(`"connectTimeoutInSeconds":-1`), []job.Fault{{"cloudToDeviceMethod.connectTimeoutInSeconds", "-1", connectRule}}},
		{method(`"connectTimeoutInSeconds":301`), []job.Fault{{"cloudToDeviceMethod.connectTimeoutInSeconds", "301", connectRule}}},
		{method(`"connectTimeoutInSeconds":99999999999999999999`), []job.Fault{{"cloudToDeviceMethod.connectTimeoutInSeconds", "99999999999999999999", connectRule}}},

		// Times.
		{plus(`"startTime":"tomorrow"`), []job.Fault{{"startTime", `"tomorrow"`, timeRule}}},
		{plus(`"startTime":"2026-12-01"`), []job.Fault{{"startTime", `"2026-12-01"`, timeRule}}},
		{plus(`"startTime":"2026-12-01T02:00:00"`), []job.Fault{{"startTime", `"2026-12-01T02:00:00"`, timeRule}}},
		{plus(`"startTime":"2026-12-01 02:00:00Z"`), []job.Fault{{"startTime", `"2026-12-01 02:00:00Z"`, timeRule}}},
		{plus(`"startTime":"2026-12-01T2:00:00Z"`), []job.Fault{{"startTime", `"2026-12-01T2:00:00Z"`, timeRule}}},
		{plus(`"startTime":"2026-12-01T02:00:00,5Z"`), []job.Fault{{"startTime", `"2026-12-01T02:00:00,5Z"`, timeRule}}},
		{plus(`"startTime":"2026-12-01T02:00:00+24:00"`), []job.Fault{{"startTime", `"2026-12-01T02:00:00+24:00"`, timeRule}}},
		{plus(`"startTime":"2026-02-29T02:00:00Z"`), []job.Fault{{"startTime", `"2026-02-29T02:00:00Z"`, timeRule}}},
		{plus(`"startTime":"0000-12-01T02:00:00Z"`), []job.Fault{{"startTime", `"0000-12-01T02:00:00Z"`, timeRule}}},
		{plus(`"startTime":"0001-01-01T00:00:00+01:00"`), []job.Fault{{"startTime", `"0001-01-01T00:00:00+01:00"`, timeRule}}},
		{plus(`"startTime":1764590400`), []job.Fault{{"startTime", "1764590400", "must be a string"}}},
		{plus(`"startTime":"2036-12-08T12:00:00.001Z"`), []job.Fault{{"startTime", `"2036-12-08T12:00:00.001Z"`, "must be within ten years from now"}}},
		{plus(`"maxExecutionTimeInSeconds":0`), []job.Fault{{"maxExecutionTimeInSeconds", "0", timeLimit}}},
		{plus(`"maxExecutionTimeInSeconds":31622401`), []job.Fault{{"maxExecutionTimeInSeconds", "31622401", timeLimit}}},
		{plus(`"maxExecutionTimeInSeconds":1e2`), []job.Fault{{"maxExecutionTimeInSeconds", "1e2", timeLimit}}},

		// The target.
		{target(`"jobId":"j"`), []job.Fault{{"queryCondition", "", `is required, "*" for all devices; or give deviceIds`}}},
		{target(`"queryCondition":""`), []job.Fault{{"queryCondition", `""`, `must not be empty; "*" means all devices`}}},
		{target(`"queryCondition":" \n"`), []job.Fault{{"queryCondition", `" \n"`, `must not be empty; "*" means all devices`}}},
		{target(`"queryCondition":"*","deviceIds":["a"]`), []job.Fault{{"deviceIds", "", "must not stand beside queryCondition: give one of both"}}},
		{target(`"deviceIds":"a"`), []job.Fault{{"deviceIds", `"a"`, "must be an array of strings"}}},
		{target(`"deviceIds":[]`), []job.Fault{{"deviceIds", "", "has 0 ids; must have 1 to 100000"}}},
		{target(`"deviceIds":["a","",null,7,"b c","ä","a/b","` + strings.Repeat("x", 129) + `"]`), []job.Fault{
			{"deviceIds[1]", `""`, idRule},
			{"deviceIds[2]", `null`, idRule},
			{"deviceIds[3]", `7`, idRule},
			{"deviceIds[4]", `"b c"`, idRule},
			{"deviceIds[5]", `"ä"`, idRule},
			{"deviceIds[6]", `"a/b"`, idRule},
			{"deviceIds[7]", `"` + strings.Repeat("x", 79) + "…", idRule},
		}},
		{target(`"deviceIds":["a","A","a","a"]`), []job.Fault{{"deviceIds[2]", `"a"`, "repeats deviceIds[0]"}, {"deviceIds[3]", `"a"`, "repeats deviceIds[0]"}}},

		// The twin update.
		{patch(`[]`), []job.Fault{{"updateTwin", "[]", "must be a JSON object"}}},
		{patch(`{}`), []job.Fault{{"updateTwin", "", "must hold tags, properties.desired, or both"}}},
		{patch(`{"tags":null,"properties":{}}`), []job.Fault{{"updateTwin", "", "must hold tags, properties.desired, or both"}}},
		{patch(`{"tags":7}`), []job.Fault{{"updateTwin.tags", "7", "must be a JSON object"}}},
		{patch(`{"tags":{},"etag":"AAAAAAAAAAE="}`), []job.Fault{{"updateTwin.etag", `"AAAAAAAAAAE="`, `must be "*" or absent: a job updates whatever version it meets`}}},
		{patch(`{"desired":{}}`), []job.Fault{{"updateTwin.desired", "{}", "is not a known member"}}},
		{patch(`{"properties":7}`), []job.Fault{{"updateTwin.properties", "7", "must be a JSON object"}}},
		{patch(`{"properties":{"reported":{}}}`), []job.Fault{{"updateTwin.properties.reported", "{}", "is not a known member"}}},
		{patch(`{"properties":{"desired":"on"}}`), []job.Fault{{"updateTwin.properties.desired", `"on"`, "must be a JSON object"}}},
		{patch(`{"tags":{"":1}}`), []job.Fault{{"updateTwin.tags.", "", keyRule}}},
		{patch(`{"tags":{"a.b":{"c d":[{"$e":1,"#f":1,"\u0007":1}]}}}`), []job.Fault{
			{"updateTwin.tags.a.b", "", keyRule},
			{"updateTwin.tags.a.b.c d", "", keyRule},
			{"updateTwin.tags.a.b.c d[0].$e", "", keyRule},
			{"updateTwin.tags.a.b.c d[0].#f", "", keyRule},
			{"updateTwin.tags.a.b.c d[0].\a", "", keyRule},
		}},
		{patch(`{"tags":{"a":{"b":1,"b":null}}}`), []job.Fault{{"updateTwin.tags.a.b", "", "stands twice in the object"}}},
		{patch(`{"properties":{"desired":{"a":[0,4503599627370496,-4503599627370497,1e999,99999999999999999999]}}}`), []job.Fault{
			{"updateTwin.properties.desired.a[1]", "4503599627370496", numberRule},
			{"updateTwin.properties.desired.a[2]", "-4503599627370497", numberRule},
			{"updateTwin.properties.desired.a[3]", "1e999", numberRule},
			{"updateTwin.properties.desired.a[4]", "99999999999999999999", numberRule},
		}},

		// All faults at once.
		{
			`{"jobId":"a b","type":"scheduleUpdateTwin","cloudToDeviceMethod":{},"queryCondition":"tags.a =","startTime":"now",
			  "maxExecutionTimeInSeconds":-1,"repeat":3,"updateTwin":{"tags":{"a b":1},"etag":1}}`,
			[]job.Fault{
				{"repeat", "3", "is not a known member"},
				{"startTime", `"now"`, timeRule},
				{"maxExecutionTimeInSeconds", "-1", timeLimit},
				{"jobId", `"a b"`, jobIDRule},
				{"updateTwin.etag", "1", "must be a string"},
				{"updateTwin.tags.a b", "", keyRule},
				{"cloudToDeviceMethod", "", "goes with type scheduleDeviceMethod only"},
				{"queryCondition", `"tags.a ="`, `1:9: expected a value after "=", found end of text`},
			},
		},
	} {
		t.Run(c.body[:min(len(c.body), 150)], func(t *testing.T) {
			t.Parallel()
			def, err := job.Decode([]byte(c.body), now)
			require.Error(t, err)
			require.Empty(t, cmp.Diff(job.Faults(c.want), job.FaultsOf(err)))
			require.Zero(t, def)
		})
	}
}

func TestConditionsAreRefusedWithTheirPosition(t *testing.T) {
	t.Parallel()
	for condition, want := range map[string]string{
		"tags.a = ":                   "1:10: expected ",
		"tags.a = 'x":                 "1:10: ",
		"tags.a = 1 AND\ntags.b == 2": `2:8: expected "=", found "=="`,
		"SELECT * FROM devices":       "1:1: expected ",
		"tags.a = 1)":                 "1:11: expected ",
	} {
		quoted, err := json.Marshal(condition)
		require.NoError(t, err)
		_, err = job.Decode([]byte(target(`"queryCondition":`+string(quoted))), now)
		faults := job.FaultsOf(err)
		require.Len(t, faults, 1, condition)
		require.Equal(t, "queryCondition", faults[0].Field)
		require.Contains(t, faults[0].Rule, want)
	}
	def, err := job.Decode([]byte(target(`"queryCondition":"FROM devices.modules WHERE moduleId = 'm'"`)), now)
	require.NoError(t, err, "modules are targets too")
	require.Equal(t, "FROM devices.modules WHERE moduleId = 'm'", def.QueryCondition)
}

func TestJobIDsOfPaths(t *testing.T) {
	t.Parallel()
	require.Empty(t, job.CheckJobID("jobId", "Reboot-42"))
	require.Equal(t, job.Faults{{Field: "jobId", Value: "a/b", Rule: jobIDRule}}, job.CheckJobID("jobId", "a/b"))
	require.Len(t, job.CheckJobID("jobId", ""), 1)
}

func TestFaultsOfOtherErrors(t *testing.T) {
	t.Parallel()
	require.Nil(t, job.FaultsOf(nil))
	require.Nil(t, job.FaultsOf(errors.New("other")))
	faults := job.Faults{{Field: "a", Rule: "must be b"}, {Field: "c", Value: "1", Rule: "must be 2"}}
	require.Equal(t, faults, job.FaultsOf(fmt.Errorf("creating: %w", faults)))
	require.EqualError(t, faults, "a: must be b; c: 1: must be 2")
}

// Two bodies have the same hash when they ask for the same.
func TestHash(t *testing.T) {
	t.Parallel()
	hash := func(body string) string {
		def, err := job.Decode([]byte(body), now)
		require.NoError(t, err, body)
		h, err := def.Hash()
		require.NoError(t, err)
		return h
	}
	base := `{"type":"scheduleDeviceMethod","queryCondition":"tags.a=1","cloudToDeviceMethod":{"methodName":"m","payload":{"a":1,"b":"<"}}}`
	for name, same := range map[string]string{
		"white space":   strings.NewReplacer(",", " ,\n", ":", " :\t").Replace(base),
		"order":         `{"cloudToDeviceMethod":{"payload":{"a":1,"b":"<"},"methodName":"m"},"queryCondition":"tags.a=1","type":"scheduleDeviceMethod"}`,
		"id":            strings.Replace(base, "{", `{"jobId":"j",`, 1),
		"defaults":      strings.Replace(base, `"methodName"`, `"responseTimeoutInSeconds":30,"connectTimeoutInSeconds":0,"methodName"`, 1),
		"null, escapes": strings.NewReplacer("tags.a", `t\u0061gs.a`, `{"type"`, `{"startTime":null,"type"`).Replace(base),
	} {
		require.Equal(t, hash(base), hash(same), name)
	}
	seen := map[string]string{hash(base): "base"}
	for name, other := range map[string]string{
		"condition":        strings.Replace(base, "tags.a=1", "tags.a=2", 1),
		"method":           strings.Replace(base, `"m"`, `"n"`, 1),
		"payload":          strings.Replace(base, `"a":1`, `"a":2`, 1),
		"order in payload": strings.Replace(base, `"a":1,"b":"<"`, `"b":"<","a":1`, 1),
		"no payload":       strings.Replace(base, `,"payload":{"a":1,"b":"<"}`, "", 1),
		"payload null":     strings.Replace(base, `{"a":1,"b":"<"}`, "null", 1),
		"timeout":          strings.Replace(base, `"methodName"`, `"responseTimeoutInSeconds":31,"methodName"`, 1),
		"start":            strings.Replace(base, `{"type"`, `{"startTime":"2026-12-01T12:00:00Z","type"`, 1),
		"time limit":       strings.Replace(base, `{"type"`, `{"maxExecutionTimeInSeconds":1,"type"`, 1),
		"devices":          strings.Replace(base, `"queryCondition":"tags.a=1"`, `"deviceIds":["a","b"]`, 1),
		"devices' order":   strings.Replace(base, `"queryCondition":"tags.a=1"`, `"deviceIds":["b","a"]`, 1),
	} {
		h := hash(other)
		require.NotContains(t, seen, h, "%s and %s", name, seen[h])
		seen[h] = name
	}
}
