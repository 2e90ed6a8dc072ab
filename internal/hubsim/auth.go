package hubsim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/registry"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/sas"
)

// permission is what a shared access policy grants.
type permission uint8

const (
	registryRead permission = 1 << iota
	registryWrite
	serviceConnect
	deviceConnect
)

// policy is a shared access policy.
type policy struct {
	key     string // base64
	raw     []byte
	allowed permission
}

// newPolicies returns the policies that every hub is created with.
func newPolicies(secret []byte) map[string]policy {
	all := map[string]permission{
		"iothubowner":       registryRead | registryWrite | serviceConnect | deviceConnect,
		"service":           serviceConnect,
		"device":            deviceConnect,
		"registryRead":      registryRead,
		"registryReadWrite": registryRead | registryWrite,
	}
	policies := make(map[string]policy, len(all))
	for name, allowed := range all {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte("policy/" + name))
		raw := mac.Sum(nil)
		policies[name] = policy{key: base64.StdEncoding.EncodeToString(raw), raw: raw, allowed: allowed}
	}
	return policies
}

// gate decides who may do what. It remembers tokens, since clients send the same one many times.
type gate struct {
	policies map[string]policy
	hosts    []string
	bearer   bool

	mu    sync.RWMutex
	known map[string]grant // by the whole token
}

type grant struct {
	token   sas.Token
	allowed permission
}

const maxKnownTokens = 4096

// allows reports whether a request may do what needs a permission.
func (g *gate) allows(r *http.Request, needed permission) bool {
	header := r.Header.Get("Authorization")
	if token, ok := strings.CutPrefix(header, "Bearer "); ok {
		return g.bearer && validBearer(token, time.Now())
	}
	granted, ok := g.lookup(header)
	return ok && granted.allowed&needed == needed && time.Now().Before(granted.token.Expiry) && granted.token.Covers(r.URL.Path)
}

// admits decides about a device that connects with a token of its own key or of a policy, and says until when.
func (g *gate) admits(device *registry.Device, password string) (expiry time.Time, ok bool) {
	token, err := sas.Parse(password)
	if err != nil || !g.isHost(token.Host) || !coversDevice(token, device.ID()) || !time.Now().Before(token.Expiry) {
		return time.Time{}, false
	}
	if token.Policy != "" {
		p := g.policies[token.Policy]
		return token.Expiry, p.allowed&deviceConnect != 0 && token.SignedBy(p.raw)
	}
	keys := device.Keys()
	for _, key := range []string{keys.Primary, keys.Secondary} {
		if raw, err := base64.StdEncoding.DecodeString(key); err == nil && token.SignedBy(raw) {
			return token.Expiry, !device.Disabled()
		}
	}
	return time.Time{}, false
}

// coversDevice reports whether a token is good for a device or module. The SDK for .NET escapes the id before it escapes the resource that
// the id is part of, so that it stands there escaped twice
// (https://github.com/Azure/azure-iot-sdk-csharp/blob/main/iothub/device/src/DeviceAuthenticationWithSakRefresh.cs).
func coversDevice(token sas.Token, id string) bool {
	path := "/devices/" + registry.Path(id)
	if token.Covers(path) {
		return true
	}
	var err error
	token.Path, err = url.PathUnescape(token.Path)
	return err == nil && token.Covers(path)
}

func (g *gate) lookup(header string) (grant, bool) {
	g.mu.RLock()
	granted, ok := g.known[header]
	g.mu.RUnlock()
	if ok {
		return granted, true
	}
	token, err := sas.Parse(header)
	if err != nil || !g.isHost(token.Host) {
		return grant{}, false
	}
	p, ok := g.policies[token.Policy]
	if !ok || !token.SignedBy(p.raw) {
		return grant{}, false
	}
	granted = grant{token: token, allowed: p.allowed}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.known) >= maxKnownTokens {
		clear(g.known)
	}
	g.known[header] = granted
	return granted, true
}

// isHost reports whether a token's host is this hub, whatever the port.
func (g *gate) isHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	for _, own := range g.hosts {
		if strings.EqualFold(host, own) {
			return true
		}
	}
	return false
}

const audience = "https://iothubs.azure.net"

// validBearer checks audience and expiry of a JSON Web Token, and nothing else.
func validBearer(token string, now time.Time) bool {
	parts := strings.Split(token, ".")
	if len(parts) < 2 {
		return false
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return false
	}
	var claims struct {
		Audience string   `json:"aud"`
		Expiry   *float64 `json:"exp"`
	}
	if json.Unmarshal(text, &claims) != nil {
		return false
	}
	return strings.TrimRight(claims.Audience, "/") == audience && (claims.Expiry == nil || float64(now.Unix()) < *claims.Expiry)
}
