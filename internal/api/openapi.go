package api

import (
	"context"
	_ "embed"
	"net/http"
)

//go:embed openapi.yaml
var openAPI []byte

// openAPI serves the description of this API.
func (h *handler) openAPI(context.Context, *request) (*answer, error) {
	return &answer{status: http.StatusOK, kind: yamlType, body: openAPI, tagged: true}, nil
}
