package twinquery

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// parser is a recursive-descent parser with operator precedence over the tokens of one text.
type parser struct {
	text    string
	tokens  []token
	next    int
	depth   int
	paths   []*Path // resolved once the source is known
	unknown []Unknown
}

func newParser(text string) *parser {
	l := lexer{text: text}
	tokens := l.run()
	return &parser{text: text, tokens: tokens, unknown: l.unknown}
}

func (p *parser) peek() token { return p.tokens[p.next] }

// after returns the token behind the next one.
func (p *parser) after() token {
	if p.next+1 < len(p.tokens) {
		return p.tokens[p.next+1]
	}
	return p.peek()
}

func (p *parser) advance() token {
	t := p.peek()
	if p.next < len(p.tokens)-1 {
		p.next++
	}
	return t
}

// skip consumes the next token if it is the given symbol.
func (p *parser) skip(symbol string) bool {
	if p.peek().is(symbol) {
		p.advance()
		return true
	}
	return false
}

// skipWord consumes the next token if it is the given word.
func (p *parser) skipWord(word string) bool {
	if p.peek().isWord(word) {
		p.advance()
		return true
	}
	return false
}

func (p *parser) fail(t token, expected, hint string) error {
	if t.kind == tokFault {
		return t.err
	}
	if hint == "" {
		hint = foreignWord(t)
	}
	return newError(p.text, t.pos, SyntaxError{Expected: expected, Found: t.found(), Hint: hint})
}

// foreignWord knows what to write instead of words from other SQL dialects.
func foreignWord(t token) string {
	if t.kind != tokName {
		return ""
	}
	switch strings.ToUpper(t.text) {
	case "LIKE":
		return "there is no LIKE; for a prefix use STARTSWITH(path, 'prefix')"
	case "BETWEEN":
		return "there is no BETWEEN; use x >= low AND x <= high"
	case "IS":
		return "there is no IS; use IS_DEFINED(path) or NOT IS_DEFINED(path)"
	case "NOT":
		return "there is no NOT after a value; use NIN [...] for NOT IN, NOT before the whole comparison for the rest"
	case "ORDER":
		return "there is no ORDER BY; sort the rows after the query"
	case "JOIN":
		return "there is no JOIN; query devices and devices.modules one after the other"
	case "HAVING":
		return "there is no HAVING; filter the rows after the query"
	case "LIMIT", "OFFSET":
		return "there is no LIMIT or OFFSET; use SELECT TOP n, or pages"
	case "DISTINCT":
		return "there is no DISTINCT; use GROUP BY"
	case "SELECT":
		return "there are no sub-selects"
	default:
		return ""
	}
}

func (p *parser) note(u Unknown) { p.unknown = append(p.unknown, newUnknown(p.text, u)) }

// tooLong returns an error if text has more than limit characters.
func tooLong(text string, limit int) error {
	if len(text) <= limit || utf8.RuneCountInString(text) <= limit {
		return nil
	}
	offset := 0
	for range limit {
		_, size := utf8.DecodeRuneInString(text[offset:])
		offset += size
	}
	return newError(text, offset, SyntaxError{
		Expected: fmt.Sprintf("at most %d characters", limit),
		Found:    fmt.Sprintf("%d", utf8.RuneCountInString(text)),
		Hint:     "mark the devices with a tag instead of listing them, or split the list",
	})
}

// expr parses operators that bind at least as strongly as strength.
func (p *parser) expr(strength int) (Expr, error) {
	if p.depth++; p.depth > MaxDepth {
		return nil, p.fail(p.peek(), fmt.Sprintf("at most %d levels of nesting", MaxDepth), "")
	}
	defer func() { p.depth-- }()
	left, err := p.prefix()
	if err != nil {
		return nil, err
	}
	for {
		op, ok := infix(p.peek())
		if !ok || op.precedence() < strength {
			return left, nil
		}
		p.advance()
		if op == opIn || op == opNin {
			left, err = p.in(left, op == opNin)
		} else {
			var right Expr
			right, err = p.expr(op.precedence() + 1)
			left = &Binary{Op: op, X: left, Y: right}
		}
		if err != nil {
			return nil, err
		}
	}
}

const (
	opIn  Op = "IN"
	opNin Op = "NIN"
)

// infix returns the operator that a token between two operands stands for.
func infix(t token) (Op, bool) {
	if t.kind == tokName {
		switch op := Op(strings.ToUpper(t.text)); op {
		case And, Or, opIn, opNin:
			return op, true
		default:
			return "", false
		}
	}
	if t.kind != tokSymbol {
		return "", false
	}
	switch t.text {
	case "<>":
		return Ne, true
	case "=", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%":
		return Op(t.text), true
	default:
		return "", false
	}
}

func (p *parser) in(x Expr, negated bool) (Expr, error) {
	t, after := p.peek(), p.tokens[p.next-1].text
	if t.is("(") {
		return nil, p.fail(t, fmt.Sprintf("a list after %q", after), "lists stand in square brackets: IN ['a', 'b']")
	}
	list, err := p.prefix()
	if err != nil {
		return nil, err
	}
	switch list.(type) {
	case *Array:
	case *Const, *Unary:
		return nil, p.fail(t, fmt.Sprintf("a list after %q", after), "lists stand in square brackets: IN ['a', 'b']")
	default:
		p.note(Unknown{
			Kind: UnknownSyntax, Offset: list.Offset(), Text: list.String(),
			Reason: "the documented right side of IN and NIN is a list of constants",
		})
	}
	return newIn(x, list, negated), nil
}

// prefix parses an operand: NOT x, -x, or a primary with its indexes.
func (p *parser) prefix() (Expr, error) {
	t := p.peek()
	switch {
	case t.isWord("NOT"):
		p.advance()
		x, err := p.expr(precNot)
		return &Unary{Op: Not, X: x, pos: t.pos}, err
	case t.is("-") && p.after().kind == tokNumber:
		p.advance()
		n := p.advance()
		return &Const{raw: "-" + n.text, value: value{kind: number, num: -n.num}, pos: t.pos}, nil
	case t.is("-"):
		p.advance()
		x, err := p.expr(precUnary)
		return &Unary{Op: Sub, X: x, pos: t.pos}, err
	}
	x, err := p.primary()
	for err == nil && p.peek().is("[") {
		x, err = p.index(x)
	}
	return x, err
}

func (p *parser) index(x Expr) (Expr, error) {
	t := p.advance()
	p.note(Unknown{Kind: UnknownSyntax, Offset: t.pos, Text: t.text, Reason: "the documented paths have no indexes"})
	key, err := p.expr(precOr)
	if err != nil {
		return nil, err
	}
	if !p.skip("]") {
		return nil, p.fail(p.peek(), `"]"`, "")
	}
	return &Index{X: x, Key: key}, nil
}

func (p *parser) primary() (Expr, error) {
	t := p.peek()
	switch {
	case t.kind == tokString:
		p.advance()
		return &Const{value: value{kind: str, str: t.str}, pos: t.pos}, nil
	case t.kind == tokNumber:
		p.advance()
		return &Const{raw: t.text, value: value{kind: number, num: t.num}, pos: t.pos}, nil
	case t.kind == tokName && p.after().is("(") && !isKeyword(t.text):
		return p.call()
	case t.kind == tokName:
		return p.word()
	case t.is("("):
		return p.parenthesis()
	case t.is("["):
		return p.array()
	}
	return nil, p.missingValue(t)
}

func (p *parser) missingValue(t token) error {
	if p.next == 0 {
		return p.fail(t, "a value", "")
	}
	return p.fail(t, fmt.Sprintf("a value after %q", p.tokens[p.next-1].text), "")
}

func (p *parser) parenthesis() (Expr, error) {
	p.advance()
	x, err := p.expr(precOr)
	if err != nil {
		return nil, err
	}
	if !p.skip(")") {
		return nil, p.fail(p.peek(), `an operator or ")"`, "")
	}
	return x, nil
}

// array parses [const, ...].
func (p *parser) array() (Expr, error) {
	a := &Array{pos: p.advance().pos}
	if p.skip("]") {
		p.note(Unknown{Kind: UnknownSyntax, Offset: a.pos, Text: "[]", Reason: "the documented lists are not empty"})
		return a, nil
	}
	for {
		x, err := p.expr(precOr)
		if err != nil {
			return nil, err
		}
		if !isConstant(x) {
			p.note(Unknown{
				Kind: UnknownSyntax, Offset: x.Offset(), Text: x.String(), Reason: "the documented lists hold constants only",
			})
		}
		a.Items = append(a.Items, x)
		if p.skip("]") {
			return a, nil
		}
		if !p.skip(",") {
			return nil, p.fail(p.peek(), `"," or "]"`, "")
		}
	}
}

func isConstant(x Expr) bool {
	switch x.(type) {
	case *Const, *Array:
		return true
	default:
		return false
	}
}
