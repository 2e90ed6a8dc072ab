package customhandler_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/customhandler"
)

// deliver hands an envelope to a queue function and returns what it got.
func deliver(t *testing.T, envelope string) customhandler.Message {
	t.Helper()
	m, status := post(t, envelope)
	require.Equal(t, http.StatusOK, status)
	return m
}

func post(t *testing.T, envelope string) (m customhandler.Message, status int) {
	t.Helper()
	h, err := customhandler.New(customhandler.Options{Queues: map[string]customhandler.QueueFunc{
		"RunShard": func(_ context.Context, got customhandler.Message) error { m = got; return nil },
	}})
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodPost, "/RunShard", strings.NewReader(envelope))
	r.Header.Set("X-Azure-Functions-InvocationId", "abc")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return m, w.Code
}

func TestQueueMessageAsTheHostSendsIt(t *testing.T) {
	t.Parallel()
	want := customhandler.Message{
		Body:          []byte(`{"jobId":"42"}`),
		ID:            "6f9c2a3e-0000-0000-0000-000000000000",
		DequeueCount:  1,
		InsertionTime: time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC),
		InvocationID:  "abc",
	}
	require.Empty(t, cmp.Diff(want, deliver(t, queueEnvelope)))
}

// Every encoding of a message's text that was seen, documented or feared.
func TestQueueMessageBodies(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ value, want string }{
		"twice, as hosts do":          {`"\"{\\\"a\\\":1}\""`, `{"a":1}`},
		"once, as documented":         {`"{\"a\":1}"`, `{"a":1}`},
		"an object":                   {`{"a":1}`, `{"a":1}`},
		"an array":                    {`[1,2]`, `[1,2]`},
		"plain text, twice":           {`"\"hello\""`, `hello`},
		"plain text, once":            {`"hello"`, `hello`},
		"empty, twice":                {`"\"\""`, ``},
		"empty, once":                 {`""`, ``},
		"the text null, twice":        {`"\"null\""`, `null`},
		"the text null, once":         {`"null"`, `null`},
		"digits, once":                {`"42"`, `42`},
		"large number, once":          {`"12345678901234567890"`, `12345678901234567890`},
		"base64 text stays text":      {`"\"ZG9uZQ==\""`, `ZG9uZQ==`},
		"a lone quote is plain text":  {`"\"broken"`, `"broken`},
		"non-ASCII and escapes":       {`"\"\\u00e9\\n\\\\\""`, "é\n\\"},
		"null is a message all right": {`null`, `null`},
	} {
		got := deliver(t, `{"Data":{"message":`+tt.value+`}}`)
		require.Equal(t, tt.want, string(got.Body), name)
	}
}

func TestQueueMessageIsFoundUnderAnyBindingName(t *testing.T) {
	t.Parallel()
	require.Equal(t, "x", string(deliver(t, `{"Data":{"msg":"\"x\""}}`).Body))
	require.Equal(t, "x", string(deliver(t, `{"Data":{"other":"\"y\"","message":"\"x\""}}`).Body))
	for _, envelope := range []string{`{"Data":{"a":"1","b":"2"}}`, `{"Data":{}}`, `{"Data":null}`, `{"Data":[1]}`, `{"Metadata":{}}`} {
		_, status := post(t, envelope)
		require.Equal(t, http.StatusInternalServerError, status, envelope)
	}
}

// The host merges the top-level fields of a JSON message over its metadata,
// without regard to case. The message must arrive whatever they are.
func TestMetadataOverwrittenByFieldsOfTheMessage(t *testing.T) {
	t.Parallel()
	const data = `{"Data":{"message":"\"{}\""},"Metadata":`
	for name, tt := range map[string]struct {
		metadata string
		want     customhandler.Message
	}{
		"id of the message":    {`{"Id":"\"mine\"","DequeueCount":"2"}`, customhandler.Message{ID: "mine", DequeueCount: 2}},
		"id in other case":     {`{"id":"\"mine\""}`, customhandler.Message{ID: "mine"}},
		"number in its place":  {`{"DequeueCount":"\"42\"","Id":7}`, customhandler.Message{}},
		"objects":              {`{"Id":{"a":1},"DequeueCount":{},"InsertionTime":{},"sys":"\"x\""}`, customhandler.Message{}},
		"text":                 {`{"DequeueCount":"many","InsertionTime":"\"later\""}`, customhandler.Message{}},
		"negative":             {`{"DequeueCount":-1}`, customhandler.Message{}},
		"nulls":                {`{"Id":null,"DequeueCount":null,"InsertionTime":null}`, customhandler.Message{}},
		"number as documented": {`{"Id":"plain","DequeueCount":3}`, customhandler.Message{ID: "plain", DequeueCount: 3}},
		"no object":            {`"x"`, customhandler.Message{}},
		"null":                 {`null`, customhandler.Message{}},
		"retry context":        {`{"RetryContext":{"RetryCount":0,"MaxRetryCount":2,"Exception":null}}`, customhandler.Message{}},
	} {
		tt.want.Body, tt.want.InvocationID = []byte("{}"), "abc"
		require.Empty(t, cmp.Diff(tt.want, deliver(t, data+tt.metadata+`}`)), name)
	}
}

func TestTimerAsTheHostSendsIt(t *testing.T) {
	t.Parallel()
	for envelope, pastDue := range map[string]bool{
		timerEnvelope:          true,
		subMinuteTimerEnvelope: false,
		`{"Data":{"timer":{"IsPastDue":"true"}},"Metadata":{}}`: true,
		`{"Data":{"myTimer":{"isPastDue":true}}}`:               true,
		`{"Data":{"timer":"\"odd\""}}`:                          false,
		`{"Data":{"timer":null}}`:                               false,
		`{"Data":null,"Metadata":7}`:                            false,
		`{}`:                                                    false,
	} {
		a := setup(t, nil)
		requireSuccess(t, a.do(t, http.MethodPost, "/TimerDispatch", envelope, nil))
		require.Equal(t, customhandler.Timer{IsPastDue: pastDue}, <-a.timers, envelope)
	}
}

// FuzzEnvelope: no body of an invocation may do more than fail it.
func FuzzEnvelope(f *testing.F) {
	for _, s := range []string{queueEnvelope, timerEnvelope, subMinuteTimerEnvelope, `{"Data":{"m":"\"\\\""}}`, `{"Data":{"a":1},"data":2}`, `null`, ``} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		h, err := customhandler.New(customhandler.Options{
			Timers: map[string]customhandler.TimerFunc{"T": func(context.Context, customhandler.Timer) error { return nil }},
			Queues: map[string]customhandler.QueueFunc{"Q": func(_ context.Context, m customhandler.Message) error {
				require.GreaterOrEqual(t, m.DequeueCount, 0)
				return nil
			}},
		})
		require.NoError(t, err)
		for _, path := range []string{"/T", "/Q"} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader(string(body))))
			require.Equal(t, w.Code == http.StatusOK, w.Body.String() == "{}")
			require.NotContains(t, []int{301, 302, 307, 308, 204}, w.Code)
		}
	})
}

// FuzzQueueBody: whatever text is put into the queue comes out of it.
func FuzzQueueBody(f *testing.F) {
	for _, s := range []string{``, `{"id":"x"}`, `"quoted"`, `null`, `"`, `\`, "\u2028", `"\u00"`, `12`, "é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		if !utf8.ValidString(body) {
			t.Skip("queue messages are text")
		}
		once, err := json.Marshal(body)
		require.NoError(t, err)
		twice, err := json.Marshal(string(once))
		require.NoError(t, err)
		require.Equal(t, body, string(deliver(t, `{"Data":{"message":`+string(twice)+`}}`).Body))
		if !strings.HasPrefix(strings.TrimSpace(body), `"`) {
			require.Equal(t, body, string(deliver(t, `{"Data":{"message":`+string(once)+`}}`).Body))
		}
	})
}
