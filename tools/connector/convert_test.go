package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// small is a description with one operation, whose body and answer are the schema Thing.
func small(thing string) string {
	return `openapi: 3.0.3
info: {title: small, version: "1", description: A small description.}
security: [{key: []}, {other: []}]
paths:
  /things/{name}:
    parameters:
      - {name: name, in: path, required: true, schema: {$ref: '#/components/schemas/Name'}}
      - {name: shared, in: query, schema: {type: array, items: {type: string}}}
    put:
      operationId: putThing
      parameters:
        - {name: shared, in: query, description: Of the operation., schema: {type: boolean}}
      requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/Thing'}}}}
      callbacks: {done: {}}
      responses:
        '200': {$ref: '#/components/responses/Thing'}
        '202': {description: Hidden., x-ms-visibility: internal}
        '206': {description: Text., content: {text/csv: {schema: {type: object}}}}
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: x-key}
    other: {type: apiKey, in: query, name: code}
  responses:
    Thing:
      description: The thing.
      headers: {ETag: {required: true, schema: {type: string, example: '"1"'}}}
      content: {application/json: {schema: {$ref: '#/components/schemas/Thing'}}, text/csv: {schema: {type: string}}}
  schemas:
    Name: {type: string, minLength: 1, description: A name., example: one}
    Other: {type: object, required: [b], properties: {b: {type: integer}}}
    Thing:
` + indent(thing)
}

func indent(text string) string {
	return "      " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n      ") + "\n"
}

func lower(t *testing.T, thing string) map[string]any {
	t.Helper()
	doc, err := convert([]byte(small(thing)), "host")
	require.NoError(t, err)
	text, err := json.Marshal(doc)
	require.NoError(t, err)
	var out map[string]any
	require.NoError(t, json.Unmarshal(text, &out))
	return out
}

// Each construct that OpenAPI 2.0 does not have, and what becomes of it: the table of docs/logic-apps.md.
func TestEachConstructHasOneRule(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ thing, want string }{
		"nullable is told by x-nullable": {
			`{type: object, properties: {a: {type: string, nullable: true}}}`,
			`{"a": {"type": "string", "x-nullable": true, "x-ms-summary": "A"}}`,
		},
		"any value has no type": {
			`{type: object, properties: {a: {description: Anything.}}}`,
			`{"a": {"description": "Anything.", "x-ms-summary": "A"}}`,
		},
		"the first of oneOf stands for all": {
			`{type: object, properties: {a: {oneOf: [{$ref: '#/components/schemas/Other'}, {type: string}]}}}`,
			`{"a": {"$ref": "#/definitions/Other"}}`,
		},
		"the first of anyOf, with the description of all": {
			`{type: object, properties: {a: {description: Both., anyOf: [{type: string}, {type: integer}]}}}`,
			`{"a": {"description": "Both.", "type": "string", "x-ms-summary": "A"}}`,
		},
		"oneOf beside properties is a constraint, and goes": {
			`{type: object, properties: {a: {type: string}}, oneOf: [{required: [a]}, {required: [b]}]}`,
			`{"a": {"type": "string", "x-ms-summary": "A"}}`,
		},
		"allOf is merged, the outer one wins": {
			`{type: object, properties: {a: {description: Mine., allOf: [{$ref: '#/components/schemas/Name'}]}}}`,
			`{"a": {"type": "string", "minLength": 1, "description": "Mine.", "example": "one", "x-ms-summary": "A"}}`,
		},
		"allOf of objects has the properties of all": {
			`{allOf: [{$ref: '#/components/schemas/Other'}], type: object, properties: {a: {type: string}}}`,
			`{"a": {"type": "string", "x-ms-summary": "A"}, "b": {"type": "integer", "x-ms-summary": "B"}}`,
		},
		"a scalar that is referred to is written in place, an object is not": {
			`{type: object, properties: {o: {$ref: '#/components/schemas/Other'}, s: {$ref: '#/components/schemas/Name'}}}`,
			`{"o": {"$ref": "#/definitions/Other"},
			  "s": {"type": "string", "minLength": 1, "description": "A name.", "example": "one", "x-ms-summary": "S"}}`,
		},
		"a title in the description wins over one made of the name": {
			`{type: object, properties: {a: {type: string, x-ms-summary: The First}}}`,
			`{"a": {"type": "string", "x-ms-summary": "The First"}}`,
		},
		"what only narrows and is not in 2.0 goes": {
			`{type: object, properties: {a: {type: string, deprecated: true, writeOnly: true, not: {enum: [x]}}}}`,
			`{"a": {"type": "string", "x-ms-summary": "A"}}`,
		},
		"a schema may refer to itself": {
			`{type: object, properties: {a: {type: array, items: {$ref: '#/components/schemas/Thing'}}}}`,
			`{"a": {"type": "array", "items": {"$ref": "#/definitions/Thing"}, "x-ms-summary": "A"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			definitions := lower(t, c.thing)["definitions"].(map[string]any)
			got, err := json.Marshal(definitions["Thing"].(map[string]any)["properties"])
			require.NoError(t, err)
			require.JSONEq(t, c.want, string(got))
		})
	}
}

func TestAnOperationIsLowered(t *testing.T) {
	t.Parallel()
	doc := lower(t, `{type: object}`)
	got, err := json.Marshal(doc["paths"])
	require.NoError(t, err)
	require.JSONEq(t, `{"/things/{name}": {"put": {
		"operationId": "putThing",
		"produces": ["application/json", "text/csv"],
		"parameters": [
			{"name": "name", "in": "path", "required": true, "type": "string", "minLength": 1, "description": "A name.", "x-ms-summary": "Name"},
			{"name": "shared", "in": "query", "required": false, "type": "boolean", "description": "Of the operation.", "x-ms-summary": "Shared"},
			{"name": "body", "in": "body", "required": false, "schema": {"$ref": "#/definitions/Thing"}}
		],
		"responses": {
			"200": {"description": "The thing.", "schema": {"$ref": "#/definitions/Thing"}, "headers": {"ETag": {"type": "string"}}},
			"206": {"description": "Text.", "schema": {"type": "string"}}
		}}}}`, string(got))
	require.Equal(t, []any{map[string]any{keyScheme: []any{}}}, doc["security"])
	require.Equal(t, map[string]any{keyScheme: map[string]any{"type": "apiKey", "in": "header", "name": "x-key"}}, doc["securityDefinitions"])
}

func TestWhatHasNoRuleIsAnError(t *testing.T) {
	t.Parallel()
	for part, c := range map[string]struct{ from, to string }{
		`no rule for "contains" in a schema`:        {"minLength: 1", "contains: {}"},
		`no rule for "trace" in a path`:             {"    put:", "    trace:"},
		"cookies and parameters with content":       {"name: shared, in: query, description", "name: shared, in: cookie, description"},
		"a body that is not JSON has no rule":       {"requestBody: {content: {application/json", "requestBody: {content: {text/plain"},
		"#/components/schemas/Gone leads nowhere":   {"schema: {$ref: '#/components/schemas/Name'}", "schema: {$ref: '#/components/schemas/Gone'}"},
		"no API key in a header":                    {"key: {type: apiKey, in: header", "key: {type: apiKey, in: query"},
		"the connector's key does not open it":      {"security: [{key: []}, {other: []}]", "security: [{other: []}]"},
		"this is not OpenAPI 3.0":                   {"openapi: 3.0.3", "openapi: 3.1.0"},
		"the parameter is neither a scalar nor":     {"schema: {type: boolean}", "schema: {type: object, properties: {a: {type: string}}}"},
		"YAML aliases are not supported":            {"schema: {type: boolean}", "schema: &a {type: boolean, x-other: *a}"},
		"components/schemas/Name leads nowhere":     {"    Name: {", "    Nome: {"},
		"#/components/responses/Thing leads nowher": {"  responses:\n    Thing:", "  responses:\n    Ding:"},
	} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			text := small(`{type: object}`)
			require.Contains(t, text, c.from)
			_, err := convert([]byte(strings.Replace(text, c.from, c.to, 1)), "host")
			require.ErrorContains(t, err, part)
		})
	}
}

func TestTitlesAreMadeOfNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"jobId": "Job ID", "deviceIds": "Device IDs", "queryCondition": "Query Condition", "status": "Status",
		"If-None-Match": "If None Match", "callbackUrl": "Callback URL", "JobPage": "Job Page", "oldest_message": "Oldest Message",
		"ETag": "ETag", "URL": "URL",
	} {
		require.Equal(t, want, title(name), name)
	}
}

// A callback that a designer fills in, and what it will be called with: the pieces of a webhook trigger.
func TestTheMembersOfAWebhookAreCopied(t *testing.T) {
	t.Parallel()
	text := strings.Replace(small(`{type: object, properties: {url: {type: string, x-ms-notification-url: true}}}`), "    put:",
		"    x-ms-notification-content: {description: It is done., schema: {$ref: '#/components/schemas/Other'}}\n    put:", 1)
	doc, err := convert([]byte(text), "host")
	require.NoError(t, err)
	got, err := json.Marshal(doc.object("paths").object("/things/{name}").get("x-ms-notification-content"))
	require.NoError(t, err)
	require.JSONEq(t, `{"description": "It is done.", "schema": {"$ref": "#/definitions/Other"}}`, string(got))
	url := doc.object("definitions").object("Thing").object("properties").object("url")
	require.Equal(t, true, url.get("x-ms-notification-url"))
}
