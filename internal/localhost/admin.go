package localhost

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// isAdmin reports whether a path belongs to the host's own endpoints.
func isAdmin(path string) bool {
	path = strings.ToLower(path)
	return path == "/admin" || strings.HasPrefix(path, "/admin/")
}

// admin serves the host's own endpoints. All but the ping need the master key.
// See https://learn.microsoft.com/azure/azure-functions/functions-manually-run-non-http.
func (s *server) admin(w http.ResponseWriter, r *http.Request) {
	path := strings.Trim(strings.ToLower(strings.TrimPrefix(strings.ToLower(r.URL.Path), "/admin")), "/")
	if path == "host/ping" {
		w.WriteHeader(http.StatusOK)
		return
	}
	if s.enforce && !s.keys.opens(presentedKey(r), levelAdmin, "") {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	name, isFunction := strings.CutPrefix(path, "functions/")
	switch {
	case path == "host/status" && r.Method == http.MethodGet:
		state := "Initializing"
		if s.ready() {
			state = "Running"
		}
		writeJSON(w, http.StatusOK, map[string]any{"id": "localhost", "state": state, "version": hostVersion})
	case path == "functions" && r.Method == http.MethodGet:
		described := make([]any, 0, len(s.functions))
		for _, fn := range s.functions {
			described = append(described, describe(fn))
		}
		writeJSON(w, http.StatusOK, described)
	case isFunction:
		s.adminFunction(name, w, r)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// adminFunction describes a function (GET) or runs one that has no HTTP trigger (POST {"input":"text"}).
func (s *server) adminFunction(name string, w http.ResponseWriter, r *http.Request) {
	i := slices.IndexFunc(s.functions, func(fn *function) bool { return strings.EqualFold(fn.name, name) })
	if i < 0 {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	fn := s.functions[i]
	if r.Method == http.MethodGet {
		writeJSON(w, http.StatusOK, describe(fn))
		return
	}
	var body struct {
		Input string `json:"input"`
	}
	decodeErr := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&body)
	switch {
	case r.Method != http.MethodPost:
		w.WriteHeader(http.StatusNotFound)
	case decodeErr != nil && r.ContentLength != 0:
		http.Error(w, `the body must be {"input":"text"}`, http.StatusBadRequest)
	case fn.route != nil:
		http.Error(w, "call an HTTP function by its route", http.StatusBadRequest)
	case !s.ready():
		http.Error(w, "Function host is not running.", http.StatusServiceUnavailable)
	default:
		s.runManually(fn, body.Input, w)
	}
}

func (s *server) runManually(fn *function, input string, w http.ResponseWriter) {
	inv, err := s.manual(fn, input)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	in := s.next()
	s.startRun(func(ctx context.Context) {
		_, _ = s.invoker.invoke(ctx, in, inv) // logged and counted
	})
	w.WriteHeader(http.StatusAccepted)
}

// describe is the metadata of a function.
func describe(fn *function) map[string]any {
	described := map[string]any{
		"name": fn.name, "isDisabled": fn.disabled, "href": fmt.Sprintf("/admin/functions/%s", fn.name),
		"config": map[string]any{"bindings": append([]binding{fn.trigger}, fn.outputs...)},
	}
	if fn.route != nil {
		described["invoke_url_template"] = "/" + fn.route.template
	}
	return described
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	text, err := compactJSON(value)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the caller may have gone
}
