package main

import "slices"

// checkModules reports modules that are not there, and parameters and outputs that they do not have.
func (p *project) checkModules(f *file) {
	for _, m := range f.of("module") {
		target := p.target(f, m.label)
		if target == nil || target.isParams() {
			p.fault(f, m.node, "modules", "module %s: there is no file %q", m.name, m.label)
			continue
		}
		given := map[string]*node{}
		if params := property(m.body(), "params"); params != nil {
			for _, kid := range params.named() {
				given[propertyName(kid.named()[0])] = kid
			}
		}
		p.checkParams(f, m.node, target, given)
	}
	if f.isParams() {
		target := p.target(f, f.using)
		if target == nil || target.isParams() {
			p.fault(f, nil, "modules", "using: there is no file %q", f.using)
			return
		}
		given := map[string]*node{}
		for _, d := range f.of("param") {
			given[d.name] = d.node
		}
		p.checkParams(f, nil, target, given)
	}
	p.checkModuleOutputs(f)
}

func (p *project) checkParams(f *file, at *node, target *file, given map[string]*node) {
	for name, n := range given {
		if d := target.find(name); d == nil || d.kind != "param" {
			p.fault(f, n, "modules", "%s has no parameter %s", target.path, name)
		}
	}
	for _, d := range target.of("param") {
		if given[d.name] == nil && d.value == nil {
			p.fault(f, at, "modules", "parameter %s of %s is required", d.name, target.path)
		}
	}
}

// checkModuleOutputs looks at <module>.outputs.<name>, and at <modules>[<index>].outputs.<name>.
func (p *project) checkModuleOutputs(f *file) {
	f.tree.walk(func(n *node) bool {
		if n.Type != "member_expression" {
			return true
		}
		outputs := fieldOf(n, "object")
		if outputs.Type != "member_expression" || fieldOf(outputs, "property").Text != "outputs" {
			return true
		}
		of := fieldOf(outputs, "object")
		if of.Type == "subscript_expression" {
			of = fieldOf(of, "object")
		}
		m := f.find(of.Text)
		if m == nil || m.kind != "module" {
			p.fault(f, n, "modules", "%s is no module", of.Text)
			return true
		}
		name := fieldOf(n, "property").Text
		if target := p.target(f, m.label); target != nil && !target.hasOutput(name) {
			p.fault(f, n, "modules", "%s has no output %s", target.path, name)
		}
		return true
	})
}

func (f *file) hasOutput(name string) bool {
	return slices.ContainsFunc(f.of("output"), func(o *decl) bool { return o.name == name })
}
