package twinquery

import (
	"cmp"
	"encoding/json"
	"math"
	"strings"
)

// Options switch rules that the documentation leaves open and nobody has reported. The zero value follows Azure Cosmos DB,
// whose language this one resembles: a comparison with a missing property, or of values of different types, is undefined,
// and NOT undefined is undefined, so that the row is dropped.
type Options struct {
	// MissingIsNull treats a missing property as null in comparisons, IN and NIN.
	MissingIsNull bool
	// MixedTypesDiffer makes = false and != true between values of different types, instead of undefined.
	MixedTypesDiffer bool
	// NotUndefinedIsTrue makes NOT true over everything that is not exactly true.
	NotUndefinedIsTrue bool
}

// Match reports whether e is exactly true for doc; a nil e is true for every document. Functions that the parser lists as
// unknown are undefined.
func Match(e Expr, doc Document, opt Options) bool {
	if e == nil {
		return true
	}
	return e.eval(doc, opt).isTrue()
}

type kind uint8

const (
	undefined kind = iota
	null
	boolean
	number
	str
	object // an object or an array: not comparable
)

// value is a value of the language. It avoids boxing, so that matching does not allocate.
type value struct {
	kind kind
	num  float64 // number; boolean: 0 or 1
	str  string
	ref  any // object
}

func boolValue(b bool) value {
	if b {
		return value{kind: boolean, num: 1}
	}
	return value{kind: boolean}
}

func (v value) isTrue() bool  { return v.kind == boolean && v.num == 1 }
func (v value) isFalse() bool { return v.kind == boolean && v.num == 0 }

// native is the inverse of newValue; undefined is nil.
func (v value) native() any {
	switch v.kind {
	case boolean:
		return v.num == 1
	case number:
		return v.num
	case str:
		return v.str
	case object:
		return v.ref
	default:
		return nil
	}
}

func newValue(v any) value {
	switch v := v.(type) {
	case nil:
		return value{kind: null}
	case string:
		return value{kind: str, str: v}
	case bool:
		return boolValue(v)
	case float64:
		return value{kind: number, num: v}
	case int:
		return value{kind: number, num: float64(v)}
	case int64:
		return value{kind: number, num: float64(v)}
	case int32:
		return value{kind: number, num: float64(v)}
	case uint64:
		return value{kind: number, num: float64(v)}
	case json.Number:
		if f, err := v.Float64(); err == nil {
			return value{kind: number, num: f}
		}
		return value{}
	default:
		return value{kind: object, ref: v}
	}
}

func (c *Const) eval(Document, Options) value { return c.value }

func (x *Path) eval(doc Document, _ Options) value {
	v, ok := doc.Lookup(x.Key)
	if !ok {
		return value{}
	}
	return newValue(v)
}

// eval: a list as such has no value that could be compared; IN reads its constants itself.
func (a *Array) eval(Document, Options) value { return value{kind: object} }

func (u *Unary) eval(doc Document, opt Options) value {
	v := u.X.eval(doc, opt)
	switch {
	case u.Op == Sub && v.kind == number:
		return value{kind: number, num: -v.num}
	case u.Op == Sub:
		return value{}
	case opt.NotUndefinedIsTrue:
		return boolValue(!v.isTrue())
	case v.kind == boolean:
		return boolValue(v.num == 0)
	default:
		return value{}
	}
}

func (b *Binary) eval(doc Document, opt Options) value {
	x := b.X.eval(doc, opt)
	switch b.Op {
	case And:
		return and(x, b.Y, doc, opt)
	case Or:
		return or(x, b.Y, doc, opt)
	}
	y := b.Y.eval(doc, opt)
	if b.Op.precedence() == precCompare {
		return compare(b.Op, x, y, opt)
	}
	return arithmetic(b.Op, x, y)
}

// and is three-valued: false wins over undefined.
func and(x value, right Expr, doc Document, opt Options) value {
	if x.isFalse() {
		return x
	}
	y := right.eval(doc, opt)
	if y.isFalse() || x.isTrue() && y.isTrue() {
		return y
	}
	return value{}
}

// or is three-valued: true wins over undefined.
func or(x value, right Expr, doc Document, opt Options) value {
	if x.isTrue() {
		return x
	}
	y := right.eval(doc, opt)
	if y.isTrue() || x.isFalse() && y.isFalse() {
		return y
	}
	return value{}
}

func compare(op Op, x, y value, opt Options) value {
	x, y = x.orNull(opt), y.orNull(opt)
	switch {
	case x.kind == undefined || y.kind == undefined || x.kind == object || y.kind == object:
		return value{}
	case x.kind != y.kind && opt.MixedTypesDiffer && (op == Eq || op == Ne):
		return boolValue(op == Ne)
	case x.kind != y.kind:
		return value{}
	}
	order := cmp.Compare(x.num, y.num)
	if x.kind == str {
		order = strings.Compare(x.str, y.str)
	}
	switch op {
	case Eq:
		return boolValue(order == 0)
	case Ne:
		return boolValue(order != 0)
	case Lt:
		return boolValue(order < 0)
	case Le:
		return boolValue(order <= 0)
	case Gt:
		return boolValue(order > 0)
	default:
		return boolValue(order >= 0)
	}
}

func (v value) orNull(opt Options) value {
	if v.kind == undefined && opt.MissingIsNull {
		return value{kind: null}
	}
	return v
}

// arithmetic is defined for numbers only; dividing by zero is undefined.
func arithmetic(op Op, x, y value) value {
	if x.kind != number || y.kind != number {
		return value{}
	}
	switch op {
	case Add:
		return finite(x.num + y.num)
	case Sub:
		return finite(x.num - y.num)
	case Mul:
		return finite(x.num * y.num)
	case Div:
		return finite(x.num / y.num)
	default:
		return finite(math.Mod(x.num, y.num))
	}
}

func finite(f float64) value {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return value{}
	}
	return value{kind: number, num: f}
}

func (in *In) eval(doc Document, opt Options) value {
	x := in.X.eval(doc, opt).orNull(opt)
	if x.kind == undefined || x.kind == object {
		return value{}
	}
	if _, ok := in.List.(*Array); ok {
		return boolValue(in.contains(x) != in.Negated)
	}
	items, ok := in.List.eval(doc, opt).ref.([]any)
	if !ok {
		return value{}
	}
	for _, item := range items {
		if newValue(item).equals(x) {
			return boolValue(!in.Negated)
		}
	}
	return boolValue(in.Negated)
}

func (in *In) contains(x value) bool {
	if in.strings != nil && x.kind == str {
		_, ok := in.strings[x.str]
		return ok
	}
	for _, v := range in.values {
		if v.equals(x) {
			return true
		}
	}
	return false
}

func (v value) equals(x value) bool {
	return v.kind == x.kind && v.kind != object && v.num == x.num && v.str == x.str
}

func (c *Call) eval(doc Document, opt Options) value {
	switch c.Name {
	case "IS_DEFINED":
		return boolValue(c.Args[0].eval(doc, opt).kind != undefined)
	case "STARTSWITH":
		s, prefix := c.Args[0].eval(doc, opt), c.Args[1].eval(doc, opt)
		if s.kind != str || prefix.kind != str {
			return value{}
		}
		return boolValue(strings.HasPrefix(s.str, prefix.str))
	default:
		return value{}
	}
}

func (ix *Index) eval(doc Document, opt Options) value {
	key := ix.Key.eval(doc, opt)
	var v any
	ok := false
	switch container := ix.X.eval(doc, opt).ref.(type) {
	case []any:
		i := int(key.num)
		if ok = key.kind == number && float64(i) == key.num && 0 <= i && i < len(container); ok {
			v = container[i]
		}
	case map[string]any:
		if ok = key.kind == str; ok {
			v, ok = container[key.str]
		}
	}
	if !ok {
		return value{}
	}
	return newValue(v)
}
