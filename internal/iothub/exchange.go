package iothub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"unicode/utf8"
)

// exchange is one HTTP request and what came of it. It travels through the library in the context, where only the
// transport looks at it.
type exchange struct {
	op       Op
	deviceID string // or "device/module"

	// What the transport puts into the request.
	body         []byte
	continuation string
	maxItems     int

	// limit is how many bytes of a successful answer are wanted; 0 if its body is of no interest.
	limit int64

	// What the transport found.
	answered   bool
	status     int
	header     http.Header
	answer     []byte
	err        error  // of the connection or of reading the answer
	credential string // what must never show up in an error
	untraced   bool   // the transport does not report what it wrote
	wrote      atomic.Bool
}

type exchangeKey struct{}

func withExchange(ctx context.Context, x *exchange) context.Context {
	return context.WithValue(ctx, exchangeKey{}, x)
}

func exchangeFrom(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// sent tells whether the hub may have got the request.
func (x *exchange) sent() bool { return x.answered || x.untraced || x.wrote.Load() }

// checkDeviceID refuses ids that cannot be a segment of a path: the hub, or what stands before it, would act on another
// resource.
func (x *exchange) checkDeviceID() error {
	if x.op == OpQuery {
		return nil
	}
	for segment := range strings.SplitSeq(x.deviceID, "/") {
		switch segment {
		case "", ".", "..":
			return errors.New("the device id cannot be addressed")
		}
	}
	return nil
}

// fail makes the error of an exchange that the hub did not refuse.
func (x *exchange) fail(kind Kind, err error) *Error {
	return &Error{
		Kind: kind, Op: x.op, DeviceID: x.deviceID, Status: x.status, Sent: x.sent(),
		Message: x.redact(err.Error()), err: err,
	}
}

// refusal makes the error of an answer other than success.
func (x *exchange) refusal() *Error {
	env := parseEnvelope(x.answer)
	e := &Error{
		Op: x.op, DeviceID: x.deviceID, Status: x.status, Sent: true,
		Code: env.code, Number: env.number, TrackingID: x.redact(env.trackingID), Message: x.redact(env.message),
		Wait: waitOf(x.header, env.message),
	}
	e.applyHeader(x.header.Get("iothub-errorcode"))
	if e.Message == "" {
		e.Message = strings.ToLower(http.StatusText(x.status))
	}
	e.Kind = classify(e, env.recognised)
	return e
}

// redact keeps the credential of this request out of texts that come from elsewhere, and texts at a size fit for storage.
func (x *exchange) redact(s string) string {
	if x.credential != "" {
		s = strings.ReplaceAll(s, x.credential, "[redacted]")
	}
	return clip(s)
}

const maxText = 1024

func clip(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

func (x *exchange) checkSize() error {
	if int64(len(x.answer)) > x.limit {
		return fmt.Errorf("the answer has more than %d bytes", x.limit)
	}
	return nil
}

// decodeMethodResult reads a device's answer. The hub passes on what the device sent, which may make the whole not JSON.
func decodeMethodResult(x *exchange) (MethodResult, error) {
	var body struct {
		Status  *int            `json:"status"`
		Payload json.RawMessage `json:"payload"`
	}
	if err := x.checkSize(); err != nil {
		return MethodResult{}, err
	}
	if err := json.Unmarshal(x.answer, &body); err != nil {
		return MethodResult{}, fmt.Errorf("decoding the device's answer: %w", err)
	}
	if body.Status == nil {
		return MethodResult{}, errors.New("decoding the device's answer: it has no status")
	}
	payload := body.Payload
	if !utf8.Valid(payload) {
		payload = bytes.ToValidUTF8(payload, []byte("\uFFFD"))
	}
	return MethodResult{Status: *body.Status, Payload: payload}, nil
}

// decodePage reads a page of rows. Anything but an array is an error: an empty answer taken for an empty last page would
// silently end a selection.
func decodePage(x *exchange) (Page, error) {
	var rows []json.RawMessage
	if err := x.checkSize(); err != nil {
		return Page{}, err
	}
	if err := json.Unmarshal(x.answer, &rows); err != nil {
		return Page{}, fmt.Errorf("decoding the query's rows: %w", err)
	}
	if rows == nil {
		return Page{}, errors.New("decoding the query's rows: the answer is null")
	}
	return Page{Rows: rows, Continuation: x.header.Get(headerContinuation)}, nil
}
