package notify

import (
	"errors"
	"net/http"
	"strconv"
	"time"
)

// Class says in one word how a delivery failed. It is a closed set and holds nothing of the receiver.
type Class string

// The classes.
const (
	ClassRefusedAddress Class = "addressRefused"   // the name stands for an address that callbacks must not reach
	ClassName           Class = "nameNotResolved"  // no such name, or no answer from DNS
	ClassConnection     Class = "connectionFailed" // no connection, or it broke
	ClassTLS            Class = "tlsFailed"        // the certificate is not trusted, or no TLS
	ClassTimeout        Class = "timeout"          // no answer within 10 s
	ClassStatus         Class = "statusRefused"    // an answer other than 2xx
	ClassCredential     Class = "noToken"          // no token for Event Grid
	ClassNoTopic        Class = "noTopic"          // Event Grid is not configured any more
	ClassInternal       Class = "internal"         // the event could not be made
)

// Classes lists them.
func Classes() []Class {
	return []Class{
		ClassRefusedAddress, ClassName, ClassConnection, ClassTLS, ClassTimeout, ClassStatus, ClassCredential, ClassNoTopic,
		ClassInternal,
	}
}

// Error is a delivery that failed.
type Error struct {
	Class  Class
	Status int // of the receiver's answer, 0 without one
	// Final says that another try is of no use.
	Final bool
	// RetryAfter is how long the receiver wants to be left alone, 0 when it did not say.
	RetryAfter time.Duration
}

func (e *Error) Error() string {
	if e.Status != 0 {
		return string(e.Class) + " (" + strconv.Itoa(e.Status) + ")"
	}
	return string(e.Class)
}

// ErrorOf gives the failure that err carries; what is not one of ours is internal.
func ErrorOf(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Class: ClassInternal}
}

// What a delivery that failed gets.
const (
	firstDelay   = 5 * time.Second
	longestDelay = time.Hour
	// Window is how long after an event its delivery is tried.
	Window = 24 * time.Hour
)

// Next gives when a delivery that failed for the attempts-th time (from 1 on) at now is tried again: after 5 s, then three
// times as long each time up to an hour, or as late as the receiver asks. It is false when that is more than Window after
// the event became owed, or when err is final.
func Next(err *Error, attempts int, owed, now time.Time) (time.Time, bool) {
	if err.Final {
		return time.Time{}, false
	}
	delay := firstDelay
	for range attempts - 1 {
		delay = min(3*delay, longestDelay)
	}
	at := now.Add(max(delay, err.RetryAfter))
	return at, !at.After(owed.Add(Window))
}

// answered classifies an answer, nil for 2xx. Of the refusals only those are worth another try that speak of a moment;
// patient adds those that speak of a missing right, which is the operator's to give.
func answered(resp *http.Response, patient bool, now time.Time) *Error {
	s := resp.StatusCode
	switch {
	case s >= 200 && s <= 299:
		return nil
	case s == http.StatusRequestTimeout, s == http.StatusTooManyRequests, s >= 500,
		patient && (s == http.StatusUnauthorized || s == http.StatusForbidden || s == http.StatusNotFound):
		return &Error{Class: ClassStatus, Status: s, RetryAfter: retryAfter(resp.Header.Get("Retry-After"), now)}
	}
	return &Error{Class: ClassStatus, Status: s, Final: true}
}

// retryAfter reads seconds or an HTTP date, 0 when it is neither (RFC 9110, 10.2.3).
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(min(max(seconds, 0), 1<<30)) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
