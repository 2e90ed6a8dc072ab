package registry

import (
	"context"
	"time"
)

// Call is a direct method to be carried out by a device.
type Call struct {
	Method  string
	Payload []byte // JSON; "null" if the caller gave none
	// Timeout is how long the hub waits for the device's answer.
	Timeout time.Duration
}

// Reply is a device's answer to a direct method.
type Reply struct {
	// Status is the number that the device chose.
	Status int
	// Payload should be JSON, but devices can send anything; empty means null.
	Payload []byte
}

// Link is a connected device.
type Link interface {
	// Ready reports whether the device takes direct methods.
	Ready() bool
	// Invoke carries out a direct method. ok is false if the device did not answer in time or ctx ended.
	Invoke(ctx context.Context, call Call) (reply Reply, ok bool)
	// NotifyDesired tells the device about changed desired properties. It does not wait for the device.
	NotifyDesired(n Notice)
	// Close ends the connection.
	Close()
}

// Notice is a change of desired properties as a device sees it: the patch with its nulls, or all properties after a PUT.
type Notice struct {
	Values  map[string]any
	Version int64
}

// Responder is the program of a device that lives inside the simulator. It must be safe for concurrent use.
type Responder interface {
	// Respond answers a direct method at once; the simulator waits for Answer.After.
	Respond(method string, payload []byte) Answer
	// ApplyDesired returns what the device reports after a change of its desired properties, nil for nothing, and how long it takes.
	ApplyDesired(patch map[string]any) (reported map[string]any, after time.Duration)
}

// Answer is what a Responder does about a method.
type Answer struct {
	Reply
	// After is how long the device takes.
	After time.Duration
	// Silent devices never answer.
	Silent bool
}

// inProcess is the link to a Responder.
type inProcess struct {
	device    *Device
	responder Responder
}

func (l *inProcess) Invoke(ctx context.Context, call Call) (Reply, bool) {
	answer := l.responder.Respond(call.Method, call.Payload)
	switch {
	case answer.Silent || answer.After > call.Timeout:
		Sleep(ctx, call.Timeout)
		return Reply{}, false
	case answer.After > 0:
		return answer.Reply, Sleep(ctx, answer.After)
	default:
		return answer.Reply, true
	}
}

func (l *inProcess) NotifyDesired(n Notice) {
	reported, after := l.responder.ApplyDesired(n.Values)
	if len(reported) == 0 {
		return
	}
	report := func() {
		// A device has nobody to tell that its report was refused.
		_, _ = l.device.Report(reported)
	}
	if after > 0 {
		time.AfterFunc(after, report)
		return
	}
	report()
}

func (l *inProcess) Ready() bool { return true }

func (l *inProcess) Close() {}

// Sleep waits and reports whether it was not interrupted by the end of ctx.
func Sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
