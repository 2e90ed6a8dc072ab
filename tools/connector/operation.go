package main

import (
	"slices"
	"strings"
)

const (
	jsonType    = "application/json"
	problemType = "application/problem+json"
	visibility  = "x-ms-visibility"
)

// path lowers the operations of one path. Parameters of the path become those of each operation.
func (c *converter) path(path string, item *object) *object {
	out := &object{}
	item.all(func(name string, value any) {
		child, _ := value.(*object)
		switch {
		case strings.HasPrefix(name, "x-"):
			out.set(name, c.extension(path, value))
		case slices.Contains([]string{"get", "put", "post", "delete", "options", "head", "patch"}, name):
			out.set(name, c.operation(name+" "+path, child, item.list("parameters")))
		case !slices.Contains([]string{"parameters", "summary", "description", "servers"}, name):
			c.fail(path, "no rule for %q in a path", name)
		}
	})
	return out
}

func (c *converter) operation(at string, in *object, shared []any) *object {
	out := &object{}
	in.all(func(name string, value any) {
		child, _ := value.(*object)
		switch {
		case slices.Contains([]string{"operationId", "summary", "description", "tags", "deprecated", "externalDocs"}, name):
			out.set(name, value)
		case strings.HasPrefix(name, "x-"):
			out.set(name, c.extension(at, value))
		case name == "security":
			out.set(name, c.security(at, in.list(name)))
		case name == "responses":
			out.set("produces", c.produces(at, child))
			out.set("parameters", c.parameters(at, in, shared))
			out.set("responses", c.responses(at, child))
		case !slices.Contains([]string{"parameters", "requestBody", "servers", "callbacks"}, name):
			c.fail(at, "no rule for %q in an operation", name)
		}
	})
	return out
}

// parameters joins those of the operation, those of its path that it does not have itself, and the body.
func (c *converter) parameters(at string, in *object, shared []any) []any {
	out := []any{}
	own := map[[2]string]bool{}
	for _, p := range objects(append(slices.Clone(in.list("parameters")), shared...)) {
		p = c.deref(at, p)
		if id := [2]string{p.text("in"), p.text("name")}; !own[id] {
			own[id] = true
			out = append(out, c.parameter(at+" "+p.text("name"), p))
		}
	}
	slices.SortStableFunc(out, func(a, b any) int { return rank(a) - rank(b) })
	if body := c.deref(at, in.object("requestBody")); body != nil {
		out = append(out, c.body(at, body))
	}
	return out
}

// rank puts the parameters of the path first.
func rank(parameter any) int {
	if parameter.(*object).text("in") == "path" {
		return 0
	}
	return 1
}

// parameter writes the schema's members into the parameter, as 2.0 has them there.
func (c *converter) parameter(at string, in *object) *object {
	where := in.text("in")
	if where == "cookie" || in.has("content") {
		c.fail(at, "cookies and parameters with content have no rule")
	}
	out := members("name", in.text("name"), "in", where, "required", in.get("required") == true)
	schema := c.schema(at, in.object("schema"))
	if schema.has("$ref") || schema.has("properties") || !schema.has("type") {
		c.fail(at, "the parameter is neither a scalar nor a list")
	}
	for _, source := range []*object{in, schema} {
		source.all(func(name string, value any) {
			fits := name == "description" || strings.HasPrefix(name, "x-") ||
				source == schema && !slices.Contains([]string{"title", "example", "readOnly", "externalDocs", "xml"}, name)
			if fits && !out.has(name) {
				out.set(name, value)
			}
		})
	}
	if schema.text("type") == "array" && where == "query" && in.get("explode") != false {
		out.set("collectionFormat", "multi")
	}
	entitle(out, in.text("name"))
	return out
}

func (c *converter) body(at string, in *object) *object {
	media := in.object("content").object(jsonType)
	if media == nil {
		c.fail(at, "a body that is not JSON has no rule")
	}
	out := members("name", "body", "in", "body", "required", in.get("required") == true)
	if in.has("description") {
		out.set("description", in.get("description"))
	}
	out.set("schema", c.schema(at+" body", media.object("schema")))
	return out
}

// media is the one type of an answer that the connector reads: JSON if there is JSON, problems included.
func media(answer *object) string {
	content := answer.object("content")
	for _, kind := range []string{jsonType, problemType} {
		if content.has(kind) {
			return kind
		}
	}
	if content != nil {
		return content.names[0]
	}
	return ""
}

func (c *converter) produces(at string, in *object) []any {
	out := []any{}
	in.all(func(_ string, value any) {
		child, _ := value.(*object)
		if kind := media(c.deref(at, child)); kind != "" {
			out = union(out, []any{kind})
		}
	})
	return out
}

// responses leaves out those that are internal: designers show the fields of the lowest 2xx, whichever comes.
func (c *converter) responses(at string, in *object) *object {
	out := &object{}
	in.all(func(code string, value any) {
		child, _ := value.(*object)
		answer := c.deref(at, child)
		if answer.text(visibility) == "internal" {
			return
		}
		lowered := members("description", answer.text("description"))
		switch kind := media(answer); kind {
		case "":
		case jsonType, problemType:
			lowered.set("schema", c.schema(at+" "+code, answer.object("content").object(kind).object("schema")))
		default:
			lowered.set("schema", members("type", "string"))
		}
		if headers := answer.object("headers"); headers != nil {
			lowered.set("headers", c.headers(at+" "+code, headers))
		}
		out.set(code, lowered)
	})
	return out
}

func (c *converter) headers(at string, in *object) *object {
	out := &object{}
	in.all(func(name string, value any) {
		child, _ := value.(*object)
		header := c.deref(at, child)
		lowered := &object{}
		if header.has("description") {
			lowered.set("description", header.get("description"))
		}
		c.schema(at+" "+name, header.object("schema")).all(func(member string, value any) {
			if !slices.Contains([]string{"description", "example", "title"}, member) || member == "description" && !header.has(member) {
				lowered.set(member, value)
			}
		})
		out.set(name, lowered)
	})
	return out
}
