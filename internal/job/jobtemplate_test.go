package job_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

var templateTime = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// templateOf is a template with parameters and members of a job that calls a method on devices.
func templateOf(parameters, payload, condition string) string {
	quoted, _ := json.Marshal(condition)
	return fmt.Sprintf(`{"parameters":%s,"job":{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m","payload":%s},"queryCondition":%s}}`,
		parameters, payload, quoted)
}

const oneOfEach = `[{"name":"s","type":"string"},{"name":"i","type":"integer"},{"name":"n","type":"number","default":1.5},
	{"name":"b","type":"boolean","default":false},{"name":"a","type":"array"},{"name":"o","type":"string","required":false}]`

func TestTemplatesAreChecked(t *testing.T) {
	t.Parallel()
	for want, body := range map[string]string{
		`job: is required`:           `{}`,
		`did you mean "parameters"?`: `{"parametres":[],"job":{}}`,
		`job.queryConditon: "*": is not a known member; did you mean "queryCondition"?`: `{"job":{"queryConditon":"*"}}`,
		`job.jobId: belongs to each job`:                                                `{"job":{"jobId":"a"}}`,
		`parameters[0].name: "a b": must be`:                                            templateOf(`[{"name":"a b","type":"string"}]`, `1`, "*"),
		`parameters[0].type: "text": must be`:                                           templateOf(`[{"name":"a","type":"text"}]`, `1`, "*"),
		`parameters[1].name: "a": is declared twice`:                                    templateOf(`[{"name":"a","type":"string"},{"name":"a","type":"string"}]`, `1`, "*"),
		`parameters[0].default: 1: must be a string`:                                    templateOf(`[{"name":"a","type":"string","default":1}]`, `1`, "*"),
		`parameters[0].default: 1.5: must be an integer`:                                templateOf(`[{"name":"a","type":"integer","default":1.5}]`, `1`, "*"),
		`parameters[0].default: [[]]: must be an array`:                                 templateOf(`[{"name":"a","type":"array","default":[[]]}]`, `1`, "*"),
		`must not be true beside a default`:                                             templateOf(`[{"name":"a","type":"string","default":"x","required":true}]`, `1`, "*"),
		`parameters.x: is not a parameter of the template`:                              templateOf(oneOfEach, `"{{parameters.x}}"`, "*"),
		`job.cloudToDeviceMethod.payload.a: {{: at 2`:                                   templateOf(oneOfEach, `{"a":"{{"}`, "*"),
		`only payloads, tags and desired properties`:                                    templateOf(oneOfEach, `1`, "tags.a = {{tags.b}}"),
		`stands in quotes or brackets`:                                                  templateOf(oneOfEach, `1`, "tags.a = '{{parameters.s}}'"),
		`{{parameters.s}} stands in quotes`:                                             templateOf(oneOfEach, `1`, `tags.a = "it's {{parameters.s}}"`),
		`{{parameters.i}} stands in quotes`:                                             templateOf(oneOfEach, `1`, `tags.[[{{parameters.i}}]] = 1`),
		`not the condition itself`:                                                      templateOf(oneOfEach, `1`, "{{parameters.s}}"),
		`job.queryCondition: `:                                                          templateOf(oneOfEach, `1`, "tags.{{parameters.s}} = 1"),
		`parameters.o has no value, and the placeholder no default`:                     templateOf(oneOfEach, `"{{parameters.o}}"`, "*"),
		`templateId: "b": must be "a"`:                                                  `{"templateId":"b","job":{}}`,
		`job.type: must be`:                                                             `{"job":{"queryCondition":"*"}}`,
	} {
		_, err := job.DecodeTemplate("a", []byte(body), templateTime)
		require.ErrorContains(t, err, want, body)
	}
}

func TestParametersTakeTheirPlaces(t *testing.T) {
	t.Parallel()
	payload := `["{{parameters.s}}","{{parameters.i}}","{{parameters.n}}","{{parameters.b}}","{{parameters.a}}","{{parameters.o ?? null}}","{{parameters.s}}/{{parameters.a}}/{{tags.x}}","{{{{"]`
	tpl, err := job.DecodeTemplate("a", []byte(templateOf(oneOfEach, payload,
		`tags.s={{parameters.s}} AND tags.i > {{parameters.i}} AND tags.n<{{parameters.n}} AND tags.b={{parameters.b}} AND deviceId IN {{parameters.a}} AND tags.q = 'it''s "'`)), templateTime)
	require.NoError(t, err)
	def, err := tpl.Instantiate([]byte(`{"template":"a","parameters":{"s":"it's \"{{tags.y}}\"","i":-7,"a":["x","'",2]},"maxDevices":4}`), templateTime)
	require.NoError(t, err)
	require.JSONEq(t, `["it's \"{{{{tags.y}}\"",-7,1.5,false,["x","'",2],null,"it's \"{{{{tags.y}}\"/[\"x\",\"'\",2]/{{tags.x}}","{{{{"]`, string(def.Method.Payload))
	require.Equal(t, []string{"tags.x"}, def.ParameterPaths(), "a value makes no placeholder")
	condition, err := twinquery.ParseCondition(def.QueryCondition)
	require.NoError(t, err)
	require.Equal(t, `tags.s = 'it\'s "{{tags.y}}"' AND tags.i > -7 AND tags.n < 1.5 AND tags.b = false AND deviceId IN ['x', '\'', 2] AND tags.q = 'it\'s "'`, condition.String())
	require.Equal(t, 4, def.MaxDevices)
}

func TestMembersOfARequestTakeTheTemplatesPlace(t *testing.T) {
	t.Parallel()
	tpl, err := job.DecodeTemplate("a", []byte(`{"parameters":[{"name":"most","type":"integer","default":7},{"name":"ids","type":"array","default":["a"]}],"job":{"type":"scheduleDeviceMethod",
		"cloudToDeviceMethod":{"methodName":"m","payload":"<é&>"},"deviceIds":"{{parameters.ids}}","maxDevices":"{{parameters.most}}","schedule":{"cron":"0 2 * * *"}}}`), templateTime)
	require.NoError(t, err)
	def, err := tpl.Instantiate([]byte(`{"template":"a"}`), templateTime)
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, def.DeviceIDs)
	require.Equal(t, 7, def.MaxDevices)
	require.Equal(t, `"<é&>"`, string(def.Method.Payload), "in its own text")
	def, err = tpl.Instantiate([]byte(`{"template":"a","queryCondition":"*","startTime":"2027-01-01T00:00:00Z","maxDevices":null,
		"cloudToDeviceMethod":{"methodName":"n","payload":"{{tags.a}}"}}`), templateTime)
	require.NoError(t, err)
	require.Nil(t, def.DeviceIDs)
	require.Nil(t, def.Schedule)
	require.Zero(t, def.MaxDevices)
	require.Equal(t, "n", def.Method.Name)
	require.True(t, def.Placeholders)
	_, err = tpl.Instantiate([]byte(`{"template":"a","parameters":{"ids":[]},"rolout":1}`), templateTime)
	require.ErrorContains(t, err, "parameters.ids: []: must be an array of at least one")
}

// TestAParameterIsNeverMoreThanALiteral holds that a value changes no structure: neither that of a condition, nor that of a payload.
func TestAParameterIsNeverMoreThanALiteral(t *testing.T) {
	t.Parallel()
	tpl, err := job.DecodeTemplate("a", []byte(templateOf(`[{"name":"v","type":"string"}]`,
		`{"a":"{{parameters.v}}","b":"{{{parameters.v}}} {{tags.x}}{{parameters.v}}{{deviceId}}"}`, `tags.a = 1 AND (tags.b = {{parameters.v}}OR tags.c = "x"{{parameters.v}})`)), templateTime)
	if err == nil {
		t.Fatal("a literal behind another is no condition")
	}
	tpl, err = job.DecodeTemplate("a", []byte(templateOf(`[{"name":"v","type":"string"}]`,
		`{"a":"{{parameters.v}}","b":"{{{parameters.v}}} {{tags.x}}{{parameters.v}}{{deviceId}}"}`, `tags.a = 1 AND (tags.b = {{parameters.v}}OR tags.c = "x")`)), templateTime)
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.SampledFrom([]rune(`{}'"\ =ORtags.x?[]`))),
			rapid.SampledFrom([]string{`' OR 1=1`, `{{tags.secret}}`, `{`, `\`, `x' OR tags.a='`, `\' OR '`})).Draw(t, "value")
		body, err := json.Marshal(map[string]any{"template": "a", "parameters": map[string]string{"v": v}})
		require.NoError(t, err)
		def, err := tpl.Instantiate(body, templateTime)
		require.NoError(t, err, v)
		q, err := twinquery.ParseCondition(def.QueryCondition)
		require.NoError(t, err)
		where := fmt.Sprintf(`tags.a = 1 AND (tags.b = %s OR tags.c = 'x')`, twinquery.Quote(strings.ToValidUTF8(v, "�")))
		require.Equal(t, where, q.String())

		require.Equal(t, []string{"tags.x"}, def.ParameterPaths())
		bodies, err := def.NewBodies()
		require.NoError(t, err)
		made, outcome := bodies.For(&job.Execution{DeviceID: "dev", Values: []byte(`["{{deviceId}}"]`)})
		require.Equal(t, job.NoReason, outcome.Reason)
		want, err := json.Marshal(map[string]string{"a": v, "b": "{" + v + "} {{deviceId}}" + v + "dev"})
		require.NoError(t, err)
		require.JSONEq(t, string(want), string(made.Method.Payload))
	})
}

func FuzzDecodeTemplate(f *testing.F) {
	f.Add([]byte(templateOf(oneOfEach, `{"a":"{{parameters.s}} {{tags.x}}"}`, "tags.a = {{parameters.i}}")), []byte(`{"template":"a","parameters":{"s":"'","i":1,"a":[1]}}`))
	f.Add([]byte(`{"job":{"placeholders":false}}`), []byte(`{"placeholders":true,"parameters":{}}`))
	f.Fuzz(func(t *testing.T, body, request []byte) {
		tpl, err := job.DecodeTemplate("a", body, templateTime)
		if err != nil {
			require.NotEmpty(t, job.FaultsOf(err))
			return
		}
		require.True(t, json.Valid(tpl.ShownJob()))
		if _, err := job.TemplateOf(request); err != nil {
			require.NotEmpty(t, job.FaultsOf(err))
		}
		if _, err := tpl.Instantiate(request, templateTime); err != nil {
			require.NotEmpty(t, job.FaultsOf(err))
		}
	})
}
