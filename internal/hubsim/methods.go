package hubsim

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/registry"
)

// The documented limits of direct methods
// (https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-direct-methods).
const (
	maxMethodPayload       = 128 << 10 // bytes, each way
	maxMethodName          = 256       // a guess: undocumented
	defaultResponseTimeout = 30        // seconds
	minResponseTimeout     = 5
	maxTimeout             = 300
)

type methodRequest struct {
	MethodName      string          `json:"methodName"`
	Payload         json.RawMessage `json:"payload"`
	ResponseTimeout *int            `json:"responseTimeoutInSeconds"`
	ConnectTimeout  *int            `json:"connectTimeoutInSeconds"`
}

// parseMethod reads and checks the body of a direct method.
func parseMethod(r *http.Request) (call registry.Call, connectTimeout int, f *failure) {
	body, err := readBody(r, 2*maxMethodPayload)
	if err != nil {
		return call, 0, bodyFailure(err)
	}
	var m methodRequest
	if err := json.Unmarshal(body, &m); err != nil {
		return call, 0, argumentInvalid("The body is no direct method: %v", err)
	}
	return m.check()
}

// check returns the call that the request asks for.
func (m methodRequest) check() (call registry.Call, connectTimeout int, f *failure) {
	response := defaultResponseTimeout
	if m.ResponseTimeout != nil {
		response = *m.ResponseTimeout
	}
	if m.ConnectTimeout != nil {
		connectTimeout = *m.ConnectTimeout
	}
	switch {
	case m.MethodName == "" || len(m.MethodName) > maxMethodName:
		return call, 0, argumentInvalid("methodName must have 1 to %d characters", maxMethodName)
	case response < minResponseTimeout || response > maxTimeout:
		return call, 0, argumentInvalid("responseTimeoutInSeconds must be between %d and %d", minResponseTimeout, maxTimeout)
	case connectTimeout < 0 || connectTimeout > maxTimeout:
		return call, 0, argumentInvalid("connectTimeoutInSeconds must be between 0 and %d", maxTimeout)
	case len(m.Payload) > maxMethodPayload:
		return call, 0, tooLarge("The payload of the method is larger than 128 KB.")
	}
	call = registry.Call{Method: m.MethodName, Payload: m.Payload, Timeout: time.Duration(response) * time.Second}
	if len(call.Payload) == 0 {
		call.Payload = []byte("null")
	}
	return call, connectTimeout, nil
}

func (s *Server) invokeMethod(w http.ResponseWriter, r *http.Request, id string) *failure {
	call, connectTimeout, f := parseMethod(r)
	if f != nil {
		return f
	}
	reply, f := s.callDevice(r.Context(), id, call, connectTimeout)
	if f != nil {
		return f
	}
	body := make([]byte, 0, len(reply.Payload)+40)
	body = append(body, `{"status":`...)
	body = strconv.AppendInt(body, int64(reply.Status), 10)
	body = append(body, `,"payload":`...)
	body = append(body, reply.Payload...)
	s.answer(w, http.StatusOK, append(body, '}'))
	return nil
}

// callDevice carries out a direct method. The reply's payload is never empty, and JSON unless Options.RawBadAnswers is set.
func (s *Server) callDevice(ctx context.Context, id string, call registry.Call, connectTimeout int) (registry.Reply, *failure) {
	defer s.counters.enter()()
	device, ok := s.registry.Get(id)
	if !ok || device.Disabled() {
		return registry.Reply{}, deviceNotFound(id)
	}
	link := device.Link(ctx, time.Duration(connectTimeout)*time.Second)
	if link == nil {
		return registry.Reply{}, s.deviceNotOnline(connectTimeout)
	}
	s.counters.delivered.Add(1)
	s.journal.add(fault.Methods, id, call.Method)
	reply, ok := link.Invoke(ctx, call)
	if !ok {
		return registry.Reply{}, deviceTimedOut(int(call.Timeout / time.Second))
	}
	if len(reply.Payload) == 0 {
		reply.Payload = []byte("null")
	}
	switch {
	case len(reply.Payload) > maxMethodPayload:
		// A guess: what the service does with too long an answer is not documented.
		return registry.Reply{}, badDeviceAnswer("Payload is too large")
	case !s.opt.RawBadAnswers && !json.Valid(reply.Payload):
		return registry.Reply{}, badDeviceAnswer("Payload is not a valid document of type application/json")
	}
	return reply, nil
}
