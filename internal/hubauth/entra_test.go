package hubauth_test

import (
	"crypto/rand"
	"crypto/rsa"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/hubauth"
	"github.com/fleetjobs/fleetjobs/internal/job"
)

func newRSA(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	return key
}

// entraVerifier lets the principal oid do what a service client does.
func entraVerifier(a *authority, clock func() time.Time) *hubauth.Verifier {
	return hubauth.New(hubauth.Options{Now: clock, Entra: hubauth.Entra{
		Tenant: tenant, Audiences: []string{"api://fleetjobs", audience}, Authority: a.url + "/",
		Principals: map[string]hubauth.Grants{oid: hubauth.ServiceConnect},
	}})
}

func TestTokensOfEntra(t *testing.T) {
	t.Parallel()
	a, key := newAuthority(t), newRSA(t)
	a.set(false, map[string]*rsa.PrivateKey{"k1": key})
	v := entraVerifier(a, func() time.Time { return now })
	for name, c := range map[string]struct {
		change jwt.MapClaims
		want   hubauth.Grants
	}{
		"a listed principal": {nil, hubauth.ServiceConnect},
		"format 1.0":         {jwt.MapClaims{"iss": "https://sts.windows.net/" + tenant + "/", "appid": "app-1", "azp": nil}, hubauth.ServiceConnect},
		"a role that reads":  {jwt.MapClaims{"oid": "someone", "aud": "api://fleetjobs", "roles": []string{"Jobs.Read"}}, hubauth.JobsRead},
		"a role that writes": {jwt.MapClaims{"oid": "someone", "roles": []string{"Jobs.Write", "Other"}}, hubauth.JobsWrite},
		"a clock behind":     {jwt.MapClaims{"nbf": now.Add(30 * time.Second).Unix()}, hubauth.ServiceConnect},
	} {
		got, err := v.Caller(request("/jobs/v2/j", bearer(t, jwt.SigningMethodRS256, "k1", key, a.claims(c.change))))
		require.NoError(t, err, name)
		require.Equal(t, c.want, got.Grants, name)
		require.Equal(t, job.PrincipalIdentity, got.Kind, name)
		require.Equal(t, "aad", got.Provider, name)
		require.Equal(t, "app-1", got.Name, name)
	}
	require.EqualValues(t, 1, a.asked.Load(), "keys are kept")
}

func TestRefusedTokens(t *testing.T) {
	t.Parallel()
	a, key := newAuthority(t), newRSA(t)
	a.set(false, map[string]*rsa.PrivateKey{"k1": key})
	v := entraVerifier(a, func() time.Time { return now })
	for name, change := range map[string]jwt.MapClaims{
		"expired":        {"exp": now.Add(-2 * time.Minute).Unix()},
		"no expiry":      {"exp": nil},
		"not yet":        {"nbf": now.Add(time.Hour).Unix()},
		"other audience": {"aud": "https://management.azure.com"},
		"no audience":    {"aud": nil},
		"other issuer":   {"iss": "https://sts.windows.net/other/"},
		"other tenant":   {"tid": "99999999-2222-3333-4444-555555555555"},
		"no object id":   {"oid": nil},
		"no role":        {"oid": "someone", "roles": []string{"Jobs.Sing"}},
	} {
		_, err := v.Caller(request("/jobs/v2/j", bearer(t, jwt.SigningMethodRS256, "k1", key, a.claims(change))))
		require.ErrorIs(t, err, hubauth.ErrUnauthorized, name)
	}
	other := newRSA(t)
	for name, header := range map[string]string{
		"another key":  bearer(t, jwt.SigningMethodRS256, "k1", other, a.claims(nil)),
		"unknown key":  bearer(t, jwt.SigningMethodRS256, "k2", other, a.claims(nil)),
		"no signature": bearer(t, jwt.SigningMethodNone, "k1", jwt.UnsafeAllowNoneSignatureType, a.claims(nil)),
		"HMAC":         bearer(t, jwt.SigningMethodHS256, "k1", key.N.Bytes(), a.claims(nil)),
		"rubbish":      "Bearer a.b.c",
		"empty":        "Bearer ",
	} {
		_, err := v.Caller(request("/jobs/v2/j", header))
		require.ErrorIs(t, err, hubauth.ErrUnauthorized, name)
	}
}

// Entra rolls its keys without notice; whoever makes up ids of keys must not have us ask for each.
func TestSigningKeysAreRolled(t *testing.T) {
	t.Parallel()
	a, first, second := newAuthority(t), newRSA(t), newRSA(t)
	a.set(false, map[string]*rsa.PrivateKey{"k1": first})
	at := now
	v := entraVerifier(a, func() time.Time { return at })
	call := func(kid string, key *rsa.PrivateKey) error {
		claims := a.claims(jwt.MapClaims{"exp": at.Add(time.Hour).Unix()})
		_, err := v.Caller(request("/jobs/v2/j", bearer(t, jwt.SigningMethodRS256, kid, key, claims)))
		return err
	}
	require.NoError(t, call("k1", first))
	a.set(false, map[string]*rsa.PrivateKey{"k1": first, "k2": second})
	for range 5 {
		require.Error(t, call("k2", second), "within a minute of the last question")
	}
	require.EqualValues(t, 1, a.asked.Load())
	at = at.Add(time.Minute)
	require.NoError(t, call("k2", second))
	require.EqualValues(t, 2, a.asked.Load())

	a.set(true, nil) // a day later, with the authority out of reach, the keys still count
	at = at.Add(25 * time.Hour)
	require.NoError(t, call("k2", second))
	require.EqualValues(t, 3, a.asked.Load())

	a.set(false, map[string]*rsa.PrivateKey{"k2": second}) // a key that was taken back does not
	at = at.Add(time.Minute)
	require.NoError(t, call("k2", second))
	require.Error(t, call("k1", first))
}

func TestPrincipals(t *testing.T) {
	t.Parallel()
	got, err := hubauth.ParsePrincipals("AAAAAAAA-bbbb-cccc-dddd-eeeeeeeeeeee=ServiceConnect+RegistryWrite")
	require.NoError(t, err)
	require.Equal(t, map[string]hubauth.Grants{oid: hubauth.ServiceConnect | hubauth.RegistryWrite}, got)
	for _, text := range []string{"me=ServiceConnect", oid, oid + "=All", oid + "=ServiceConnect," + oid + "=RegistryRead"} {
		_, err := hubauth.ParsePrincipals(text)
		require.Error(t, err, text)
	}
}
