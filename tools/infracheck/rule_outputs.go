package main

import (
	"regexp"
	"strings"
)

var (
	// secretCall is a function of a resource that hands out secrets, such as listKeys.
	secretCall = regexp.MustCompile(`\b(list[A-Z]\w*|getSecret)\s*\(`)
	secretName = regexp.MustCompile(`(?i)(connection_?string|instrumentation_?key|primary_?key|secondary_?key|account_?key|shared_?access|sas_?token|password|secret|credential)`)
)

// checkDescriptions reports parameters and outputs that do not say what they are.
func (p *project) checkDescriptions(f *file) {
	if f.isParams() {
		return
	}
	for _, d := range f.decls {
		if d.kind != "param" && d.kind != "output" {
			continue
		}
		call := d.decorators["description"]
		if call == nil || len(call.named()) != 2 || len(call.named()[1].named()) != 1 ||
			strings.TrimSpace(literal(call.named()[1].named()[0])) == "" {
			p.fault(f, d.node, "descriptions", "%s %s has no description", d.kind, d.name)
		}
	}
}

// checkOutputs reports outputs that are or may hold secrets, and every call that fetches one. Outputs stay readable in
// the deployment's history.
func (p *project) checkOutputs(f *file) {
	f.tree.walk(func(n *node) bool {
		if n.Type == "call_expression" && secretCall.MatchString(fieldOf(n, "function").Text+"(") {
			p.fault(f, n, "secrets", "%s fetches a secret; identities need none", fieldOf(n, "function").Text)
		}
		return true
	})
	for _, o := range f.of("output") {
		if secretName.MatchString(o.name) {
			p.fault(f, o.node, "secrets", "output %s is named like a secret", o.name)
		}
		if why := f.secretIn(o.value, map[string]bool{}); why != "" {
			p.fault(f, o.node, "secrets", "output %s holds %s", o.name, why)
		}
		if o.typeText() == "object" {
			p.fault(f, o.node, "secrets", "output %s is a whole object: name what it holds", o.name)
		}
	}
}

// secretIn says what secret an expression uses, through the variables that it names; "" if none.
func (f *file) secretIn(n *node, seen map[string]bool) string {
	why := ""
	n.walk(func(k *node) bool {
		switch {
		case why != "":
		case k.Type == "property_identifier" && secretName.MatchString(k.Text):
			why = k.Text
		case k.Type == "identifier" && !seen[k.Text]:
			seen[k.Text] = true
			d := f.find(k.Text)
			switch {
			case d == nil:
			case d.kind == "param" && d.decorators["secure"] != nil:
				why = "the secure parameter " + d.name
			case d.kind == "var":
				why = f.secretIn(d.value, seen)
			}
		}
		return why == ""
	})
	return why
}
