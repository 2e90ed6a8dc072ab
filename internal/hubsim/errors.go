package hubsim

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/twin"
)

// failure is an error answer of the hub.
type failure struct {
	status int
	name   string // of the header iothub-errorcode
	number int    // six digits, only in the forms Nested and Flat
	text   string
	// method failures take the form that Options.MethodErrors says; info is their JSON member "info".
	method bool
	info   string
	// retryAfter is the header of that name in seconds; 0 is none.
	retryAfter int
	// closes says that the hub ends the connection, as a live one has been seen to do with ThrottlingBacklogTimeout.
	closes bool
}

func badRequest(name string) *failure {
	return &failure{status: http.StatusBadRequest, name: name, text: "BadRequest"}
}

func argumentInvalid(format string, args ...any) *failure {
	return &failure{status: http.StatusBadRequest, name: "ArgumentInvalid", number: 400004, text: fmt.Sprintf(format, args...)}
}

func unauthorized() *failure {
	return &failure{status: http.StatusUnauthorized, name: "IotHubUnauthorizedAccess", number: 401002, text: "Unauthorized"}
}

func deviceNotFound(id string) *failure {
	return &failure{status: http.StatusNotFound, name: "DeviceNotFound", number: 404001, text: id} // of modules too
}

func preconditionFailed(text string) *failure {
	return &failure{status: http.StatusPreconditionFailed, name: "PreconditionFailed", number: 412001, text: text}
}

func tooLarge(text string) *failure {
	return &failure{status: http.StatusRequestEntityTooLarge, name: "MessageTooLarge", number: 413001, text: text}
}

func throttled(operation string, wait, retryAfter int) *failure {
	return &failure{
		status: http.StatusTooManyRequests, name: "ThrottlingBacklogTimeout", number: 429003, retryAfter: retryAfter, closes: true,
		text: fmt.Sprintf("The request has been throttled. Wait %d seconds and try again. Operation type: %s", wait, operation),
	}
}

func quotaExceeded() *failure {
	return &failure{
		status: http.StatusForbidden, name: "IotHubQuotaExceeded", number: 403002,
		text: "Total number of messages on IoT hub exceeded the allocated quota.",
	}
}

func serverError(status int) *failure {
	if status == http.StatusServiceUnavailable {
		return &failure{status: status, name: "ServiceUnavailable", number: 503001, text: "Service is unavailable, please retry."}
	}
	return &failure{status: status, name: "ServerError", number: 500001, text: "An internal error occurred."}
}

func (s *Server) deviceNotOnline(waited int) *failure {
	f := &failure{
		status: http.StatusNotFound, name: "DeviceNotOnline", number: 404103, method: true,
		text: "Timed out waiting for device to connect.", info: timeoutInfo(waited),
	}
	if s.opt.NewOfflineText {
		f.text = "The operation failed because the requested device isn't online. To learn more, see https://aka.ms/iothub404103"
		f.info = "null"
	}
	return f
}

func deviceTimedOut(waited int) *failure {
	return &failure{
		status: http.StatusGatewayTimeout, name: "GatewayTimeout", number: 504101, method: true,
		text: "Timed out waiting for the response from device.", info: timeoutInfo(waited),
	}
}

func badDeviceAnswer(text string) *failure {
	return &failure{status: http.StatusBadGateway, name: "BadDeviceResponse", number: 502101, method: true, text: text, info: "{}"}
}

func timeoutInfo(seconds int) string {
	d := time.Duration(seconds) * time.Second
	return fmt.Sprintf(`{"timeout":"%02d:%02d:%02d"}`, int(d.Hours()), int(d.Minutes())%60, seconds%60)
}

// fail answers with a failure.
func (s *Server) fail(w http.ResponseWriter, f *failure) {
	h := w.Header()
	h.Set("iothub-errorcode", f.name)
	if f.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(f.retryAfter))
	}
	if f.closes {
		h.Set("Connection", "close")
	}
	s.answer(w, f.status, s.envelope(f))
}

func (s *Server) envelope(f *failure) []byte {
	now := time.Now().UTC()
	tracking := fmt.Sprintf("%032x-G:5-TimeStamp:%s", s.tracking.Add(1), now.Format("01/02/2006 15:04:05"))
	if !f.method || s.opt.MethodErrors == Classic {
		body := append([]byte(`{"Message":`), twin.AppendString(nil, "ErrorCode:"+f.name+";"+f.text)...)
		body = append(body, `,"ExceptionMessage":`...)
		return append(twin.AppendString(body, "Tracking ID:"+tracking), '}')
	}
	inner := append([]byte(`{"errorCode":`), strconv.Itoa(f.number)...)
	inner = append(inner, `,"trackingId":`...)
	inner = twin.AppendString(inner, tracking)
	inner = append(inner, `,"message":`...)
	inner = twin.AppendString(inner, f.text)
	inner = append(inner, `,"info":`...)
	inner = append(inner, f.info...)
	inner = append(inner, `,"timestampUtc":`...)
	inner = append(twin.AppendTime(inner, now), '}')
	if s.opt.MethodErrors == Flat {
		return inner
	}
	body := append([]byte(`{"Message":`), twin.AppendString(nil, string(inner))...)
	return append(body, `,"ExceptionMessage":""}`...)
}

// answer writes a JSON answer.
func (s *Server) answer(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = s.jsonType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	// A client that has gone does not need to be told.
	_, _ = w.Write(body)
}
