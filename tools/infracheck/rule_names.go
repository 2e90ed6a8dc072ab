package main

import "slices"

// builtins are the functions of Bicep that infra/ may call: https://learn.microsoft.com/azure/azure-resource-manager/bicep/bicep-functions
var builtins = []string{
	"any", "array", "base64", "bool", "cidrSubnet", "concat", "contains", "empty", "endsWith", "environment", "first",
	"format", "guid", "int", "items", "join", "json", "last", "length", "loadJsonContent", "loadTextContent", "max", "min",
	"padLeft", "range", "readEnvironmentVariable", "replace", "resourceGroup", "resourceId", "skip", "split", "startsWith",
	"string", "subscription", "subscriptionResourceId", "substring", "take", "tenant", "toLower", "toUpper", "trim", "union",
	"uniqueString", "uri",
}

// decoratorNames are the decorators: https://learn.microsoft.com/azure/azure-resource-manager/bicep/parameters#use-decorators
var decoratorNames = []string{
	"allowed", "batchSize", "description", "discriminator", "export", "maxLength", "maxValue", "metadata", "minLength",
	"minValue", "sealed", "secure",
}

// checkNames reports names that are declared twice, used without a declaration, or declared without use.
func (p *project) checkNames(f *file) {
	seen := map[string]bool{}
	for _, d := range f.decls {
		key := d.name
		if d.kind == "output" {
			key = "output " + d.name
		}
		if seen[key] {
			p.fault(f, d.node, "names", "%s is declared twice", d.name)
		}
		seen[key] = true
		for name, call := range d.decorators {
			if !slices.Contains(decoratorNames, name) {
				p.fault(f, call, "names", "there is no decorator %s", name)
			}
		}
		if d.value != nil {
			p.useNames(f, d.value, nil)
		}
	}
	for _, d := range f.decls {
		if !f.isParams() && (d.kind == "param" || d.kind == "var") && !f.usedFrom[d.name] {
			p.fault(f, d.node, "names", "%s %s is not used", d.kind, d.name)
		}
	}
}

// useNames resolves the names of an expression; local are those of the loops and lambdas around it.
func (p *project) useNames(f *file, n *node, local []string) {
	switch n.Type {
	case "identifier":
		p.useName(f, n, local)
		return
	case "call_expression":
		function := fieldOf(n, "function")
		if function.Type == "identifier" {
			if d := f.find(function.Text); !slices.Contains(builtins, function.Text) && (d == nil || d.kind != "func") {
				p.fault(f, function, "names", "there is no function %s that is known here", function.Text)
			}
			p.useNames(f, fieldOf(n, "arguments"), local)
			return
		}
	case "object_property":
		if kids := n.named(); len(kids) == 2 {
			if kids[0].Type == "string" {
				p.useNames(f, kids[0], local)
			}
			p.useNames(f, kids[1], local)
			return
		}
	case "for_statement":
		p.useLoop(f, n, local)
		return
	case "lambda_expression":
		kids := n.named()
		kids[0].walk(func(k *node) bool {
			if k.Type == "identifier" {
				local = append(slices.Clip(local), k.Text)
			}
			return true
		})
		p.useNames(f, kids[1], local)
		return
	}
	for _, k := range n.named() {
		p.useNames(f, k, local)
	}
}

func (p *project) useName(f *file, n *node, local []string) {
	if slices.Contains(local, n.Text) {
		return
	}
	if f.find(n.Text) == nil {
		p.fault(f, n, "names", "%s is not declared", n.Text)
	}
	f.usedFrom[n.Text] = true
}

// useLoop resolves a loop: what it runs over outside, its body with the loop's own names.
func (p *project) useLoop(f *file, n *node, local []string) {
	inner := slices.Clip(local)
	body := fieldOf(n, "body")
	for _, k := range n.named() {
		switch {
		case k == body:
		case k.Field == "initializer":
			inner = append(inner, k.Text)
		case k.Type == "for_loop_parameters":
			for _, name := range k.named() {
				inner = append(inner, name.Text)
			}
		default:
			p.useNames(f, k, local)
		}
	}
	p.useNames(f, body, inner)
}
