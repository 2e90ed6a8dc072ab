package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	jsonType    = "application/json"
	problemType = "application/problem+json"
	csvType     = "text/csv; charset=utf-8; header=present"
	yamlType    = "application/yaml"
)

// answer is an answer before it is written.
type answer struct {
	status int
	kind   string // Content-Type
	body   []byte
	header http.Header
	// tagged answers carry an ETag over their body and may be kept by the caller, who asks with it whether they still hold.
	tagged bool
}

func jsonAnswer(status int, v any) (*answer, error) {
	body, err := encode(v)
	if err != nil {
		return nil, err
	}
	return &answer{status: status, kind: jsonType, body: body, header: http.Header{}}, nil
}

// taggedJSON is a 200 that supports If-None-Match.
func taggedJSON(v any) (*answer, error) {
	a, err := jsonAnswer(http.StatusOK, v)
	if err == nil {
		a.tagged = true
	}
	return a, err
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding an answer: %w", err)
	}
	return b.Bytes(), nil
}

// write sends a. The only error is a caller who has gone, which is none of ours.
func (h *handler) write(w http.ResponseWriter, r *http.Request, a *answer) {
	head := w.Header()
	maps.Copy(head, a.header)
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Referrer-Policy", "no-referrer") // the address may hold a key
	head.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	head.Set("Cache-Control", "no-store")
	if h.version != "" && !anonymous(r) {
		head.Set("X-Fleetjobs-Version", h.version)
	}
	if a.tagged {
		tag := etag(a.body)
		head.Set("ETag", tag)
		head.Set("Cache-Control", "private, no-cache")
		if noneMatch(r.Header.Values("If-None-Match"), tag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	if a.status != http.StatusNoContent {
		head.Set("Content-Type", a.kind)
		head.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	w.WriteHeader(a.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(a.body)
	}
}

// etag is a strong validator: equal exactly for equal bodies.
func etag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:15]) + `"`
}

// noneMatch reports whether an If-None-Match names tag, under the weak comparison that RFC 9110, 13.1.2, asks for.
func noneMatch(values []string, tag string) bool {
	for _, value := range values {
		for one := range strings.SplitSeq(value, ",") {
			one = strings.TrimSpace(one)
			if one == "*" || strings.TrimPrefix(one, "W/") == tag {
				return true
			}
		}
	}
	return false
}

// link gives an absolute address of ours that opens with the key that the caller used.
func (h *handler) link(r *request, path string, query url.Values) string {
	if query == nil {
		query = url.Values{}
	}
	if r.query.code != "" {
		query.Set("code", r.query.code)
	}
	if len(query) == 0 {
		return h.publicURL + path
	}
	return h.publicURL + path + "?" + query.Encode()
}

// linkNext adds where the next page is, for clients that do not read the body's continuationToken.
func (h *handler) linkNext(a *answer, r *request, token string) {
	if token == "" {
		return
	}
	query := url.Values{}
	for name, value := range r.query.values {
		query.Set(name, value)
	}
	query.Set("continuationToken", token)
	a.header.Set("Link", "<"+h.link(r, r.URL.EscapedPath(), query)+`>; rel="next"`)
	a.header.Set("X-Continuation-Token", token)
}

func retryAfter(a http.Header, d time.Duration) {
	a.Set("Retry-After", strconv.Itoa(max(1, int((d+time.Second-1)/time.Second))))
}
