package cli

import (
	"bytes"
	"encoding/json"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// yamlJSON gives a YAML document as JSON, its members in their order. Times and days stay the text that they are.
func yamlJSON(text []byte) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) != 1 {
		return nil, fmt.Errorf("it is empty")
	}
	var b bytes.Buffer
	err := writeYAML(&b, doc.Content[0])
	return b.Bytes(), err
}

func writeYAML(b *bytes.Buffer, n *yaml.Node) error {
	switch n.Kind {
	case yaml.MappingNode:
		return writeItems(b, "{}", n.Content, func(i int, item *yaml.Node) string {
			if i%2 == 1 {
				return ":"
			}
			if item.Kind == yaml.ScalarNode {
				item.Tag = "!!str" // a name such as 1 or true
			}
			return ","
		})
	case yaml.SequenceNode:
		return writeItems(b, "[]", n.Content, func(int, *yaml.Node) string { return "," })
	case yaml.ScalarNode:
		return writeScalar(b, n)
	}
	return fmt.Errorf("line %d: aliases are not taken", n.Line)
}

func writeItems(b *bytes.Buffer, around string, items []*yaml.Node, before func(int, *yaml.Node) string) error {
	b.WriteByte(around[0])
	for i, item := range items {
		if separator := before(i, item); i > 0 {
			b.WriteString(separator)
		}
		if err := writeYAML(b, item); err != nil {
			return err
		}
	}
	b.WriteByte(around[1])
	return nil
}

func writeScalar(b *bytes.Buffer, n *yaml.Node) error {
	var value any = n.Value
	switch n.ShortTag() {
	case "!!null", "!!bool", "!!int", "!!float":
		if err := n.Decode(&value); err != nil {
			return err
		}
	}
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	b.Write(text)
	return nil
}
