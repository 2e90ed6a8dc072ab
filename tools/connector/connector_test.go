package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/go-openapi/loads"
	"github.com/go-openapi/strfmt"
	"github.com/go-openapi/validate"
	"github.com/stretchr/testify/require"
)

const (
	specFile  = "../../internal/api/openapi.yaml"
	outFolder = "../../connector"
)

func readSpec(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(specFile)
	require.NoError(t, err)
	return text
}

// definition is the connector as it would be generated now.
func definition(t *testing.T) []byte {
	t.Helper()
	files, err := generate(readSpec(t), placeholderHost)
	require.NoError(t, err)
	return files[definitionFile]
}

func parsed(t *testing.T) *openapi2.T {
	t.Helper()
	var doc openapi2.T
	require.NoError(t, json.Unmarshal(definition(t), &doc))
	return &doc
}

// eachOperation calls f for each operation of the connector.
func eachOperation(doc *openapi2.T, f func(method, path string, op *openapi2.Operation)) {
	for path, item := range doc.Paths {
		for method, op := range item.Operations() {
			f(method, path, op)
		}
	}
}

func TestTheCommittedConnectorIsWhatTheDescriptionGives(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	require.NoError(t, run([]string{"-spec", specFile, "-out", out}))
	for _, name := range []string{definitionFile, propertiesFile} {
		committed, err := os.ReadFile(filepath.Join(outFolder, name))
		require.NoError(t, err)
		generated, err := os.ReadFile(filepath.Join(out, name))
		require.NoError(t, err)
		require.Equal(t, string(generated), string(committed), "run make connector and commit connector/")
	}
}

func TestTheConnectorIsValidSwagger(t *testing.T) {
	t.Parallel()
	doc, err := loads.Analyzed(definition(t), "2.0")
	require.NoError(t, err)
	require.NoError(t, validate.Spec(doc, strfmt.Default))
}

func TestTheHostCanBeChosen(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	require.NoError(t, run([]string{"-spec", specFile, "-out", out, "-host", "fleet.example.net"}))
	text, err := os.ReadFile(filepath.Join(out, definitionFile))
	require.NoError(t, err)
	require.Contains(t, string(text), `"host": "fleet.example.net"`)
}

// What Microsoft asks of titles: https://learn.microsoft.com/connectors/custom-connectors/certification-submission
func TestTitlesFollowTheRulesForConnectors(t *testing.T) {
	t.Parallel()
	doc := parsed(t)
	require.LessOrEqual(t, len(doc.Info.Title), 30)
	require.NotRegexp(t, `(?i)api|connector`, doc.Info.Title)
	require.GreaterOrEqual(t, len(doc.Info.Description), 30)
	require.LessOrEqual(t, len(doc.Info.Description), 500)

	plain := regexp.MustCompile(`^[A-Za-z0-9() ]{1,80}$`)
	ids := map[string]bool{}
	eachOperation(doc, func(method, path string, op *openapi2.Operation) {
		require.Regexp(t, plain, op.Summary, "%s %s", method, path)
		require.NotEmpty(t, op.OperationID, "%s %s", method, path)
		require.False(t, ids[op.OperationID], "%s is there twice", op.OperationID)
		ids[op.OperationID] = true
		for _, p := range op.Parameters {
			if p.In != "body" {
				require.Regexp(t, plain, p.Extensions["x-ms-summary"], "%s of %s", p.Name, op.OperationID)
			}
		}
	})
	walk(t, doc.Definitions, func(at string, s *openapi2.Schema) {
		require.Regexp(t, plain, s.Extensions["x-ms-summary"], at)
	})
}

// walk calls f for each definition and each member that is written where it is used.
func walk(t *testing.T, all map[string]*openapi2.SchemaRef, f func(at string, s *openapi2.Schema)) {
	t.Helper()
	for name, ref := range all {
		if ref.Ref == "" {
			f(name, ref.Value)
			walk(t, ref.Value.Properties, func(at string, s *openapi2.Schema) { f(name+"."+at, s) })
		}
	}
}

func TestHiddenFieldsThatAreRequiredHaveDefaults(t *testing.T) {
	t.Parallel()
	doc := parsed(t)
	eachOperation(doc, func(_, path string, op *openapi2.Operation) {
		for _, p := range op.Parameters {
			if p.Extensions[visibility] == "internal" && p.Required {
				require.NotNil(t, p.Default, "%s of %s", p.Name, path)
			}
			require.Contains(t, []any{nil, "important", "advanced", "internal"}, p.Extensions[visibility], p.Name)
		}
		require.Contains(t, []any{nil, "important", "advanced", "internal"}, op.Extensions[visibility], op.OperationID)
	})
	walk(t, doc.Definitions, func(at string, s *openapi2.Schema) {
		for _, name := range s.Required {
			if p := s.Properties[name]; p != nil && p.Ref == "" && p.Value.Extensions[visibility] == "internal" {
				require.NotNil(t, p.Value.Default, "%s.%s", at, name)
			}
		}
	})
}

// Lists of values come from another operation of the connector, by parameters and members that exist.
func TestDynamicValuesNameWhatExists(t *testing.T) {
	t.Parallel()
	doc, seen := parsed(t), 0
	byID := map[string]*openapi2.Operation{}
	eachOperation(doc, func(_, _ string, op *openapi2.Operation) { byID[op.OperationID] = op })
	eachOperation(doc, func(_, _ string, op *openapi2.Operation) {
		for _, p := range op.Parameters {
			dynamic, ok := p.Extensions["x-ms-dynamic-values"].(map[string]any)
			if !ok {
				continue
			}
			seen++
			source := byID[dynamic["operationId"].(string)]
			require.NotNil(t, source, "%v", dynamic)
			for name, value := range dynamic["parameters"].(map[string]any) {
				require.True(t, takes(source, name), "%s of %s", name, source.OperationID)
				if from, ok := value.(map[string]any); ok {
					require.True(t, takes(op, from["parameter"].(string)), "%v", from)
				}
			}
			page := doc.Definitions[strings.TrimPrefix(source.Responses.Value("200").Schema.Ref, "#/definitions/")].Value
			list := page.Properties[dynamic["value-collection"].(string)]
			require.NotNil(t, list, "%v", dynamic)
			item := doc.Definitions[strings.TrimPrefix(list.Value.Items.Ref, "#/definitions/")].Value
			require.NotNil(t, item.Properties[dynamic["value-path"].(string)], "%v", dynamic)
			require.NotNil(t, item.Properties[dynamic["value-title"].(string)], "%v", dynamic)
		}
	})
	require.NotZero(t, seen)
}

func takes(op *openapi2.Operation, parameter string) bool {
	return slices.ContainsFunc(op.Parameters, func(p *openapi2.Parameter) bool { return p.Name == parameter })
}

// A gateway of the platform decodes a path once; ids that may hold special characters must survive that.
func TestPathParametersWithSpecialCharactersAreEncodedTwice(t *testing.T) {
	t.Parallel()
	eachOperation(parsed(t), func(_, path string, op *openapi2.Operation) {
		for _, p := range op.Parameters {
			if p.In != "path" {
				continue
			}
			plain := regexp.MustCompile(`^\^?\[A-Za-z0-9-\]`).MatchString(p.Pattern)
			require.Equal(t, !plain, p.Extensions["x-ms-url-encoding"] == "double", "%s of %s", p.Name, path)
		}
	})
}

func TestAConnectionAsksForTheKeyThatTheDefinitionSends(t *testing.T) {
	t.Parallel()
	doc := parsed(t)
	key := doc.SecurityDefinitions[keyScheme]
	require.Len(t, doc.SecurityDefinitions, 1)
	require.Equal(t, []string{"apiKey", "header", "x-functions-key"}, []string{key.Type, key.In, key.Name})
	require.Equal(t, openapi2.SecurityRequirements{{keyScheme: {}}}, doc.Security)
	require.Equal(t, []string{"https"}, doc.Schemes)
	require.Regexp(t, `^[a-z0-9.-]+$`, doc.Host)

	var connection struct {
		Properties struct {
			ConnectionParameters map[string]struct {
				Type string `json:"type"`
			} `json:"connectionParameters"`
		} `json:"properties"`
	}
	files, err := generate(readSpec(t), placeholderHost)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(files[propertiesFile], &connection))
	require.Equal(t, "securestring", connection.Properties.ConnectionParameters[keyScheme].Type)
}

// Designers show the fields of the lowest 2xx: for an operation that waits it has to be the job.
func TestTheAnswerOfCreatingIsAJob(t *testing.T) {
	t.Parallel()
	doc := parsed(t)
	create := doc.Paths["/api/jobs"].GetOperation(http.MethodPost)
	require.Nil(t, create.Responses.Value("200"))
	require.Equal(t, "#/definitions/Job", create.Responses.Value("202").Schema.Ref)
}
