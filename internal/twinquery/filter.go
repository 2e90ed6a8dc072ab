package twinquery

import (
	"encoding/json"
	"strings"
)

// ParsePath parses the path of a tag or of a desired or reported property, such as tags.site. Every error is a *[SyntaxError].
func ParsePath(text string) (*Path, error) {
	if err := tooLong(text, MaxLength); err != nil {
		return nil, err
	}
	p := newParser(text)
	path, err := p.path()
	if err != nil {
		return nil, err
	}
	if t := p.peek(); t.kind != tokEnd {
		return nil, p.fail(t, "the end of the path", "")
	}
	p.resolvePaths(Devices)
	tag := len(path.Key) > 1 && path.Key[0] == "tags"
	property := len(path.Key) > 2 && path.Key[0] == "properties" && (path.Key[1] == "desired" || path.Key[1] == "reported")
	if !tag && !property {
		first := token{kind: tokName, pos: path.pos, text: path.String()}
		return nil, p.fail(first, "a path below tags, properties.desired or properties.reported", "")
	}
	return path, nil
}

// Is returns the condition that the path has a value, a JSON string, number or boolean; false for any other JSON, which conditions
// cannot compare with.
func (x *Path) Is(value json.RawMessage) (string, bool) {
	var v any
	if err := json.Unmarshal(value, &v); err != nil {
		return "", false
	}
	var p printer
	x.print(&p)
	p.WriteString(" = ")
	switch v := v.(type) {
	case string:
		p.quote(v)
	case float64, bool:
		p.WriteString(strings.TrimSpace(string(value)))
	default:
		return "", false
	}
	return p.String(), true
}

// Missing returns the condition that the path has no value.
func (x *Path) Missing() string { return "NOT IS_DEFINED(" + x.String() + ")" }

// OneOf returns the condition that a device has one of the given ids.
func OneOf(deviceIDs []string) string {
	var p printer
	p.WriteString("deviceId IN [")
	for i, id := range deviceIDs {
		if i > 0 {
			p.WriteString(", ")
		}
		p.quote(id)
	}
	p.WriteString("]")
	return p.String()
}

// And returns the condition narrowed by another, which must name no source of its own; "" and "*" change nothing. Every error is a
// *[SyntaxError]: the text of other, or that both are too long together.
func (c *Condition) And(other string) (*Condition, error) {
	o, err := ParseCondition(other)
	if err != nil || o.Expr == nil {
		return c, err
	}
	text := "(" + o.text + ")"
	if c.Expr != nil {
		text = "(" + c.text + ") AND " + text
	}
	if c.Source != Devices {
		text = "FROM " + c.Source.String() + " WHERE " + text
	}
	return ParseCondition(text)
}
