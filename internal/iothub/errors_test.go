package iothub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"
)

// Bodies as the service sends them, by form: the old one, the new one, and the new one as a string within the old.
const (
	bodyOldForm = `{"Message":"ErrorCode:DeviceNotFound;d1","ExceptionMessage":"Tracking ID:6a1f-G:5-TimeStamp:08/20/2020 22:05:30"}`
	bodyNewForm = `{"errorCode":404010,"message":"Module m1 was not found.","trackingId":"77b2-G:2-TimeStamp:03/01/2026 10:00:00","timestampUtc":"2026-03-01T10:00:00Z"}`
	bodyOffline = `{"Message":"{\"errorCode\":404103,\"trackingId\":\"9c0d-G:0-TimeStamp:08/24/2018 17:49:33\",\"message\":\"Timed out waiting for device to connect.\",\"info\":{\"timeout\":\"00:00:00\"},\"timestampUtc\":\"2018-08-24T17:49:33Z\"}","ExceptionMessage":""}`
	bodyTimeout = `{"Message":"{\"errorCode\":504101,\"trackingId\":\"1e5a\",\"message\":\"Timed out waiting for the response from device.\",\"info\":{\"timeout\":\"00:00:30\"},\"timestampUtc\":\"2026-03-01T10:00:00Z\"}","ExceptionMessage":""}`
	bodyBacklog = `{"Message":"ErrorCode:ThrottlingBacklogTimeout;The request has been throttled. Wait 10 seconds and try again. Operation type: RegistryRead","ExceptionMessage":"Tracking ID:3d-TimeStamp:01/01/2026 00:00:00"}`
	bodyTwice   = `{"Message":"ErrorCode:ArgumentInvalid;Error: BadRequest {\"Message\":\"ErrorCode:ArgumentInvalid;Missing or invalid etag for job type ScheduleUpdateTwin.\",\"ExceptionMessage\":\"Tracking ID:inner-TimeStamp:x\"}","ExceptionMessage":"Tracking ID:outer-TimeStamp:y"}`
	bodyHTML    = `<html><head><title>Not here</title></head></html>`
)

func old(name, text string) string {
	return `{"Message":"ErrorCode:` + name + `;` + text + `","ExceptionMessage":"Tracking ID:t1-TimeStamp:x"}`
}

// nested is the form of direct methods: an error in an error's text.
func nested(number int, text string) string {
	return fmt.Sprintf(`{"Message":"{\"errorCode\":%d,\"message\":\"%s\",\"info\":{}}","ExceptionMessage":""}`, number, text)
}

func TestRefusalsOfMethods(t *testing.T) {
	t.Parallel()
	const code = "iothub-errorcode"
	for _, tt := range []struct {
		name    string
		answer  http.HandlerFunc
		want    Error
		mayHave bool
	}{
		{
			"offline", play(404, bodyOffline, code, "DeviceNotOnline"),
			Error{Kind: Offline, Status: 404, Code: "DeviceNotOnline", Number: 404103, TrackingID: "9c0d-G:0", Message: "Timed out waiting for device to connect."},
			false,
		},
		{
			"offline, no header", play(404, bodyOffline),
			Error{Kind: Offline, Status: 404, Number: 404103, TrackingID: "9c0d-G:0", Message: "Timed out waiting for device to connect."},
			false,
		},
		{
			"header alone", play(404, "", code, "DeviceNotOnline"),
			Error{Kind: Offline, Status: 404, Code: "DeviceNotOnline", Message: "not found"},
			false,
		},
		{
			"header with a number", play(404, "", code, "404103"),
			Error{Kind: Offline, Status: 404, Number: 404103, Message: "not found"},
			false,
		},
		{
			"header against number", play(404, nested(404001, "x"), code, "DeviceNotOnline"),
			Error{Kind: Offline, Status: 404, Code: "DeviceNotOnline", Number: 404001, Message: "x"},
			false,
		},
		{
			"header against name", play(404, bodyOldForm, code, "DeviceNotOnline"),
			Error{Kind: Offline, Status: 404, Code: "DeviceNotOnline", TrackingID: "6a1f-G:5", Message: "d1"},
			false,
		},
		{
			"unknown header, known number", play(404, bodyOffline, code, "SomethingNew"),
			Error{Kind: Offline, Status: 404, Code: "SomethingNew", Number: 404103, TrackingID: "9c0d-G:0", Message: "Timed out waiting for device to connect."},
			false,
		},
		{
			"not registered", play(404, bodyOldForm, code, "DeviceNotFound"),
			Error{Kind: NotFound, Status: 404, Code: "DeviceNotFound", TrackingID: "6a1f-G:5", Message: "d1"},
			false,
		},
		{
			"no such module", play(404, bodyNewForm),
			Error{Kind: NotFound, Status: 404, Number: 404010, TrackingID: "77b2-G:2", Message: "Module m1 was not found."},
			false,
		},
		{
			"unknown 404 of the hub", play(404, old("NewNotFound", "gone")),
			Error{Kind: NotFound, Status: 404, Code: "NewNotFound", TrackingID: "t1", Message: "gone"},
			false,
		},
		{
			"404 of something else", play(404, bodyHTML),
			Error{Kind: HubFault, Status: 404, Message: "not found"},
			false,
		},
		{
			"no such hub", play(404, old("IotHubNotFound", "no hub")),
			Error{Kind: HubFault, Status: 404, Code: "IotHubNotFound", TrackingID: "t1", Message: "no hub"},
			false,
		},
		{
			"device silent", play(504, bodyTimeout),
			Error{Kind: TimedOut, Status: 504, Number: 504101, TrackingID: "1e5a", Message: "Timed out waiting for the response from device."},
			true,
		},
		{
			"504 without a body", play(504, ""),
			Error{Kind: TimedOut, Status: 504, Message: "gateway timeout"},
			true,
		},
		{
			"device answered no JSON", play(502, nested(502101, "Payload is not a valid document")),
			Error{Kind: Unreadable, Status: 502, Number: 502101, Message: "Payload is not a valid document"},
			true,
		},
		{
			"bad gateway", play(502, bodyHTML),
			Error{Kind: ServerError, Status: 502, Message: "bad gateway"},
			true,
		},
		{
			"throttled, wait in the text", play(429, bodyBacklog, code, "ThrottlingBacklogTimeout", "Connection", "close"),
			Error{Kind: Throttled, Status: 429, Code: "ThrottlingBacklogTimeout", TrackingID: "3d", Wait: 10 * time.Second, Message: "The request has been throttled. Wait 10 seconds and try again. Operation type: RegistryRead"},
			false,
		},
		{
			"throttled, wait in the header", play(429, nested(429001, "Throttled"), "Retry-After", "7"),
			Error{Kind: Throttled, Status: 429, Number: 429001, Message: "Throttled", Wait: 7 * time.Second},
			false,
		},
		{
			"throttled, wait unknown", play(429, ""),
			Error{Kind: Throttled, Status: 429, Message: "too many requests"},
			false,
		},
		{
			"throttling number under another status", play(400, nested(429005, "slow down")),
			Error{Kind: Throttled, Status: 400, Number: 429005, Message: "slow down"},
			false,
		},
		{
			"unavailable", play(503, old("ServiceUnavailable", "busy")),
			Error{Kind: Throttled, Status: 503, Code: "ServiceUnavailable", TrackingID: "t1", Message: "busy"},
			false,
		},
		{
			"unavailable until a date", play(503, "", "Date", "Thu, 01 Jan 2026 00:00:00 GMT", "Retry-After", "Thu, 01 Jan 2026 00:00:30 GMT"),
			Error{Kind: Throttled, Status: 503, Message: "service unavailable", Wait: 30 * time.Second},
			false,
		},
		{
			"bad argument", play(400, bodyTwice, code, "ArgumentInvalid"),
			Error{Kind: Rejected, Status: 400, Code: "ArgumentInvalid", TrackingID: "outer", Message: "Missing or invalid etag for job type ScheduleUpdateTwin."},
			false,
		},
		{
			"too large", play(413, nested(413001, "too large")),
			Error{Kind: Rejected, Status: 413, Number: 413001, Message: "too large"},
			false,
		},
		{
			"suspended", play(400, nested(400020, "suspended")),
			Error{Kind: HubFault, Status: 400, Number: 400020, Message: "suspended"},
			false,
		},
		{
			"api-version refused", play(400, old("InvalidProtocolVersion", "old")),
			Error{Kind: HubFault, Status: 400, Code: "InvalidProtocolVersion", TrackingID: "t1", Message: "old"},
			false,
		},
		{
			"no access", play(401, old("IotHubUnauthorizedAccess", "Unauthorized"), code, "IotHubUnauthorizedAccess"),
			Error{Kind: HubFault, Status: 401, Code: "IotHubUnauthorizedAccess", TrackingID: "t1", Message: "Unauthorized"},
			false,
		},
		{
			"quota spent", play(403, old("IotHubQuotaExceeded", "Total number of messages exceeded")),
			Error{Kind: HubFault, Status: 403, Code: "IotHubQuotaExceeded", TrackingID: "t1", Message: "Total number of messages exceeded"},
			false,
		},
		{
			"address not allowed", play(403, bodyHTML),
			Error{Kind: HubFault, Status: 403, Message: "forbidden"},
			false,
		},
		{
			"server error", play(500, old("ServerError", "oops"), code, "ServerError"),
			Error{Kind: ServerError, Status: 500, Code: "ServerError", TrackingID: "t1", Message: "oops"},
			true,
		},
		{
			"redirect", play(307, "", "Location", "https://elsewhere.invalid/"),
			Error{Kind: HubFault, Status: 307, Message: "temporary redirect"},
			false,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHub(t, tt.answer)
			e := invokeErr(t, newClient(t, h.options()), newMethod(t))
			tt.want.Op, tt.want.DeviceID, tt.want.Sent = OpInvokeMethod, "d1", true
			require.Empty(t, cmp.Diff(&tt.want, e, cmpopts.IgnoreUnexported(Error{})))
			require.Equal(t, tt.mayHave, e.MayHaveExecuted())
			require.Len(t, h.seen(), 1, "nothing is retried")
		})
	}
}

// The same answer means something else for a twin, which no device has to answer, and for a query, which concerns none.
func TestRefusalsOfOtherOperations(t *testing.T) {
	t.Parallel()
	patch, err := NewTwinPatch(json.RawMessage(`{"a":1}`), nil)
	require.NoError(t, err)
	update := func(c *Client) error { return c.UpdateTwin(context.Background(), "d1", patch) }
	query := func(c *Client) error {
		_, err := c.QueryPage(context.Background(), "SELECT * FROM devices", "", 0)
		return err
	}
	for _, tt := range []struct {
		name   string
		call   func(*Client) error
		answer http.HandlerFunc
		want   Kind
	}{
		{"twin not found", update, play(404, bodyOldForm), NotFound},
		{"twin too large", update, play(400, old("ArgumentInvalid", "too large")), Rejected},
		{"twin throttled", update, play(429, bodyBacklog), Throttled},
		{"twin timeout", update, play(504, ""), ServerError},
		{"twin precondition", update, play(412, old("PreconditionFailed", "etag")), Rejected},
		{"query malformed", query, play(400, old("ArgumentInvalid", "BadRequest")), Rejected},
		{"query throttled", query, play(429, bodyBacklog), Throttled},
		{"query not found", query, play(404, bodyOldForm), HubFault},
		{"query timeout", query, play(504, bodyTimeout), ServerError},
		{"query unauthorized", query, play(401, ""), HubFault},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := asError(t, tt.call(newClient(t, newHub(t, tt.answer).options())))
			require.Equal(t, tt.want, e.Kind, e)
		})
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	e := &Error{
		Kind: Offline, Op: OpInvokeMethod, DeviceID: "d1", Status: 404, Code: "DeviceNotOnline", Number: 404103,
		Message: "not connected", TrackingID: "t1",
	}
	require.Equal(t, `invoke method on "d1": offline: not connected (status 404, DeviceNotOnline, 404103, tracking id t1)`, e.Error())
	e = &Error{Kind: HubFault, Op: OpQuery}
	require.Equal(t, "query devices: hub fault", e.Error())
}

func TestKindOf(t *testing.T) {
	t.Parallel()
	require.Equal(t, None, KindOf(nil))
	require.Equal(t, None, KindOf(errors.New("other")))
	require.Equal(t, Throttled, KindOf(fmt.Errorf("running shard: %w", &Error{Kind: Throttled})))
	names := map[string]bool{}
	for k := None; k <= Canceled; k++ {
		require.NotContains(t, k.String(), "kind ")
		names[k.String()] = true
	}
	require.Len(t, names, int(Canceled)+1)
}

// A hub, or a proxy before it, that quotes the request must not carry its credential into logs and storage.
func TestRefusalThatQuotesTheCredential(t *testing.T) {
	t.Parallel()
	quote := func(w http.ResponseWriter, r *http.Request) {
		body, _ := json.Marshal(map[string]string{"Message": "refused: " + r.Header.Get("Authorization")})
		play(401, string(body))(w, r)
	}
	h := newHub(t, quote)
	e := invokeErr(t, newClient(t, h.options()), newMethod(t))
	require.Contains(t, e.Message, "[redacted]")
	e = invokeErr(t, newClient(t, Options{HostName: h.host, Credential: &fakeCredential{}, CAFile: h.caFile}), newMethod(t))
	require.Contains(t, e.Message, "[redacted]")
}

func TestLongTextsAreCut(t *testing.T) {
	t.Parallel()
	e := invokeErr(t, newClient(t, newHub(t, play(400, old("ArgumentInvalid", strings.Repeat("ä", 3000)))).options()), newMethod(t))
	require.LessOrEqual(t, len(e.Message), maxText+2)
	require.True(t, utf8.ValidString(e.Message))
	require.Equal(t, "ArgumentInvalid", e.Code)
}

func TestWaits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		retryAfter, text string
		want             time.Duration
	}{
		{"", "", 0},
		{"5", "Wait 10 seconds", 5 * time.Second},
		{"0", "Wait 10 seconds", 10 * time.Second},
		{"-5", "", 0},
		{"soon", "", 0},
		{"999999", "", time.Hour},
		{"99999999999999999999", "", 0},
		{"Thu, 01 Jan 1970 00:00:00 GMT", "", 0},
		{"", "Wait 1 second and try again", time.Second},
		{"", "Wait for it", 0},
		{"", "Wait 10 minutes", 0},
	} {
		require.Equal(t, tt.want, waitOf(http.Header{"Retry-After": {tt.retryAfter}}, tt.text), "%+v", tt)
	}
}

// Whatever a refusal's body holds, it becomes an error of some kind with a text that can be stored.
func FuzzRefusal(f *testing.F) {
	for _, body := range []string{bodyOldForm, bodyNewForm, bodyOffline, bodyTimeout, bodyBacklog, bodyTwice, bodyHTML, "", "null", `{"Message":1}`, `{"Message":"{{}}"}`, `{"errorCode":"DeviceNotOnline"}`} {
		f.Add(404, "", []byte(body))
	}
	f.Add(429, "ThrottlingException", []byte(`{"Message":"Wait 4294967296 seconds"}`))
	f.Fuzz(func(t *testing.T, status int, code string, body []byte) {
		x := &exchange{
			op: OpInvokeMethod, deviceID: "d1", answered: true, status: status, answer: body,
			header: http.Header{"Iothub-Errorcode": {code}},
		}
		e := x.refusal()
		require.NotEqual(t, None, e.Kind)
		require.True(t, utf8.ValidString(e.Message) && utf8.ValidString(e.Code) && utf8.ValidString(e.TrackingID))
		require.LessOrEqual(t, len(e.Message), maxText+2)
		require.True(t, e.Wait >= 0 && e.Wait <= maxWait)
	})
}
