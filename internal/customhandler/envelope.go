package customhandler

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Names of the trigger bindings in our function.json files. An envelope whose
// only value has another name is read all the same.
const (
	timerBinding   = "timer"
	messageBinding = "message"
)

// Timer is what the host says about a tick. It is a hint and no watermark:
// ticks are skipped after a long run, repeated after a restart, and the host
// keeps no status at all for schedules below a minute.
type Timer struct {
	// IsPastDue says that the host noticed at its start that a tick was missed.
	IsPastDue bool
}

// Message is one delivery of a queue message.
type Message struct {
	// Body is the message's text as it was put into the queue, whether the host
	// encoded it once, twice, or handed it over as a JSON object. One case is
	// ambiguous: a text that is itself a JSON string. Put objects into queues.
	Body []byte
	// ID, DequeueCount (1 on the first delivery) and InsertionTime are hints,
	// zero if unknown: the host copies the top-level fields of a JSON body over
	// the metadata, so a body with a field "id" hides the message's own.
	ID            string
	DequeueCount  int
	InsertionTime time.Time
	// InvocationID is that of the invocation: see [InvocationID].
	InvocationID string
}

// envelope is the body of an invocation. Both members are read leniently:
// Metadata may hold anything, since fields of a message overwrite it.
type envelope struct {
	data     map[string]json.RawMessage
	metadata map[string]json.RawMessage
}

var errNoObject = errors.New("must be a JSON object")

func parseEnvelope(body []byte) (envelope, error) {
	var raw struct{ Data, Metadata json.RawMessage }
	if !isObject(body) {
		return envelope{}, errNoObject
	}
	if err := json.Unmarshal(body, &raw); err != nil {
		return envelope{}, err
	}
	return envelope{data: object(raw.Data), metadata: object(raw.Metadata)}, nil
}

// object returns the members of a JSON object, or none if raw is anything else.
func object(raw json.RawMessage) map[string]json.RawMessage {
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		return nil
	}
	return m
}

func isObject(b []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(b), []byte("{")) }

// binding returns the trigger's value: the named one, or else the only one.
func (e envelope) binding(name string) (json.RawMessage, bool) {
	if v, ok := lookup(e.data, name); ok || len(e.data) != 1 {
		return v, ok
	}
	for _, v := range e.data {
		return v, true
	}
	return nil, false
}

// lookup prefers the exact name: the host's own dictionary ignores case, so a
// field of a message can stand where a system field was, in other case.
func lookup(m map[string]json.RawMessage, name string) (json.RawMessage, bool) {
	if v, ok := m[name]; ok {
		return v, true
	}
	for k, v := range m {
		if strings.EqualFold(k, name) {
			return v, true
		}
	}
	return nil, false
}

// timer never fails: a tick that is described oddly is a tick.
func (e envelope) timer() Timer {
	raw, _ := e.binding(timerBinding)
	pastDue, _ := lookup(object(raw), "IsPastDue")
	is, err := strconv.ParseBool(strings.ToLower(text(pastDue)))
	return Timer{IsPastDue: err == nil && is}
}

func (e envelope) message() (Message, error) {
	raw, ok := e.binding(messageBinding)
	if !ok {
		return Message{}, fmt.Errorf("envelope has no %q and not exactly one other value in Data", messageBinding)
	}
	id, _ := lookup(e.metadata, "Id")
	inserted, _ := lookup(e.metadata, "InsertionTime")
	return Message{
		Body:          []byte(text(raw)),
		ID:            hintText(id),
		DequeueCount:  e.dequeues(),
		InsertionTime: hintTime(inserted),
	}, nil
}

// dequeues is 0 if the host does not say, as for timers.
func (e envelope) dequeues() int {
	count, _ := lookup(e.metadata, "DequeueCount")
	return hintCount(count)
}

// text undoes the host's encoding of a value: strings arrive as a JSON string
// that holds a JSON string, or, as documented, as a plain JSON string. What is
// no string is its own text.
func text(raw json.RawMessage) string {
	var once string
	if !isString(raw) || json.Unmarshal(raw, &once) != nil {
		return string(raw)
	}
	var twice string
	if !isString([]byte(once)) || json.Unmarshal([]byte(once), &twice) != nil {
		return once
	}
	return twice
}

// isString also keeps null out, which would decode into any string.
func isString(b []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(b), []byte(`"`)) }

func hintText(raw json.RawMessage) string {
	if !isString(raw) {
		return "" // overwritten by a field of the message
	}
	return text(raw)
}

// hintCount takes 1 and "1". A number that came from the message's own fields
// is encoded twice, "\"42\"", and is not the host's.
func hintCount(raw json.RawMessage) int {
	digits := string(raw)
	var once string
	if isString(raw) && json.Unmarshal(raw, &once) == nil {
		digits = once
	}
	n, err := strconv.Atoi(strings.TrimSpace(digits))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func hintTime(raw json.RawMessage) time.Time {
	var t time.Time
	if !isString(raw) || json.Unmarshal(raw, &t) != nil {
		return time.Time{}
	}
	return t.UTC()
}
