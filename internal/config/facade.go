package config

import (
	"net/url"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/hubauth"
)

// Facade says who may use the routes that stand in for the IoT hub's own. Without policies and tenant nobody may.
type Facade struct {
	// Policies are shared access policies: see hubauth.ParsePolicies.
	Policies Secret `env:"FLEETJOBS_SAS_POLICIES"`
	// Tenant is the id of the Entra tenant whose tokens are accepted. Empty: none are.
	Tenant string `env:"FLEETJOBS_ENTRA_TENANT"`
	// Audiences lists the accepted audiences of tokens, separated by commas.
	Audiences string `env:"FLEETJOBS_ENTRA_AUDIENCES"`
	// Principals lists identities that need no app role: see hubauth.ParsePrincipals.
	Principals string `env:"FLEETJOBS_ENTRA_PRINCIPALS"`
	// Authority is the base URL of the tenant's sign-in.
	Authority string `env:"FLEETJOBS_ENTRA_AUTHORITY" envDefault:"https://login.microsoftonline.com"`
}

// AudienceList gives the audiences one by one.
func (f Facade) AudienceList() []string {
	var all []string
	for one := range strings.SplitSeq(f.Audiences, ",") {
		if one = strings.TrimSpace(one); one != "" {
			all = append(all, one)
		}
	}
	return all
}

func (f Facade) check(out *faults) {
	if _, err := hubauth.ParsePolicies(f.Policies.Reveal()); err != nil {
		out.addSecret("FLEETJOBS_SAS_POLICIES", err.Error())
	}
	if _, err := hubauth.ParsePrincipals(f.Principals); err != nil {
		out.add("FLEETJOBS_ENTRA_PRINCIPALS", f.Principals, err.Error())
	}
	const tenant = "FLEETJOBS_ENTRA_TENANT"
	switch {
	case f.Tenant == "" && (f.Audiences != "" || f.Principals != ""):
		out.add(tenant, "", "must be set, since FLEETJOBS_ENTRA_AUDIENCES or FLEETJOBS_ENTRA_PRINCIPALS is")
	case f.Tenant != "" && !guidRule.MatchString(f.Tenant):
		out.add(tenant, f.Tenant, "must be the id (a GUID) of a tenant")
	case f.Tenant != "" && len(f.AudienceList()) == 0:
		out.add("FLEETJOBS_ENTRA_AUDIENCES", "", "must be set, since "+tenant+" is")
	}
	u, err := url.Parse(f.Authority)
	local := err == nil && (u.Hostname() == "localhost" || u.Hostname() == "127.0.0.1")
	if err != nil || !isWebURL(u) || u.Scheme != "https" && !local || u.RawQuery != "" || u.Fragment != "" {
		out.add("FLEETJOBS_ENTRA_AUTHORITY", f.Authority, "must be an https URL without query, like https://login.microsoftonline.us")
	}
}

func (c *Config) checkPassThrough(f *faults) {
	if c.HubPassThrough && c.Facade.Policies == "" && c.Facade.Tenant == "" {
		f.add("FLEETJOBS_HUB_PASSTHROUGH", "true", "needs FLEETJOBS_SAS_POLICIES or FLEETJOBS_ENTRA_TENANT: without them nobody is let in")
	}
}
