package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// object is a JSON object that keeps the order of its members, so that the connector shows fields in the order of
// openapi.yaml. The nil object is empty and may be read.
type object struct {
	names  []string
	values map[string]any
}

// members makes an object of names and values in turn.
func members(pairs ...any) *object {
	o := &object{}
	for i := 0; i+1 < len(pairs); i += 2 {
		o.set(fmt.Sprint(pairs[i]), pairs[i+1])
	}
	return o
}

func (o *object) set(name string, value any) {
	if o.values == nil {
		o.values = map[string]any{}
	}
	if _, there := o.values[name]; !there {
		o.names = append(o.names, name)
	}
	o.values[name] = value
}

func (o *object) has(name string) bool {
	if o == nil {
		return false
	}
	_, there := o.values[name]
	return there
}

func (o *object) get(name string) any {
	if o == nil {
		return nil
	}
	return o.values[name]
}

// object gives a member that is an object, nil if it is not.
func (o *object) object(name string) *object {
	child, _ := o.get(name).(*object)
	return child
}

func (o *object) list(name string) []any {
	all, _ := o.get(name).([]any)
	return all
}

func (o *object) text(name string) string {
	s, _ := o.get(name).(string)
	return s
}

// all calls f for each member, in order.
func (o *object) all(f func(name string, value any)) {
	if o == nil {
		return
	}
	for _, name := range slices.Clone(o.names) {
		f(name, o.values[name])
	}
}

// MarshalJSON writes the members in their order, and <, > and & as they are.
func (o *object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, name := range o.names {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := plain(name, "")
		if err != nil {
			return nil, fmt.Errorf("encode the name %s: %w", name, err)
		}
		value, err := plain(o.values[name], "")
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", name, err)
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// plain is JSON with a line end and without the escapes for HTML.
func plain(value any, indent string) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", indent)
	err := encoder.Encode(value)
	return b.Bytes(), err
}

// decode gives YAML as objects, lists and scalars.
func decode(node *yaml.Node) (any, error) {
	switch node.Kind {
	case yaml.DocumentNode:
		return decode(node.Content[0])
	case yaml.MappingNode:
		o := &object{}
		for i := 0; i+1 < len(node.Content); i += 2 {
			value, err := decode(node.Content[i+1])
			if err != nil {
				return nil, err
			}
			o.set(node.Content[i].Value, value)
		}
		return o, nil
	case yaml.SequenceNode:
		all := []any{}
		for _, item := range node.Content {
			value, err := decode(item)
			if err != nil {
				return nil, err
			}
			all = append(all, value)
		}
		return all, nil
	case yaml.ScalarNode:
		if node.Tag == "!!timestamp" {
			return node.Value, nil
		}
		var value any
		if err := node.Decode(&value); err != nil {
			return nil, fmt.Errorf("line %d: %w", node.Line, err)
		}
		return value, nil
	default:
		return nil, fmt.Errorf("line %d: YAML aliases are not supported", node.Line)
	}
}
