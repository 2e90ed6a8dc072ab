package iothub

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Limits of direct methods; see "Understand and invoke direct methods from IoT Hub".
const (
	// DefaultResponseTimeout is how long the hub waits for a device's answer if nothing else is asked for.
	DefaultResponseTimeout = 30 * time.Second
	// MinResponseTimeout and MaxResponseTimeout bound the response timeout.
	MinResponseTimeout = 5 * time.Second
	MaxResponseTimeout = 300 * time.Second
	// MaxConnectTimeout bounds the connect timeout; its least, 0, means that the device must be connected already.
	MaxConnectTimeout = 300 * time.Second
	// MaxMethodPayload is the size limit of a method's payload in bytes.
	MaxMethodPayload = 128 << 10
)

// Method is a direct method, encoded once and shared by all devices that it is invoked on.
type Method struct {
	body []byte
	wait time.Duration // what the hub itself may take: both timeouts
}

// NewMethod prepares the method name with a payload of any JSON value; nil stands for null. responseTimeout is how long
// the hub waits for the device's answer, 5 s to 300 s, 30 s if 0; connectTimeout is how long it waits for a disconnected
// device to connect, 0 to 300 s. Both are rounded up to whole seconds.
func NewMethod(name string, payload json.RawMessage, responseTimeout, connectTimeout time.Duration) (*Method, error) {
	if responseTimeout == 0 {
		responseTimeout = DefaultResponseTimeout
	}
	if payload == nil {
		payload = json.RawMessage("null")
	}
	switch {
	case name == "":
		return nil, errors.New("preparing method: the name is empty")
	case !json.Valid(payload):
		return nil, errors.New("preparing method: the payload is not JSON")
	case len(payload) > MaxMethodPayload:
		return nil, fmt.Errorf("preparing method: the payload has %d bytes, at most %d are allowed", len(payload), MaxMethodPayload)
	case responseTimeout < MinResponseTimeout || responseTimeout > MaxResponseTimeout:
		return nil, fmt.Errorf("preparing method: response timeout %s is outside 5s to 300s", responseTimeout)
	case connectTimeout < 0 || connectTimeout > MaxConnectTimeout:
		return nil, fmt.Errorf("preparing method: connect timeout %s is outside 0s to 300s", connectTimeout)
	}
	quoted, err := json.Marshal(name)
	if err != nil {
		return nil, fmt.Errorf("preparing method: %w", err)
	}
	response, connect := wholeSeconds(responseTimeout), wholeSeconds(connectTimeout)
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"methodName":%s,"responseTimeoutInSeconds":%d,"connectTimeoutInSeconds":%d,"payload":%s}`,
		quoted, response, connect, payload)
	return &Method{body: b.Bytes(), wait: time.Duration(response+connect) * time.Second}, nil
}

// Body is the request as the hub gets it.
func (m *Method) Body() []byte { return m.body }

func wholeSeconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// TwinPatch is a change of tags and desired properties, encoded once and shared by all devices.
type TwinPatch struct{ body []byte }

// NewTwinPatch prepares a merge patch from JSON objects; nil leaves that part of the twin alone. Within them null deletes
// a key, objects merge, and any other value replaces what was there.
func NewTwinPatch(tags, desired json.RawMessage) (*TwinPatch, error) {
	if tags == nil && desired == nil {
		return nil, errors.New("preparing twin patch: neither tags nor desired properties are given")
	}
	if tags != nil && !isObject(tags) {
		return nil, errors.New("preparing twin patch: tags is not a JSON object")
	}
	if desired != nil && !isObject(desired) {
		return nil, errors.New("preparing twin patch: desired properties is not a JSON object")
	}
	var b bytes.Buffer
	b.WriteByte('{')
	if tags != nil {
		b.WriteString(`"tags":`)
		b.Write(tags)
	}
	if desired != nil {
		if tags != nil {
			b.WriteByte(',')
		}
		b.WriteString(`"properties":{"desired":`)
		b.Write(desired)
		b.WriteByte('}')
	}
	b.WriteByte('}')
	return &TwinPatch{body: b.Bytes()}, nil
}

// Body is the request as the hub gets it.
func (p *TwinPatch) Body() []byte { return p.body }

func isObject(raw json.RawMessage) bool {
	return bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{")) && json.Valid(raw)
}
