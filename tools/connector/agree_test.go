package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi2conv"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

// Both sides are read by kin-openapi, and compared with all references followed. The rules of the generator are known
// here only as what a comparison has to overlook.
func TestTheConnectorSaysWhatTheDescriptionSays(t *testing.T) {
	t.Parallel()
	loader := openapi3.NewLoader()
	want, err := loader.LoadFromData(readSpec(t))
	require.NoError(t, err)
	got, err := openapi2conv.ToV3(parsed(t))
	require.NoError(t, err)
	require.NoError(t, openapi3.NewLoader().ResolveRefsIn(got, nil))

	require.Equal(t, want.Paths.Len(), got.Paths.Len())
	for path, item := range want.Paths.Map() {
		there := got.Paths.Value(path)
		require.NotNil(t, there, path)
		require.Len(t, there.Operations(), len(item.Operations()), path)
		for method, op := range item.Operations() {
			at := method + " " + path
			require.NotNil(t, there.GetOperation(method), at)
			compareOperation(t, at, operation{item, op}, there.GetOperation(method))
		}
	}
}

type operation struct {
	path *openapi3.PathItem
	*openapi3.Operation
}

func compareOperation(t *testing.T, at string, want operation, got *openapi3.Operation) {
	t.Helper()
	require.Equal(t, want.OperationID, got.OperationID, at)
	require.Equal(t, want.Summary, got.Summary, at)
	require.Equal(t, want.Description, got.Description, at)
	require.Equal(t, want.Extensions[visibility], got.Extensions[visibility], at)

	params := map[string]*openapi3.Parameter{}
	for _, p := range append(slices.Clone(want.path.Parameters), want.Parameters...) {
		params[p.Value.In+" "+p.Value.Name] = p.Value
	}
	require.Len(t, got.Parameters, len(params), at)
	for _, p := range got.Parameters {
		other := params[p.Value.In+" "+p.Value.Name]
		require.NotNil(t, other, "%s %s", at, p.Value.Name)
		require.Equal(t, other.Required, p.Value.Required, "%s %s", at, p.Value.Name)
		require.Equal(t, other.Extensions[visibility], p.Value.Extensions[visibility], "%s %s", at, p.Value.Name)
		compareSchema(t, at+" "+p.Value.Name, other.Schema, p.Value.Schema)
	}

	require.Equal(t, want.RequestBody == nil, got.RequestBody == nil, at)
	if want.RequestBody != nil {
		require.Equal(t, want.RequestBody.Value.Required, got.RequestBody.Value.Required, at)
		compareSchema(t, at+" body", want.RequestBody.Value.Content[jsonType].Schema, got.RequestBody.Value.Content[jsonType].Schema)
	}
	compareResponses(t, at, want.Responses.Map(), got.Responses.Map())
}

func compareResponses(t *testing.T, at string, want, got map[string]*openapi3.ResponseRef) {
	t.Helper()
	hidden := 0
	for code, ref := range want {
		answer, at := ref.Value, at+" "+code
		if answer.Extensions[visibility] == "internal" {
			require.NotContains(t, got, code, at)
			hidden++
			continue
		}
		require.Contains(t, got, code, at)
		there := got[code].Value
		require.Equal(t, answer.Description, there.Description, at)
		require.Len(t, there.Headers, len(answer.Headers), at)
		for name, header := range answer.Headers {
			require.Contains(t, there.Headers, name, at)
			compareSchema(t, at+" "+name, header.Value.Schema, there.Headers[name].Value.Schema)
		}
		require.Equal(t, len(answer.Content) == 0, len(there.Content) == 0, at)
		for _, media := range []string{jsonType, problemType} {
			if answer.Content[media] != nil {
				require.NotEmpty(t, there.Content, at)
				for _, other := range there.Content {
					compareSchema(t, at, answer.Content[media].Schema, other.Schema)
				}
				break
			}
		}
	}
	require.Len(t, got, len(want)-hidden, at)
}

// plainSchema is a schema without its descriptions, with references followed, allOf merged and the first of the alternatives
// taken.
type plainSchema struct {
	Type, Format, Pattern string
	Enum                  []any
	Default               any
	Bounds                string
	Required              []string
	Visibility            any
	Properties            map[string]plainSchema
	Items, Additional     []plainSchema
}

func compareSchema(t *testing.T, at string, want, got *openapi3.SchemaRef) {
	t.Helper()
	if diff := cmp.Diff(flatten(want), flatten(got)); diff != "" {
		t.Errorf("%s: the description (-) and the connector (+) differ:\n%s", at, diff)
	}
}

func flatten(ref *openapi3.SchemaRef) plainSchema {
	s := ref.Value
	if first := slices.Concat(s.OneOf, s.AnyOf); len(first) > 0 && s.Type == nil && s.Properties == nil {
		return flatten(first[0])
	}
	out := plainSchema{Properties: map[string]plainSchema{}, Required: slices.Clone(s.Required), Visibility: s.Extensions[visibility]}
	for _, part := range s.AllOf {
		merged := flatten(part)
		out.Type, out.Format, out.Pattern, out.Enum, out.Bounds = merged.Type, merged.Format, merged.Pattern, merged.Enum, merged.Bounds
		out.Properties = merged.Properties
		out.Required = append(out.Required, merged.Required...)
	}
	if s.Type != nil {
		out.Type = strings.Join(s.Type.Slice(), ",")
	}
	if s.Format != "" {
		out.Format = s.Format
	}
	if s.Pattern != "" {
		out.Pattern = s.Pattern
	}
	if s.Enum != nil {
		out.Enum = s.Enum
	}
	if bounds := boundsOf(s); bounds != "" {
		out.Bounds = bounds
	}
	out.Default = s.Default
	slices.Sort(out.Required)
	for name, p := range s.Properties {
		out.Properties[name] = flatten(p)
	}
	if s.Items != nil {
		out.Items = []plainSchema{flatten(s.Items)}
	}
	if extra := s.AdditionalProperties; extra.Schema != nil {
		out.Additional = []plainSchema{flatten(extra.Schema)}
	} else if extra.Has != nil {
		out.Additional = []plainSchema{{Type: fmt.Sprint(*extra.Has)}}
	}
	return out
}

func boundsOf(s *openapi3.Schema) string {
	var out []string
	add := func(name string, value any, there bool) {
		if there {
			out = append(out, fmt.Sprint(name, value))
		}
	}
	for name, p := range map[string]*float64{"min": s.Min, "max": s.Max} {
		if p != nil {
			add(name, *p, true)
		}
	}
	for name, p := range map[string]*uint64{"maxLength": s.MaxLength, "maxItems": s.MaxItems} {
		if p != nil {
			add(name, *p, true)
		}
	}
	add("minLength", s.MinLength, s.MinLength > 0)
	add("minItems", s.MinItems, s.MinItems > 0)
	add("unique", "", s.UniqueItems)
	slices.Sort(out)
	return strings.Join(out, " ")
}
