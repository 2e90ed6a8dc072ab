package localhost

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
)

// call is a routed HTTP request.
type call struct {
	fn     *function
	params map[string]string
}

// envelope serves an HTTP function that is neither forwarded nor proxied: the request travels as JSON, and the
// answer is the http output binding. Every failure is a 500 without a body.
func (s *server) envelope(workCtx context.Context, in *instance, c call, w http.ResponseWriter, r *http.Request) {
	inv, err := s.httpInvocation(c, r)
	if err != nil {
		s.invoker.log.Error("reading request", "function", c.fn.name, "error", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	result, err := s.invoker.invoke(workCtx, in, inv)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	response, err := readHTTPOutput(result.output(*c.fn.httpOutput(), c.fn.outputs))
	if err != nil {
		s.invoker.log.Error("binding the http output", "function", c.fn.name, "error", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	for name, value := range response.headers {
		w.Header().Set(name, value)
	}
	if w.Header().Get("Content-Type") == "" && response.body != "" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	w.WriteHeader(response.status)
	_, _ = io.WriteString(w, response.body) // the caller may have gone
}

// httpInvocation is the envelope of an HTTP request.
func (s *server) httpInvocation(c call, r *http.Request) (*invocation, error) {
	inv := newInvocation(c.fn, s.invoker.now())
	query, headers := map[string]string{}, map[string][]string{}
	for _, p := range joinedQuery(r.URL.RawQuery) {
		query[p.name] = p.value
	}
	maps.Copy(headers, r.Header)
	headers["Host"] = []string{r.Host}
	request := map[string]any{
		"Url": "http://" + r.Host + r.URL.RequestURI(), "Method": r.Method,
		"Query": query, "Headers": headers, "Params": c.params, "Identities": []any{},
	}
	inv.data[c.fn.trigger.Name] = request
	inv.metadata.set("Query", query)
	inv.metadata.set("Headers", headers)
	for name, value := range c.params {
		if err := inv.metadata.setDoubled(name, value); err != nil {
			return nil, err
		}
	}
	if r.ContentLength <= 0 {
		return inv, nil
	}
	content, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("reading body: %w", err)
	}
	mediaType := strings.ToLower(r.Header.Get("Content-Type"))
	if strings.HasPrefix(mediaType, "application/octet-stream") || strings.HasPrefix(mediaType, "multipart/") {
		request["Body"] = base64.StdEncoding.EncodeToString(content)
		return inv, nil
	}
	request["Body"] = string(content)
	return inv, inv.metadata.merge(string(content))
}

// httpOutput is the value of an http output binding, ready to send.
type httpOutput struct {
	status  int
	headers map[string]string
	body    string
}

// readHTTPOutput reads {"statusCode","headers","body"}; no output at all is an empty 200.
func readHTTPOutput(value json.RawMessage) (httpOutput, error) {
	output := httpOutput{status: http.StatusOK, headers: map[string]string{}}
	if len(value) == 0 || string(value) == "null" {
		return output, nil
	}
	var shape struct {
		StatusCode any                        `json:"statusCode"`
		Status     any                        `json:"status"`
		Headers    map[string]json.RawMessage `json:"headers"`
		Body       json.RawMessage            `json:"body"`
	}
	if err := json.Unmarshal(value, &shape); err != nil {
		return output, fmt.Errorf("reading http output: %w", err)
	}
	status := shape.StatusCode
	if status == nil {
		status = shape.Status
	}
	if status != nil {
		code, err := strconv.Atoi(fmt.Sprint(status))
		if err != nil || code < 200 || code > 999 {
			return output, fmt.Errorf("http output: %v is not a status code", status)
		}
		output.status = code
	}
	for name, raw := range shape.Headers {
		text, err := plainText(raw)
		if err != nil {
			return output, err
		}
		output.headers[name] = text
	}
	body, err := plainText(shape.Body)
	output.body = body
	return output, err
}

// plainText is a string as it is, and any other JSON value as indented JSON.
func plainText(value json.RawMessage) (string, error) {
	value = bytes.TrimSpace(value)
	if len(value) == 0 || string(value) == "null" {
		return "", nil
	}
	if value[0] != '"' {
		return itemText(value)
	}
	var text string
	if err := json.Unmarshal(value, &text); err != nil {
		return "", fmt.Errorf("reading http output: %w", err)
	}
	return text, nil
}
