package twinquery

import (
	"fmt"
	"strings"
)

// word parses a literal keyword or a path.
func (p *parser) word() (Expr, error) {
	t := p.peek()
	literal := func(v value) (Expr, error) {
		p.advance()
		return &Const{value: v, pos: t.pos}, nil
	}
	switch strings.ToUpper(t.text) {
	case "UNDEFINED":
		return literal(value{})
	case "NULL":
		return literal(value{kind: null})
	case "TRUE":
		return literal(value{kind: boolean, num: 1})
	case "FALSE":
		return literal(value{kind: boolean})
	}
	if isKeyword(t.text) {
		return nil, p.missingValue(t)
	}
	return p.path()
}

// path parses name{.name}, where a name after a dot may stand in double brackets.
func (p *parser) path() (*Path, error) {
	t := p.peek()
	if t.kind != tokName || isKeyword(t.text) {
		return nil, p.fail(t, "a property path", "")
	}
	p.advance()
	path := &Path{Elems: []string{t.text}, pos: t.pos}
	for p.skip(".") {
		name, err := p.element()
		if err != nil {
			return nil, err
		}
		path.Elems = append(path.Elems, name)
	}
	p.paths = append(p.paths, path)
	return path, nil
}

// element parses the path element after a dot.
func (p *parser) element() (string, error) {
	t := p.peek()
	if t.kind == tokQuoted {
		p.advance()
		return t.str, nil
	}
	if t.kind != tokName {
		return "", p.fail(t, `a name after "."`, "")
	}
	if isKeyword(t.text) {
		bracketed := fmt.Sprintf("%s is a keyword; as a name it is written [[%s]]", t.text, t.text)
		if t.isWord("GROUP") { // the one that is known to fail, https://github.com/MicrosoftDocs/azure-docs/issues/17106
			return "", p.fail(t, `a name after "."`, bracketed)
		}
		p.note(Unknown{Kind: UnknownSyntax, Offset: t.pos, Text: t.text, Reason: bracketed})
	}
	p.advance()
	return t.text, nil
}

// call parses name(argument, ...).
func (p *parser) call() (Expr, error) {
	t := p.advance()
	name := strings.ToUpper(t.text)
	if err := p.refuseFunction(t, name); err != nil {
		return nil, err
	}
	p.advance()
	args, err := p.arguments()
	if err != nil {
		return nil, err
	}
	switch want := arity(name); {
	case want == 0:
		p.note(Unknown{
			Kind: UnknownFunction, Offset: t.pos, Text: name,
			Reason: "twin queries are known to have IS_DEFINED and STARTSWITH only",
		})
	case want != len(args):
		return nil, newError(p.text, t.pos, SyntaxError{
			Expected: fmt.Sprintf("%s with %d argument(s)", name, want), Found: fmt.Sprintf("%d", len(args)),
		})
	}
	return &Call{Name: name, Args: args, pos: t.pos}, nil
}

// arity returns the number of arguments of a known function, 0 for others.
func arity(name string) int {
	switch name {
	case "IS_DEFINED":
		return 1
	case "STARTSWITH":
		return 2
	default:
		return 0
	}
}

// refuseFunction knows the functions that IoT Hub refuses in conditions.
func (p *parser) refuseFunction(t token, name string) error {
	const expected = "a function of twin queries"
	switch name {
	case "STARTS_WITH":
		return p.fail(t, expected, "use STARTSWITH(path, 'prefix')")
	case "CONTAINS":
		return p.fail(t, expected, "there is no search inside strings; use STARTSWITH(path, 'prefix') or a tag made for it")
	case "COUNT", "AVG", "SUM", "MIN", "MAX":
		return p.fail(t, expected, "aggregates stand after SELECT only")
	case "LIKE", "BETWEEN":
		return p.fail(t, expected, "")
	default:
		return nil
	}
}

func (p *parser) arguments() ([]Expr, error) {
	if p.skip(")") {
		return nil, nil
	}
	var args []Expr
	for {
		x, err := p.expr(precOr)
		if err != nil {
			return nil, err
		}
		args = append(args, x)
		if p.skip(")") {
			return args, nil
		}
		if !p.skip(",") {
			return nil, p.fail(p.peek(), `an operator, "," or ")"`, "")
		}
	}
}

// resolvePaths sets the keys of all paths and lists those that begin with an unknown field.
func (p *parser) resolvePaths(source Source) {
	for _, path := range p.paths {
		if source.resolve(path) {
			continue
		}
		reason := fmt.Sprintf("%s have no such field; tags begin with tags., properties with properties.desired. or properties.reported.", source)
		if source == Jobs {
			reason = "job rows have no such field"
		}
		p.note(Unknown{Kind: UnknownField, Offset: path.pos, Text: path.String(), Reason: reason})
	}
}
