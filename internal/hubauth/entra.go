package hubauth

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/principal"
)

// DefaultAuthority issues the tokens of the public cloud.
const DefaultAuthority = "https://login.microsoftonline.com"

// Entra says which tokens of Microsoft Entra ID are accepted.
type Entra struct {
	// Tenant is the id of the only tenant whose tokens count. Empty: none do.
	Tenant string
	// Audiences are the values of the aud claim that are accepted: the application id or its URI. The service SDKs of IoT Hub
	// ask for https://iothubs.azure.net.
	Audiences []string
	// Principals are the object ids, in lower case, of identities with permissions that need no app role.
	Principals map[string]Grants
	// Authority is the base of the tenant's addresses. Default: DefaultAuthority.
	Authority string
}

const (
	leeway   = time.Minute // between our clock and the issuer's
	maxToken = 32 << 10    // bytes; tokens with many groups come to some KiB
)

// entra verifies access tokens (https://learn.microsoft.com/entra/identity-platform/access-tokens#validate-tokens).
type entra struct {
	opts    Entra
	issuers []string
	parser  *jwt.Parser
	keys    *keySet
}

func newEntra(o Entra, now func() time.Time) *entra {
	authority := strings.TrimRight(cmp.Or(o.Authority, DefaultAuthority), "/")
	return &entra{
		opts: o,
		issuers: []string{
			authority + "/" + o.Tenant + "/v2.0",
			"https://sts.windows.net/" + o.Tenant + "/", // of tokens in the format 1.0
		},
		parser: jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithExpirationRequired(), jwt.WithLeeway(leeway),
			jwt.WithTimeFunc(now), jwt.WithAudience(o.Audiences...)),
		keys: newKeySet(authority+"/"+o.Tenant+"/discovery/v2.0/keys", now),
	}
}

// entraClaims are the claims that are read
// (https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference).
type entraClaims struct {
	jwt.RegisteredClaims
	Tenant   string   `json:"tid"`
	ObjectID string   `json:"oid"`
	Roles    []string `json:"roles"`
	UserName string   `json:"preferred_username"`
	UPN      string   `json:"upn"`
	Name     string   `json:"name"`
	Client   string   `json:"azp"`   // the application, in the format 2.0
	ClientV1 string   `json:"appid"` // the same in the format 1.0
}

func (e *entra) verify(ctx context.Context, token string) (Caller, error) {
	switch {
	case len(token) > maxToken:
		return Caller{}, errors.New("the token is too long")
	case len(e.opts.Audiences) == 0: // the parser would take any
		return Caller{}, errors.New("no audience of tokens is set")
	}
	var claims entraClaims
	_, err := e.parser.ParseWithClaims(token, &claims, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		return e.keys.key(ctx, kid)
	})
	switch {
	case err != nil:
		return Caller{}, err
	case !slices.Contains(e.issuers, claims.Issuer), !strings.EqualFold(claims.Tenant, e.opts.Tenant):
		return Caller{}, errors.New("the token was issued by another tenant")
	case claims.ObjectID == "":
		return Caller{}, errors.New("the token has no object id")
	}
	grants := e.opts.Principals[strings.ToLower(claims.ObjectID)] | roleGrants(claims.Roles)
	if grants == 0 {
		return Caller{}, errors.New("the token has no app role of ours, and FLEETJOBS_ENTRA_PRINCIPALS does not list its object id")
	}
	by := job.Principal{
		Kind: job.PrincipalIdentity, Provider: "aad", ID: principal.Clean(claims.ObjectID),
		Name: principal.Clean(cmp.Or(claims.UserName, claims.UPN, claims.Name, claims.Client, claims.ClientV1)),
	}
	return Caller{Caller: job.Caller{Principal: by}, Grants: grants}, nil
}

// roleGrants gives the permissions of app roles, which are about jobs and nothing else of the hub.
func roleGrants(roles []string) Grants {
	var grants Grants
	for _, role := range roles {
		switch principal.Role(role) {
		case principal.Read, principal.Approve:
			grants |= JobsRead
		case principal.Write:
			grants |= JobsWrite
		}
	}
	return grants
}
