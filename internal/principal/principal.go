package principal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// What keeps a request from having a caller where Easy Auth is on.
var (
	ErrMissing   = errors.New("the request carries no signed-in principal")
	ErrMalformed = errors.New("the signed-in principal cannot be read")
)

// Options of New.
type Options struct {
	// EasyAuth says that the platform authenticates every request and writes its headers, in place of those that the
	// caller sent. Where it does not, anybody could write them, and they are ignored.
	EasyAuth bool
	// RolesRequired makes Caller.Check ask for app roles. It means something only with EasyAuth: keys have no roles.
	RolesRequired bool
	// Deployment goes into the hashes of keys, so that the same key has different ones in different deployments.
	Deployment string
}

// Resolver tells the callers of one deployment.
type Resolver struct{ opts Options }

// New gives a resolver.
func New(o Options) *Resolver { return &Resolver{opts: o} }

// Caller is who makes a request.
type Caller struct {
	job.Caller
	Roles   []string // app roles of an identity, as its token has them
	anyRole bool     // will do, even none
}

// maxText bounds names, ids and user agents, in bytes.
const maxText = 200

// Caller tells who makes r. With Easy Auth the error is ErrMissing or ErrMalformed when r carries no principal; without it
// there is none.
func (s *Resolver) Caller(r *http.Request) (Caller, error) {
	c := Caller{anyRole: !(s.opts.EasyAuth && s.opts.RolesRequired)}
	c.UserAgent = Clean(r.UserAgent())
	if s.opts.EasyAuth {
		found, err := parse(r.Header)
		c.Principal, c.Roles = found.Principal, found.roles
		return c, err
	}
	c.Principal = job.Principal{Kind: job.PrincipalAnonymous}
	if key := accessKey(r.Header, r.URL.RawQuery); key != "" {
		c.Principal = job.Principal{Kind: job.PrincipalKey, ID: s.keyHash(key)}
	}
	return c, nil
}

// accessKey gives the key that the Functions host opened the request with: the header's, else the first of the query
// (https://learn.microsoft.com/azure/azure-functions/function-keys-how-to). Names of parameters have no case there.
func accessKey(h http.Header, query string) string {
	if values := h.Values("x-functions-key"); len(values) > 0 {
		return values[0]
	}
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if name, err := url.QueryUnescape(name); err != nil || !strings.EqualFold(name, "code") {
			continue
		}
		if key, err := url.QueryUnescape(value); err == nil {
			return key
		}
		return value
	}
	return ""
}

// keyHashBytes makes 32 bits: enough to tell the few keys of a deployment apart, too few to prove a guess.
const keyHashBytes = 4

func (s *Resolver) keyHash(key string) string {
	mac := hmac.New(sha256.New, []byte("fleetjobs access key of "+strings.ToLower(s.opts.Deployment)))
	_, _ = mac.Write([]byte(key)) // never fails, see hash.Hash
	return hex.EncodeToString(mac.Sum(nil)[:keyHashBytes])
}

// Clean makes text of a caller fit to be stored and printed: valid, without control characters, and at most 200 bytes.
func Clean(text string) string {
	if len(text) > maxText {
		text = text[:maxText]
	}
	return strings.TrimSpace(strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || unicode.Is(unicode.Cf, c) { // Cf holds what turns the direction of text
			return -1
		}
		return c
	}, strings.ToValidUTF8(text, "")))
}
