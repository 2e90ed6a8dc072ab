package main

import (
	"slices"
	"strings"
)

// secureDefaults are the properties that a resource of a type must have, as literals: what is an option is not a default.
var secureDefaults = map[string]map[string][]string{
	"Microsoft.Storage/storageAccounts": {
		"properties.allowSharedKeyAccess":     {"false"},
		"properties.allowBlobPublicAccess":    {"false"},
		"properties.supportsHttpsTrafficOnly": {"true"},
		"properties.minimumTlsVersion":        {"'TLS1_2'", "'TLS1_3'"},
	},
	"Microsoft.Storage/storageAccounts/blobServices/containers": {
		"properties.publicAccess": {"'None'"},
	},
	"Microsoft.Web/sites": {
		"properties.httpsOnly":                   {"true"},
		"properties.siteConfig.minTlsVersion":    {"'1.2'", "'1.3'"},
		"properties.siteConfig.scmMinTlsVersion": {"'1.2'", "'1.3'"},
		"properties.siteConfig.ftpsState":        {"'Disabled'"},
	},
	"Microsoft.Web/sites/basicPublishingCredentialsPolicies": {
		"properties.allow": {"false"},
	},
	"Microsoft.Devices/IotHubs": {
		"properties.disableLocalAuth": {"true"},
		"properties.minTlsVersion":    {"'1.2'"},
	},
	"Microsoft.EventGrid/topics": {
		"properties.disableLocalAuth": {"true"},
	},
	"Microsoft.Insights/components": {
		"properties.DisableLocalAuth": {"true"},
	},
}

// checkSecurity reports resources without the secure defaults of their type.
func (p *project) checkSecurity(f *file) {
	for _, r := range f.of("resource") {
		kind, _, _ := strings.Cut(r.label, "@")
		if r.existing {
			continue
		}
		for path, allowed := range secureDefaults[kind] {
			value := property(r.body(), path)
			if value == nil || !slices.Contains(allowed, value.Text) {
				p.fault(f, r.node, "security", "resource %s: %s must be %s", r.name, path, strings.Join(allowed, " or "))
			}
		}
		if kind == "Microsoft.Web/sites" {
			p.checkPublishing(f, r)
			p.checkCORS(f, r)
		}
	}
}

// checkPublishing asks that both kinds of basic publishing credentials are off, whatever the parameters.
func (p *project) checkPublishing(f *file, site *decl) {
	for _, channel := range []string{"ftp", "scm"} {
		off := slices.ContainsFunc(f.of("resource"), func(r *decl) bool {
			body := r.body()
			parent := property(body, "parent")
			return strings.HasPrefix(r.label, "Microsoft.Web/sites/basicPublishingCredentialsPolicies@") && !r.optional &&
				parent != nil && parent.Text == site.name && literal(property(body, "name")) == channel
		})
		if !off {
			p.fault(f, site.node, "security", "resource %s: basic publishing credentials (%s) are not switched off", site.name, channel)
		}
	}
}

// checkCORS asks that no origin, and so not every one, may use the credentials that a browser holds.
func (p *project) checkCORS(f *file, site *decl) {
	site.node.walk(func(n *node) bool {
		if property(n, "allowedOrigins") == nil {
			return true
		}
		if value := property(n, "supportCredentials"); value == nil || value.Text != "false" {
			p.fault(f, n, "security", "resource %s: cors.supportCredentials must be false", site.name)
		}
		return true
	})
}
