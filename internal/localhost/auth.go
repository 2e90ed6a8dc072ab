package localhost

import (
	"crypto/rand"
	"crypto/subtle"
	"net/http"
)

// The values of a function's authLevel.
const (
	levelAnonymous = "anonymous"
	levelFunction  = "function"
	levelAdmin     = "admin"
)

// Keys are the access keys of a host. Empty ones are made up at start.
type Keys struct {
	// Master opens everything: functions of level admin and the /admin endpoints.
	Master string
	// Host is the default host key: it opens every function of level function.
	Host string
	// Further are more host keys, which open the same.
	Further []string
	// Functions holds the key of each function, by function name: it opens that function only.
	Functions map[string]string
}

// complete returns a copy in which every key has a value.
func (k Keys) complete(functions []*function) Keys {
	orNew := func(key string) string {
		if key == "" {
			return rand.Text()
		}
		return key
	}
	full := Keys{Master: orNew(k.Master), Host: orNew(k.Host), Further: k.Further, Functions: map[string]string{}}
	for _, fn := range functions {
		full.Functions[fn.name] = orNew(k.Functions[fn.name])
	}
	return full
}

// presentedKey is the key of a request: the header x-functions-key, else the query parameter code.
func presentedKey(r *http.Request) string {
	if key := r.Header.Get("X-Functions-Key"); key != "" {
		return key
	}
	return r.URL.Query().Get("code")
}

// opens reports whether a key satisfies a level of a function.
func (k Keys) opens(key, level, functionName string) bool {
	candidates := []string{k.Master}
	switch level {
	case levelAnonymous:
		return true
	case levelFunction:
		candidates = append(append(candidates, k.Host, k.Functions[functionName]), k.Further...)
	}
	opened := false
	for _, candidate := range candidates {
		same := subtle.ConstantTimeCompare([]byte(key), []byte(candidate)) == 1
		opened = opened || (same && candidate != "")
	}
	return opened
}
