package twinquery

import "strings"

// Expr is a parsed expression: *[Const], *[Path], *[Array], *[Unary], *[Binary], *[In], *[Call] or *[Index]. String returns
// canonical text that parses to the same expression.
type Expr interface {
	String() string
	// Offset returns the bytes before the expression in the text that it was parsed from.
	Offset() int

	eval(doc Document, opt Options) value
	print(p *printer)
	precedence() int
}

// Op is an operator, spelled as in canonical text: "=", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "AND", "OR", "NOT".
type Op string

// Operators. Not is unary; Sub is binary and unary.
const (
	Eq  Op = "="
	Ne  Op = "!="
	Lt  Op = "<"
	Le  Op = "<="
	Gt  Op = ">"
	Ge  Op = ">="
	Add Op = "+"
	Sub Op = "-"
	Mul Op = "*"
	Div Op = "/"
	Mod Op = "%"
	And Op = "AND"
	Or  Op = "OR"
	Not Op = "NOT"
)

// Binding strengths, weakest first. The documentation states none; these are SQL's (a guess).
const (
	precOr = iota + 1
	precAnd
	precNot
	precCompare
	precAdd
	precMul
	precUnary
	precPrimary
)

// Const is undefined, null, a boolean, a number or a string.
type Const struct {
	raw   string // numbers: the literal as written, so that printing keeps hex and digits
	value value
	pos   int
}

// Value returns nil, a bool, a float64 or a string; ok is false for undefined.
func (c *Const) Value() (v any, ok bool) { return c.value.native(), c.value.kind != undefined }

// Path is a property path such as tags.location.plant.
type Path struct {
	// Elems are the elements as written, without the double brackets of [[name]].
	Elems []string
	// Key is the path to look up: without a leading "devices." or "devices.jobs.", system names in their documented spelling.
	Key []string

	pos int
}

// Array is a list of constants in square brackets.
type Array struct {
	Items []Expr

	pos int
}

// Unary is NOT x or -x.
type Unary struct {
	Op Op
	X  Expr

	pos int
}

// Binary is a comparison, an arithmetic operation, AND or OR.
type Binary struct {
	Op   Op
	X, Y Expr
}

// In is X IN List, or X NIN List if Negated. List is an *[Array], or (unknown to the documentation) any expression.
type In struct {
	X, List Expr
	Negated bool

	values  []value             // the constants of List, if it is an Array
	strings map[string]struct{} // its strings, if it is long
}

// Call is a function call. Name is upper case.
type Call struct {
	Name string
	Args []Expr

	pos int
}

// Index is X[Key], which the documented grammar does not have.
type Index struct {
	X, Key Expr
}

// Offset implements [Expr].
func (c *Const) Offset() int { return c.pos }

// Offset implements [Expr].
func (x *Path) Offset() int { return x.pos }

// Offset implements [Expr].
func (a *Array) Offset() int { return a.pos }

// Offset implements [Expr].
func (u *Unary) Offset() int { return u.pos }

// Offset implements [Expr].
func (b *Binary) Offset() int { return b.X.Offset() }

// Offset implements [Expr].
func (in *In) Offset() int { return in.X.Offset() }

// Offset implements [Expr].
func (c *Call) Offset() int { return c.pos }

// Offset implements [Expr].
func (ix *Index) Offset() int { return ix.X.Offset() }

func (x *Path) precedence() int   { return precPrimary }
func (a *Array) precedence() int  { return precPrimary }
func (c *Call) precedence() int   { return precPrimary }
func (ix *Index) precedence() int { return precPrimary }
func (in *In) precedence() int    { return precCompare }
func (b *Binary) precedence() int { return b.Op.precedence() }

func (c *Const) precedence() int {
	if strings.HasPrefix(c.raw, "-") {
		return precUnary
	}
	return precPrimary
}

func (u *Unary) precedence() int {
	if u.Op == Not {
		return precNot
	}
	return precUnary
}

func (o Op) precedence() int {
	switch o {
	case Or:
		return precOr
	case And:
		return precAnd
	case Add, Sub:
		return precAdd
	case Mul, Div, Mod:
		return precMul
	case Not:
		return precNot
	default:
		return precCompare
	}
}

// longList is the list length from which IN looks strings up in a set.
const longList = 8

func newIn(x, list Expr, negated bool) *In {
	in := &In{X: x, List: list, Negated: negated}
	array, ok := list.(*Array)
	if !ok {
		return in
	}
	in.values = make([]value, 0, len(array.Items))
	for _, item := range array.Items {
		if c, ok := item.(*Const); ok && c.value.kind != undefined {
			in.values = append(in.values, c.value)
		}
	}
	if len(in.values) < longList {
		return in
	}
	in.strings = make(map[string]struct{}, len(in.values))
	for _, v := range in.values {
		if v.kind == str {
			in.strings[v.str] = struct{}{}
		}
	}
	return in
}
