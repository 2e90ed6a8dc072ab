package hubauth

import (
	"context"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"sync"
	"time"
)

// How long keys are kept, and how often they may be asked for: Entra rolls them without notice, and anybody can send a token
// that names a key that does not exist.
const (
	keysFresh   = 24 * time.Hour
	keysPause   = time.Minute
	keysTimeout = 5 * time.Second
	maxKeySet   = 1 << 20 // bytes
	minModulus  = 2048    // bits
)

// keySet caches a tenant's signing keys (JSON Web Key Set, RFC 7517).
type keySet struct {
	url    string
	now    func() time.Time
	client *http.Client

	fetching sync.Mutex // held by the one that asks

	mu    sync.RWMutex
	keys  map[string]*rsa.PublicKey
	since time.Time // of keys
	asked time.Time // the last time, whatever came of it
}

func newKeySet(url string, now func() time.Time) *keySet {
	return &keySet{url: url, now: now, client: &http.Client{Timeout: keysTimeout}}
}

// key gives the key of an id. Old keys are asked for again; while that fails they are used all the same.
func (s *keySet) key(ctx context.Context, kid string) (*rsa.PublicKey, error) {
	key, fresh := s.cached(kid)
	if key != nil && fresh {
		return key, nil
	}
	err := s.refresh(ctx, kid)
	if key, _ := s.cached(kid); key != nil {
		return key, nil
	}
	if err != nil {
		return nil, err
	}
	return nil, errors.New("the tenant has no signing key of the token's id")
}

func (s *keySet) cached(kid string) (key *rsa.PublicKey, fresh bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.keys[kid], s.now().Before(s.since.Add(keysFresh))
}

// refresh asks for the keys unless somebody just did.
func (s *keySet) refresh(ctx context.Context, kid string) error {
	s.fetching.Lock()
	defer s.fetching.Unlock()
	if key, fresh := s.cached(kid); key != nil && fresh {
		return nil
	}
	s.mu.Lock()
	early := s.now().Before(s.asked.Add(keysPause))
	if !early {
		s.asked = s.now()
	}
	s.mu.Unlock()
	if early {
		return nil
	}
	// The caller's going away must not take the keys from the others, who may not ask again for a while.
	keys, err := s.fetch(context.WithoutCancel(ctx))
	if err != nil {
		return fmt.Errorf("reading the tenant's signing keys: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys, s.since = keys, s.now()
	return nil
}

func (s *keySet) fetch(ctx context.Context) (map[string]*rsa.PublicKey, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // it was read; nothing depends on how it closes
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySet))
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the answer has status %d", resp.StatusCode)
	}
	return parseKeySet(body)
}

// parseKeySet gives the RSA keys of a set; what is not one is passed over.
func parseKeySet(text []byte) (map[string]*rsa.PublicKey, error) {
	var set struct {
		Keys []struct {
			Kty, Use, Kid, N, E string
		}
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("decoding the key set: %w", err)
	}
	keys := map[string]*rsa.PublicKey{}
	for _, k := range set.Keys {
		n, errN := base64.RawURLEncoding.DecodeString(k.N)
		e, errE := base64.RawURLEncoding.DecodeString(k.E)
		if k.Kty != "RSA" || k.Use != "" && k.Use != "sig" || k.Kid == "" || errN != nil || errE != nil || len(e) > 4 {
			continue
		}
		key := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
		if key.N.BitLen() >= minModulus && key.E > 1 {
			keys[k.Kid] = key
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the key set holds no RSA key for signatures")
	}
	return keys, nil
}
