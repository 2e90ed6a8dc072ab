package api_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/notify"
	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

// spec holds traffic against openapi.yaml. It is stricter than the file: members that the file does not describe are
// refused, although clients are told to expect new ones.
type spec struct {
	doc    *openapi3.T
	router routers.Router
}

func loadSpec(t *testing.T) *spec {
	t.Helper()
	text, err := os.ReadFile("openapi.yaml")
	require.NoError(t, err)
	doc, err := openapi3.NewLoader().LoadFromData(text)
	require.NoError(t, err)
	require.NoError(t, doc.Validate(t.Context()), "openapi.yaml with its examples")
	for _, ref := range doc.Components.Schemas {
		refuseOthers(ref.Value)
	}
	router, err := legacy.NewRouter(doc)
	require.NoError(t, err)
	return &spec{doc: doc, router: router}
}

// refuseOthers forbids members that a schema does not describe.
func refuseOthers(s *openapi3.Schema) {
	if len(s.Properties) > 0 && s.AdditionalProperties.Has == nil && s.AdditionalProperties.Schema == nil {
		no := false
		s.AdditionalProperties.Has = &no
	}
	for _, p := range s.Properties {
		if p.Ref == "" {
			refuseOthers(p.Value)
		}
	}
	if s.Items != nil && s.Items.Ref == "" {
		refuseOthers(s.Items.Value)
	}
}

// check validates an answer and, if it was a success, the request that led to it.
func (s *spec) check(req *http.Request, body string, r reply) error {
	copied := req.Clone(context.Background())
	copied.URL.Host, copied.URL.Scheme, copied.Host = "", "", ""
	copied.Body = http.NoBody
	if body != "" {
		copied.Body = readCloser{strings.NewReader(body)}
	}
	if copied.Method == http.MethodHead {
		copied.Method = http.MethodGet
	}
	route, path, err := s.router.FindRoute(copied)
	if err != nil {
		if r.status == http.StatusNotFound || r.status == http.StatusMethodNotAllowed {
			return nil
		}
		return fmt.Errorf("%s %s answers %d and is not in openapi.yaml: %w", req.Method, req.URL.Path, r.status, err)
	}
	for name, escaped := range path { // the router leaves them as they are
		if path[name], err = url.PathUnescape(escaped); err != nil {
			return err
		}
	}
	in := &openapi3filter.RequestValidationInput{
		Request: copied, PathParams: path, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true},
	}
	if r.status < 400 {
		if err := openapi3filter.ValidateRequest(context.Background(), in); err != nil {
			return fmt.Errorf("the request was taken and does not fit openapi.yaml: %w", err)
		}
	}
	if req.Method == http.MethodHead || r.status == http.StatusNotModified {
		return nil
	}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: r.status, Header: r.header, Options: in.Options,
	}
	out.SetBodyBytes(r.body)
	if err := openapi3filter.ValidateResponse(context.Background(), out); err != nil {
		return fmt.Errorf("%s %s: the answer does not fit openapi.yaml: %w\n%s", req.Method, req.URL.Path, err, r.body)
	}
	return nil
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

// The words and limits of the description are those of the code.
func TestDescriptionAgreesWithTheCode(t *testing.T) {
	t.Parallel()
	schemas := loadSpec(t).doc.Components.Schemas

	require.Equal(t, words(job.Statuses()), schemas["Status"].Value.Enum)
	require.Equal(t, words(job.Types()), schemas["JobType"].Value.Enum)
	require.Equal(t, names(job.ExecutionStates()), schemas["ExecutionStatus"].Value.Enum)
	require.Equal(t, names(slices.DeleteFunc(job.Reasons(), job.Reason.Awaiting)), schemas["ErrorCode"].Value.Enum)
	require.Equal(t, words(job.EventKinds()), schemas["EventKind"].Value.Enum)
	require.Equal(t, words(notify.Classes()), schemas["Delivery"].Value.Properties["lastError"].Value.Enum)
	for _, listed := range []string{"Status", "ExecutionStatus", "ErrorCode", "EventKind"} {
		for _, word := range schemas[listed].Value.Enum {
			require.Contains(t, schemas[listed].Value.Description, fmt.Sprintf("- `%s`: ", word))
		}
	}

	definition, method := schemas["JobDefinition"].Value.Properties, schemas["Method"].Value.Properties
	require.EqualValues(t, job.MaxDeviceIDs, *definition["deviceIds"].Value.MaxItems)
	require.EqualValues(t, job.MaxConditionChars, *definition["queryCondition"].Value.MaxLength)
	require.InDelta(t, job.MaxExecutionSecs, *definition["maxExecutionTimeInSeconds"].Value.Max, 0)
	require.EqualValues(t, job.MaxMethodNameLen, *method["methodName"].Value.MaxLength)
	require.InDelta(t, job.MinResponseSecs, *method["responseTimeoutInSeconds"].Value.Min, 0)
	require.InDelta(t, job.MaxResponseSecs, *method["responseTimeoutInSeconds"].Value.Max, 0)
	require.EqualValues(t, job.DefaultResponse, method["responseTimeoutInSeconds"].Value.Default)
	require.InDelta(t, job.MaxConnectSecs, *method["connectTimeoutInSeconds"].Value.Max, 0)
	criterion := schemas["AbortCriterion"].Value.Properties
	require.Equal(t, words(job.AbortTypes()), criterion["failureType"].Value.Enum)
	require.Equal(t, words(job.AbortActions()), criterion["action"].Value.Enum)
	require.Equal(t, words(job.AbortScopes()), criterion["over"].Value.Enum)
	require.InDelta(t, job.MaxMinExecuted, *criterion["minNumberOfExecutedDevices"].Value.Max, 0)
	require.EqualValues(t, job.DefaultMinExecuted, criterion["minNumberOfExecutedDevices"].Value.Default)
	require.EqualValues(t, job.MaxCriteria, *schemas["Abort"].Value.Properties["criteria"].Value.MaxItems)
	again := schemas["RetryCriterion"].Value.Properties
	require.Equal(t, words(job.RetryTypes()), again["failureType"].Value.Enum)
	require.InDelta(t, job.MaxRetries, *again["numberOfRetries"].Value.Max, 0)
	require.InDelta(t, job.MaxRetryFactor, *again["factor"].Value.Max, 0)
	require.InDelta(t, job.DefaultRetryFactor, again["factor"].Value.Default, 0)
	require.InDelta(t, job.DefaultRetryJitter, again["jitter"].Value.Default, 0)
	require.EqualValues(t, schedule.Duration(job.DefaultRetryDelay).String(), again["delay"].Value.Default)
	require.EqualValues(t, schedule.Duration(job.DefaultRetryMaxDelay).String(), again["maxDelay"].Value.Default)
	require.Contains(t, again["until"].Value.Description, "PT1S to "+schedule.Duration(job.MaxRetryUntil).String())
	require.Contains(t, again["delay"].Value.Description, "PT1S to "+schedule.Duration(job.MaxRetryDelay).String())
	require.Equal(t, words(job.Guarantees()), schemas["DeliveryGuarantee"].Value.Enum)
	rule := schemas["AnswerRule"].Value.Properties
	require.EqualValues(t, job.MaxStatusRanges, *rule["statusCodes"].Value.MaxItems)
	require.EqualValues(t, job.MaxAnswerPath, *rule["answer"].Value.Properties["path"].Value.MaxLength)
	require.Contains(t, rule["answer"].Value.Properties["value"].Value.Description, fmt.Sprint(job.MaxAnswerValue))
	bounds := schemas["Timeout"].Value.Properties
	require.Contains(t, bounds["notStarted"].Value.Description, "PT1S to "+schedule.Duration(job.MaxNotStarted).String())
	require.Contains(t, bounds["inProgress"].Value.Description, "PT1S to "+schedule.Duration(job.MaxInProgress).String())
	callback := definition["notifications"].Value.Properties["callbackUrl"].Value
	require.EqualValues(t, job.MaxCallbackURL, *callback.MaxLength)
	require.EqualValues(t, job.MaxDeviceIDLen, *schemas["DeviceId"].Value.MaxLength)
	require.Contains(t, schemas["JobId"].Value.Pattern, fmt.Sprintf("{1,%d}", job.MaxJobIDLen))
}

func words[T ~string](all []T) []any {
	out := make([]any, len(all))
	for i, w := range all {
		out[i] = string(w)
	}
	return out
}

func names[T fmt.Stringer](all []T) []any {
	out := make([]any, len(all))
	for i, w := range all {
		out[i] = w.String()
	}
	return out
}

// Every member that can be described is.
func TestDescriptionHasNoUndocumentedPath(t *testing.T) {
	t.Parallel()
	doc := loadSpec(t).doc
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			require.NotEmpty(t, op.Summary, "%s %s", method, path)
			require.NotEmpty(t, op.OperationID, "%s %s", method, path)
		}
	}
}

func TestDescriptionIsServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text, err := os.ReadFile("openapi.yaml")
	require.NoError(t, err)

	r := w.call(http.MethodGet, "/api/openapi.yaml", "")
	require.Equal(t, http.StatusOK, r.status)
	require.Equal(t, "application/yaml", r.header.Get("Content-Type"))
	require.Equal(t, string(text), string(r.body))

	again := w.call(http.MethodGet, "/api/openapi.yaml", "", "If-None-Match", r.header.Get("ETag"))
	require.Equal(t, http.StatusNotModified, again.status)
	require.Empty(t, again.body)
}
