package main

import (
	"path/filepath"
	"strings"
)

// file is what a Bicep file declares.
type file struct {
	path     string // from the repository's root, with slashes
	tree     *node
	using    string // of a .bicepparam file
	decls    []*decl
	usedFrom map[string]bool // names that expressions of the file use
}

// decl is a parameter, variable, resource, module, output, type or function.
type decl struct {
	kind       string // param, var, resource, module, output, type, func
	name       string
	label      string // path of a module, type@version of a resource
	node       *node
	value      *node // nil without one
	existing   bool
	optional   bool // a condition stands before its body
	decorators map[string]*node
}

// kinds are the declarations by their node's type.
var kinds = map[string]string{
	"parameter_declaration": "param",
	"variable_declaration":  "var",
	"resource_declaration":  "resource",
	"module_declaration":    "module",
	"output_declaration":    "output",
	"type_declaration":      "type",
	"user_defined_function": "func",
}

// readFile turns a syntax tree into declarations.
func readFile(path string, tree *node) *file {
	f := &file{path: path, tree: tree, usedFrom: map[string]bool{}}
	decorators := map[string]*node{}
	for _, n := range tree.named() {
		switch {
		case n.Type == "decorators":
			decorators = readDecorators(n)
			continue
		case n.Type == "using_statement":
			f.using = literal(n.named()[0])
		case kinds[n.Type] != "":
			d := readDecl(n)
			d.decorators = decorators
			if f.isParams() && d.kind == "var" && strings.HasPrefix(n.Text, "var  ") {
				d.kind = "param" // as the parser's script rewrote it
			}
			f.decls = append(f.decls, d)
		}
		decorators = map[string]*node{}
	}
	return f
}

func (f *file) isParams() bool { return filepath.Ext(f.path) == ".bicepparam" }

func readDecorators(n *node) map[string]*node {
	found := map[string]*node{}
	for _, d := range n.named() {
		if call := d.named(); len(call) == 1 && len(call[0].named()) > 0 {
			found[call[0].named()[0].Text] = call[0]
		}
	}
	return found
}

func readDecl(n *node) *decl {
	d := &decl{kind: kinds[n.Type], node: n, existing: n.has("existing")}
	kids := n.named()
	if len(kids) == 0 {
		return d
	}
	d.name = kids[0].Text
	rest := kids[1:]
	switch d.kind {
	case "resource", "module":
		if len(rest) > 0 {
			d.label = literal(rest[0])
		}
	case "param", "output":
		if len(rest) > 0 && rest[0].Type == "type" {
			rest = rest[1:]
		}
		if len(rest) == 0 {
			return d
		}
	}
	if len(rest) > 0 {
		d.value = rest[len(rest)-1]
	}
	return d
}

// typeText returns the type of a parameter or output, as written.
func (d *decl) typeText() string {
	for _, k := range d.node.named() {
		if k.Type == "type" {
			return k.Text
		}
	}
	return ""
}

// body returns the object of a resource or module, out of its loop and condition.
func (d *decl) body() *node {
	n := d.value
	for n != nil {
		switch n.Type {
		case "object":
			return n
		case "if_statement":
			d.optional = true
			n = n.named()[len(n.named())-1]
		case "for_statement":
			n = fieldOf(n, "body")
		default:
			return nil
		}
	}
	return nil
}

func fieldOf(n *node, field string) *node {
	for _, k := range n.Kids {
		if k.Field == field {
			return k
		}
	}
	return nil
}

// literal returns the text of a string without interpolation, else "".
func literal(n *node) string {
	if n == nil || n.Type != "string" {
		return ""
	}
	for _, k := range n.named() {
		if k.Type == "interpolation" {
			return ""
		}
	}
	return strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(n.Text, "'"), "'"), `\'`, "'")
}

// property returns the value at a dotted path of an object, nil if it is not there.
func property(object *node, path string) *node {
	name, rest, more := strings.Cut(path, ".")
	if object == nil || object.Type != "object" {
		return nil
	}
	for _, p := range object.named() {
		kids := p.named()
		if p.Type != "object_property" || len(kids) != 2 || propertyName(kids[0]) != name {
			continue
		}
		if more {
			return property(kids[1], rest)
		}
		return kids[1]
	}
	return nil
}

func propertyName(n *node) string {
	if s := literal(n); s != "" {
		return s
	}
	return n.Text
}

// find returns the declaration of a name, outputs apart.
func (f *file) find(name string) *decl {
	for _, d := range f.decls {
		if d.name == name && d.kind != "output" {
			return d
		}
	}
	return nil
}

// of returns the declarations of one kind.
func (f *file) of(kind string) []*decl {
	var found []*decl
	for _, d := range f.decls {
		if d.kind == kind {
			found = append(found, d)
		}
	}
	return found
}
