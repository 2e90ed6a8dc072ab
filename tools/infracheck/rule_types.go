package main

import (
	"regexp"
	"strings"
)

var (
	guidPattern    = regexp.MustCompile(`(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	versionPattern = regexp.MustCompile(`@\d{4}-\d{2}-\d{2}$`)
)

// checkTypes reports resource types and API versions that known-types.json does not list.
func (p *project) checkTypes(f *file) {
	for _, r := range f.of("resource") {
		if p.known.Types[r.label] == "" {
			p.fault(f, r.node, "types", "%s is not in %s", r.label, knownFile)
		}
		if parent := property(r.body(), "parent"); parent == nil && strings.Count(r.label, "/") > 1 {
			p.fault(f, r.node, "types", "resource %s is a child: give it a parent", r.name)
		}
	}
}

// checkRoles reports role ids that known-types.json does not list, and assignments that reach beyond one resource.
func (p *project) checkRoles(f *file) {
	f.tree.walk(func(n *node) bool {
		if n.Type != "string" {
			return true
		}
		for _, id := range guidPattern.FindAllString(n.Text, -1) {
			if p.roleName(id) == "" {
				p.fault(f, n, "roles", "%s is not the id of a role in %s", id, knownFile)
			}
		}
		return true
	})
	for _, d := range f.of("var") {
		if id := literal(d.value); strings.HasSuffix(d.name, "RoleId") && id != "" {
			p.checkRoleVar(f, d, id)
		}
	}
	for _, r := range f.of("resource") {
		if strings.HasPrefix(r.label, "Microsoft.Authorization/roleAssignments@") {
			p.checkAssignment(f, r)
		}
	}
}

// checkRoleVar compares a variable's name with the name of the role that it holds: metricsPublisherRoleId must end as
// "Monitoring Metrics Publisher" does.
func (p *project) checkRoleVar(f *file, d *decl, id string) {
	want := strings.ToLower(strings.ReplaceAll(p.roleName(id), " ", ""))
	if want != "" && !strings.HasSuffix(want, strings.ToLower(strings.TrimSuffix(d.name, "RoleId"))) {
		p.fault(f, d.node, "roles", "%s holds the id of %q", d.name, p.roleName(id))
	}
}

func (p *project) checkAssignment(f *file, r *decl) {
	scope := property(r.body(), "scope")
	if scope == nil || scope.Type != "identifier" {
		p.fault(f, r.node, "roles", "assignment %s reaches beyond one resource: give it a resource as scope", r.name)
	}
	role := property(r.body(), "properties.roleDefinitionId")
	if role == nil || !strings.HasPrefix(role.Text, "subscriptionResourceId('Microsoft.Authorization/roleDefinitions', ") {
		p.fault(f, r.node, "roles", "assignment %s: roleDefinitionId must be made by subscriptionResourceId", r.name)
	}
	if t := literal(property(r.body(), "properties.principalType")); t != "ServicePrincipal" {
		p.fault(f, r.node, "roles", "assignment %s: principalType must be ServicePrincipal, so that a new identity is accepted", r.name)
	}
}

func (p *project) roleName(id string) string {
	for name, role := range p.known.Roles {
		if strings.EqualFold(role.ID, id) {
			return name
		}
	}
	return ""
}

// checkKnown reports entries of known-types.json without a source, with a malformed key, or without use.
func (p *project) checkKnown() {
	list := &file{path: knownFile}
	var text strings.Builder
	for _, f := range p.sorted() {
		text.WriteString(f.tree.Text)
	}
	for name, source := range p.known.Types {
		_, version, _ := strings.Cut(name, "@")
		switch {
		case !versionPattern.MatchString(name):
			p.fault(list, nil, "types", "%s has no stable API version", name)
		case !strings.HasPrefix(source, "https://") || !strings.Contains(source, "/"+version+"/"):
			p.fault(list, nil, "types", "%s: the source does not name its API version", name)
		case !strings.Contains(text.String(), "'"+name+"'"):
			p.fault(list, nil, "types", "%s is not used", name)
		}
	}
	for name, role := range p.known.Roles {
		switch {
		case !guidPattern.MatchString(role.ID) || !strings.HasPrefix(role.Source, "https://"):
			p.fault(list, nil, "roles", "%s needs an id and a source", name)
		case !strings.Contains(text.String(), "'"+role.ID+"'"):
			p.fault(list, nil, "roles", "%s is not used", name)
		}
	}
}
