package client

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
)

// Error is an answer of the service that is not a success: RFC 9457 problem details, or what could be read of another
// answer.
type Error struct {
	Status     int           // of HTTP
	Title      string        // the kind of problem
	Detail     string        // this occurrence of it
	Faults     []Fault       // everything that is wrong with the request, if that is the problem
	RetryAfter time.Duration // what the service asks to wait, 0 when it does not say
}

// Fault is one thing that is wrong with a request.
type Fault struct {
	Field string `json:"field"`
	Value string `json:"value"`
	Rule  string `json:"rule"`
}

func (f Fault) String() string {
	if f.Value == "" {
		return f.Field + ": " + f.Rule
	}
	return f.Field + ": " + f.Value + ": " + f.Rule
}

// Error gives one line, and below it one line for each fault.
func (e *Error) Error() string {
	text := e.Title
	if text == "" {
		text = http.StatusText(e.Status)
	}
	if e.Detail != "" && e.Detail != text && len(e.Faults) == 0 {
		text += ": " + e.Detail
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s (HTTP %d)", strings.TrimSpace(text), e.Status)
	for _, f := range e.Faults {
		b.WriteString("\n  " + f.String())
	}
	return b.String()
}

// readProblem reads an answer of status 300 or more and closes it.
func readProblem(response *http.Response) *Error {
	defer func() { _ = response.Body.Close() }()
	e := &Error{Status: response.StatusCode}
	e.RetryAfter = parseRetryAfter(response.Header.Get("Retry-After"), time.Now())
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return e
	}
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	var problem struct {
		Title  string  `json:"title"`
		Detail string  `json:"detail"`
		Errors []Fault `json:"errors"`
	}
	isJSON := kind == "application/problem+json" || kind == "application/json"
	switch {
	case isJSON && json.Unmarshal(body, &problem) == nil:
		e.Title, e.Detail, e.Faults = problem.Title, problem.Detail, problem.Errors
	case e.Status == http.StatusUnauthorized: // of the Functions host or of App Service, which say no more
		e.Detail = "the platform refuses the key, or behind Entra ID the token: it ends after an hour or so"
	case kind == "text/plain":
		e.Detail = firstLine(string(body))
	case e.Status < 400:
		e.Detail = "the address answers with a redirect, which is not followed: it would carry the key along"
	}
	return e
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if len(line) > 200 {
		line = strings.ToValidUTF8(line[:200], "") + "…"
	}
	return line
}
