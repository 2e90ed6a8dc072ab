package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// notified is a job that calls address back.
func notified(address string) string {
	return fmt.Sprintf(`{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"reboot"},"queryCondition":"*",
		"notifications":{"callbackUrl":%q}}`, address)
}

func TestACallbackIsShownWithoutItsQueryAndWithWhatBecameOfIt(t *testing.T) {
	t.Parallel()
	bodies := make(chan []byte, 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil && r.URL.RawQuery == "sig=s3cr3t" {
			bodies <- body
		}
		w.WriteHeader(http.StatusGone)
	}))
	t.Cleanup(receiver.Close)
	w := newWorld(t, "ok-1", "error-2")
	body := notified(receiver.URL + "/hook?sig=s3cr3t")
	r := w.call(http.MethodPut, "/api/jobs/j", body)
	require.Equal(t, http.StatusAccepted, r.status, "%s", r.body)
	require.NotContains(t, string(r.body), "s3cr3t")
	require.Equal(t, http.StatusAccepted, w.call(http.MethodPut, "/api/jobs/j", body).status, "the same job again")
	other := w.call(http.MethodPut, "/api/jobs/j", notified(receiver.URL+"/hook?sig=other"))
	require.Equal(t, http.StatusConflict, other.status, "another query is another job")
	w.finish()

	var event struct {
		Source, Subject string
		Data            map[string]any
	}
	require.NoError(t, json.Unmarshal(<-bodies, &event))
	require.Equal(t, publicURL+"/api/jobs/j", event.Source+"/"+event.Subject)
	r = w.call(http.MethodGet, "/api/jobs/j", "")
	require.Equal(t, http.StatusOK, r.status)
	var shown map[string]any
	require.NoError(t, json.Unmarshal(r.body, &shown))
	require.Equal(t, map[string]any{"callbackUrl": receiver.URL + "/hook?redacted"}, shown["notifications"])
	deliveries, ok := shown["deliveries"].([]any)
	require.True(t, ok)
	require.Len(t, deliveries, 1)
	delivery, ok := deliveries[0].(map[string]any)
	require.True(t, ok)
	require.NotEmpty(t, delivery["lastAttemptTime"])
	delete(delivery, "lastAttemptTime")
	require.Equal(t, map[string]any{
		"event": "completed", "channel": "callback", "state": "failed", "attempts": 1.0,
		"lastError": "statusRefused", "lastErrorStatus": 410.0,
	}, delivery)

	delete(shown, "deliveries")
	require.Equal(t, shown, event.Data, "the event holds the job as GET gives it")
	list := w.call(http.MethodGet, "/api/jobs", "")
	require.Contains(t, string(list.body), "/hook?redacted")
	require.NotContains(t, string(list.body)+w.log.String(), "s3cr3t")
}

func TestACallbackThatMustNotBeCalledIsAFault(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "ok-1")
	for _, address := range []string{
		"http://example.com/?sig=s3cr3t", "https://10.0.0.1/?sig=s3cr3t", "https://169.254.169.254/?sig=s3cr3t", "/?sig=s3cr3t",
	} {
		for method, path := range map[string]string{http.MethodPut: "/api/jobs/j", http.MethodPost: "/api/jobs?validateOnly=true"} {
			r := w.call(method, path, notified(address))
			require.Equal(t, http.StatusBadRequest, r.status, "%s", r.body)
			require.Contains(t, string(r.body), `"field":"notifications.callbackUrl"`)
			require.NotContains(t, string(r.body), "s3cr3t")
		}
	}
	require.Equal(t, http.StatusNotFound, w.call(http.MethodGet, "/api/jobs/j", "").status)
}
