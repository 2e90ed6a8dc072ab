package principal_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/principal"
)

// request makes a request with headers given as name, value pairs.
func request(target string, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func encoded(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// user is the principal of a person, as Microsoft Entra ID signs it in.
const user = `{"auth_typ":"aad","name_typ":"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
	"role_typ":"http://schemas.microsoft.com/ws/2008/06/identity/claims/role","claims":[
	{"typ":"aud","val":"api"},
	{"typ":"http://schemas.microsoft.com/identity/claims/objectidentifier","val":"oid-1"},
	{"typ":"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier","val":"sub-1"},
	{"typ":"preferred_username","val":"eva@example.com"},
	{"typ":"roles","val":"Jobs.Read"},{"typ":"roles","val":"Jobs.Write"}]}`

func TestSignedInPrincipals(t *testing.T) {
	t.Parallel()
	s := principal.New(principal.Options{EasyAuth: true})
	for name, c := range map[string]struct {
		headers []string
		want    job.Principal
		roles   []string
	}{
		"a person": {
			headers: []string{"X-MS-CLIENT-PRINCIPAL", encoded(user), "X-MS-CLIENT-PRINCIPAL-ID", "other", "X-MS-CLIENT-PRINCIPAL-NAME", "eva@example.com", "X-MS-CLIENT-PRINCIPAL-IDP", "aad"},
			want:    job.Principal{Kind: job.PrincipalIdentity, ID: "oid-1", Name: "eva@example.com", Provider: "aad"},
			roles:   []string{"Jobs.Read", "Jobs.Write"},
		},
		"an application has no user name": {
			headers: []string{"X-MS-CLIENT-PRINCIPAL", encoded(`{"auth_typ":"aad","claims":[{"typ":"oid","val":"oid-2"},{"typ":"azp","val":"app-2"},{"typ":"http://schemas.microsoft.com/ws/2008/06/identity/claims/role","val":"Jobs.Write"}]}`)},
			want:    job.Principal{Kind: job.PrincipalIdentity, ID: "oid-2", Name: "app-2", Provider: "aad"},
			roles:   []string{"Jobs.Write"},
		},
		"roles of another provider are not believed": {
			headers: []string{"X-MS-CLIENT-PRINCIPAL", encoded(`{"auth_typ":"github","claims":[{"typ":"roles","val":"Jobs.Write"}]}`), "X-MS-CLIENT-PRINCIPAL-ID", "42", "X-MS-CLIENT-PRINCIPAL-IDP", "github"},
			want:    job.Principal{Kind: job.PrincipalIdentity, ID: "42", Provider: "github"},
		},
		"headers without claims": {
			headers: []string{"X-MS-CLIENT-PRINCIPAL-ID", "42", "X-MS-CLIENT-PRINCIPAL-NAME", "eva", "X-MS-CLIENT-PRINCIPAL-IDP", "aad"},
			want:    job.Principal{Kind: job.PrincipalIdentity, ID: "42", Name: "eva", Provider: "aad"},
		},
		"names are cleaned": {
			headers: []string{"X-MS-CLIENT-PRINCIPAL", encoded(`{"auth_typ":"aad","claims":[{"typ":"oid","val":"o"},{"typ":"name","val":" a\u001b[31m\u202eb\n"}]}`)},
			want:    job.Principal{Kind: job.PrincipalIdentity, ID: "o", Name: "a[31mb", Provider: "aad"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := s.Caller(request("/api/jobs", append(c.headers, "x-functions-key", "k")...))
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(c.want, got.Principal))
			require.Equal(t, c.roles, got.Roles)
		})
	}
}

func TestUnreadablePrincipals(t *testing.T) {
	t.Parallel()
	s := principal.New(principal.Options{EasyAuth: true})
	for name, c := range map[string]struct {
		headers []string
		want    error
	}{
		"none":            {nil, principal.ErrMissing},
		"only a key":      {[]string{"x-functions-key", "k"}, principal.ErrMissing},
		"only a name":     {[]string{"X-MS-CLIENT-PRINCIPAL-NAME", "eva"}, principal.ErrMissing},
		"no base64":       {[]string{"X-MS-CLIENT-PRINCIPAL", "%%%"}, principal.ErrMalformed},
		"no JSON":         {[]string{"X-MS-CLIENT-PRINCIPAL", encoded("hello")}, principal.ErrMalformed},
		"no id":           {[]string{"X-MS-CLIENT-PRINCIPAL", encoded(`{"auth_typ":"aad"}`)}, principal.ErrMalformed},
		"too long":        {[]string{"X-MS-CLIENT-PRINCIPAL", strings.Repeat("A", 64<<10+4)}, principal.ErrMalformed},
		"one more of two": {[]string{"X-MS-CLIENT-PRINCIPAL", encoded(user), "X-MS-CLIENT-PRINCIPAL", encoded(user)}, principal.ErrMalformed},
	} {
		got, err := s.Caller(request("/api/jobs", c.headers...))
		require.ErrorIs(t, err, c.want, name)
		require.Empty(t, got.Roles, name)
	}
}

// Without Easy Auth before the app, its headers are what somebody typed.
func TestForgedPrincipalsAreIgnored(t *testing.T) {
	t.Parallel()
	got, err := principal.New(principal.Options{}).Caller(request("/api/jobs", "X-MS-CLIENT-PRINCIPAL", encoded(user), "X-MS-CLIENT-PRINCIPAL-ID", "oid-1"))
	require.NoError(t, err)
	require.Equal(t, job.Principal{Kind: job.PrincipalAnonymous}, got.Principal)
	require.Empty(t, got.Roles)
}

func TestKeys(t *testing.T) {
	t.Parallel()
	id := func(deployment, target string, headers ...string) string {
		got, err := principal.New(principal.Options{Deployment: deployment}).Caller(request(target, headers...))
		require.NoError(t, err)
		return got.ID
	}
	known := id("hub.example.com", "/api/jobs", "x-functions-key", "a/b==")
	require.Regexp(t, `^[0-9a-f]{8}$`, known)
	for target, headers := range map[string][]string{
		"/api/jobs?code=a%2Fb%3D%3D":              nil,
		"/api/jobs?CODE=a%2Fb%3D%3D&code=x":       nil, // the host takes the first
		"/api/jobs?%63ode=a/b==":                  nil,
		"/api/jobs?code=x":                        {"X-Functions-Key", "a/b=="}, // and the header before the parameter
		"/api/jobs?clientId=default&code=a%2Fb==": nil,
	} {
		require.Equal(t, known, id("HUB.example.com", target, headers...), target)
	}
	require.NotEqual(t, known, id("other.example.com", "/api/jobs", "x-functions-key", "a/b=="), "hashes are not comparable between deployments")
	require.NotEqual(t, known, id("hub.example.com", "/api/jobs", "x-functions-key", "a/b="))
	require.Empty(t, id("hub.example.com", "/api/jobs?encode=a"))
}

func TestRoles(t *testing.T) {
	t.Parallel()
	caller := func(o principal.Options, role string) principal.Caller {
		c, err := principal.New(o).Caller(request("/", "X-MS-CLIENT-PRINCIPAL",
			encoded(`{"auth_typ":"aad","claims":[{"typ":"oid","val":"o"},{"typ":"roles","val":"`+role+`"}]}`)))
		require.NoError(t, err)
		return c
	}
	on := principal.Options{EasyAuth: true, RolesRequired: true}
	for role, allowed := range map[string][]principal.Role{
		"Jobs.Read":    {principal.Read},
		"Jobs.Write":   {principal.Read, principal.Write},
		"Jobs.Approve": {principal.Read, principal.Approve},
		"jobs.write":   nil,
		"":             nil,
	} {
		for _, needed := range []principal.Role{principal.Read, principal.Write, principal.Approve} {
			err := caller(on, role).Check(needed)
			if strings.Contains(cmp.Diff(nil, allowed), `"`+string(needed)+`"`) {
				require.NoError(t, err, "%s for %s", role, needed)
				continue
			}
			var missing *principal.RoleError
			require.ErrorAs(t, err, &missing, "%s for %s", role, needed)
			require.Equal(t, needed, missing.Missing)
		}
	}
	require.NoError(t, caller(principal.Options{EasyAuth: true}, "").Check(principal.Write), "roles are not required")
	require.NoError(t, caller(principal.Options{}, "").Check(principal.Write))
	require.Error(t, principal.Caller{}.Check(principal.Approve), "nobody is not everybody")
}

func TestUserAgentIsCut(t *testing.T) {
	t.Parallel()
	got, err := principal.New(principal.Options{}).Caller(request("/", "User-Agent", strings.Repeat("ä", 300)))
	require.NoError(t, err)
	require.Len(t, got.UserAgent, 200)
	require.True(t, utf8.ValidString(got.UserAgent))
}

func FuzzCaller(f *testing.F) {
	f.Add(encoded(user), "id", "name", "aad")
	f.Add("", "", "", "")
	f.Add(encoded(`{"claims":[null]}`), "", "\x00", "github")
	f.Fuzz(func(t *testing.T, blob, id, name, provider string) {
		r := request("/api/jobs", "X-MS-CLIENT-PRINCIPAL", blob, "X-MS-CLIENT-PRINCIPAL-ID", id,
			"X-MS-CLIENT-PRINCIPAL-NAME", name, "X-MS-CLIENT-PRINCIPAL-IDP", provider, "User-Agent", name)
		got, err := principal.New(principal.Options{EasyAuth: true, RolesRequired: true}).Caller(r)
		if err != nil {
			require.True(t, cmp.Equal(job.Principal{}, got.Principal), "an error comes without a principal")
			require.Error(t, got.Check(principal.Read))
			return
		}
		require.NotEmpty(t, got.ID)
		for _, text := range []string{got.ID, got.Name, got.Provider, got.UserAgent} {
			require.True(t, utf8.ValidString(text))
			require.LessOrEqual(t, len(text), 200)
			require.NotContains(t, text, "\n")
		}
	})
}
