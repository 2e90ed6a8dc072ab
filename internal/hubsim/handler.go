package hubsim

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/registry"
)

// action is a request that the hub knows how to carry out.
type action struct {
	op     fault.Operation
	needed permission
	id     string // of the device or module, see registry.ModuleID; empty for requests that are not for one
	// run answers the request, or returns a failure to be answered.
	run handler
}

// ServeHTTP answers a service request. It is the handler of the HTTPS port.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	segments, err := split(r.URL.EscapedPath())
	if err != nil {
		s.fail(w, badRequest("ArgumentInvalid"))
		return
	}
	if segments[0] == "$sim" {
		s.control(w, r, segments[1:])
		return
	}
	method := r.Method
	if method == http.MethodPost && r.Header.Get("X-HTTP-Method-Override") == http.MethodPatch {
		// So the SDK for Java sends it, whose HTTP client knows no PATCH (https://github.com/Azure/azure-iot-sdk-java).
		method = http.MethodPatch
	}
	a, f := s.route(method, segments)
	if f != nil {
		s.fail(w, f)
		return
	}
	s.counters.requests[a.op].Add(1)
	counted := &statusWriter{ResponseWriter: w, counters: s.counters}
	if f := s.admit(r, a); f != nil {
		s.fail(counted, f)
		return
	}
	if f := s.meter(r, a.op); f != nil {
		s.fail(counted, f)
		return
	}
	s.carryOut(counted, r, a)
	s.charge(r, a.op, counted.written)
}

// split returns the unescaped segments of a path; there is at least one.
func split(escaped string) ([]string, error) {
	segments := strings.Split(strings.Trim(escaped, "/"), "/")
	for i, segment := range segments {
		if strings.IndexByte(segment, '%') < 0 {
			continue
		}
		text, err := url.PathUnescape(segment)
		if err != nil {
			return nil, err
		}
		if strings.Contains(text, "/") { // in no id
			return nil, errSegment
		}
		segments[i] = text
	}
	return segments, nil
}

// admit checks what comes before every operation: the caller, the hub's own state, the version.
func (s *Server) admit(r *http.Request, a action) *failure {
	plan := s.injector.Plan()
	switch {
	case plan.Revoked, !s.gate.allows(r, a.needed):
		return unauthorized()
	case plan.Suspended:
		return &failure{status: http.StatusBadRequest, name: "IotHubSuspended", number: 400020, text: "The IoT hub is suspended."}
	case plan.QuotaExceeded:
		return quotaExceeded()
	case !knownVersion(r.URL.RawQuery):
		return &failure{status: http.StatusBadRequest, name: "InvalidProtocolVersion", number: 400001, text: "Unsupported api-version"}
	}
	return nil
}

// knownVersion looks for an api-version that the service has been seen to accept.
func knownVersion(query string) bool {
	for pair := range strings.SplitSeq(query, "&") {
		version, ok := strings.CutPrefix(pair, "api-version=")
		if !ok {
			continue
		}
		switch version {
		case "2018-06-30", "2019-10-01", "2020-03-13", "2020-05-31-preview", "2020-09-30", "2021-04-12", "2024-03-31":
			return true
		}
	}
	return false
}

// carryOut runs an action under the fault plan.
func (s *Server) carryOut(w *statusWriter, r *http.Request, a action) {
	d := s.injector.Next(a.op, a.id)
	if d.Latency > 0 && !registry.Sleep(r.Context(), d.Latency) {
		return
	}
	switch d.Kind {
	case fault.Throttle:
		s.fail(w, throttled(string(a.op), d.WaitSeconds, d.RetryAfterSeconds))
	case fault.ErrorBefore:
		s.fail(w, serverError(d.Status))
	case fault.DropBefore:
		s.drop(w)
	case fault.ErrorAfter:
		a.run(s, &discard{}, r, a.id)
		s.fail(w, serverError(d.Status))
	case fault.DropAfter:
		a.run(s, &discard{}, r, a.id)
		s.drop(w)
	default:
		if f := a.run(s, w, r, a.id); f != nil {
			s.fail(w, f)
		}
	}
}

// drop closes the client's connection without an answer.
func (s *Server) drop(w *statusWriter) {
	s.counters.dropped.Add(1)
	conn, _, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		s.fail(w, serverError(http.StatusInternalServerError))
		return
	}
	// There is nothing to be done about a connection that cannot be closed.
	_ = conn.Close()
}

// statusWriter counts the statuses of answers.
type statusWriter struct {
	http.ResponseWriter
	counters *counters
	written  int64 // bytes of the body
}

func (w *statusWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.written += int64(n)
	return n, err
}

func (w *statusWriter) WriteHeader(code int) {
	w.counters.status(code)
	w.ResponseWriter.WriteHeader(code)
}

// discard takes the answer of a request whose caller is not to see it.
type discard struct {
	header http.Header
}

func (d *discard) Header() http.Header {
	if d.header == nil {
		d.header = http.Header{}
	}
	return d.header
}
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

var errSegment = errors.New("a segment holds a slash")

var errTooLarge = errors.New("the body is too large")

// readBody reads a request's body up to a size. Errors: errTooLarge, or that of the connection.
func readBody(r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, errTooLarge
	}
	if n := r.ContentLength; n >= 0 {
		body := make([]byte, n)
		_, err := io.ReadFull(r.Body, body)
		return body, err
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err == nil && int64(len(body)) > limit {
		err = errTooLarge
	}
	return body, err
}

// bodyFailure is the answer to an error of readBody.
func bodyFailure(err error) *failure {
	if errors.Is(err, errTooLarge) {
		return tooLarge("The request body is too large.")
	}
	return badRequest("GenericBadRequest")
}

const maxBody = 1 << 20
