package iothub

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// tokenScope is the scope of every IoT hub in the public cloud.
const tokenScope = "https://iothubs.azure.net/.default"

const (
	// tokenMargin is how long before its end a token is renewed.
	tokenMargin = 5 * time.Minute
	// tokenRetry is how long a failed renewal rests while the old token still works.
	tokenRetry = 30 * time.Second
)

// tokenSource keeps the bearer token that all calls share. One caller renews it; the others go on with the old one as long
// as it is valid, and wait otherwise.
type tokenSource struct {
	credential azcore.TokenCredential
	now        func() time.Time
	renewing   chan struct{} // holds one entry while a caller renews
	current    atomic.Pointer[bearerToken]
}

type bearerToken struct {
	header  string
	renew   time.Time
	expires time.Time
}

func newTokenSource(c azcore.TokenCredential) *tokenSource {
	return &tokenSource{credential: c, now: time.Now, renewing: make(chan struct{}, 1)}
}

// header gives the value of the Authorization header.
func (s *tokenSource) header(ctx context.Context) (string, error) {
	t := s.current.Load()
	now := s.now()
	if t != nil && now.Before(t.renew) {
		return t.header, nil
	}
	usable := t != nil && now.Before(t.expires)
	select {
	case s.renewing <- struct{}{}:
	default:
		if usable {
			return t.header, nil
		}
		select {
		case s.renewing <- struct{}{}:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	defer func() { <-s.renewing }()
	return s.renew(ctx)
}

// renew replaces the token unless another caller just did.
func (s *tokenSource) renew(ctx context.Context) (string, error) {
	old, now := s.current.Load(), s.now()
	if old != nil && now.Before(old.renew) {
		return old.header, nil
	}
	fresh, err := s.credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{tokenScope}})
	if err != nil {
		if old != nil && now.Before(old.expires) {
			s.current.Store(&bearerToken{header: old.header, renew: now.Add(tokenRetry), expires: old.expires})
			return old.header, nil
		}
		return "", err
	}
	t := &bearerToken{header: "Bearer " + fresh.Token, renew: renewalOf(fresh, now), expires: fresh.ExpiresOn}
	s.current.Store(t)
	return t.header, nil
}

// renewalOf is when to renew a token: when its issuer says so, else five minutes before its end, or halfway to the end of
// one that lives shorter than ten.
func renewalOf(t azcore.AccessToken, now time.Time) time.Time {
	margin := min(tokenMargin, t.ExpiresOn.Sub(now)/2)
	renew := t.ExpiresOn.Add(-margin)
	if t.RefreshOn.After(now) && t.RefreshOn.Before(renew) {
		return t.RefreshOn
	}
	return renew
}

// credentialOf is the secret part of an Authorization header.
func credentialOf(header string) string {
	_, secret, _ := strings.Cut(header, " ")
	return secret
}
