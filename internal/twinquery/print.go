package twinquery

import (
	"fmt"
	"strconv"
	"strings"
)

// printer writes canonical text: single quotes, one space around operators, only the parentheses that are needed.
type printer struct{ strings.Builder }

func canonical(e Expr) string {
	var p printer
	e.print(&p)
	return p.String()
}

// String returns canonical text.
func (c *Const) String() string { return canonical(c) }

// String returns canonical text; elements that are no plain names stand in double brackets.
func (x *Path) String() string { return canonical(x) }

// String returns canonical text.
func (a *Array) String() string { return canonical(a) }

// String returns canonical text.
func (u *Unary) String() string { return canonical(u) }

// String returns canonical text.
func (b *Binary) String() string { return canonical(b) }

// String returns canonical text.
func (in *In) String() string { return canonical(in) }

// String returns canonical text.
func (c *Call) String() string { return canonical(c) }

// String returns canonical text.
func (ix *Index) String() string { return canonical(ix) }

// operand prints e, in parentheses if it binds weaker than strength.
func (p *printer) operand(e Expr, strength int) {
	if e.precedence() >= strength {
		e.print(p)
		return
	}
	p.WriteByte('(')
	e.print(p)
	p.WriteByte(')')
}

func (p *printer) list(items []Expr) {
	for i, item := range items {
		if i > 0 {
			p.WriteString(", ")
		}
		item.print(p)
	}
}

func (c *Const) print(p *printer) {
	switch c.value.kind {
	case undefined:
		p.WriteString("undefined")
	case null:
		p.WriteString("null")
	case boolean:
		p.WriteString(strconv.FormatBool(c.value.num != 0))
	case str:
		p.quote(c.value.str)
	default:
		p.WriteString(c.raw)
	}
}

func (p *printer) quote(s string) {
	p.WriteByte('\'')
	for _, r := range s {
		switch {
		case r == '\'' || r == '\\':
			p.WriteByte('\\')
			p.WriteRune(r)
		case r < ' ' || r == 0x7f:
			_, _ = fmt.Fprintf(p, `\u%04x`, r)
		default:
			p.WriteRune(r)
		}
	}
	p.WriteByte('\'')
}

func (x *Path) print(p *printer) {
	for i, elem := range x.Elems {
		if i > 0 {
			p.WriteByte('.')
		}
		p.name(elem, i > 0)
	}
}

// name prints a path element or an alias; afterDot names may begin with a digit.
func (p *printer) name(name string, afterDot bool) {
	if isPlainName(name, afterDot) {
		p.WriteString(name)
		return
	}
	p.WriteString("[[" + name + "]]")
}

func (a *Array) print(p *printer) {
	p.WriteByte('[')
	p.list(a.Items)
	p.WriteByte(']')
}

func (u *Unary) print(p *printer) {
	p.WriteString(string(u.Op))
	if u.Op == Not {
		p.WriteByte(' ')
	}
	p.operand(u.X, u.precedence())
}

func (b *Binary) print(p *printer) {
	p.operand(b.X, b.precedence())
	p.WriteString(" " + string(b.Op) + " ")
	p.operand(b.Y, b.precedence()+1)
}

func (in *In) print(p *printer) {
	p.operand(in.X, precCompare)
	if in.Negated {
		p.WriteString(" NIN ")
	} else {
		p.WriteString(" IN ")
	}
	p.operand(in.List, precPrimary)
}

func (c *Call) print(p *printer) {
	p.WriteString(c.Name + "(")
	p.list(c.Args)
	p.WriteByte(')')
}

func (ix *Index) print(p *printer) {
	p.operand(ix.X, precPrimary)
	p.WriteByte('[')
	ix.Key.print(p)
	p.WriteByte(']')
}
