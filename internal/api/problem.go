package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/fleetjobs/fleetjobs/internal/dispatch"
	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

// problemPage explains every kind of problem, under the kind's slug.
const problemPage = "https://github.com/fleetjobs/fleetjobs/blob/main/docs/problems.md#"

// problemKind is a kind of problem: what RFC 9457 calls its type, title and status.
type problemKind struct {
	slug   string
	title  string
	status int
}

// The kinds of problems. docs/problems.md has a section for each.
var (
	invalidRequest      = problemKind{"invalid-request", "The request is not valid", http.StatusBadRequest}
	notSignedIn         = problemKind{"not-signed-in", "The request carries no signed-in caller", http.StatusUnauthorized}
	roleMissing         = problemKind{"role-missing", "The caller lacks a role", http.StatusForbidden}
	unknownPath         = problemKind{"unknown-path", "There is nothing at this path", http.StatusNotFound}
	unknownJob          = problemKind{"unknown-job", "There is no such job", http.StatusNotFound}
	unknownTemplate     = problemKind{"unknown-template", "There is no such template", http.StatusNotFound}
	unknownRun          = problemKind{"unknown-run", "The job has no such run", http.StatusNotFound}
	unknownExecution    = problemKind{"unknown-execution", "The job has no such device", http.StatusNotFound}
	methodNotAllowed    = problemKind{"method-not-allowed", "The method is not allowed here", http.StatusMethodNotAllowed}
	idTaken             = problemKind{"id-taken", "The job id is taken", http.StatusConflict}
	jobEnded            = problemKind{"job-ended", "The job has ended", http.StatusConflict}
	executionNotWaiting = problemKind{"execution-not-waiting", "The device does not wait to be called", http.StatusConflict}
	jobNotEnded         = problemKind{"job-not-ended", "The job has not ended yet", http.StatusConflict}
	notRecurring        = problemKind{"not-recurring", "The job has no schedule", http.StatusConflict}
	tooManyRuns         = problemKind{"too-many-runs", "Too many runs wait", http.StatusConflict}
	changedMeanwhile    = problemKind{"changed-meanwhile", "The job was changed at the same moment", http.StatusConflict}
	batchNotWaiting     = problemKind{"batch-not-waiting", "The batch does not wait for this", http.StatusConflict}
	ownApproval         = problemKind{"own-approval", "The job is the caller's own", http.StatusForbidden}
	editedMeanwhile     = problemKind{"edited-meanwhile", "It was edited meanwhile", http.StatusPreconditionFailed}
	versionMissing      = problemKind{"version-missing", "The request does not say which version it edits", http.StatusPreconditionRequired}
	bodyTooLarge        = problemKind{"body-too-large", "The body is too large", http.StatusRequestEntityTooLarge}
	unsupportedMedia    = problemKind{"unsupported-media-type", "The body is not JSON", http.StatusUnsupportedMediaType}
	keyReused           = problemKind{"idempotency-key-reused", "The Idempotency-Key was used for another job", http.StatusUnprocessableEntity}
	internalError       = problemKind{"internal-error", "Something is wrong in the service", http.StatusInternalServerError}
	hubUnavailable      = problemKind{"hub-unavailable", "The IoT hub cannot be asked now", http.StatusServiceUnavailable}
	storageUnavailable  = problemKind{"storage-unavailable", "The storage cannot be reached now", http.StatusServiceUnavailable}
)

// problem is an answer of RFC 9457, and the error that leads to it.
type problem struct {
	Type      string     `json:"type"`
	Title     string     `json:"title"`
	Status    int        `json:"status"`
	Detail    string     `json:"detail"`
	Errors    job.Faults `json:"errors,omitempty"`
	RequestID string     `json:"requestId,omitempty"` // of answers that the log says more about

	header http.Header
	cause  error // for the log, nil when there is nothing to log
}

func (p *problem) Error() string { return p.Title + ": " + p.Detail }

func problemOf(k problemKind, detail string) *problem {
	return &problem{Type: problemPage + k.slug, Title: k.title, Status: k.status, Detail: detail, header: http.Header{}}
}

func unavailable(k problemKind, detail string, cause error, wait time.Duration) *problem {
	p := problemOf(k, detail)
	p.cause = cause
	retryAfter(p.header, wait)
	return p
}

const (
	storageWait = 10 * time.Second
	hubWait     = 30 * time.Second
)

// toProblem decides what a caller is told about err. It is the one place that does.
func toProblem(err error) *problem {
	var p *problem
	var he *iothub.Error
	var tooLarge *http.MaxBytesError
	switch faults := job.FaultsOf(err); {
	case errors.As(err, &p):
		return p
	case faults != nil:
		return invalid(faults)
	case errors.Is(err, job.ErrNotFound):
		return problemOf(unknownJob, "no job has this id")
	case errors.Is(err, dispatch.ErrIDTaken):
		return problemOf(idTaken, "a job with this id and another definition exists; PUT never changes a job")
	case errors.Is(err, dispatch.ErrKeyReused):
		return problemOf(keyReused, "an earlier request with this Idempotency-Key had another body; use a new key for a new job")
	case errors.Is(err, dispatch.ErrNotWaiting):
		return problemOf(executionNotWaiting, "the device has ended, or may be called at this moment; read the execution to see which")
	case errors.Is(err, dispatch.ErrEnded):
		return problemOf(jobEnded, "the job has ended, or is about to, and cannot be changed any more")
	case errors.Is(err, dispatch.ErrNotEnded):
		return problemOf(jobNotEnded, "only a job that has ended can be deleted or done again; wait for its end, or cancel it first")
	case errors.Is(err, dispatch.ErrNotRecurring):
		return problemOf(notRecurring, "only a job with a schedule has more than one run")
	case errors.Is(err, schedule.ErrTooMany):
		return problemOf(tooManyRuns, err.Error()+"; take a shorter range, or try again when some have ended")
	case errors.Is(err, dispatch.ErrTemplateExists):
		return problemOf(editedMeanwhile, "a template with this id exists already")
	case errors.Is(err, dispatch.ErrEdited):
		return problemOf(editedMeanwhile, "somebody else edited it since the version in If-Match; read it again")
	case errors.Is(err, job.ErrNotWaiting):
		return problemOf(batchNotWaiting, strings.TrimPrefix(err.Error(), job.ErrNotWaiting.Error()+": "))
	case errors.Is(err, dispatch.ErrOwnApproval):
		return problemOf(ownApproval, err.Error())
	case errors.Is(err, job.ErrConflict):
		p = problemOf(changedMeanwhile, "somebody else changed the job at the same moment; try again")
		retryAfter(p.header, time.Second)
		return p
	case errors.As(err, &tooLarge):
		return problemOf(bodyTooLarge, fmt.Sprintf("a body has at most %d bytes", tooLarge.Limit))
	case errors.As(err, &he):
		return hubProblem(he)
	case outOfReach(err):
		return unavailable(storageUnavailable, "Table or Queue Storage did not answer or refused the app; try again", err, storageWait)
	}
	p = problemOf(internalError, "the log has the details under the requestId")
	p.cause = err
	return p
}

func invalid(faults job.Faults) *problem {
	p := problemOf(invalidRequest, faults[0].String())
	if n := len(faults); n > 1 {
		p.Detail = fmt.Sprintf("%d faults; the first: %s", n, faults[0])
	}
	p.Errors = faults
	return p
}

// hubProblem tells a refusal of the query from a hub that cannot be asked. Texts of the hub hold no secrets.
func hubProblem(e *iothub.Error) *problem {
	switch e.Kind {
	case iothub.Rejected:
		return invalid(job.Faults{{Field: "queryCondition", Rule: "the hub refused it: " + e.Error()}})
	case iothub.Throttled:
		return unavailable(hubUnavailable, "the hub throttles queries", e, max(e.Wait, time.Second))
	}
	return unavailable(hubUnavailable, e.Error(), e, hubWait)
}

// outOfReach reports whether err says that storage could not be asked, or refused because of its load or our rights.
func outOfReach(err error) bool {
	if re, ok := errors.AsType[*azcore.ResponseError](err); ok {
		switch re.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestTimeout, http.StatusTooManyRequests:
			return true
		}
		return re.StatusCode >= http.StatusInternalServerError
	}
	var ne net.Error
	return errors.As(err, &ne) || errors.Is(err, context.DeadlineExceeded)
}

// problemAnswer turns err into an answer, and logs it once if the service and not the caller is to look at it.
func (h *handler) problemAnswer(r *http.Request, err error) *answer {
	p := *toProblem(err)
	if p.cause != nil {
		p.RequestID = h.requestID(r.Context())
		if p.RequestID == "" {
			p.RequestID = rand.Text()
		}
		h.logProblem(r, &p)
	}
	body, err := encode(&p)
	if err != nil { // a problem holds strings and numbers only
		body = []byte(`{"type":"about:blank","title":"Internal Server Error","status":500,"detail":""}`)
	}
	return &answer{status: p.Status, kind: problemType, body: body, header: p.header}
}

// logProblem writes the path only: the query may hold a key.
func (h *handler) logProblem(r *http.Request, p *problem) {
	attrs := []slog.Attr{
		slog.String("method", r.Method), slog.String("path", r.URL.EscapedPath()), slog.Int("status", p.Status),
		slog.String("requestId", p.RequestID), slog.String("error", withoutQuery(p.cause)),
	}
	if crash, ok := errors.AsType[*panicked](p.cause); ok {
		attrs = append(attrs, slog.String("stack", string(crash.stack)))
	}
	h.logger.LogAttrs(r.Context(), slog.LevelError, "the request could not be served", attrs...)
}

// withoutQuery gives the text of err without the query of an address in it, which may be a shared access signature.
func withoutQuery(err error) string {
	text := err.Error()
	if ue, ok := errors.AsType[*url.Error](err); ok {
		if address, _, found := strings.Cut(ue.URL, "?"); found {
			text = strings.ReplaceAll(text, ue.URL, address+"?…")
		}
	}
	return text
}
