package localhost

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

// envelopeOf returns the envelope's JSON without what is random.
func envelopeOf(t *testing.T, inv *invocation) map[string]any {
	t.Helper()
	body, err := inv.body()
	require.NoError(t, err)
	var envelope map[string]map[string]any
	require.NoError(t, json.Unmarshal(body, &envelope))
	if sys, ok := envelope["Metadata"]["sys"].(map[string]any); ok && sys["RandGuid"] != nil {
		require.Len(t, sys["RandGuid"], 36)
		delete(sys, "RandGuid")
	}
	return map[string]any{"Data": envelope["Data"], "Metadata": envelope["Metadata"]}
}

func queueFunction() *function {
	return &function{name: "ProcessJob", trigger: binding{Type: typeQueueTrigger, Name: "msg"}}
}

// The body of a queue message arrives as a JSON string inside a JSON string, numbers of the metadata as strings.
func TestQueueEnvelopeIsDoubleEncoded(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 1, 2, 3, 123_456_789, time.UTC)
	m := &message{
		id: "6f9c2a3e", popReceipt: "AgAA=", dequeueCount: 1,
		inserted: at, expires: at.AddDate(0, 0, 7), nextVisible: at.Add(10 * time.Minute),
	}
	inv, err := queueInvocation(queueFunction(), at, m, `{"jobId":"<42>"}`)
	require.NoError(t, err)

	want := map[string]any{
		"Data": map[string]any{"msg": `"{\"jobId\":\"<42>\"}"`},
		"Metadata": map[string]any{
			"DequeueCount":    "1",
			"ExpirationTime":  "2026-11-30T01:02:03+00:00",
			"Id":              `"6f9c2a3e"`,
			"InsertionTime":   "2026-11-23T01:02:03+00:00",
			"NextVisibleTime": "2026-11-23T01:12:03+00:00",
			"PopReceipt":      `"AgAA="`,
			"sys":             map[string]any{"MethodName": "ProcessJob", "UtcNow": "2026-11-23T01:02:03.1234567Z"},
			"jobId":           `"<42>"`,
		},
	}
	require.Empty(t, cmp.Diff(want, envelopeOf(t, inv)))
}

// Fields of the message overwrite metadata of the same name, whatever their case; the first spelling stays.
func TestMessageFieldsOverwriteMetadata(t *testing.T) {
	t.Parallel()
	body := `{"id":"mine","dequeueCount":99,"SYS":{"a":1},"none":null,"list":[1],"jobTrigger":"x","yes":true,
		"ratio":1.50,"big":12345678901234567890,"when":"2026-11-23T01:02:03+01:00","day":"2026-11-23"}`
	inv, err := queueInvocation(queueFunction(), time.Now(), &message{id: "real", dequeueCount: 1}, body)
	require.NoError(t, err)
	got := envelopeOf(t, inv)["Metadata"].(map[string]any)
	for _, key := range []string{"InsertionTime", "ExpirationTime", "NextVisibleTime", "PopReceipt"} {
		delete(got, key)
	}
	want := map[string]any{
		"Id": `"mine"`, "DequeueCount": `"99"`, "sys": map[string]any{"a": 1.0}, "yes": `"True"`, "ratio": `"1.5"`,
		"big": `"12345678901234567890"`, "when": `"11/23/2026 00:02:03"`, "day": `"2026-11-23"`,
	}
	require.Empty(t, cmp.Diff(want, got))
}

func TestBodiesThatAreNoObjectsAddNoMetadata(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "plain", "[1,2]", `"text"`, `{"a":1} trailing`, "{"} {
		inv, err := queueInvocation(queueFunction(), time.Now(), nil, body)
		require.NoError(t, err)
		require.Len(t, envelopeOf(t, inv)["Metadata"], 1, body)
	}
}

func TestBinaryMessagesAreBase64(t *testing.T) {
	t.Parallel()
	fn := queueFunction()
	fn.trigger.DataType = "binary"
	inv, err := queueInvocation(fn, time.Now(), nil, "\x00\xff")
	require.NoError(t, err)
	require.Equal(t, map[string]any{"msg": "AP8="}, envelopeOf(t, inv)["Data"])
}

// A timer's data is an object, not a string.
func TestTimerEnvelope(t *testing.T) {
	t.Parallel()
	s, err := parseSchedule("0 */5 * * * *")
	require.NoError(t, err)
	fn := &function{name: "Clock", trigger: binding{Type: typeTimerTrigger, Name: "timer"}, schedule: s}
	at := time.Date(2026, 11, 23, 1, 5, 0, 5_123_400, time.UTC)
	status := &timerStatus{Next: at.Truncate(time.Second)}

	want := map[string]any{
		"Data": map[string]any{"timer": map[string]any{
			"Schedule": map[string]any{"AdjustForDST": true},
			"ScheduleStatus": map[string]any{
				"Last": "0001-01-01T00:00:00+00:00", "Next": "2026-11-23T01:05:00+00:00", "LastUpdated": "0001-01-01T00:00:00+00:00",
			},
			"IsPastDue": false,
		}},
		"Metadata": map[string]any{"sys": map[string]any{"MethodName": "Clock", "UtcNow": "2026-11-23T01:05:00.0051234Z"}},
	}
	require.Empty(t, cmp.Diff(want, envelopeOf(t, timerInvocation(fn, at, status, false))))

	unmonitored := envelopeOf(t, timerInvocation(fn, at, nil, true))["Data"].(map[string]any)["timer"]
	require.Equal(t, map[string]any{"Schedule": map[string]any{"AdjustForDST": true}, "ScheduleStatus": nil, "IsPastDue": true}, unmonitored)
}

func TestRetryContextHasRealNumbers(t *testing.T) {
	t.Parallel()
	policy := &retryPolicy{max: 2}
	first, err := compactJSON(policy.context(0, nil))
	require.NoError(t, err)
	require.JSONEq(t, `{"RetryCount":0,"MaxRetryCount":2,"Exception":null,"Instance":null,"State":{}}`, first)
	second, err := compactJSON(policy.context(1, errors.New("boom")))
	require.NoError(t, err)
	require.Contains(t, second, `"Message":"boom"`)
	backoff := &retryPolicy{exponential: true, low: time.Second, high: 5 * time.Second}
	require.Equal(t, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second},
		[]time.Duration{backoff.delay(1), backoff.delay(2), backoff.delay(3), backoff.delay(4), backoff.delay(5000)})
}

// Which answers to an envelope are a success, a failure, or hang the invocation for ever.
func TestAnswers(t *testing.T) {
	t.Parallel()
	const asJSON = "application/json; charset=utf-8"
	const chunked = -1
	for _, test := range []struct {
		name        string
		status      int
		contentType string
		length      int64
		body        string
		want        string // ok, hang, or a part of the error
	}{
		{"empty object", 200, asJSON, 2, `{}`, "ok"},
		{"accepted", 202, "text/json", 2, `{}`, "ok"},
		{"members in any case", 200, asJSON, 0, `{"outputs":{"a":1},"LOGS":["x"],"returnvalue":null,"More":1}`, "ok"},
		{"server error", 500, asJSON, 2, `{}`, "does not indicate success: 500 (Internal Server Error)"},
		{"redirect", 302, asJSON, 2, `{}`, "302"},
		{"null", 200, asJSON, 4, `null`, "hang"},
		{"white space", 200, asJSON, 1, "\n", "hang"},
		{"no body", 200, "", 0, ``, "hang"},
		{"no body as text", 200, "text/plain", 0, ``, "hang"},
		{"no content", 204, "", 0, ``, "hang"},
		{"no chunks", 200, asJSON, chunked, ``, "hang"},
		{"no chunks as text", 200, "text/plain", chunked, ``, "not JSON"},
		{"sniffed text", 200, "text/plain; charset=utf-8", 2, `{}`, "not JSON"},
		{"no content type", 200, "", 2, `{}`, "not JSON"},
		{"problem", 200, "application/problem+json", 2, `{}`, "not JSON"},
		{"list", 200, asJSON, 2, `[]`, "invalid HttpResponseMessage"},
		{"string", 200, asJSON, 4, `"ok"`, "invalid HttpResponseMessage"},
		{"number", 200, asJSON, 1, `1`, "invalid HttpResponseMessage"},
		{"broken", 200, asJSON, 1, `{`, "invalid HttpResponseMessage"},
		{"outputs as list", 200, asJSON, 1, `{"Outputs":[]}`, "invalid HttpResponseMessage"},
		{"logs as objects", 200, asJSON, 1, `{"Logs":[{}]}`, "invalid HttpResponseMessage"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			response := &http.Response{
				StatusCode: test.status, Header: http.Header{"Content-Type": {test.contentType}},
				ContentLength: test.length, Body: io.NopCloser(strings.NewReader(test.body)),
			}
			got, err := readAnswer(response, []byte(test.body))
			switch test.want {
			case "ok":
				require.NoError(t, err)
				require.NotNil(t, got)
			case "hang":
				require.ErrorIs(t, err, errHang)
			default:
				require.ErrorContains(t, err, test.want)
				require.NotErrorIs(t, err, errHang)
			}
		})
	}
}

func TestQueueOutputs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		value string
		want  []string
	}{
		{`null`, nil},
		{``, nil},
		{`"hello world"`, []string{"hello world"}},
		{`"done"`, []string{"v\x89\xde"}}, // valid base64, so it is decoded
		{`"aGVs bG8="`, []string{"hello"}},
		{`""`, []string{""}},
		{`"\u00a0"`, []string{"\u00a0"}},
		{`"{\"a\":1}"`, []string{"{\n  \"a\": 1\n}"}},
		{`"{broken"`, []string{"{broken"}},
		{`"[\"x\",\"y\"]"`, []string{"x", "y"}},
		{`{"a":1}`, []string{"{\n  \"a\": 1\n}"}},
		{`["{\"a\":1}","done"]`, []string{`{"a":1}`, "done"}}, // the safe way
		{`[{"a":1},{"a":2}]`, []string{"{\n  \"a\": 1\n}", "{\n  \"a\": 2\n}"}},
		{`["2026-11-23T01:02:03Z"]`, []string{"11/23/2026 01:02:03"}},
		{`[1,null,true]`, []string{"1", "True"}},
		{`[]`, nil},
	} {
		got, err := queueMessages(json.RawMessage(test.value))
		require.NoError(t, err, test.value)
		require.Equal(t, test.want, got, test.value)
	}
}

func TestReturnValue(t *testing.T) {
	t.Parallel()
	out, back := binding{Name: "out"}, binding{Name: returnBinding}
	a := &answer{
		Outputs:     map[string]json.RawMessage{"out": json.RawMessage(`1`), "other": json.RawMessage(`2`)},
		ReturnValue: json.RawMessage(`{"out":3}`),
	}
	require.JSONEq(t, `3`, string(a.output(out, []binding{out})), "members of ReturnValue override Outputs")
	require.JSONEq(t, `2`, string(a.output(binding{Name: "other"}, []binding{out})))
	require.JSONEq(t, `1`, string(a.output(out, []binding{out, back})), "ReturnValue belongs to $return")
	require.JSONEq(t, `{"out":3}`, string(a.output(back, []binding{out, back})))
	a.ReturnValue = json.RawMessage(`"text"`)
	require.JSONEq(t, `1`, string(a.output(out, []binding{out})))
	require.Nil(t, a.output(binding{Name: "OUT"}, []binding{out}), "names are case-sensitive")
}

func TestHTTPOutput(t *testing.T) {
	t.Parallel()
	got, err := readHTTPOutput(json.RawMessage(`{"statusCode":"201","headers":{"Location":"/x","N":1},"body":{"id":"42"}}`))
	require.NoError(t, err)
	require.Equal(t, httpOutput{201, map[string]string{"Location": "/x", "N": "1"}, "{\n  \"id\": \"42\"\n}"}, got)
	got, err = readHTTPOutput(json.RawMessage(`{"status":404,"body":"gone"}`))
	require.NoError(t, err)
	require.Equal(t, httpOutput{404, map[string]string{}, "gone"}, got)
	got, err = readHTTPOutput(nil)
	require.NoError(t, err)
	require.Equal(t, 200, got.status)
	for _, wrong := range []string{`"text"`, `[1]`, `{"statusCode":"ok"}`, `{"headers":[]}`} {
		_, err := readHTTPOutput(json.RawMessage(wrong))
		require.Error(t, err, wrong)
	}
}

// What the forwarding client of the host does to paths and queries.
func TestForwardingManglesURLs(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/api/jobs/42": "/api/jobs/42", "/a%20b": "/a%20b", "/a%3Fb": "/a", "/a%23b": "/a", "/a%2Fb": "/a%2Fb",
		"/100%25": "/100%25", "/a%2541": "/aA", "/%C3%A9": "/%C3%A9", "/a+b": "/a+b", "/%zz": "/%25zz",
	} {
		require.Equal(t, want, forwardedPath(path), path)
	}
	for query, want := range map[string]string{
		"": "", "a=1": "a=1", "a=1&a=2": "a=1,2", "a": "a=", "a=&b=x+y": "a=&b=x%20y", "A=1&a=2&b": "A=1,2&b=", "&&": "", "a=%zz": "a=%25zz",
	} {
		require.Equal(t, want, forwardedQuery(query), query)
	}
}
