package hubsim_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/hubsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/sas"
)

// FuzzJobBody looks for bodies of new jobs that break the hub, or that it takes and cannot show again.
func FuzzJobBody(f *testing.F) {
	f.Add(methodJob("*"))
	f.Add(`{"type":"scheduleUpdateTwin","updateTwin":{"etag":"*","tags":{"a":null}},"queryCondition":"tags.a = 1","startTime":"2026-01-01T00:00:00"}`)
	f.Add(`{"type":"scheduleUpdateTwin","updateTwin":{"etag":"*"},"queryCondition":"*","startTime":"9999-12-31T23:59:59+14:00","maxExecutionTimeInSeconds":3153600000}`)
	server, err := hubsim.Start(f.Context(), hubsim.Options{Jobs: true, JobSettle: time.Hour})
	require.NoError(f, err)
	f.Cleanup(server.Close)
	token := sas.New("localhost", "service", keyOf(f, server.ConnectionString()), time.Now().Add(time.Hour))
	request := func(method, path, body string) int {
		r := httptest.NewRequest(method, path+"?api-version=2021-04-12", strings.NewReader(body))
		r.Header.Set("Authorization", token)
		r.Header.Set("Content-Length", "0") // httptest sets the field only
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		return w.Code
	}
	f.Fuzz(func(t *testing.T, body string) {
		id := strings.ReplaceAll(time.Now().Format("150405.000000000"), ".", "-")
		status := request(http.MethodPut, "/jobs/v2/"+id, body)
		require.Less(t, status, 500)
		require.Equal(t, 200, request(http.MethodGet, "/jobs/v2/"+id, ""))
		if status == 200 {
			require.Equal(t, 200, request(http.MethodPost, "/jobs/v2/"+id+"/cancel", ""))
		}
	})
}
