package localhost

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// cors says which browsers may call. As in Core Tools every method and header is allowed to them.
type cors struct {
	origins     []string
	credentials bool
}

// corsOf returns what the options say or, if they say nothing, the section Host of local.settings.json, which Core Tools
// reads next to host.json: https://learn.microsoft.com/azure/azure-functions/functions-develop-local#local-settings-file
func corsOf(options Options, root string) (cors, error) {
	found := cors{origins: options.CORS}
	if options.CORS == nil {
		var err error
		if found, err = localCORS(filepath.Join(root, "local.settings.json")); err != nil {
			return cors{}, err
		}
	}
	if found.credentials && slices.Contains(found.origins, "*") {
		return cors{}, errors.New("local.settings.json: Host.CORS must name the origins if Host.CORSCredentials is true")
	}
	return found, nil
}

func localCORS(name string) (cors, error) {
	content, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return cors{}, nil
	}
	if err != nil {
		return cors{}, fmt.Errorf("reading local.settings.json: %w", err)
	}
	var settings struct {
		Host struct {
			CORS            string
			CORSCredentials bool
		}
	}
	if err := json.Unmarshal(content, &settings); err != nil {
		return cors{}, fmt.Errorf("reading local.settings.json: %w", err)
	}
	found := cors{credentials: settings.Host.CORSCredentials}
	for origin := range strings.SplitSeq(settings.Host.CORS, ",") {
		if origin = strings.TrimSpace(origin); origin != "" {
			found.origins = append(found.origins, origin)
		}
	}
	return found, nil
}

// answer adds the headers for allowed origins and answers preflight requests, which never reach a handler. It
// reports whether the request has been answered.
func (c cors) answer(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || len(c.origins) == 0 {
		return false
	}
	preflight := r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
	everyone := slices.Contains(c.origins, "*")
	if everyone || slices.ContainsFunc(c.origins, func(o string) bool { return strings.EqualFold(o, origin) }) {
		allowed := origin
		if everyone {
			allowed = "*"
		} else {
			w.Header().Add("Vary", "Origin")
		}
		w.Header().Set("Access-Control-Allow-Origin", allowed)
		if c.credentials {
			w.Header().Set("Access-Control-Allow-Credentials", "true")
		}
		if preflight {
			w.Header().Set("Access-Control-Allow-Methods", r.Header.Get("Access-Control-Request-Method"))
			if headers := r.Header.Get("Access-Control-Request-Headers"); headers != "" {
				w.Header().Set("Access-Control-Allow-Headers", headers)
			}
		}
	}
	if preflight {
		w.WriteHeader(http.StatusNoContent)
	}
	return preflight
}
