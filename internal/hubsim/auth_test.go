package hubsim_test

import (
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/fleetsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/sas"
)

func TestPoliciesOpenTheirRoutesOnly(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{Fleet: fleet(t, fleetsim.Options{Devices: 1})})
	requests := map[string][3]string{
		"method":   {"POST", "/twins/dev-000001/methods", `{"methodName":"reboot"}`},
		"twin":     {"GET", "/twins/dev-000001", ""},
		"patch":    {"PATCH", "/twins/dev-000001", `{"tags":{"a":1}}`},
		"query":    {"POST", "/devices/query", `{"query":"SELECT * FROM devices"}`},
		"identity": {"GET", "/devices/dev-000001", ""},
		"count":    {"GET", "/statistics/devices", ""},
		"bulk":     {"POST", "/devices", `[]`},
	}
	service := map[string]bool{"method": true, "twin": true, "patch": true, "query": true}
	for policy, allowed := range map[string]map[string]bool{
		"iothubowner":       {"method": true, "twin": true, "patch": true, "query": true, "identity": true, "count": true, "bulk": true},
		"service":           service,
		"registryRead":      {"identity": true, "count": true},
		"registryReadWrite": {"identity": true, "count": true, "bulk": true},
		"device":            {},
	} {
		token := h.sign(policy, "localhost", time.Hour)
		for name, r := range requests {
			want := 401
			if allowed[name] {
				want = 200
			}
			require.Equal(t, want, h.do(r[0], r[1], r[2], "Authorization", token).StatusCode, "%s of %s", name, policy)
		}
	}
}

func TestRefusedTokens(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{Fleet: fleet(t, fleetsim.Options{Devices: 1}), HostNames: []string{"myhub.azure-devices.net"}})
	key := keyOf(t, h.ConnectionString())
	in := time.Now().Add(time.Hour)
	for name, test := range map[string]struct {
		token string
		want  int
	}{
		"good":                {sas.New("localhost", "service", key, in), 200},
		"the hub's real name": {sas.New("MyHub.azure-devices.net", "service", key, in), 200},
		"only this twin":      {sas.New("localhost/twins/dev-000001", "service", key, in), 200},
		"another twin":        {sas.New("localhost/twins/dev-00000", "service", key, in), 401},
		"another hub":         {sas.New("otherhub.azure-devices.net", "service", key, in), 401},
		"expired":             {sas.New("localhost", "service", key, time.Now().Add(-time.Second)), 401},
		"unknown policy":      {sas.New("localhost", "nobody", key, in), 401},
		"wrong key":           {sas.New("localhost", "service", []byte("0123456789abcdef"), in), 401},
		"none":                {"", 401},
		"a bearer token":      {bearer("https://iothubs.azure.net", in), 401},
	} {
		res := h.do("GET", "/twins/dev-000001", "", "Authorization", test.token)
		require.Equal(t, test.want, res.StatusCode, name)
		if test.want == 401 {
			require.Equal(t, "IotHubUnauthorizedAccess", res.Header.Get("iothub-errorcode"))
			require.Equal(t, "ErrorCode:IotHubUnauthorizedAccess;Unauthorized", res.object(t)["Message"], name)
		}
	}
}

func TestATokenThatWasGoodExpires(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{Fleet: fleet(t, fleetsim.Options{Devices: 1})})
	h.do("GET", "/twins/dev-000001", "") // makes the connection
	token := h.sign("service", "localhost", 5*time.Second)
	require.Equal(t, 200, h.do("GET", "/twins/dev-000001", "", "Authorization", token).StatusCode)
	require.Eventually(t, func() bool {
		return h.do("GET", "/twins/dev-000001", "", "Authorization", token).StatusCode == 401
	}, time.Minute, 50*time.Millisecond)
}

// bearer returns an unsigned JSON Web Token.
func bearer(audience string, expiry time.Time) string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	return "Bearer " + part(`{"alg":"RS256"}`) + "." + part(fmt.Sprintf(`{"aud":%q,"exp":%d}`, audience, expiry.Unix())) + ".c2ln"
}

func TestBearerTokensAreJudgedByAudienceAndExpiry(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{Bearer: true, Fleet: fleet(t, fleetsim.Options{Devices: 1})})
	soon := time.Now().Add(time.Hour)
	for token, want := range map[string]int{
		bearer("https://iothubs.azure.net", soon):                       200,
		bearer("https://iothubs.azure.net/", soon):                      200,
		bearer("https://management.azure.com", soon):                    401,
		bearer("https://iothubs.azure.net", time.Now().Add(-time.Hour)): 401,
		"Bearer nonsense": 401,
	} {
		require.Equal(t, want, h.do("GET", "/twins/dev-000001", "", "Authorization", token).StatusCode, token)
	}
}

func TestVersionsOfTheAPI(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{Fleet: fleet(t, fleetsim.Options{Devices: 1})})
	for query, want := range map[string]int{
		"?api-version=2020-09-30": 200, "?api-version=2021-04-12": 200, "?x=1&api-version=2024-03-31": 200,
		"?api-version=2014-01-01": 400, "?x": 400,
	} {
		res := h.do("GET", "/twins/dev-000001"+query, "")
		require.Equal(t, want, res.StatusCode, query)
		if want == 400 {
			require.Equal(t, "InvalidProtocolVersion", res.Header.Get("iothub-errorcode"))
		}
	}
}

func TestFaultsOfTheWholeHub(t *testing.T) {
	t.Parallel()
	h := start(t, hubsim.Options{Journal: true, Fleet: fleet(t, fleetsim.Options{Devices: 1})})
	for _, test := range []struct {
		plan   fault.Plan
		status int
		name   string
	}{
		{fault.Plan{Revoked: true}, 401, "IotHubUnauthorizedAccess"},
		{fault.Plan{QuotaExceeded: true}, 403, "IotHubQuotaExceeded"},
		{fault.Plan{Suspended: true}, 400, "IotHubSuspended"},
	} {
		require.NoError(t, h.SetFaults(test.plan))
		for _, r := range [][3]string{
			{"POST", "/twins/dev-000001/methods", `{"methodName":"reboot"}`},
			{"POST", "/devices/query", `{"query":"SELECT * FROM devices"}`},
			{"GET", "/devices/dev-000001", ""},
		} {
			res := h.do(r[0], r[1], r[2])
			require.Equal(t, test.status, res.StatusCode)
			require.Equal(t, test.name, res.Header.Get("iothub-errorcode"))
			require.Contains(t, res.object(t)["Message"], "ErrorCode:"+test.name+";")
		}
	}
	require.NoError(t, h.SetFaults(fault.Plan{}))
	require.Equal(t, 200, h.do("GET", "/twins/dev-000001", "").StatusCode)
	require.Empty(t, h.Calls(), "no device was called")
}
