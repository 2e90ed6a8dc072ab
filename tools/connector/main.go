// Package main makes the definition of a custom connector for Logic Apps and Power Automate from
// internal/api/openapi.yaml: apiDefinition.swagger.json (OpenAPI 2.0 with Microsoft's x-ms- members) and
// apiProperties.json, the two files that the portals and paconn import.
//
// It owns the rules by which OpenAPI 3.0 becomes 2.0, one for each construct that 2.0 does not have; they are written
// down in docs/logic-apps.md. It owns no text: titles, visibility and dynamic values stand in openapi.yaml as x-ms-
// members. It does not call Azure, and it cannot know what an import accepts beyond Microsoft's documentation
// (https://learn.microsoft.com/connectors/custom-connectors/openapi-extensions).
//
//	go run ./tools/connector                                              writes connector/
//	go run ./tools/connector -host my-app.azurewebsites.net -out dist/connector
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

// placeholderHost stands in the committed definition; an import has to name the function app's own.
const placeholderHost = "your-function-app.azurewebsites.net"

const (
	definitionFile = "apiDefinition.swagger.json"
	propertiesFile = "apiProperties.json"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "connector:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("connector", flag.ContinueOnError)
	spec := flags.String("spec", "internal/api/openapi.yaml", "the description of the API")
	out := flags.String("out", "connector", "the folder to write to")
	host := flags.String("host", placeholderHost, "host name of the function app")
	if err := flags.Parse(args); err != nil {
		return err
	}
	text, err := os.ReadFile(*spec)
	if err != nil {
		return fmt.Errorf("read the description: %w", err)
	}
	files, err := generate(text, *host)
	if err != nil {
		return fmt.Errorf("convert %s: %w", *spec, err)
	}
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(*out, name), content, 0o644); err != nil {
			return fmt.Errorf("write the connector: %w", err)
		}
	}
	return nil
}

// generate gives the content of each file of the connector.
func generate(spec []byte, host string) (map[string][]byte, error) {
	definition, err := convert(spec, host)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for name, value := range map[string]*object{definitionFile: definition, propertiesFile: properties()} {
		content, err := plain(value, "  ")
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", name, err)
		}
		files[name] = content
	}
	return files, nil
}

// properties is what a connection asks its user for: a host key. The name api_key is the one that the portals expect.
func properties() *object {
	const what = "A host key of the function app: Azure portal, Function App, App keys."
	return members(
		"properties", members(
			"connectionParameters", members(
				"api_key", members(
					"type", "securestring",
					"uiDefinition", members(
						"displayName", "Host key",
						"description", what,
						"tooltip", what,
						"constraints", members("tabIndex", 2, "clearText", false, "required", "true"),
					),
				),
			),
			"iconBrandColor", "#0b6a8f",
			"capabilities", []any{},
			"policyTemplateInstances", []any{},
		),
	)
}
