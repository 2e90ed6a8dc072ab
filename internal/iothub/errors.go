package iothub

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Kind says what an error means for the one who called: whose fault it is, and whether the device may have acted.
type Kind int

// The kinds of errors. MayHaveExecuted of Error tells which of them may stand for a call that was carried out.
const (
	// None is the kind of nil and of errors that are not from this package.
	None Kind = iota
	// Offline: the device is not connected, or did not connect within the connect timeout (404103).
	Offline
	// NotFound: the device or module is not registered, or is disabled (404001, 404010).
	NotFound
	// TimedOut: the device got the method and did not answer within the response timeout (504101).
	TimedOut
	// Unreadable: an answer came and could not be read: a device's that is not JSON (502101), or a broken success.
	Unreadable
	// Throttled: the hub refused because of its load or limits (429, 503). Error.Wait is how long it asks to wait.
	Throttled
	// Rejected: the request itself is wrong (400, 413 and others) and will be refused each time.
	Rejected
	// ServerError: the hub failed (500 and others).
	ServerError
	// Lost: the request was sent, and the connection ended or our own deadline passed before the answer was read.
	Lost
	// HubFault: the hub cannot be used: access refused, quota spent, hub suspended, no name resolution, no connection, no
	// TLS, no token. Nothing reached a device, and the next device would fare the same.
	HubFault
	// Canceled: the caller's context ended. Error.Sent tells whether the request was on its way by then.
	Canceled
)

// String gives the kind as a lower-case word or two.
func (k Kind) String() string {
	switch k {
	case None:
		return "none"
	case Offline:
		return "offline"
	case NotFound:
		return "not found"
	case TimedOut:
		return "timed out"
	case Unreadable:
		return "unreadable answer"
	case Throttled:
		return "throttled"
	case Rejected:
		return "rejected"
	case ServerError:
		return "server error"
	case Lost:
		return "connection lost"
	case HubFault:
		return "hub fault"
	case Canceled:
		return "canceled"
	}
	return "kind " + strconv.Itoa(int(k))
}

// Op names an operation in errors.
type Op string

// The operations of Client.
const (
	OpInvokeMethod Op = "invoke method"
	OpUpdateTwin   Op = "update twin"
	OpQuery        Op = "query devices"
)

// Error is what every operation of Client fails with. Its texts hold no key and no token.
type Error struct {
	Kind     Kind
	Op       Op
	DeviceID string // empty for queries
	// Status is the HTTP status, 0 if there was no answer.
	Status int
	// Code is the hub's name for the error, such as DeviceNotOnline, and Number its number, such as 404103. Either may be
	// missing, and now and then they disagree: the name counts.
	Code   string
	Number int
	// Message is the hub's text, or what went wrong on the way; at most 1 KiB.
	Message string
	// Wait is how long the hub asks to wait, from its Retry-After header or its text, at most an hour; 0 if it does not say.
	Wait time.Duration
	// TrackingID is what Azure support asks for.
	TrackingID string
	// Sent tells whether the request may have reached the hub.
	Sent bool

	err error
}

// Error gives operation, device, kind, text and codes in one line.
func (e *Error) Error() string {
	text := string(e.Op)
	if e.DeviceID != "" {
		text += fmt.Sprintf(" on %q", e.DeviceID)
	}
	text += ": " + e.Kind.String()
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text + e.codes()
}

// Detail gives the hub's text, or the kind where there is none, and codes: for where operation and device are told otherwise.
func (e *Error) Detail() string {
	return cmp.Or(e.Message, e.Kind.String()) + e.codes()
}

// codes gives what identifies the hub's answer, in parentheses.
func (e *Error) codes() string {
	var codes []string
	if e.Status != 0 {
		codes = append(codes, "status "+strconv.Itoa(e.Status))
	}
	if e.Code != "" {
		codes = append(codes, e.Code)
	}
	if e.Number != 0 {
		codes = append(codes, strconv.Itoa(e.Number))
	}
	if e.TrackingID != "" {
		codes = append(codes, "tracking id "+e.TrackingID)
	}
	if len(codes) == 0 {
		return ""
	}
	return " (" + strings.Join(codes, ", ") + ")"
}

// Unwrap gives the error below: of the connection, of decoding, or of the caller's context. An answer from the hub has none.
func (e *Error) Unwrap() error { return e.err }

// MayHaveExecuted tells whether the device or the hub may have done what was asked in spite of the error, so that asking
// again may do it twice.
func (e *Error) MayHaveExecuted() bool {
	switch e.Kind {
	case TimedOut, Unreadable, ServerError, Lost:
		return true
	case Canceled:
		return e.Sent
	case None, Offline, NotFound, Throttled, Rejected, HubFault:
	}
	return false
}

// KindOf is the kind of the first *Error in err's chain, None if there is none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return None
}
