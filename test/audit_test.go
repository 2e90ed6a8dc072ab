package test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/devstack"
)

// entry is the part of an entry of the audit trail that the scenarios look at.
type entry struct {
	Action string         `json:"action"`
	RunID  string         `json:"runId"`
	By     map[string]any `json:"by"`
}

// trail reads the audit trail at a path.
func (s *stack) trail(path string) []entry {
	s.t.Helper()
	a := s.call(http.MethodGet, path, "")
	require.Equal(s.t, http.StatusOK, a.status, "%s", a.body)
	require.NotContains(s.t, string(a.body), s.Key)
	var page struct{ Changes []entry }
	require.NoError(s.t, json.Unmarshal(a.body, &page))
	return page.Changes
}

// TestWhoDidWhat creates, cancels and deletes a job with the host's key, and reads afterwards who did.
func TestWhoDidWhat(t *testing.T) {
	s := start(t, devstack.Options{Devices: 2})
	const later = `{"type":"scheduleDeviceMethod","queryCondition":"*","startTime":"2036-01-01T00:00:00Z","cloudToDeviceMethod":{"methodName":"reboot"}}`
	a := s.call(http.MethodPut, "/api/jobs/j", later)
	require.Equal(t, http.StatusAccepted, a.status, "%s", a.body)
	require.NotContains(t, string(a.body), s.Key)
	var created struct{ CreatedBy map[string]any }
	require.NoError(t, json.Unmarshal(a.body, &created))
	require.Equal(t, "key", created.CreatedBy["kind"])
	require.Regexp(t, "^[0-9a-f]{8}$", created.CreatedBy["id"])

	s.put("j", later) // changes nothing
	require.Equal(t, http.StatusOK, s.call(http.MethodPost, "/api/jobs/j/cancel", "").status)
	require.Equal(t, http.StatusNoContent, s.call(http.MethodDelete, "/api/jobs/j", "").status)
	changes := s.trail("/api/jobs/j/audit")
	require.Equal(t, changes, s.trail("/api/audit"))
	var actions []string
	for _, c := range changes {
		actions = append(actions, c.Action)
		require.Equal(t, created.CreatedBy, c.By)
		require.Equal(t, changes[0].RunID, c.RunID)
	}
	require.Equal(t, []string{"deleted", "cancelled", "created"}, actions)
}

// TestACancelledRunShowsWhoDidIt cancels a job while its devices are silent.
func TestACancelledRunShowsWhoDidIt(t *testing.T) {
	s := start(t, devstack.Options{Devices: 2, SilentShare: 1})
	s.put("j", `{"type":"scheduleDeviceMethod","queryCondition":"*","cloudToDeviceMethod":{"methodName":"reboot","responseTimeoutInSeconds":10}}`)
	s.until("j", func(v view) bool { return v.Status == "running" })
	require.Equal(t, http.StatusAccepted, s.call(http.MethodPost, "/api/jobs/j/cancel", "").status)
	s.until("j", ended)
	changes := s.trail("/api/jobs/j/audit")
	require.Len(t, changes, 2)
	require.Equal(t, "cancelled", changes[0].Action)
	require.Equal(t, "key", changes[0].By["kind"])
}

// TestBehindEasyAuth plays the platform's part: it adds the headers that App Service authentication adds.
func TestBehindEasyAuth(t *testing.T) {
	s := start(t, devstack.Options{
		Devices:           1,
		SettingsOverrides: map[string]string{"FLEETJOBS_EASY_AUTH": "true", "FLEETJOBS_REQUIRE_ROLES": "true"},
	})
	get := func(roles ...string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/api/jobs", nil)
		require.NoError(t, err)
		r.Header.Set("X-Functions-Key", s.Key)
		if len(roles) > 0 {
			text := `{"auth_typ":"aad","claims":[{"typ":"oid","val":"oid-1"},{"typ":"roles","val":"` + strings.Join(roles, `"},{"typ":"roles","val":"`) + `"}]}`
			r.Header.Set("X-MS-CLIENT-PRINCIPAL", base64.StdEncoding.EncodeToString([]byte(text)))
		}
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		http.DefaultClient.CloseIdleConnections()
		return resp.StatusCode
	}
	require.Equal(t, http.StatusUnauthorized, get())
	require.Equal(t, http.StatusForbidden, get("Jobs.Other"))
	require.Equal(t, http.StatusOK, get("Jobs.Other", "Jobs.Read"))
}
