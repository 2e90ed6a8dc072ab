package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// keyScheme is the connector's one way to sign in, made of the API key that goes in a header.
const keyScheme = "api_key"

// converter turns one description from OpenAPI 3.0 into 2.0. It collects faults and goes on, so that all are told at once.
type converter struct {
	root   *object
	used   map[string]*object // definitions by name
	key    string             // name of the security scheme that becomes keyScheme
	faults []error
}

// convert gives the description as OpenAPI 2.0 for one host. A construct that has no rule is an error.
func convert(spec []byte, host string) (*object, error) {
	var node yaml.Node
	if err := yaml.Unmarshal(spec, &node); err != nil {
		return nil, fmt.Errorf("parse: %w", err)
	}
	if len(node.Content) == 0 {
		return nil, errors.New("the description is empty")
	}
	value, err := decode(&node)
	if err != nil {
		return nil, fmt.Errorf("parse: %w", err)
	}
	root, ok := value.(*object)
	if !ok || !strings.HasPrefix(root.text("openapi"), "3.0.") {
		return nil, errors.New("this is not OpenAPI 3.0")
	}
	c := &converter{root: root, used: map[string]*object{}}
	out := c.document(host)
	return out, errors.Join(c.faults...)
}

func (c *converter) fail(at, format string, args ...any) {
	c.faults = append(c.faults, fmt.Errorf("%s: %s", at, fmt.Sprintf(format, args...)))
}

// resolve follows a reference within the document.
func (c *converter) resolve(at, ref string) *object {
	path, ok := strings.CutPrefix(ref, "#/")
	found := c.root
	for step := range strings.SplitSeq(path, "/") {
		found = found.object(step)
	}
	if !ok || found == nil {
		c.fail(at, "%s leads nowhere", ref)
	}
	return found
}

// deref gives the object itself or what it refers to.
func (c *converter) deref(at string, in *object) *object {
	if ref := in.text("$ref"); ref != "" {
		return c.resolve(at, ref)
	}
	return in
}

func (c *converter) document(host string) *object {
	info := c.root.object("info")
	about, _, _ := strings.Cut(info.text("description"), "\n\n")
	out := members(
		"swagger", "2.0",
		"info", members("title", info.text("title"), "description", strings.Join(strings.Fields(about), " "), "version", info.text("version")),
		"host", host,
		"basePath", "/",
		"schemes", []any{"https"},
		"consumes", []any{jsonType},
		"produces", []any{jsonType},
	)
	if license := info.object("license"); license != nil {
		out.object("info").set("license", license)
	}
	key := c.keyDefinition()
	paths := &object{}
	c.root.object("paths").all(func(path string, item any) {
		child, _ := item.(*object)
		paths.set(path, c.path(path, child))
	})
	out.set("paths", paths)
	definitions := &object{}
	c.root.object("components").object("schemas").all(func(name string, _ any) {
		if c.used[name] != nil {
			definitions.set(name, c.used[name])
		}
	})
	out.set("definitions", definitions)
	out.set("securityDefinitions", members(keyScheme, key))
	out.set("security", c.security("security", c.root.list("security")))
	if c.root.has("tags") {
		out.set("tags", c.root.get("tags"))
	}
	return out
}

// define has a schema written into the definitions, once, and gives its new address.
func (c *converter) define(name string) string {
	if _, there := c.used[name]; !there {
		c.used[name] = nil // it may refer to itself
		at := schemaPrefix + name
		lowered := c.schema(at, c.flat(at, c.resolve(at, at)))
		entitle(lowered, name)
		c.used[name] = lowered
	}
	return "#/definitions/" + name
}

// keyDefinition finds the API key that goes in a header. A connector has one way to sign in, so the others are left out.
func (c *converter) keyDefinition() *object {
	var out *object
	c.root.object("components").object("securitySchemes").all(func(name string, value any) {
		scheme, _ := value.(*object)
		if out == nil && scheme.text("type") == "apiKey" && scheme.text("in") == "header" {
			c.key, out = name, scheme
		}
	})
	if out == nil {
		c.fail("components.securitySchemes", "no API key in a header")
	}
	return out
}

// security keeps what the connector's key can satisfy.
func (c *converter) security(at string, in []any) []any {
	out := []any{}
	for _, requirement := range objects(in) {
		switch {
		case len(requirement.names) == 0:
			out = append(out, requirement)
		case slices.Equal(requirement.names, []string{c.key}):
			out = append(out, members(keyScheme, []any{}))
		}
	}
	if len(in) > 0 && len(out) == 0 {
		c.fail(at, "the connector's key does not open it")
	}
	return out
}

// extension copies an x- member, with the new addresses of schemas.
func (c *converter) extension(at string, value any) any {
	switch value := value.(type) {
	case *object:
		if schema := value.object("schema"); schema != nil { // x-ms-notification-content
			return members("description", value.text("description"), "schema", c.schema(at, schema))
		}
		out := &object{}
		value.all(func(name string, child any) { out.set(name, c.extension(at, child)) })
		return out
	default:
		return value
	}
}
