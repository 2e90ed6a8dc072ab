package test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/devstack"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
)

// health is the part of /api/health/details that the scenario looks at.
type health struct {
	Status   string   `json:"status"`
	Problems []string `json:"problems"`
	Version  string   `json:"version"`
	Tables   struct{ State string }
	Queue    struct {
		State               string
		ApproximateMessages *int
	}
	Hub   struct{ State string }
	Timer struct {
		LastTickTime time.Time
		Overdue      bool
	}
}

func (s *stack) health(status int) health {
	s.t.Helper()
	a := s.call(http.MethodGet, "/api/health/details", "")
	require.Equal(s.t, status, a.status, "%s", a.body)
	var h health
	require.NoError(s.t, json.Unmarshal(a.body, &h), "%s", a.body)
	return h
}

// open gives the status of a GET with a key of the caller's choice, "" for none.
func (s *stack) open(path, key string) int {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, http.NoBody)
	require.NoError(s.t, err)
	if key != "" {
		r.Header.Set("X-Functions-Key", key)
	}
	resp, err := http.DefaultClient.Do(r)
	require.NoError(s.t, err)
	require.NoError(s.t, resp.Body.Close())
	http.DefaultClient.CloseIdleConnections()
	return resp.StatusCode
}

// TestHealthBehindTheHost: strangers learn that the app answers, whoever has a key how it is. A role on the hub that is missing
// is a problem of the deployment and not of its liveness.
func TestHealthBehindTheHost(t *testing.T) {
	s := start(t, devstack.Options{Faults: fault.Plan{Revoked: true}})
	for _, key := range []string{"", "wrong", s.Key} {
		require.Equal(t, http.StatusOK, s.open("/api/health", key))
	}
	require.JSONEq(t, `{"status":"ok"}`, string(s.call(http.MethodGet, "/api/health", "").body))
	require.Equal(t, http.StatusUnauthorized, s.open("/api/health/details", ""))
	require.Equal(t, http.StatusUnauthorized, s.open("/api/health/details", "wrong"))
	require.Equal(t, http.StatusUnauthorized, s.open("/api/jobs", ""), "and nothing else is open")

	h := s.health(http.StatusServiceUnavailable)
	require.Equal(t, []string{"hubUnavailable"}, h.Problems)
	require.Equal(t, "refused", h.Hub.State)

	require.NoError(t, s.Hub.SetFaults(fault.Plan{}))
	require.NoError(t, s.Host.KillHandler(0)) // the next one does not remember what the hub answered
	require.Eventually(t, func() bool { return s.open("/api/health", "") == http.StatusOK }, time.Minute, 50*time.Millisecond)
	h = s.health(http.StatusOK)
	require.Equal(t, []string{"ok", "ok", "ok", "ok"}, []string{h.Status, h.Tables.State, h.Queue.State, h.Hub.State})
	require.NotEmpty(t, h.Version)
	require.Equal(t, 0, *h.Queue.ApproximateMessages)
	require.Eventually(t, func() bool { return !s.health(http.StatusOK).Timer.LastTickTime.IsZero() }, time.Minute, 200*time.Millisecond)
	require.False(t, s.health(http.StatusOK).Timer.Overdue)
}
