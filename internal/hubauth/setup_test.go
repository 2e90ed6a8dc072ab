package hubauth_test

import (
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fleetjobs/fleetjobs/internal/hubauth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	now    = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	keyOne = []byte("0123456789abcdef0123456789abcdef")
	keyTwo = []byte("fedcba9876543210fedcba9876543210")
)

const host = "fleet.azurewebsites.net"

func encoded(key []byte) string { return base64.StdEncoding.EncodeToString(key) }

// signed gives the signature over a resource as it stands in the token.
func signed(key []byte, sr string, expiry time.Time) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(sr + "\n" + strconv.FormatInt(expiry.Unix(), 10)))
	return encoded(mac.Sum(nil))
}

// token makes a header from fields in the order in which they are given.
func token(sr string, expiry time.Time, key []byte, policy string) string {
	return "SharedAccessSignature sr=" + sr + "&sig=" + url.QueryEscape(signed(key, sr, expiry)) +
		"&se=" + strconv.FormatInt(expiry.Unix(), 10) + "&skn=" + policy
}

func request(path, authorization string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return r
}

// newVerifier has the policies "service", with two keys, and "registryRead".
func newVerifier(t *testing.T) *hubauth.Verifier {
	t.Helper()
	policies, err := hubauth.ParsePolicies("service=" + encoded(keyOne) + ", service=" + encoded(keyTwo) + ",registryRead=" + encoded(keyOne))
	require.NoError(t, err)
	return hubauth.New(hubauth.Options{
		Policies: policies, Hosts: []string{host + ":443", "jobs.example.com", ""}, Now: func() time.Time { return now },
	})
}

const (
	tenant   = "11111111-2222-3333-4444-555555555555"
	audience = "https://iothubs.azure.net"
	oid      = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
)

// authority is a tenant's key endpoint, with keys that the test rolls.
type authority struct {
	url   string
	asked atomic.Int32

	mu   sync.Mutex
	keys map[string]*rsa.PrivateKey
	down bool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{keys: map[string]*rsa.PrivateKey{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.asked.Add(1)
		a.mu.Lock()
		defer a.mu.Unlock()
		if r.URL.Path != "/"+tenant+"/discovery/v2.0/keys" || a.down {
			http.Error(w, "no", http.StatusBadGateway)
			return
		}
		keys := []map[string]string{{"kty": "EC", "kid": "curve"}}
		for kid, key := range a.keys {
			keys = append(keys, map[string]string{
				"kty": "RSA", "use": "sig", "kid": kid,
				"n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()),
				"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
			})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": keys})
	}))
	t.Cleanup(func() {
		server.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	a.url = server.URL
	return a
}

func (a *authority) set(down bool, keys map[string]*rsa.PrivateKey) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down, a.keys = down, keys
}

// claims are those of a good token, changed by the test.
func (a *authority) claims(change jwt.MapClaims) jwt.MapClaims {
	c := jwt.MapClaims{
		"iss": a.url + "/" + tenant + "/v2.0", "aud": audience, "tid": tenant, "oid": oid, "azp": "app-1",
		"exp": now.Add(time.Hour).Unix(), "nbf": now.Add(-time.Minute).Unix(),
	}
	for name, value := range change {
		if value == nil {
			delete(c, name)
		} else {
			c[name] = value
		}
	}
	return c
}

func bearer(t *testing.T, method jwt.SigningMethod, kid string, key any, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	token.Header["kid"] = kid
	text, err := token.SignedString(key)
	require.NoError(t, err)
	return "Bearer " + text
}
