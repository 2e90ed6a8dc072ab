package hubauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/principal"
)

// ErrUnauthorized says that a request has no credential that opens anything. What wraps it is for the log.
var ErrUnauthorized = errors.New("unauthorized")

// Options of New. Without policies and without a tenant nobody is let in.
type Options struct {
	Policies Policies
	// Hosts are the names under which callers reach the app, which a signature's resource must begin with; ports do not matter.
	Hosts []string
	Entra Entra
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Verifier tells callers by their Authorization header. It is safe for concurrent use.
type Verifier struct {
	policies Policies
	hosts    []string
	entra    *entra
	now      func() time.Time
}

// New gives a verifier. It makes no connection before the first token of Entra ID comes.
func New(o Options) *Verifier {
	v := &Verifier{policies: o.Policies, now: o.Now}
	if v.now == nil {
		v.now = time.Now
	}
	for _, host := range o.Hosts {
		if host != "" {
			v.hosts = append(v.hosts, withoutPort(strings.ToLower(host)))
		}
	}
	if o.Entra.Tenant != "" {
		v.entra = newEntra(o.Entra, v.now)
	}
	return v
}

// Caller is who makes a request, and what they may do.
type Caller struct {
	job.Caller
	Grants Grants
}

// Caller tells who makes r. Every error wraps ErrUnauthorized.
func (v *Verifier) Caller(r *http.Request) (Caller, error) {
	c, err := v.verify(r.Context(), r)
	if err != nil {
		return Caller{}, fmt.Errorf("%w: %w", ErrUnauthorized, err)
	}
	c.UserAgent = principal.Clean(r.UserAgent())
	return c, nil
}

func (v *Verifier) verify(ctx context.Context, r *http.Request) (Caller, error) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return Caller{}, fmt.Errorf("the request has %d Authorization headers", len(values))
	}
	scheme, credential, _ := strings.Cut(values[0], " ")
	switch {
	case strings.EqualFold(scheme, sasScheme):
		return v.signed(credential, r.URL.Path)
	case !strings.EqualFold(scheme, "Bearer"):
		return Caller{}, errors.New("the Authorization header is neither a shared access signature nor a bearer token")
	case v.entra == nil:
		return Caller{}, errors.New("tokens of Entra ID are not accepted: FLEETJOBS_ENTRA_TENANT is not set")
	}
	return v.entra.verify(ctx, credential)
}

// signed verifies a shared access signature for a path.
func (v *Verifier) signed(credential, path string) (Caller, error) {
	if len(credential) > maxSAS {
		return Caller{}, errors.New("the signature is too long")
	}
	token, err := parseSAS(credential)
	if err != nil {
		return Caller{}, err
	}
	policy, known := v.policies[token.policy]
	switch {
	case !known:
		return Caller{}, errors.New("FLEETJOBS_SAS_POLICIES has no policy of the signature's name")
	case !token.signedBy(policy.keys):
		return Caller{}, errors.New("no key of the policy made the signature")
	case !v.now().Before(token.expiry):
		return Caller{}, errors.New("the signature has expired")
	case !slices.Contains(v.hosts, token.host):
		return Caller{}, errors.New("the signature is for another host than that of FLEETJOBS_PUBLIC_URL")
	case !token.covers(path):
		return Caller{}, errors.New("the signature is for another path")
	}
	by := job.Principal{Kind: job.PrincipalPolicy, ID: token.policy}
	return Caller{Caller: job.Caller{Principal: by}, Grants: policy.Grants}, nil
}
