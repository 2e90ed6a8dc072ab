package main

import (
	"slices"
	"strings"
)

// required are the app settings that every deployment sets; forbidden ones hold keys that an identity replaces.
var (
	required = []string{
		"AzureWebJobsStorage__accountName", "AzureWebJobsStorage__credential", "AzureWebJobsStorage__clientId",
		"IOTHUB_HOSTNAME", "FLEETJOBS_TIMER_SCHEDULE",
		"APPLICATIONINSIGHTS_CONNECTION_STRING", "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
	}
	forbidden = []string{
		"AzureWebJobsStorage", "AzureWebJobsDashboard", "IOTHUB_CONNECTION_STRING", "APPINSIGHTS_INSTRUMENTATIONKEY",
		"WEBSITE_CONTENTAZUREFILECONNECTIONSTRING", "FLEETJOBS_EVENTGRID_KEY",
	}
	// referred hold keys that no identity replaces; they stay in a Key Vault.
	referred = []string{"FLEETJOBS_CALLBACK_KEYS", "FLEETJOBS_SAS_POLICIES"}
)

// setting is an app setting; always if no condition stands before it.
type setting struct {
	name   string
	node   *node
	always bool
}

// checkSettings compares the app settings of each site with the documented ones.
func (p *project) checkSettings(f *file) {
	for _, r := range f.of("resource") {
		if !strings.HasPrefix(r.label, "Microsoft.Web/sites@") || r.existing {
			continue
		}
		found := f.settings(property(r.body(), "properties.siteConfig.appSettings"), true)
		for _, s := range found {
			switch {
			case s.name == "":
				p.fault(f, s.node, "settings", "cannot tell which settings %.40q are", s.node.Text)
			case slices.Contains(forbidden, s.name):
				p.fault(f, s.node, "settings", "%s holds a key; use the identity", s.name)
			case slices.Contains(referred, s.name) && !strings.HasPrefix(property(s.node, "value").Text, "'@Microsoft.KeyVault("):
				p.fault(f, s.node, "settings", "%s holds a key; refer to a Key Vault", s.name)
			case !p.settings[s.name]:
				p.fault(f, s.node, "settings", "%s is not in docs/environment.md", s.name)
			}
		}
		for _, name := range required {
			if !slices.ContainsFunc(found, func(s setting) bool { return s.name == name && s.always }) {
				p.fault(f, r.node, "settings", "resource %s: %s is not always set", r.name, name)
			}
		}
	}
}

// settings collects the {name, value} objects of an expression of arrays, variables, concat and conditions. A part that
// it does not understand is a setting without a name.
func (f *file) settings(n *node, always bool) []setting {
	if n == nil {
		return nil
	}
	var found []setting
	switch n.Type {
	case "object":
		if name := literal(property(n, "name")); name != "" && property(n, "value") != nil {
			return []setting{{name, n, always}}
		}
	case "array":
		for _, k := range n.named() {
			found = append(found, f.settings(k, always)...)
		}
		return found
	case "identifier":
		if d := f.find(n.Text); d != nil && d.kind == "var" {
			return f.settings(d.value, always)
		}
	case "ternary_expression":
		return append(f.settings(fieldOf(n, "consequence"), false), f.settings(fieldOf(n, "alternative"), false)...)
	case "call_expression":
		if fieldOf(n, "function").Text == "concat" {
			for _, k := range fieldOf(n, "arguments").named() {
				found = append(found, f.settings(k, always)...)
			}
			return found
		}
	}
	return []setting{{node: n}}
}

// checkFunctions reports always-ready groups of functions that do not exist.
func (p *project) checkFunctions(f *file) {
	f.tree.walk(func(n *node) bool {
		if name, ok := strings.CutPrefix(literal(n), "function:"); ok && !p.functions[name] {
			p.fault(f, n, "functions", "there is no function %s", name)
		}
		return true
	})
}

// checkWhole reports what the files together lack: the queues that functions wait for, with their poison queues.
func (p *project) checkWhole() {
	made := map[string]bool{}
	for _, f := range p.files {
		for _, r := range f.of("resource") {
			if strings.HasPrefix(r.label, "Microsoft.Storage/storageAccounts/queueServices/queues@") {
				for _, name := range f.strings(r) {
					made[name] = true
				}
			}
		}
	}
	for _, queue := range p.queues {
		for _, name := range []string{queue, queue + "-poison"} {
			if !made[name] {
				p.fault(&file{path: "infra"}, nil, "queues", "nothing creates the queue %s", name)
			}
		}
	}
}

// strings returns the string literals that a declaration uses, directly or through variables.
func (f *file) strings(d *decl) []string {
	var found []string
	seen := map[string]bool{d.name: true}
	var collect func(n *node)
	collect = func(n *node) {
		n.walk(func(k *node) bool {
			if s := literal(k); s != "" {
				found = append(found, s)
			}
			if k.Type == "identifier" && !seen[k.Text] {
				seen[k.Text] = true
				if v := f.find(k.Text); v != nil && v.kind == "var" {
					collect(v.value)
				}
			}
			return true
		})
	}
	collect(d.value)
	return found
}
