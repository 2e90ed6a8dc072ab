package iothub

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/stretchr/testify/require"
)

const testToken = "eyJhbGciOi.secret-token"

// fakeCredential gives numbered tokens with a chosen life, or fails.
type fakeCredential struct {
	mu        sync.Mutex
	calls     int
	scopes    []string
	fail      error
	life      time.Duration // one hour if 0
	refreshIn time.Duration // no RefreshOn if 0
	now       func() time.Time
	gate      chan struct{} // if set, each call takes one entry before it answers
}

func (f *fakeCredential) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if f.gate != nil {
		select {
		case <-f.gate:
		case <-ctx.Done():
			return azcore.AccessToken{}, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	f.scopes = o.Scopes
	if f.fail != nil {
		return azcore.AccessToken{}, f.fail
	}
	now, life := time.Now(), f.life
	if f.now != nil {
		now = f.now()
	}
	if life == 0 {
		life = time.Hour
	}
	t := azcore.AccessToken{Token: fmt.Sprintf("%s%d", testToken, f.calls), ExpiresOn: now.Add(life)}
	if f.refreshIn != 0 {
		t.RefreshOn = now.Add(f.refreshIn)
	}
	return t, nil
}

func (f *fakeCredential) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

func TestBearerTokenReplacesSignature(t *testing.T) {
	t.Parallel()
	h := newHub(t, play(200, `{"status":200}`))
	credential := &fakeCredential{}
	c := newClient(t, Options{HostName: h.host, Credential: credential, CAFile: h.caFile})
	for range 3 {
		_, err := c.InvokeMethod(context.Background(), "d1", newMethod(t))
		require.NoError(t, err)
	}
	for _, r := range h.seen() {
		require.Equal(t, []string{"Bearer " + testToken + "1"}, r.header["Authorization"])
	}
	require.Equal(t, 1, credential.count())
	require.Equal(t, []string{"https://iothubs.azure.net/.default"}, credential.scopes)
}

func TestNoTokenIsAHubFault(t *testing.T) {
	t.Parallel()
	h := newHub(t, play(200, `{"status":200}`))
	cause := errors.New("identity endpoint not available")
	c := newClient(t, Options{HostName: h.host, Credential: &fakeCredential{fail: cause}, CAFile: h.caFile})
	e := invokeErr(t, c, newMethod(t))
	require.Equal(t, HubFault, e.Kind)
	require.False(t, e.Sent)
	require.ErrorIs(t, e, cause)
	require.Empty(t, h.seen())
}

func TestWaitForTokenEndsWithTheCaller(t *testing.T) {
	t.Parallel()
	credential := &fakeCredential{gate: make(chan struct{})}
	c := newClient(t, Options{HostName: "hub.invalid", Credential: credential})
	ctx, cancel := context.WithCancel(context.Background())
	m := newMethod(t)
	ended := make(chan error)
	for range 3 {
		go func() {
			_, err := c.InvokeMethod(ctx, "d1", m)
			ended <- err
		}()
	}
	cancel()
	for range 3 {
		require.Equal(t, Canceled, KindOf(<-ended))
	}
}

func TestTokenRenewal(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	for _, tt := range []struct {
		name       string
		credential *fakeCredential
		keptUntil  time.Duration // the first token is used before this, and not from then on
	}{
		{"an hour", &fakeCredential{}, 55 * time.Minute},
		{"short life", &fakeCredential{life: 4 * time.Minute}, 2 * time.Minute},
		{"refresh hint", &fakeCredential{refreshIn: 20 * time.Minute}, 20 * time.Minute},
		{"refresh hint in the past", &fakeCredential{refreshIn: -time.Minute}, 55 * time.Minute},
	} {
		now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		start := now
		tt.credential.now = clock
		s := newTokenSource(tt.credential)
		s.now = clock
		use := func(at time.Duration) string {
			now = start.Add(at)
			header, err := s.header(context.Background())
			require.NoError(t, err)
			return header
		}
		require.Equal(t, "Bearer "+testToken+"1", use(0), tt.name)
		require.Equal(t, "Bearer "+testToken+"1", use(tt.keptUntil-time.Second), tt.name)
		require.Equal(t, "Bearer "+testToken+"2", use(tt.keptUntil), tt.name)
	}
}

func TestTokenIsUsedToItsEndWhileRenewalFails(t *testing.T) {
	t.Parallel()
	now := time.Now()
	credential := &fakeCredential{now: func() time.Time { return now }}
	s := newTokenSource(credential)
	s.now = credential.now
	first, err := s.header(context.Background())
	require.NoError(t, err)
	credential.fail = errors.New("no identity today")

	now = now.Add(56 * time.Minute)
	for range 5 {
		again, err := s.header(context.Background())
		require.NoError(t, err)
		require.Equal(t, first, again)
	}
	require.Equal(t, 2, credential.count(), "a failed renewal rests")

	now = now.Add(5 * time.Minute)
	_, err = s.header(context.Background())
	require.ErrorIs(t, err, credential.fail)
}

func TestOneCallerRenewsWhileOthersGoOn(t *testing.T) {
	t.Parallel()
	now := time.Now()
	credential := &fakeCredential{now: func() time.Time { return now }}
	s := newTokenSource(credential)
	s.now = credential.now
	first, err := s.header(context.Background())
	require.NoError(t, err)

	credential.gate = make(chan struct{})
	s.now = func() time.Time { return now.Add(56 * time.Minute) }
	s.renewing <- struct{}{} // another caller is renewing
	again, err := s.header(context.Background())
	require.NoError(t, err)
	require.Equal(t, first, again)
	require.Equal(t, 1, credential.count())
}

func TestFirstCallersShareOneToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		credential := &fakeCredential{gate: make(chan struct{})}
		s := newTokenSource(credential)
		headers := make(chan string, 8)
		for range 8 {
			go func() {
				header, _ := s.header(context.Background())
				headers <- header
			}()
		}
		synctest.Wait() // one asks for a token, seven wait for it
		close(credential.gate)
		for range 8 {
			require.Equal(t, "Bearer "+testToken+"1", <-headers)
		}
		require.Equal(t, 1, credential.count())
	})
}
