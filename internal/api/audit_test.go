package api_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/api"
	"github.com/fleetjobs/fleetjobs/internal/iothub"
	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/principal"
)

// signedIn gives the headers that App Service authentication adds for a user with roles.
func signedIn(roles ...string) []string {
	claims := `{"typ":"http://schemas.microsoft.com/identity/claims/objectidentifier","val":"oid-1"}`
	for _, role := range roles {
		claims += fmt.Sprintf(`,{"typ":"roles","val":%q}`, role)
	}
	text := base64.StdEncoding.EncodeToString([]byte(`{"auth_typ":"aad","claims":[` + claims + `]}`))
	return []string{
		"X-MS-CLIENT-PRINCIPAL", text, "X-MS-CLIENT-PRINCIPAL-ID", "oid-1", "X-MS-CLIENT-PRINCIPAL-NAME", "eva@example.com",
		"X-MS-CLIENT-PRINCIPAL-IDP", "aad",
	}
}

// behindEasyAuth makes the world's API one that trusts the platform's headers.
func (w *world) behindEasyAuth(rolesRequired bool) {
	w.serve(api.Options{
		Jobs: w.jobs, Store: w.store,
		Callers: principal.New(principal.Options{EasyAuth: true, RolesRequired: rolesRequired}),
	})
}

// actions gives the entries of a page as "action by status>status".
func (w *world) actions(path string) []string {
	w.t.Helper()
	var lines []string
	for _, c := range w.get(path)["changes"].([]any) {
		entry := c.(map[string]any)
		text := func(name string) string { s, _ := entry[name].(string); return s }
		by := entry["by"].(map[string]any)
		lines = append(lines, fmt.Sprintf("%s %s %v %s>%s", text("action"), text("jobId"), by["id"], text("statusBefore"), text("statusAfter")))
	}
	return lines
}

func TestTheCallersKeyIsShownAsAHash(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	createdBy := func(r reply) any {
		require.NotContains(t, string(r.body), "the-key")
		return r.json(t)["createdBy"]
	}
	byHeader := createdBy(w.call(http.MethodPut, "/api/jobs/a", later, "x-functions-key", "the-key"))
	byQuery := createdBy(w.call(http.MethodPut, "/api/jobs/b?code=the-key", later))
	other := createdBy(w.call(http.MethodPut, "/api/jobs/c", later, "x-functions-key", "other"))
	require.Equal(t, byHeader, byQuery)
	require.NotEqual(t, byHeader, other)
	require.Equal(t, "key", byHeader.(map[string]any)["kind"])
	require.Len(t, byHeader.(map[string]any)["id"], 8)
	require.Equal(t, byHeader, w.get("/api/jobs/a")["createdBy"])
	for _, listed := range w.get("/api/jobs")["jobs"].([]any) {
		require.Equal(t, listed.(map[string]any)["jobId"] == "c", cmp.Equal(other, listed.(map[string]any)["createdBy"]))
	}
	require.NotContains(t, w.log.String(), "the-key")
}

// Without Easy Auth anybody can send its headers, so they say nothing.
func TestForgedPrincipalsAreIgnored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.call(http.MethodPut, "/api/jobs/a", later, signedIn("Jobs.Write")...)
	require.Equal(t, map[string]any{"kind": "anonymous"}, r.json(t)["createdBy"])
}

func TestTheSignedInIdentityIsRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.behindEasyAuth(false)
	eva := map[string]any{"kind": "identity", "id": "oid-1", "name": "eva@example.com", "provider": "aad"}
	headers := append(signedIn(), "User-Agent", "curl/8", "x-functions-key", "ignored")
	r := w.call(http.MethodPut, "/api/jobs/a", later, headers...)
	require.Equal(t, eva, r.json(t)["createdBy"])
	entry := w.call(http.MethodGet, "/api/audit", "", headers...).json(t)["changes"].([]any)[0].(map[string]any)
	require.Equal(t, eva, entry["by"])
	require.Equal(t, "curl/8", entry["userAgent"])
}

func TestARequestWithoutPrincipalIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.behindEasyAuth(false)
	r := w.call(http.MethodPut, "/api/jobs/a", later, "x-functions-key", "the-key")
	w.problem(r, http.StatusUnauthorized, "not-signed-in")
	require.Equal(t, "Bearer", r.header.Get("WWW-Authenticate"))
	w.problem(w.call(http.MethodGet, "/api/jobs/a", "", "X-MS-CLIENT-PRINCIPAL", "%%%"), http.StatusUnauthorized, "not-signed-in")
	require.Contains(t, w.log.String(), "the request was refused")
	require.NotContains(t, w.log.String(), "the-key")
	require.Equal(t, http.StatusOK, w.call(http.MethodGet, "/api/openapi.yaml", "").status)
}

func TestRoles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("a", later)
	w.behindEasyAuth(true)
	for _, c := range []struct {
		method, path string
		role         string
		missing      string // "" when the role is enough
	}{
		{http.MethodGet, "/api/jobs/a", "Jobs.Read", ""},
		{http.MethodGet, "/api/jobs/a", "Jobs.Write", ""},
		{http.MethodGet, "/api/jobs/a", "Jobs.Approve", ""},
		{http.MethodHead, "/api/jobs", "Jobs.Read", ""},
		{http.MethodGet, "/api/audit", "Jobs.Read", ""},
		{http.MethodGet, "/api/audit", "Tasks.Read", "Jobs.Read"},
		{http.MethodGet, "/api/jobs", "jobs.read", "Jobs.Read"},
		{http.MethodPut, "/api/jobs/a", "Jobs.Read", "Jobs.Write"},
		{http.MethodPost, "/api/jobs", "Jobs.Read", "Jobs.Write"},
		{http.MethodPost, "/api/jobs/a/cancel", "Jobs.Approve", "Jobs.Write"},
		{http.MethodDelete, "/api/jobs/a", "Jobs.Read", "Jobs.Write"},
		{http.MethodPost, "/api/jobs/a/approve", "Jobs.Write", "Jobs.Approve"},
		{http.MethodPost, "/api/jobs/a/pause", "Jobs.Approve", "Jobs.Write"},
		{http.MethodPut, "/api/jobs/a", "Jobs.Write", ""},
	} {
		body := ""
		if c.method == http.MethodPut || c.path == "/api/jobs" && c.method == http.MethodPost {
			body = later
		}
		r := w.call(c.method, c.path, body, signedIn(c.role)...)
		if c.missing == "" {
			require.Less(t, r.status, 300, "%s %s with %s: %s", c.method, c.path, c.role, r.body)
			continue
		}
		p := w.problem(r, http.StatusForbidden, "role-missing")
		require.Contains(t, p["detail"], c.missing)
	}
}

// A refused attempt is a line of the log and no entry.
func TestARefusedAttemptIsLogged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.behindEasyAuth(true)
	w.problem(w.call(http.MethodPut, "/api/jobs/a", later, signedIn("Jobs.Read")...), http.StatusForbidden, "role-missing")
	require.Contains(t, w.log.String(), "oid-1")
	require.Contains(t, w.log.String(), "lacks the role Jobs.Write")
	changes := w.call(http.MethodGet, "/api/audit", "", signedIn("Jobs.Read")...).json(t)["changes"]
	require.Empty(t, changes)
}

func TestTheTrailOutlivesTheJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("a", later)
	w.put("a", later) // changes nothing
	w.clock.moveTo(start.Add(time.Minute))
	for range 2 { // nor does the second
		require.Equal(t, http.StatusOK, w.call(http.MethodPost, "/api/jobs/a/cancel", "", "x-functions-key", "k").status)
	}
	w.clock.moveTo(start.Add(2 * time.Minute))
	require.Equal(t, http.StatusNoContent, w.call(http.MethodDelete, "/api/jobs/a", "").status)
	require.Equal(t, http.StatusNotFound, w.call(http.MethodDelete, "/api/jobs/a", "").status)

	lines := w.actions("/api/jobs/a/audit")
	require.Len(t, lines, 3)
	require.Equal(t, "deleted a <nil> cancelled>", lines[0])
	require.Regexp(t, `^cancelled a [0-9a-f]{8} scheduled>cancelled$`, lines[1])
	require.Equal(t, "created a <nil> >scheduled", lines[2])
	require.Equal(t, lines, w.actions("/api/audit"))
	w.problem(w.call(http.MethodGet, "/api/jobs/b/audit", ""), http.StatusNotFound, "unknown-job")
	w.problem(w.call(http.MethodGet, "/api/jobs/a.b/audit", ""), http.StatusNotFound, "unknown-job")
}

func TestTheTrailOfARunThatIsCancelled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fleet("ok", 300)...)
	w.hub.set(&iothub.Error{Kind: iothub.HubFault, Op: iothub.OpQuery, Status: 401})
	w.put("a", lockAll)
	w.until(func() bool { return w.get("/api/jobs/a")["status"] == "blocked" })
	r := w.call(http.MethodPost, "/api/jobs/a/cancel", "", "x-functions-key", "first")
	require.Equal(t, http.StatusAccepted, r.status)
	w.call(http.MethodPost, "/api/jobs/a/cancel", "", "x-functions-key", "second")
	w.finish()
	lines := w.actions("/api/jobs/a/audit")
	require.Len(t, lines, 2, "%s", lines)
	require.Regexp(t, `^cancelled a [0-9a-f]{8} blocked>stopping$`, lines[0])
}

func TestTheTrailIsReadInPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 5 {
		w.clock.moveTo(start.Add(time.Duration(i) * time.Second))
		w.put(fmt.Sprintf("j%d", i), later)
	}
	var got []string
	query := url.Values{"pageSize": {"2"}}
	for {
		page := w.get("/api/audit?" + query.Encode())
		for _, c := range page["changes"].([]any) {
			got = append(got, c.(map[string]any)["jobId"].(string))
		}
		token, _ := page["continuationToken"].(string)
		if token == "" {
			break
		}
		query.Set("continuationToken", token)
	}
	require.Equal(t, []string{"j4", "j3", "j2", "j1", "j0"}, got)

	for _, forged := range []string{"x", base64.RawURLEncoding.EncodeToString([]byte("job:a"))} {
		w.problem(w.call(http.MethodGet, "/api/audit?continuationToken="+forged, ""), http.StatusBadRequest, "invalid-request")
	}
	w.problem(w.call(http.MethodGet, "/api/audit?pageSize=501", ""), http.StatusBadRequest, "invalid-request")
}

func TestWordsOfTheTrailAreDescribed(t *testing.T) {
	t.Parallel()
	schemas := loadSpec(t).doc.Components.Schemas
	require.Equal(t, words(job.Actions()), schemas["Change"].Value.Properties["action"].Value.Enum)
	page, err := os.ReadFile("../../docs/security.md")
	require.NoError(t, err)
	for _, action := range job.Actions() {
		require.Contains(t, string(page), fmt.Sprintf("`%s`", action))
	}
	require.Equal(t, words([]job.PrincipalKind{job.PrincipalIdentity, job.PrincipalKey, job.PrincipalPolicy, job.PrincipalAnonymous, job.PrincipalRetention}),
		schemas["Principal"].Value.Properties["kind"].Value.Enum)
}
