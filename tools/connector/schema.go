package main

import (
	"slices"
	"strings"
	"unicode"
)

// kept are the members of a schema that OpenAPI 2.0 has too, in the meaning of 3.0.3.
var kept = []string{
	"title", "description", "type", "format", "default", "example", "enum", "required", "readOnly", "pattern",
	"multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "maxLength", "minLength", "maxItems", "minItems",
	"uniqueItems", "maxProperties", "minProperties", "externalDocs", "xml",
}

// dropped are those that 2.0 does not have and that only narrow what fits.
var dropped = []string{"not", "writeOnly", "deprecated", "discriminator"}

const schemaPrefix = "#/components/schemas/"

// schema lowers one schema. A reference to an object stays one, to a definition; anything else that is referred to is
// written where it is used, since a reference can carry no title of its own.
func (c *converter) schema(at string, in *object) *object {
	if in == nil {
		c.fail(at, "no schema")
		return &object{}
	}
	if ref := in.text("$ref"); ref != "" {
		target := c.resolve(at, ref)
		if name, ok := strings.CutPrefix(ref, schemaPrefix); ok && isObject(c.flat(at, target)) {
			return members("$ref", c.define(name))
		}
		return c.schema(at, target)
	}
	if alternatives := c.alternatives(in); len(alternatives) > 0 && len(in.names) == 1 {
		return c.schema(at, alternatives[0])
	}
	out := &object{}
	c.flat(at, in).all(func(name string, value any) {
		child, _ := value.(*object)
		switch {
		case slices.Contains(kept, name):
			out.set(name, value)
		case slices.Contains(dropped, name):
		case strings.HasPrefix(name, "x-"):
			out.set(name, c.extension(at, value))
		case name == "nullable":
			if value == true {
				out.set("x-nullable", true)
			}
		case name == "items":
			out.set(name, c.schema(at+".items", child))
		case name == "additionalProperties":
			if child != nil {
				value = c.schema(at+".additionalProperties", child)
			}
			out.set(name, value)
		case name == "properties":
			out.set(name, c.properties(at, child))
		default:
			c.fail(at, "no rule for %q in a schema", name)
		}
	})
	return out
}

func (c *converter) properties(at string, in *object) *object {
	out := &object{}
	in.all(func(name string, value any) {
		child, _ := value.(*object)
		lowered := c.schema(at+"."+name, child)
		if !lowered.has("$ref") {
			entitle(lowered, name)
		}
		out.set(name, lowered)
	})
	return out
}

// flat writes allOf, and the first of the alternatives if nothing else says what the schema is, into the schema itself.
// Members of the schema win over those of its parts.
func (c *converter) flat(at string, in *object) *object {
	out := &object{}
	parts := objects(in.list("allOf"))
	if alternatives := c.alternatives(in); len(alternatives) > 0 && !in.has("type") && !in.has("properties") {
		parts = append(parts, alternatives[0])
	}
	in.all(func(name string, value any) {
		if name != "allOf" && name != "oneOf" && name != "anyOf" {
			out.set(name, value)
		}
	})
	for _, part := range parts {
		if ref := part.text("$ref"); ref != "" {
			part = c.resolve(at, ref)
		}
		c.flat(at, part).all(func(name string, value any) {
			switch {
			case name == "properties" && out.has(name):
				merged := members()
				out.object(name).all(merged.set)
				value.(*object).all(merged.set)
				out.set(name, merged)
			case name == "required" && out.has(name):
				out.set(name, union(out.list(name), value.([]any)))
			case !out.has(name):
				out.set(name, value)
			}
		})
	}
	return out
}

func (c *converter) alternatives(in *object) []*object {
	return append(objects(in.list("oneOf")), objects(in.list("anyOf"))...)
}

func isObject(flat *object) bool { return flat.text("type") == "object" || flat.has("properties") }

func objects(in []any) []*object {
	var out []*object
	for _, item := range in {
		if o, ok := item.(*object); ok {
			out = append(out, o)
		}
	}
	return out
}

func union(a, b []any) []any {
	out := slices.Clone(a)
	for _, item := range b {
		if !slices.Contains(out, item) {
			out = append(out, item)
		}
	}
	return out
}

// entitle gives a field the title that designers show, made of its name, unless it has one.
func entitle(field *object, name string) {
	if !field.has("x-ms-summary") {
		field.set("x-ms-summary", title(name))
	}
}

// title makes "Query Condition" of queryCondition, "Job ID" of jobId and "If None Match" of If-None-Match.
func title(name string) string {
	var words []string
	start := 0
	runes := []rune(name)
	for i := 1; i <= len(runes); i++ {
		if i < len(runes) && (!unicode.IsUpper(runes[i]) || unicode.IsUpper(runes[i-1])) && !strings.ContainsRune("-_", runes[i]) {
			continue
		}
		word := strings.Trim(string(runes[start:i]), "-_")
		start = i
		switch strings.ToLower(word) {
		case "":
			continue
		case "id", "url", "csv":
			word = strings.ToUpper(word)
		case "ids":
			word = "IDs"
		default:
			first := []rune(word)
			first[0] = unicode.ToUpper(first[0])
			word = string(first)
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}
