package hubsim

import (
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
	defer s.counters.enter()()
	call, connectTimeout, f := parseMethod(r)
	if f != nil {
		return f
	}
	device, ok := s.registry.Get(id)
	if !ok || device.Disabled() {
		return deviceNotFound(id)
	}
	link := device.Link(r.Context(), time.Duration(connectTimeout)*time.Second)
	if link == nil {
		return s.deviceNotOnline(connectTimeout)
	}
	s.counters.delivered.Add(1)
	s.journal.add(fault.Methods, id, call.Method)
	reply, ok := link.Invoke(r.Context(), call)
	if !ok {
		return deviceTimedOut(int(call.Timeout / time.Second))
	}
	return s.answerMethod(w, reply)
}

func (s *Server) answerMethod(w http.ResponseWriter, reply registry.Reply) *failure {
	payload := reply.Payload
	if len(payload) == 0 {
		payload = []byte("null")
	}
	switch {
	case len(payload) > maxMethodPayload:
		// A guess: what the service does with too long an answer is not documented.
		return badDeviceAnswer("Payload is too large")
	case !s.opt.RawBadAnswers && !json.Valid(payload):
		return badDeviceAnswer("Payload is not a valid document of type application/json")
	}
	body := make([]byte, 0, len(payload)+40)
	body = append(body, `{"status":`...)
	body = strconv.AppendInt(body, int64(reply.Status), 10)
	body = append(body, `,"payload":`...)
	body = append(body, payload...)
	s.answer(w, http.StatusOK, append(body, '}'))
	return nil
}
