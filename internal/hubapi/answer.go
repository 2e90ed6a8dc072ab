package hubapi

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/fleetjobs/fleetjobs/internal/hubauth"
	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
)

const jsonType = "application/json; charset=utf-8"

// answer is a 200 before it is written.
type answer struct {
	body   any
	header http.Header
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding an answer: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func (h *handler) write(w http.ResponseWriter, r *http.Request, a *answer) {
	body, err := encode(a.body)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	maps.Copy(w.Header(), a.header)
	h.send(w, h.requestID(r), http.StatusOK, body)
}

// send writes an answer. The only error is a caller who has gone, which is none of ours.
func (h *handler) send(w http.ResponseWriter, requestID string, status int, body []byte) {
	head := w.Header()
	head.Set("Content-Type", jsonType)
	head.Set("Content-Length", strconv.Itoa(len(body)))
	head.Set("Cache-Control", "no-store")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("x-ms-request-id", requestID)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func (h *handler) requestID(r *http.Request) string {
	if id := h.opts.RequestID(r.Context()); id != "" {
		return id
	}
	return strings.ToLower(rand.Text())
}

// failure is an error answer as IoT Hub gives it.
type failure struct {
	status int
	name   string // of the header iothub-errorcode
	text   string
	// word stands before the inner envelope of failures of jobs, which come wrapped twice; "" for others.
	word string
	// retryAfter is the header of that name in seconds; 0 is none.
	retryAfter int
	cause      error // for the log, nil when there is nothing to log
}

func (f *failure) Error() string { return f.name + ": " + f.text }

func notFound() error {
	return &failure{status: http.StatusNotFound, name: "GenericNotFound", text: "NotFound"}
}

func methodNotAllowed() error {
	return &failure{status: http.StatusMethodNotAllowed, name: "GenericMethodNotAllowed", text: "MethodNotAllowed"}
}

func unknownVersion() error {
	return &failure{status: http.StatusBadRequest, name: "InvalidProtocolVersion", text: "The api-version is missing or unknown"}
}

func badRequest(name string) error {
	return &failure{status: http.StatusBadRequest, name: name, text: "BadRequest"}
}

func argumentInvalid(text string) error {
	return &failure{status: http.StatusBadRequest, name: "ArgumentInvalid", text: text}
}

// invalidJob refuses the body of a job.
func invalidJob(text string) error {
	return &failure{status: http.StatusBadRequest, name: "ArgumentInvalid", text: text, word: "BadRequest"}
}

// What keeps a caller out who is known, and a query that is the hub's to answer.
var (
	errForbidden = fmt.Errorf("%w: the caller lacks the permission", hubauth.ErrUnauthorized)
	errForHub    = errors.New("the hub answers this")
)

// toFailure decides what a caller is told about err. It is the one place that does.
func toFailure(err error) *failure {
	var f *failure
	var he *iothub.Error
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, hubauth.ErrUnauthorized):
		// IoT Hub answers so to callers without a permission too.
		return &failure{status: http.StatusUnauthorized, name: "IotHubUnauthorizedAccess", text: "Unauthorized", cause: err}
	case job.FaultsOf(err) != nil:
		return &failure{status: http.StatusBadRequest, name: "ArgumentInvalid", text: job.FaultsOf(err).Error(), word: "BadRequest"}
	case errors.As(err, &tooLarge):
		return &failure{status: http.StatusRequestEntityTooLarge, name: "MessageTooLarge", text: fmt.Sprintf("The body has more than %d bytes.", tooLarge.Limit)}
	case errors.As(err, &he) && he.Kind == iothub.Throttled:
		wait := max(1, int(he.Wait.Seconds()))
		return &failure{
			status: http.StatusTooManyRequests, name: "ThrottlingException", retryAfter: wait,
			text: fmt.Sprintf("The request has been throttled. Wait %d seconds and try again.", wait),
		}
	case errors.As(err, &he), outOfReach(err):
		return &failure{status: http.StatusServiceUnavailable, name: "ServiceUnavailable", text: "Service is unavailable, please retry.", cause: err}
	}
	return &failure{status: http.StatusInternalServerError, name: "ServerError", text: "An internal error occurred.", cause: err}
}

// outOfReach reports whether err says that storage could not be asked, or refused because of its load or our rights.
func outOfReach(err error) bool {
	var re *azcore.ResponseError
	var ne net.Error
	return errors.As(err, &re) || errors.As(err, &ne) || errors.Is(err, context.DeadlineExceeded)
}

// fail answers with err.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	f := toFailure(err)
	id := h.requestID(r)
	if f.cause != nil {
		h.opts.Logger.LogAttrs(r.Context(), slog.LevelWarn, "a request to the hub's API was refused",
			slog.Int("status", f.status), slog.String("method", r.Method), slog.String("requestId", id), slog.Any("error", f.cause))
	}
	head := w.Header()
	head.Set("iothub-errorcode", f.name)
	if f.status == http.StatusUnauthorized {
		head.Set("WWW-Authenticate", `SharedAccessSignature, Bearer`)
	}
	if f.retryAfter > 0 {
		head.Set("Retry-After", strconv.Itoa(f.retryAfter))
	}
	h.send(w, id, f.status, h.envelope(f, id))
}

type envelope struct {
	Message          string `json:"Message"`
	ExceptionMessage string `json:"ExceptionMessage"`
}

// envelope gives the body of a failure. Failures of jobs are wrapped twice, as the hub's are
// (https://github.com/Azure/azure-iot-sdk-csharp/issues/361).
func (h *handler) envelope(f *failure, requestID string) []byte {
	tracking := "Tracking ID:" + strings.ReplaceAll(requestID, "-", "") + "-G:0-TimeStamp:" + h.now().Format("01/02/2006 15:04:05")
	wrap := func(text string) []byte {
		body, err := encode(envelope{"ErrorCode:" + f.name + ";" + text, tracking})
		if err != nil {
			return []byte(`{}`) // cannot be: two strings
		}
		return body
	}
	body := wrap(f.text)
	if f.word != "" {
		body = wrap("Error: " + f.word + " " + string(body))
	}
	return body
}
