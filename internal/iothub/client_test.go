package iothub

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestInvokeMethodOnTheWire(t *testing.T) {
	t.Parallel()
	h := newHub(t, play(200, `{"status":207,"payload":{"ok":true}}`))
	c := newClient(t, h.options())
	m, err := NewMethod(`lock"Door`, json.RawMessage(`{"lockTime": "10m"}`), 7*time.Second, 1500*time.Millisecond)
	require.NoError(t, err)

	got, err := c.InvokeMethod(context.Background(), "simDevice", m)

	require.NoError(t, err)
	require.Equal(t, MethodResult{Status: 207, Payload: json.RawMessage(`{"ok":true}`)}, got)
	require.Len(t, h.seen(), 1)
	r := h.seen()[0]
	require.Equal(t, "POST", r.method)
	require.Equal(t, "/twins/simDevice/methods?api-version=2021-04-12", r.uri)
	require.JSONEq(t, `{"methodName":"lock\"Door","responseTimeoutInSeconds":7,"connectTimeoutInSeconds":2,`+
		`"payload":{"lockTime":"10m"}}`, r.body)
	require.Contains(t, r.body, `"payload":{"lockTime": "10m"}}`, "the payload's own text")
	require.Equal(t, "application/json; charset=utf-8", r.header.Get("Content-Type"))
	require.Equal(t, "fleetjobs", r.header.Get("User-Agent"))
	require.Len(t, r.header.Get("Request-Id"), 32)
	requireSignature(t, r.header.Get("Authorization"), h.host)
}

func TestPayloadsPassBothWaysAsTheyAre(t *testing.T) {
	t.Parallel()
	echo := newHub(t, func(w http.ResponseWriter, r *http.Request) {
		device := strings.Split(r.URL.Path, "/")[2]
		_, _ = fmt.Fprintf(w, `{"status":200,"payload":%s}`, device)
	})
	c := newClient(t, echo.options())
	for _, payload := range []string{
		`"a string"`, `5`, `12345678901234567890.10`, `true`, `null`, `[1,[2],{"a":null}]`, `{}`, `{"z":1,"a":"<é&>"}`,
	} {
		m, err := NewMethod("echo", json.RawMessage(payload), 0, 0)
		require.NoError(t, err)
		// The stand-in echoes the device's name, so that the answer is the payload too.
		got, err := c.InvokeMethod(context.Background(), payload, m)
		require.NoError(t, err, payload)
		require.Equal(t, payload, string(got.Payload))
	}
	for i, r := range echo.seen() {
		var body struct {
			Payload                                           json.RawMessage
			ResponseTimeoutInSeconds, ConnectTimeoutInSeconds int
		}
		require.NoError(t, json.Unmarshal([]byte(r.body), &body))
		require.Equal(t, 30, body.ResponseTimeoutInSeconds)
		require.Equal(t, 0, body.ConnectTimeoutInSeconds)
		require.Contains(t, r.uri, "methods", i)
	}
	require.True(t, strings.HasSuffix(echo.seen()[7].body, `"payload":{"z":1,"a":"<é&>"}}`))
}

func TestAnswerWithoutPayload(t *testing.T) {
	t.Parallel()
	c := newClient(t, newHub(t, play(200, `{"status":0}`)).options())
	got, err := c.InvokeMethod(context.Background(), "d1", newMethod(t))
	require.NoError(t, err)
	require.Equal(t, MethodResult{}, got)
}

func TestAnswerThatIsNotUTF8IsMadeSo(t *testing.T) {
	t.Parallel()
	c := newClient(t, newHub(t, play(200, "{\"status\":200,\"payload\":\"caf\xe9\"}")).options())
	got, err := c.InvokeMethod(context.Background(), "d1", newMethod(t))
	require.NoError(t, err)
	require.Equal(t, "\"caf\uFFFD\"", string(got.Payload))
}

func TestUnreadableMethodAnswers(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"raw bytes inlined": `{"status":200,"payload":}`,
		"empty":             ``,
		"no status":         `{}`,
		"status a word":     `{"status":"fine","payload":1}`,
		"not JSON":          `hello`,
		"too large":         `{"status":200,"payload":"` + strings.Repeat("x", maxMethodAnswer) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := invokeErr(t, newClient(t, newHub(t, play(200, body)).options()), newMethod(t))
			require.Equal(t, Unreadable, e.Kind)
			require.Equal(t, 200, e.Status)
			require.True(t, e.MayHaveExecuted())
			require.LessOrEqual(t, len(e.Message), maxText)
		})
	}
}

func TestLargestMethodAnswerIsRead(t *testing.T) {
	t.Parallel()
	payload := `"` + strings.Repeat("x", MaxMethodPayload-2) + `"`
	c := newClient(t, newHub(t, play(200, `{"status":200,"payload":`+payload+`}`)).options())
	got, err := c.InvokeMethod(context.Background(), "d1", newMethod(t))
	require.NoError(t, err)
	require.Equal(t, payload, string(got.Payload))
}

func TestOther2xxIsSuccess(t *testing.T) {
	t.Parallel()
	c := newClient(t, newHub(t, play(201, `{"status":200,"payload":1}`)).options())
	got, err := c.InvokeMethod(context.Background(), "d1", newMethod(t))
	require.NoError(t, err)
	require.Equal(t, 200, got.Status)
}

func TestDeviceIDsAreEscaped(t *testing.T) {
	t.Parallel()
	h := newHub(t, play(200, `{"status":200}`))
	c := newClient(t, h.options())
	ids := []string{"a%41b", "a#b", "a?b=c", "a#/b%2F/c", "a/$edgeAgent", "a b", "a+b", "$a:b.c_d*(e),f=@;'!", "..a", "ä"}
	for _, id := range ids {
		_, err := c.InvokeMethod(context.Background(), id, newMethod(t))
		require.NoError(t, err)
	}
	want := []string{
		"a%2541b", "a%23b", "a%3Fb=c", "a%23/modules/b%252F%2Fc", "a/modules/$edgeAgent", "a%20b", "a+b", "$a:b.c_d%2A%28e%29%2Cf=@%3B%27%21", "..a", "%C3%A4",
	}
	for i, r := range h.seen() {
		require.Equal(t, "/twins/"+want[i]+"/methods?api-version=2021-04-12", r.uri)
	}
}

func TestDeviceIDsThatArePathsAreNotSent(t *testing.T) {
	t.Parallel()
	h := newHub(t, play(200, `{"status":200}`))
	c := newClient(t, h.options())
	for _, id := range []string{"", ".", "..", "a/", "/m", "a/..", "../m", "a//m"} {
		_, err := c.InvokeMethod(context.Background(), id, newMethod(t))
		require.Equal(t, Rejected, KindOf(err))
	}
	require.Empty(t, h.seen())
}

func TestUpdateTwinOnTheWire(t *testing.T) {
	t.Parallel()
	h := newHub(t, play(200, `{"deviceId":"d%1","etag":"AAAAAAAAAAI=","version":3,"lastActivityTime":"not a time"}`))
	c := newClient(t, h.options())
	patch, err := NewTwinPatch(json.RawMessage(`{"site":null}`), json.RawMessage(`{"building":43,"empty":{}}`))
	require.NoError(t, err)

	require.NoError(t, c.UpdateTwin(context.Background(), "d%1", patch))

	r := h.seen()[0]
	require.Equal(t, "PATCH", r.method)
	require.Equal(t, "/twins/d%251?api-version=2021-04-12", r.uri)
	require.Equal(t, "*", r.header.Get("If-Match"))
	require.JSONEq(t, `{"tags":{"site":null},"properties":{"desired":{"building":43,"empty":{}}}}`, r.body)

	require.NoError(t, c.UpdateTwin(context.Background(), "d%1/m#", patch))
	m := h.seen()[1]
	require.Equal(t, "/twins/d%251/modules/m%23?api-version=2021-04-12", m.uri)
	require.Equal(t, []string{"PATCH", "*", r.body}, []string{m.method, m.header.Get("If-Match"), m.body})
}

func TestUpdateTwinIgnoresTheAnswersBody(t *testing.T) {
	t.Parallel()
	patch, err := NewTwinPatch(nil, json.RawMessage(`{}`))
	require.NoError(t, err)
	for name, answer := range map[string]http.HandlerFunc{
		"empty 204": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"empty 200": play(200, ""),
		"broken off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"deviceId"`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.NoError(t, newClient(t, newHub(t, answer).options()).UpdateTwin(context.Background(), "d1", patch))
		})
	}
}

// The twins that answer updates are read to their end, or each update would cost a connection.
func TestUpdateTwinKeepsTheConnection(t *testing.T) {
	t.Parallel()
	h := newHub(t, play(200, `{"tags":{"note":"`+strings.Repeat("x", 70<<10)+`"}}`))
	c := newClient(t, h.options())
	patch, err := NewTwinPatch(nil, json.RawMessage(`{"a":1}`))
	require.NoError(t, err)
	for range 5 {
		require.NoError(t, c.UpdateTwin(context.Background(), "d1", patch))
	}
	require.Equal(t, 1, h.connections())
}

// Pages of one query must not share memory: the library decodes each into the maps of the one before.
func TestQueryPagesAreIndependent(t *testing.T) {
	t.Parallel()
	h := newHub(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("x-ms-continuation") == "" {
			play(200, `[{"deviceId":"a","secret":1},{"deviceId":"b"}]`, "x-ms-continuation", "t+/=1", "x-ms-item-type", "Raw")(w, r)
			return
		}
		play(200, `[{"deviceId":"c"}]`)(w, r)
	})
	c := newClient(t, h.options())
	const query = `SELECT deviceId FROM devices WHERE tags.a<'é'`

	first, err := c.QueryPage(context.Background(), query, "", 2)
	require.NoError(t, err)
	second, err := c.QueryPage(context.Background(), query, first.Continuation, 0)
	require.NoError(t, err)

	require.Equal(t, Page{
		Rows:         []json.RawMessage{json.RawMessage(`{"deviceId":"a","secret":1}`), json.RawMessage(`{"deviceId":"b"}`)},
		Continuation: "t+/=1",
	}, first)
	require.Equal(t, Page{Rows: []json.RawMessage{json.RawMessage(`{"deviceId":"c"}`)}}, second)
	require.Len(t, h.seen(), 2, "each page is one request")
	r := h.seen()[0]
	require.Equal(t, "POST /devices/query?api-version=2021-04-12", r.method+" "+r.uri)
	require.Equal(t, "2", r.header.Get("x-ms-max-item-count"))
	require.NotContains(t, r.header, "X-Ms-Continuation")
	var body map[string]string
	require.NoError(t, json.Unmarshal([]byte(r.body), &body))
	require.Equal(t, map[string]string{"query": query}, body)
	r = h.seen()[1]
	require.NotContains(t, r.header, "X-Ms-Max-Item-Count")
	require.Equal(t, []string{"t+/=1"}, r.header["X-Ms-Continuation"])
}

func TestEmptyPage(t *testing.T) {
	t.Parallel()
	c := newClient(t, newHub(t, play(200, `[]`, "x-ms-continuation", "more")).options())
	page, err := c.QueryPage(context.Background(), "SELECT * FROM devices", "", 100)
	require.NoError(t, err)
	require.Equal(t, Page{Rows: []json.RawMessage{}, Continuation: "more"}, page)
}

// What is no array must not pass for an empty last page.
func TestUnreadablePages(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"null":    play(200, `null`),
		"object":  play(200, `{"items":[]}`),
		"cut off": play(200, `[{"deviceId":"a"},`),
		"empty":   play(200, ``),
		"204":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := newClient(t, newHub(t, answer).options()).QueryPage(context.Background(), "SELECT * FROM devices", "", 0)
			require.Equal(t, Unreadable, asError(t, err).Kind)
		})
	}
}

func TestNewMethodRefusals(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func() (*Method, error){
		"no name":          func() (*Method, error) { return NewMethod("", nil, 0, 0) },
		"payload not JSON": func() (*Method, error) { return NewMethod("m", json.RawMessage(`{`), 0, 0) },
		"payload empty":    func() (*Method, error) { return NewMethod("m", json.RawMessage{}, 0, 0) },
		"payload large": func() (*Method, error) {
			return NewMethod("m", json.RawMessage(`"`+strings.Repeat("x", MaxMethodPayload)+`"`), 0, 0)
		},
		"response short":   func() (*Method, error) { return NewMethod("m", nil, 4*time.Second, 0) },
		"response long":    func() (*Method, error) { return NewMethod("m", nil, 301*time.Second, 0) },
		"connect long":     func() (*Method, error) { return NewMethod("m", nil, 0, 301*time.Second) },
		"connect negative": func() (*Method, error) { return NewMethod("m", nil, 0, -time.Second) },
	} {
		m, err := make()
		require.Error(t, err, name)
		require.Nil(t, m, name)
	}
}

func TestNewTwinPatchRefusals(t *testing.T) {
	t.Parallel()
	for _, parts := range [][2]json.RawMessage{
		{nil, nil},
		{json.RawMessage(`null`), nil},
		{nil, json.RawMessage(`[1]`)},
		{json.RawMessage(`{"a":}`), nil},
		{json.RawMessage(`{},"x":{}`), nil},
	} {
		_, err := NewTwinPatch(parts[0], parts[1])
		require.Error(t, err, "%s", parts)
	}
}
