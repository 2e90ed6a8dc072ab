package api_test

import (
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
)

// Every member of a job says what it is, and numbers, lists and texts where they begin and end.
func TestEveryMemberOfAJobIsDescribedWithItsRange(t *testing.T) {
	t.Parallel()
	members := 0
	var walk func(path string, ref *openapi3.SchemaRef)
	walk = func(path string, ref *openapi3.SchemaRef) {
		s := ref.Value
		for name, member := range s.Properties {
			members++
			at, m := path+"."+name, member.Value
			if m.Description == "" {
				t.Errorf("%s has no description", at)
			}
			if !ranged(m) {
				t.Errorf("%s has no range", at)
			}
			walk(at, member)
		}
		if s.Items != nil {
			walk(path+"[]", s.Items)
		}
	}
	walk("job", loadSpec(t).doc.Components.Schemas["JobDefinition"])
	require.Greater(t, members, 120)
}

// ranged reports whether a member says which values it takes, as far as that is not for a person to read.
func ranged(m *openapi3.Schema) bool {
	switch {
	case m.Type.Is("integer"), m.Type.Is("number"):
		return m.Min != nil && m.Max != nil
	case m.Type.Is("array"):
		return m.MinItems > 0 && (m.MaxItems != nil || len(m.Items.Value.Enum) > 0)
	case m.Type.Is("boolean"):
		return m.Default != nil || strings.Contains(m.Description, "Absent") || strings.HasPrefix(m.Description, "Whether")
	}
	return true
}
