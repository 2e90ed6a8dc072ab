package iothub

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// envelope is what the body of a refusal says. The hub has three forms: {"Message":"ErrorCode:<name>;<text>",
// "ExceptionMessage":"Tracking ID:<id>"}; {"errorCode":<number>,"message":"...","trackingId":"..."}; and the second as a
// string in the first one's Message. Errors that pass through several of its services are wrapped twice.
type envelope struct {
	recognised bool // the body is one of these forms
	code       string
	number     int
	message    string
	trackingID string
}

const (
	maxNesting = 4
	maxWait    = time.Hour
)

func parseEnvelope(body []byte) envelope {
	return parseNested(body, maxNesting)
}

func parseNested(body []byte, depth int) envelope {
	var wire struct {
		Message          string          `json:"Message"`
		ExceptionMessage string          `json:"ExceptionMessage"`
		ErrorCode        json.RawMessage `json:"errorCode"`
		Text             string          `json:"message"`
		TrackingID       string          `json:"trackingId"`
	}
	// A member of the wrong type leaves the others readable, and so does not matter.
	if err := json.Unmarshal(body, &wire); err != nil && !json.Valid(body) {
		return envelope{}
	}
	env := envelope{message: wire.Message, trackingID: cutTimeStamp(wire.TrackingID)}
	if env.message == "" {
		env.message = wire.Text
	}
	if _, id, ok := strings.Cut(wire.ExceptionMessage, "Tracking ID:"); ok && env.trackingID == "" {
		env.trackingID = cutTimeStamp(id)
	}
	env.code, env.number = codeOf(wire.ErrorCode)
	env.recognised = env.message != "" || env.code != "" || env.number != 0
	env.readMessage(depth)
	return env
}

// codeOf reads an errorCode member: a number, or a string that holds a number or a name.
func codeOf(raw json.RawMessage) (string, int) {
	text := strings.Trim(string(raw), `"`)
	if text == "" || text == "null" {
		return "", 0
	}
	if n, err := strconv.Atoi(text); err == nil {
		return "", n
	}
	return name(text), 0
}

// readMessage takes the name off the message, and looks for another envelope in the rest. What is further out wins, but
// for the text: the innermost one is the most telling.
func (e *envelope) readMessage(depth int) {
	if rest, ok := strings.CutPrefix(e.message, "ErrorCode:"); ok {
		code, text, _ := strings.Cut(rest, ";")
		if e.code == "" {
			e.code = name(code)
		}
		e.message = text
	}
	open, end := strings.IndexByte(e.message, '{'), strings.LastIndexByte(e.message, '}')
	if depth == 0 || open < 0 || end < open {
		return
	}
	inner := parseNested([]byte(e.message[open:end+1]), depth-1)
	if !inner.recognised {
		return
	}
	if inner.message != "" {
		e.message = inner.message
	}
	if e.code == "" {
		e.code = inner.code
	}
	if e.number == 0 {
		e.number = inner.number
	}
	if e.trackingID == "" {
		e.trackingID = inner.trackingID
	}
}

// name keeps a text only if it can be the name of an error.
func name(s string) string {
	if len(s) > 64 {
		return ""
	}
	for _, r := range s {
		if (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') {
			return ""
		}
	}
	return s
}

// cutTimeStamp takes the time off a tracking id: "<id>-TimeStamp:<time>".
func cutTimeStamp(s string) string {
	id, _, _ := strings.Cut(s, "-TimeStamp:")
	return strings.TrimSpace(id)
}

// waitOf is how long an answer asks to wait: by its Retry-After header, or by "Wait <n> seconds" in its text, which is all
// that the hub's own throttling answers have. It is at most an hour, and 0 if the answer does not say.
func waitOf(h http.Header, text string) time.Duration {
	wait := retryAfter(h.Get("Retry-After"), h.Get("Date"))
	if wait == 0 {
		if _, rest, ok := strings.Cut(text, "Wait "); ok {
			digits, _, _ := strings.Cut(rest, " second")
			wait = seconds(digits)
		}
	}
	return min(wait, maxWait)
}

// retryAfter reads both forms of the header; a date counts from the answer's own, so that clocks need not agree.
func retryAfter(value, date string) time.Duration {
	if value == "" {
		return 0
	}
	if wait := seconds(value); wait != 0 {
		return wait
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	from, err := http.ParseTime(date)
	if err != nil {
		from = time.Now()
	}
	return max(until.Sub(from), 0)
}

func seconds(s string) time.Duration {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
