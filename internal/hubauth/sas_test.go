package hubauth_test

import (
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/hubauth"
	"github.com/fleetjobs/fleetjobs/internal/job"
)

// The clients differ in the order of the fields and in how they escape the resource; each signs what it sends.
func TestSignaturesOfEverySDK(t *testing.T) {
	t.Parallel()
	v := newVerifier(t)
	se := now.Add(time.Hour)
	expiry := strconv.FormatInt(se.Unix(), 10)
	escaped := func(sr string) string { return url.QueryEscape(signed(keyOne, sr, se)) }
	for client, header := range map[string]string{
		"Node":   "SharedAccessSignature sr=" + host + "&sig=" + escaped(host) + "&skn=service&se=" + expiry,
		"Go":     token(url.QueryEscape(host+":8443"), se, keyOne, "service"),
		"Python": "SharedAccessSignature sr=" + host + "%3A443&sig=" + strings.ReplaceAll(escaped(host+"%3A443"), "%2F", "/") + "&se=" + expiry + "&skn=service",
		".NET":   "SharedAccessSignature sr=" + strings.ToUpper(host) + "&sig=" + escaped(strings.ToUpper(host)) + "&se=" + expiry + "&skn=service",
		"second": token(host, se, keyTwo, "service"),
		"a path": token(url.QueryEscape(host+"/jobs/v2"), se, keyOne, "service"),
		"domain": token("jobs.example.com", se, keyOne, "service"),
		"scheme": "sharedaccesssignature" + strings.TrimPrefix(token(host, se, keyOne, "service"), "SharedAccessSignature"),
	} {
		got, err := v.Caller(request("/jobs/v2/j?api-version=2021-04-12", header))
		require.NoError(t, err, client)
		require.Equal(t, job.Principal{Kind: job.PrincipalPolicy, ID: "service"}, got.Principal, client)
		require.True(t, got.Grants.Allow(hubauth.ServiceConnect|hubauth.JobsRead|hubauth.JobsWrite), client)
		require.False(t, got.Grants.Allow(hubauth.RegistryRead), client)
	}
}

func TestRefusedSignatures(t *testing.T) {
	t.Parallel()
	v := newVerifier(t)
	good := token(host, now.Add(time.Hour), keyOne, "service")
	for name, header := range map[string]string{
		"none":            "",
		"basic":           "Basic c2VydmljZTpr",
		"no fields":       "SharedAccessSignature ",
		"expired":         token(host, now, keyOne, "service"),
		"other key":       token(host, now.Add(time.Hour), []byte("another key of 32 bytes, in all."), "service"),
		"key of another":  token(host, now.Add(time.Hour), keyTwo, "registryRead"),
		"other policy":    token(host, now.Add(time.Hour), keyOne, "device"),
		"other host":      token("hub.azure-devices.net", now.Add(time.Hour), keyOne, "service"),
		"longer host":     token(host+".evil.example", now.Add(time.Hour), keyOne, "service"),
		"empty host":      token("%2Fjobs", now.Add(time.Hour), keyOne, "service"),
		"other path":      token(url.QueryEscape(host+"/devices"), now.Add(time.Hour), keyOne, "service"),
		"half a segment":  token(url.QueryEscape(host+"/jobs/v"), now.Add(time.Hour), keyOne, "service"),
		"without policy":  strings.Replace(good, "&skn=service", "", 1),
		"a field twice":   good + "&se=99999999999",
		"a field more":    good + "&x=1",
		"longer lifetime": strings.Replace(good, "&se=1", "&se=2", 1),
		"too long":        good + strings.Repeat(" ", 4096),
		"tokens are off":  "Bearer abc",
	} {
		_, err := v.Caller(request("/jobs/v2/j", header))
		require.ErrorIs(t, err, hubauth.ErrUnauthorized, name)
		require.NotContains(t, err.Error(), "0123456789", name)
	}
	two := request("/jobs/v2/j", good)
	two.Header.Add("Authorization", good)
	_, err := v.Caller(two)
	require.ErrorIs(t, err, hubauth.ErrUnauthorized)
	_, err = v.Caller(request("/jobs/v2/j", good))
	require.NoError(t, err)
}

// Without settings nobody is let in.
func TestNoPoliciesOpenNothing(t *testing.T) {
	t.Parallel()
	v := hubauth.New(hubauth.Options{Hosts: []string{host}, Now: func() time.Time { return now }})
	for _, policy := range []string{"service", ""} {
		_, err := v.Caller(request("/jobs/v2/j", token(host, now.Add(time.Hour), nil, policy)))
		require.ErrorIs(t, err, hubauth.ErrUnauthorized)
	}
}

func TestPolicies(t *testing.T) {
	t.Parallel()
	key := encoded(keyOne)
	policies, err := hubauth.ParsePolicies("iothubowner=" + key + ",ops:serviceConnect+RegistryRead=" + key + ",registryReadWrite=" + key)
	require.NoError(t, err)
	require.Len(t, policies, 3)
	require.Equal(t, hubauth.ServiceConnect|hubauth.RegistryRead, policies["ops"].Grants)
	require.True(t, policies["iothubowner"].Grants.Allow(hubauth.ServiceConnect|hubauth.RegistryWrite))
	require.False(t, policies["registryReadWrite"].Grants.Allow(hubauth.JobsRead))
	none, err := hubauth.ParsePolicies(" ")
	require.NoError(t, err)
	require.Empty(t, none)
	for name, text := range map[string]string{
		"no key":            "service",
		"short key":         "service=" + encoded(keyOne[:15]),
		"no base64":         "service=!!!" + key,
		"no name":           "=" + key,
		"a name with space": "my policy=" + key,
		"no permissions":    "ops=" + key,
		"other permissions": "ops:DeviceConnect=" + key,
		"two of one name":   "ops:ServiceConnect=" + key + ",ops:RegistryRead=" + key,
		"an empty entry":    "service=" + key + ",",
	} {
		_, err := hubauth.ParsePolicies(text)
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), key, name)
	}
}

// FuzzSignature holds that nothing but the true signature opens anything.
func FuzzSignature(f *testing.F) {
	f.Add("sr=" + host + "&sig=abc&se=1&skn=service")
	f.Add("sr=%zz&sig=%2B%2F%3D&se=-1&skn=%00")
	f.Add("=&&=;sr=a:b/c&sr=d")
	policies, err := hubauth.ParsePolicies("service=" + encoded(keyOne))
	require.NoError(f, err)
	v := hubauth.New(hubauth.Options{Policies: policies, Hosts: []string{host}, Now: func() time.Time { return now }})
	f.Fuzz(func(t *testing.T, text string) {
		_, err := v.Caller(request("/jobs/v2/j", "SharedAccessSignature "+text))
		require.ErrorIs(t, err, hubauth.ErrUnauthorized)
	})
}
