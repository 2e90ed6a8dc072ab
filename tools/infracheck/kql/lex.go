// Package kql parses and runs the part of the Kusto query language that the queries of infra/queries are written in, so that
// they can be tried on sample rows without Azure. It owns the grammar and its meaning, is stricter than Kusto where Kusto
// guesses (a dynamic value must be cast, a computed column named), and refuses what it does not know. It does not know what the
// queries are about.
//
// The language: https://learn.microsoft.com/kusto/query/
package kql

import (
	"fmt"
	"regexp"
	"strings"
)

// token is a piece of a query.
type token struct {
	kind kind
	text string
	line int
}

type kind int

const (
	end kind = iota
	word
	number
	span // 5m, 1h
	text // in quotes
	sign
)

var pieces = regexp.MustCompile(`^(?:(\s+|//[^\n]*)|(\d+(?:ms|[smhd])\b)|(\d+(?:\.\d+)?)|([A-Za-z_]\w*)|("[^"\n\\]*"|'[^'\n\\]*')|(==|!=|<=|>=|[|()\[\],.=<>+\-*/]))`)

// lex splits a query. Its last token is of kind end.
func lex(query string) ([]token, error) {
	var tokens []token
	line := 1
	for query != "" {
		m := pieces.FindStringSubmatch(query)
		if m == nil {
			return nil, fmt.Errorf("line %d: cannot read %.20q", line, query)
		}
		t := token{text: m[0], line: line}
		switch {
		case m[2] != "":
			t.kind = span
		case m[3] != "":
			t.kind = number
		case m[4] != "":
			t.kind = word
		case m[5] != "":
			t.kind, t.text = text, m[5][1:len(m[5])-1]
		case m[6] != "":
			t.kind = sign
		}
		if m[1] == "" {
			tokens = append(tokens, t)
		}
		line += strings.Count(m[0], "\n")
		query = query[len(m[0]):]
	}
	return append(tokens, token{kind: end, line: line}), nil
}
