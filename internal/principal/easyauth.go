package principal

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// The headers that App Service authentication sets; it refuses to pass on a caller's own
// (https://learn.microsoft.com/azure/app-service/configure-authentication-user-identities).
const (
	headerPrincipal = "X-MS-CLIENT-PRINCIPAL"
	headerID        = "X-MS-CLIENT-PRINCIPAL-ID"
	headerName      = "X-MS-CLIENT-PRINCIPAL-NAME"
	headerProvider  = "X-MS-CLIENT-PRINCIPAL-IDP"
)

// The claims that are read, under the names of tokens and those that the platform may map them to.
const (
	claimObjectID = "http://schemas.microsoft.com/identity/claims/objectidentifier"
	claimSubject  = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier"
	claimUPN      = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn"
	claimName     = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"
	claimRole     = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"
)

const (
	providerEntra = "aad"
	maxPrincipal  = 64 << 10 // bytes of the header; a token's claims come to a few KiB
)

// identity is what the headers say.
type identity struct {
	job.Principal
	roles []string
}

// claims is the JSON inside X-MS-CLIENT-PRINCIPAL.
type claims struct {
	Provider string  `json:"auth_typ"`
	Claims   []claim `json:"claims"`
}

type claim struct {
	Type  string `json:"typ"`
	Value string `json:"val"`
}

// first gives the first claim of the first type that has one.
func (c claims) first(types ...string) string {
	for _, t := range types {
		for _, one := range c.Claims {
			if one.Type == t && one.Value != "" {
				return one.Value
			}
		}
	}
	return ""
}

// parse reads the principal that the platform signed in. App roles are those of Entra ID only: what other providers put into
// a claim of that name, their users may be able to choose.
func parse(h http.Header) (identity, error) {
	for _, name := range []string{headerPrincipal, headerID, headerName, headerProvider} {
		if len(h.Values(name)) > 1 { // the platform writes each once
			return identity{}, fmt.Errorf("%w: %s comes more than once", ErrMalformed, name)
		}
	}
	var c claims
	encoded := h.Get(headerPrincipal)
	if encoded == "" && h.Get(headerID) == "" {
		return identity{}, ErrMissing
	}
	if encoded != "" {
		var err error
		if c, err = decode(encoded); err != nil {
			return identity{}, err
		}
	}
	id := identity{Principal: job.Principal{
		Kind:     job.PrincipalIdentity,
		ID:       Clean(cmp.Or(c.first("oid", claimObjectID), h.Get(headerID), c.first("sub", claimSubject))),
		Name:     Clean(cmp.Or(h.Get(headerName), c.first("preferred_username", "upn", claimUPN, "name", claimName, "azp", "appid"))),
		Provider: Clean(cmp.Or(c.Provider, h.Get(headerProvider))),
	}}
	if id.ID == "" {
		return identity{}, fmt.Errorf("%w: it has no id", ErrMalformed)
	}
	if c.Provider != providerEntra {
		return id, nil
	}
	for _, one := range c.Claims {
		if one.Type == "roles" || one.Type == claimRole {
			id.roles = append(id.roles, one.Value)
		}
	}
	return id, nil
}

func decode(encoded string) (claims, error) {
	if len(encoded) > maxPrincipal {
		return claims{}, fmt.Errorf("%w: it is longer than %d bytes", ErrMalformed, maxPrincipal)
	}
	text, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return claims{}, fmt.Errorf("%w: it is not base64", ErrMalformed)
	}
	var c claims
	if err := json.Unmarshal(text, &c); err != nil {
		return claims{}, fmt.Errorf("%w: it is not the JSON of a principal", ErrMalformed)
	}
	return c, nil
}
