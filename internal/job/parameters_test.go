package job_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// withPayload is a job that calls a method.
func withPayload(payload, more string) string {
	return fmt.Sprintf(`{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m","payload":%s},%s}`, payload, more)
}

func TestPlaceholdersAreChecked(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range job.MaxParameters + 1 {
		many = append(many, fmt.Sprintf(`"{{tags.t%d}}"`, i))
	}
	all := `"queryCondition":"*"`
	for name, c := range map[string]struct{ body, want string }{
		"another root":         {withPayload(`"{{status}}"`, all), "{{status}}: must be deviceId, moduleId, tags.<name>"},
		"tags alone":           {withPayload(`"{{tags}}"`, all), "must be deviceId"},
		"properties alone":     {withPayload(`"{{properties.reported}}"`, all), "must be deviceId"},
		"other properties":     {withPayload(`"{{properties.x.y}}"`, all), "must be deviceId"},
		"a name no twin has":   {withPayload(`"{{tags.[[a b]]}}"`, all), "a name has no control character"},
		"parameters":           {withPayload(`"{{parameters.x}}"`, all), "name it in the member template"},
		"a module of devices":  {withPayload(`"{{moduleId}}"`, all), "FROM devices.modules only"},
		"a module of a list":   {withPayload(`"{{moduleId}}"`, `"deviceIds":["a"]`), "FROM devices.modules only"},
		"no end":               {withPayload(`{"a":["x {{tags.site"]}`, all), `cloudToDeviceMethod.payload.a[0]: x {{tags.site: at 13: must go on with }}`},
		"a key":                {withPayload(`{"{{tags.site}}":1}`, all), "a key can hold neither"},
		"too many":             {withPayload("["+strings.Join(many, ",")+"]", all), "placeholders for 21 twin paths; it can have 20"},
		"too long":             {withPayload(`"{{tags.`+strings.Repeat("x", 1000)+`.b}}"`, `"queryCondition":"a='`+strings.Repeat("x", 7200)+`'"`), "longer than the 8192 characters"},
		"not a switch":         {withPayload(`"{{tags.x}}"`, all+`,"placeholders":"no"`), "placeholders: \"no\": must be true or false"},
		"in a patch, and both": {`{"type":"scheduleUpdateTwin","queryCondition":"*","updateTwin":{"tags":{"a":"{{x}}"},"properties":{"desired":{"b":"{{"}}}}`, "updateTwin.properties.desired.b: {{: at 2"},
	} {
		_, err := job.Decode([]byte(c.body), time.Now())
		require.ErrorContains(t, err, c.want, name)
	}
}

func TestOnlyBracesMakePlaceholders(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]bool{
		withPayload(`{"a":{"b":{}}}`, `"queryCondition":"*"`):                              false,
		withPayload(`{"a":{"b":{}}}`, `"queryCondition":"*","placeholders":true`):          false,
		withPayload(`"{{tags.[[group]]}}"`, `"queryCondition":"*","placeholders":null`):    true,
		withPayload(`"{{"`, `"queryCondition":"*","placeholders":false`):                   false,
		withPayload(`"{{{{"`, `"queryCondition":"*"`):                                      true,
		withPayload(`"\u007b\u007bmoduleId}}"`, `"queryCondition":"FROM devices.modules"`): true,
	} {
		def, err := job.Decode([]byte(body), time.Now())
		require.NoError(t, err, body)
		require.Equal(t, want, def.Placeholders, body)
		bodies, err := def.NewBodies()
		require.NoError(t, err)
		require.Equal(t, want, bodies != nil)
	}
}

func TestPathsAreWrittenAsTheQueryLanguageDoes(t *testing.T) {
	t.Parallel()
	def, err := job.Decode([]byte(withPayload(`["{{tags.group}}","{{tags.a-b}} {{deviceId}}","{{tags.group ?? 1}}","{{properties.reported.x.y}}"]`, `"queryCondition":"*"`)), time.Now())
	require.NoError(t, err)
	require.Equal(t, []string{"tags.[[group]]", "tags.[[a-b]]", "properties.reported.x.y"}, def.ParameterPaths())
	require.Equal(t, "deviceId, tags.[[group]] AS p0, tags.[[a-b]] AS p1, properties.reported.x.y AS p2", job.Projection("deviceId", def.ParameterPaths()))

	values, err := job.ReadValues(json.RawMessage(`{"deviceId":"d","p2":{ "a" : "<" },"p0":null}`), 3)
	require.NoError(t, err)
	require.Equal(t, `[null,null,{"a":"<"}]`, string(values))
}

func TestSizesAreCheckedWithTheValues(t *testing.T) {
	t.Parallel()
	text := strings.Repeat(`{{tags.x}}`, 40)
	def, err := job.Decode([]byte(withPayload(`["`+text+`"]`, `"queryCondition":"*"`)), time.Now())
	require.NoError(t, err)
	bodies, err := def.NewBodies()
	require.NoError(t, err)
	for length, want := range map[int]job.Reason{
		(job.MaxMethodPayload - len(`[""]`)) / 40: job.NoReason, // 131,068 bytes divide by 4, not by 40: the last that fits
		(job.MaxMethodPayload-len(`[""]`))/40 + 1: job.InvalidParameter,
		job.MaxParameterBytes - len(`[""]`) + 1:   job.InvalidParameter,
	} {
		row, err := json.Marshal(map[string]string{"p0": strings.Repeat("v", length)})
		require.NoError(t, err)
		values, err := job.ReadValues(row, 1)
		require.NoError(t, err)
		made, outcome := bodies.For(&job.Execution{DeviceID: "d", Values: values})
		require.Equal(t, want, outcome.Reason, length)
		require.Equal(t, want == job.NoReason, made != nil)
	}
	_, outcome := bodies.For(&job.Execution{DeviceID: "d"})
	require.Equal(t, job.MissingParameter, outcome.Reason, "the hub did not name the device")
}

func BenchmarkABodyOfADevice(b *testing.B) {
	def, err := job.Decode([]byte(withPayload(`{"site":"{{tags.site}}","floor":"{{tags.floor ?? 0}}","banner":"{{deviceId}} at {{tags.site}}","fixed":"`+strings.Repeat("x", 500)+`"}`,
		`"queryCondition":"*"`)), time.Now())
	require.NoError(b, err)
	bodies, err := def.NewBodies()
	require.NoError(b, err)
	e := &job.Execution{DeviceID: "device-0001", Values: []byte(`["north",null]`)}
	b.ReportAllocs()
	for b.Loop() {
		if _, outcome := bodies.For(e); outcome.Reason != job.NoReason {
			b.Fatal(outcome.Reason)
		}
	}
}
