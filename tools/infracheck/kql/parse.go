package kql

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Query is a parsed query: a table and what is done to its rows, step by step.
type Query struct {
	Table string
	steps []step
}

// step is one operator behind a bar.
type step struct {
	operator string   // where, extend, project, summarize, order, take
	columns  []column // of where: one without a name
	by       []column // of summarize
	limit    int      // of take
	line     int
}

// column is an expression and the name that its value gets.
type column struct {
	name string
	expr *expr
	desc bool // of order
}

// expr is a node of an expression.
type expr struct {
	op   string // literal, name, member, call, in, or a binary operator
	text string // the name of a name, member or function
	lit  any
	args []*expr
	line int
}

type parser struct {
	tokens []token
	at     int
}

// Parse reads a query. Errors name the line.
func Parse(query string) (*Query, error) {
	tokens, err := lex(query)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens}
	table, err := p.word()
	if err != nil {
		return nil, err
	}
	q := &Query{Table: table}
	for p.peek().kind != end {
		if err := p.expect("|"); err != nil {
			return nil, err
		}
		s, err := p.step()
		if err != nil {
			return nil, err
		}
		q.steps = append(q.steps, s)
	}
	return q, nil
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != end {
		p.at++
	}
	return t
}

// take consumes a sign or word if it is the next.
func (p *parser) take(want string) bool {
	t := p.peek()
	if (t.kind == sign || t.kind == word) && t.text == want {
		p.at++
		return true
	}
	return false
}

func (p *parser) expect(want string) error {
	if !p.take(want) {
		return fmt.Errorf("line %d: %q instead of %q", p.peek().line, p.peek().text, want)
	}
	return nil
}

func (p *parser) word() (string, error) {
	t := p.next()
	if t.kind != word {
		return "", fmt.Errorf("line %d: %q is no name", t.line, t.text)
	}
	return t.text, nil
}

func (p *parser) step() (step, error) {
	s := step{line: p.peek().line}
	var err error
	if s.operator, err = p.word(); err != nil {
		return s, err
	}
	switch s.operator {
	case "where":
		e, err := p.expr(0)
		s.columns = []column{{expr: e}}
		return s, err
	case "extend", "project":
		s.columns, err = p.columns()
		return s, err
	case "summarize":
		if s.columns, err = p.columns(); err == nil && p.take("by") {
			s.by, err = p.columns()
		}
		return s, err
	case "order":
		if err := p.expect("by"); err != nil {
			return s, err
		}
		s.columns, err = p.columns()
		return s, err
	case "take":
		s.limit, err = strconv.Atoi(p.next().text)
		return s, err
	}
	return s, fmt.Errorf("line %d: the operator %s is not known here", s.line, s.operator)
}

// columns reads "name = expression" or a bare expression, with commas between.
func (p *parser) columns() ([]column, error) {
	var found []column
	for {
		var c column
		if p.peek().kind == word && p.tokens[p.at+1].text == "=" {
			c.name = p.next().text
			p.next()
		}
		e, err := p.expr(0)
		if err != nil {
			return nil, err
		}
		c.expr = e
		if c.name == "" {
			c.name = impliedName(e)
		}
		c.desc = p.take("desc")
		if !c.desc {
			p.take("asc")
		}
		found = append(found, c)
		if !p.take(",") {
			return found, nil
		}
	}
}

// impliedName is the name of a column that has none: that of the column it is, or is rounded from.
func impliedName(e *expr) string {
	switch {
	case e.op == "name":
		return e.text
	case e.op == "call" && e.text == "bin" && len(e.args) == 2:
		return impliedName(e.args[0])
	}
	return ""
}

// levels are the binary operators, loosest first.
var levels = [][]string{
	{"or"},
	{"and"},
	{"==", "!=", "<", "<=", ">", ">=", "in", "startswith", "has", "contains"},
	{"+", "-"},
	{"*", "/"},
}

func (p *parser) expr(level int) (*expr, error) {
	if level == len(levels) {
		return p.postfix()
	}
	left, err := p.expr(level + 1)
	for err == nil {
		t := p.peek()
		if (t.kind != sign && t.kind != word) || !slices.Contains(levels[level], t.text) {
			return left, nil
		}
		p.next()
		e := &expr{op: t.text, args: []*expr{left}, line: t.line}
		if t.text == "in" {
			err = p.list(e)
		} else {
			var right *expr
			right, err = p.expr(level + 1)
			e.args = append(e.args, right)
		}
		left = e
	}
	return nil, err
}

// list reads "(a, b)" into the arguments of e.
func (p *parser) list(e *expr) error {
	if err := p.expect("("); err != nil {
		return err
	}
	if p.take(")") {
		return nil
	}
	for {
		arg, err := p.expr(0)
		if err != nil {
			return err
		}
		e.args = append(e.args, arg)
		if !p.take(",") {
			return p.expect(")")
		}
	}
}

// postfix reads a value with the members behind it.
func (p *parser) postfix() (*expr, error) {
	e, err := p.primary()
	for err == nil && p.take(".") {
		line := p.peek().line
		var name string
		name, err = p.word()
		e = &expr{op: "member", text: name, args: []*expr{e}, line: line}
	}
	return e, err
}

func (p *parser) primary() (*expr, error) {
	t := p.next()
	e := &expr{op: "literal", line: t.line}
	var err error
	switch {
	case t.kind == text:
		e.lit = t.text
	case t.kind == span:
		e.lit, err = timespan(t.text)
	case t.kind == number:
		if e.lit, err = strconv.ParseInt(t.text, 10, 64); err != nil {
			e.lit, err = strconv.ParseFloat(t.text, 64)
		}
	case t.kind == word && (t.text == "true" || t.text == "false"):
		e.lit = t.text == "true"
	case t.kind == word && p.peek().text == "(" && p.peek().kind == sign:
		e.op, e.text = "call", t.text
		err = p.list(e)
	case t.kind == word:
		e.op, e.text = "name", t.text
	case t.text == "(" && t.kind == sign:
		inner, err := p.expr(0)
		if err != nil {
			return nil, err
		}
		return inner, p.expect(")")
	default:
		err = fmt.Errorf("line %d: %q is no value", t.line, t.text)
	}
	return e, err
}

// timespan reads Kusto's short form, in which d is a day.
func timespan(text string) (time.Duration, error) {
	if n, ok := trimDays(text); ok {
		return time.Duration(n) * 24 * time.Hour, nil
	}
	return time.ParseDuration(text)
}

func trimDays(text string) (int, bool) {
	if text[len(text)-1] != 'd' {
		return 0, false
	}
	n, err := strconv.Atoi(text[:len(text)-1])
	return n, err == nil
}
