package hubsim

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/throttle"
)

// metered returns the meter of an operation.
func metered(op fault.Operation) throttle.Operation {
	switch op {
	case fault.Methods:
		return throttle.Methods
	case fault.TwinRead:
		return throttle.TwinReads
	case fault.TwinUpdate:
		return throttle.TwinUpdates
	case fault.Query:
		return throttle.Queries
	case fault.Jobs:
		return throttle.JobCalls
	default:
		return throttle.Registry
	}
}

// meter holds a request up until the tier allows it, or refuses it.
func (s *Server) meter(r *http.Request, op fault.Operation) *failure {
	if s.meters == nil {
		return nil
	}
	units := int64(1)
	if op == fault.Methods {
		units = methodUnits(r)
	}
	v := s.meters.Take(metered(op), s.clock.Now(), units)
	switch {
	case v.Missing:
		return &failure{ // a guess: undocumented
			status: http.StatusBadRequest, name: "InvalidOperation", number: 400003,
			text: "The operation is not available in the tier of this IoT hub.",
		}
	case v.Spent:
		return quotaExceeded()
	case v.Refused:
		return s.refused(op, v.Wait)
	case v.Wait > 0 && !s.clock.Sleep(r.Context(), v.Wait):
		return serverError(http.StatusServiceUnavailable)
	}
	return nil
}

// methodUnits returns how many units of 4 KB the payload of a method has. Only bodies that can be longer than one are read.
func methodUnits(r *http.Request) int64 {
	if r.ContentLength >= 0 && r.ContentLength <= throttle.MeterSize {
		return 1
	}
	body, err := readBody(r, 2*maxMethodPayload)
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
	var m methodRequest
	// Who carries the request out meets the same faults.
	if err != nil || json.Unmarshal(body, &m) != nil {
		return 1
	}
	return throttle.Chunks(int64(len(m.Payload)), throttle.MeterSize)
}

// refused is the answer to a request for which there is no room in the queue; wait is how long that lasts.
func (s *Server) refused(op fault.Operation, wait time.Duration) *failure {
	o := s.meters.Options()
	seconds := max(1, int(math.Ceil(s.clock.Real(wait).Seconds())))
	f := &failure{
		status: http.StatusTooManyRequests, name: "ThrottlingException", number: 429001, method: op == fault.Methods, info: "null",
		text: "The request has been throttled. Operation type: " + string(op),
	}
	if o.BacklogAnswer {
		f = throttled(string(op), seconds, 0)
	}
	if o.RetryAfter {
		f.retryAfter = seconds
	}
	return f
}

// charge counts the messages that a request has cost, as "Azure IoT Hub pricing information" has them: of methods request and
// answer, of twins and queries what was read or written
// (https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-pricing).
func (s *Server) charge(r *http.Request, op fault.Operation, written int64) {
	if s.meters == nil {
		return
	}
	request, answer := r.ContentLength, written
	switch op {
	case fault.TwinUpdate:
		answer = -1
	case fault.TwinRead, fault.Query:
		request = -1
	}
	s.meters.Charge(metered(op), s.clock.Now(), request, answer)
}

// admitDevice holds up what a device asks for over MQTT and reports whether it is carried out.
func (s *Server) admitDevice(ctx context.Context, op throttle.Operation) bool {
	if s.meters == nil {
		return true
	}
	v := s.meters.Take(op, s.clock.Now(), 1)
	return !v.Refused && !v.Missing && !v.Spent && s.clock.Sleep(ctx, v.Wait)
}
