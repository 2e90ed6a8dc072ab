package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/api"
	"github.com/fleetjobs/fleetjobs/internal/dispatch"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// broken is a dispatcher whose every answer is err, or a panic.
type broken struct {
	err   error
	panic any
}

func (b broken) Create(context.Context, job.Definition, string, job.Caller) (*job.Record, error) {
	return nil, b.err
}

func (b broken) Rerun(context.Context, *job.Record, *job.Run, job.Rerun, job.Caller) (*job.Record, error) {
	return nil, b.err
}

func (b broken) CancelExecution(context.Context, string, string, job.Caller) (job.Execution, error) {
	return job.Execution{}, b.err
}

func (b broken) Preview(context.Context, job.Definition) (dispatch.Preview, error) {
	return dispatch.Preview{}, b.err
}

func (b broken) Cancel(context.Context, string, job.Caller) (*job.Record, *job.Run, error) {
	return nil, nil, b.err
}

func (b broken) Pause(context.Context, string, string, job.Caller) (*job.Record, *job.Run, error) {
	return nil, nil, b.err
}

func (b broken) Resume(context.Context, string, string, job.Caller) (*job.Record, *job.Run, error) {
	return nil, nil, b.err
}

func (b broken) RunNow(context.Context, string, string, job.Caller) (*job.Record, *job.Run, error) {
	return nil, nil, b.err
}

func (b broken) Backfill(context.Context, string, job.Range, job.Caller) (*job.Record, *job.Run, error) {
	return nil, nil, b.err
}

func (b broken) CancelRun(context.Context, string, job.Caller) (*job.Record, *job.Run, error) {
	return nil, nil, b.err
}

func (b broken) GetRun(context.Context, string) (*job.Record, *job.Run, error) {
	return nil, nil, b.err
}

func (b broken) Approve(context.Context, string, int, string, job.Caller) (*job.Record, *job.Run, error) {
	return nil, nil, b.err
}

func (b broken) NextBatch(context.Context, string, string, job.Caller) (*job.Record, *job.Run, error) {
	return nil, nil, b.err
}

func (b broken) Edit(context.Context, string, dispatch.Edit, job.Caller) (*job.Record, *job.Run, error) {
	return nil, nil, b.err
}

func (b broken) Copy(context.Context, *job.Record, *job.Run, job.Copy, job.Caller) (*job.Record, error) {
	return nil, b.err
}

func (b broken) PutTemplate(context.Context, job.Template, int, job.Caller) (*job.Template, error) {
	return nil, b.err
}

func (b broken) DeleteTemplate(context.Context, string, int, job.Caller) error { return b.err }

func (b broken) Delete(context.Context, string, job.Caller) error { return b.err }

func (b broken) Get(context.Context, string) (*job.Record, *job.Run, error) {
	if b.panic != nil {
		panic(b.panic)
	}
	return nil, nil, b.err
}

// What is wrong inside is logged, under the id that the caller gets, and not told to the caller.
func TestInternalErrorsAreHidden(t *testing.T) {
	t.Parallel()
	cases := map[string]broken{
		"an error":            {err: errors.New("row key secret-row is damaged")},
		"a panic":             {panic: "secret-row"},
		"a panic of an error": {panic: fmt.Errorf("secret-row")},
	}
	for name, jobs := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.serve(api.Options{Jobs: jobs, Store: w.store, Version: "1.2.3"})
			r := w.call(http.MethodGet, "/api/jobs/a?code=secret-key", "")
			p := w.problem(r, http.StatusInternalServerError, "internal-error")
			require.NotContains(t, string(r.body), "secret")
			require.Contains(t, w.log.String(), "secret-row")
			require.Contains(t, w.log.String(), "requestId="+p["requestId"].(string))
			require.NotContains(t, w.log.String(), "secret-key")
			require.Equal(t, "1.2.3", r.header.Get("X-Fleetjobs-Version"))
		})
	}
}

func TestRequestIDIsTheHosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.serve(api.Options{Jobs: broken{err: errors.New("x")}, Store: w.store, RequestID: func(context.Context) string { return "invocation-7" }})
	p := w.problem(w.call(http.MethodGet, "/api/jobs/a", ""), http.StatusInternalServerError, "internal-error")
	require.Equal(t, "invocation-7", p["requestId"])
}

// When a request ends before its answer, the connection is cut: an empty 200 would pass for a success.
func TestRequestThatEndsEarlyGetsNoAnswer(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h := api.New(api.Options{Jobs: broken{err: context.Canceled}})
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/jobs/a", nil)
	require.PanicsWithValue(t, http.ErrAbortHandler, func() { h.ServeHTTP(httptest.NewRecorder(), r) })
}

func TestRacesAreConflicts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.serve(api.Options{Jobs: broken{err: fmt.Errorf("writing: %w", job.ErrConflict)}, Store: w.store})
	r := w.call(http.MethodDelete, "/api/jobs/a", "")
	w.problem(r, http.StatusConflict, "changed-meanwhile")
	require.Equal(t, "1", r.header.Get("Retry-After"))

	// A job that was found under a key, and deleted before it could be read.
	w.serve(api.Options{Jobs: broken{}, Store: w.store})
	w.problem(w.call(http.MethodPut, "/api/jobs/a", later), http.StatusConflict, "changed-meanwhile")

	// A table that is missing is no missing job.
	w.serve(api.Options{Jobs: broken{err: job.ErrNotFound}, Store: w.store})
	w.problem(w.call(http.MethodPut, "/api/jobs/a", later), http.StatusInternalServerError, "internal-error")
}

func TestStorageOutOfReach(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tables, err := aztables.NewServiceClientWithNoCredential("http://127.0.0.1:1/?sig=secret-signature", &aztables.ClientOptions{
		ClientOptions: azcore.ClientOptions{Retry: policy.RetryOptions{MaxRetries: -1}},
	})
	require.NoError(t, err)
	store := tablestore.New(tables, "hub.example.com", nil)
	w.serve(api.Options{Jobs: dispatch.New(store, w.queue, w.hub, dispatch.Options{}), Store: store})
	for _, path := range []string{"/api/jobs", "/api/jobs/a", "/api/jobs/a/result", "/api/jobs/a/executions"} {
		r := w.call(http.MethodGet, path, "")
		w.problem(r, http.StatusServiceUnavailable, "storage-unavailable")
		require.Equal(t, "10", r.header.Get("Retry-After"))
		require.NotContains(t, string(r.body), "127.0.0.1")
	}
	w.problem(w.call(http.MethodPost, "/api/jobs", later), http.StatusServiceUnavailable, "storage-unavailable")
	require.Contains(t, w.log.String(), "connection refused")
	require.NotContains(t, w.log.String(), "secret-signature")

	for status, want := range map[int]int{429: 503, 500: 503, 403: 503, 408: 503, 400: 500} {
		w.serve(api.Options{Jobs: broken{err: &azcore.ResponseError{StatusCode: status}}, Store: w.store})
		require.Equal(t, want, w.call(http.MethodGet, "/api/jobs/a", "").status, "storage answers %d", status)
	}
}

func TestStorageThatIsNotReadyIsAProblemAndTheDescriptionStaysReadable(t *testing.T) {
	t.Parallel()
	h := api.New(api.Options{Ready: func(context.Context) error {
		return &azcore.ResponseError{StatusCode: http.StatusForbidden, ErrorCode: "AuthorizationPermissionMismatch"}
	}})
	for path, want := range map[string]int{"/api/jobs/x": http.StatusServiceUnavailable, "/api/openapi.yaml": http.StatusOK} {
		recorder := httptest.NewRecorder()
		h.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		require.Equal(t, want, recorder.Code, recorder.Body.String())
	}
}
