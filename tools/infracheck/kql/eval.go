package kql

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// eval computes an expression for a row. A fault names the line.
func (r *run) eval(e *expr, row Row) (any, error) {
	value, err := r.value(e, row)
	if err != nil && !strings.HasPrefix(err.Error(), "line ") {
		err = fmt.Errorf("line %d: %w", e.line, err)
	}
	return value, err
}

func (r *run) value(e *expr, row Row) (any, error) {
	switch e.op {
	case "literal":
		return e.lit, nil
	case "name":
		value, ok := row[e.text]
		if !ok {
			return nil, fmt.Errorf("there is no column %s", e.text)
		}
		return value, nil
	case "member":
		return r.member(e, row)
	}
	values := make([]any, len(e.args))
	for i, arg := range e.args {
		var err error
		if values[i], err = r.eval(arg, row); err != nil {
			return nil, err
		}
	}
	switch e.op {
	case "call":
		return call(e.text, values)
	case "and", "or":
		return logic(e.op, values)
	case "==", "!=", "in":
		if _, dynamic := values[0].(Dynamic); dynamic && e.op == "in" {
			return nil, fmt.Errorf("cast what is looked for with in")
		}
		return r.equal(e, values), nil
	case "<", "<=", ">", ">=":
		return ordered(e.op, values[0], values[1])
	case "startswith", "has", "contains":
		return matches(e.op, values[0], values[1])
	}
	return arithmetic(e.op, values[0], values[1])
}

func (r *run) member(e *expr, row Row) (any, error) {
	of, err := r.eval(e.args[0], row)
	if err != nil {
		return nil, err
	}
	if of != nil {
		if _, ok := of.(Dynamic); !ok {
			return nil, fmt.Errorf("%T has no members", of)
		}
	}
	object, _ := unwrap(of).(map[string]any)
	value, ok := object[e.text]
	r.note(e, "no sample row has the member "+e.text, ok)
	return Dynamic{value}, nil
}

func unwrap(v any) any {
	if d, ok := v.(Dynamic); ok {
		return d.Value
	}
	return v
}

// equal compares with one value or, for in, with several, and notes literals that were never met.
func (r *run) equal(e *expr, values []any) bool {
	left := plain(values[0])
	found := false
	for i, value := range values[1:] {
		same := reflect.DeepEqual(left, plain(value))
		literal := e.args[i+1]
		if text, ok := literal.lit.(string); ok && literal.op == "literal" {
			r.note(literal, fmt.Sprintf("no sample row has the value %q", text), same)
		}
		found = found || same
	}
	return found == (e.op != "!=")
}

// note remembers what has met nothing so far.
func (r *run) note(e *expr, fault string, met bool) {
	if met {
		r.met[e] = true
		delete(r.unmet, e)
	} else if !r.met[e] {
		r.unmet[e] = fault
	}
}

// plain makes numbers comparable.
func plain(v any) any {
	v = unwrap(v)
	if n, ok := toReal(v); ok {
		return n
	}
	return v
}

func logic(op string, values []any) (any, error) {
	a, aok := values[0].(bool)
	b, bok := values[1].(bool)
	if !aok || !bok {
		return nil, fmt.Errorf("%s needs two conditions", op)
	}
	if op == "and" {
		return a && b, nil
	}
	return a || b, nil
}

func ordered(op string, a, b any) (any, error) {
	if a == nil || b == nil {
		return false, nil
	}
	n, err := compare(a, b)
	return map[string]bool{"<": n < 0, "<=": n <= 0, ">": n > 0, ">=": n >= 0}[op], err
}

// matches compares texts as Kusto does, without regard to case. has looks for whole words.
func matches(op string, a, b any) (any, error) {
	whole, ok := a.(string)
	part, fine := b.(string)
	if !ok || !fine {
		return nil, fmt.Errorf("%s needs two texts", op)
	}
	whole, part = strings.ToLower(whole), strings.ToLower(part)
	switch op {
	case "startswith":
		return strings.HasPrefix(whole, part), nil
	case "contains":
		return strings.Contains(whole, part), nil
	}
	at := strings.Index(whole, part)
	if at < 0 {
		return false, nil
	}
	return !letter(whole, at-1) && !letter(whole, at+len(part)), nil
}

func letter(s string, at int) bool {
	return at >= 0 && at < len(s) && (s[at] >= 'a' && s[at] <= 'z' || s[at] >= '0' && s[at] <= '9')
}

func arithmetic(op string, a, b any) (any, error) {
	if a == nil || b == nil {
		return nil, nil
	}
	x, xok := a.(int64)
	y, yok := b.(int64)
	if xok && yok {
		return whole(op, x, y), nil
	}
	p, pok := toReal(a)
	q, qok := toReal(b)
	if !pok || !qok {
		return nil, fmt.Errorf("%T %s %T: cast to numbers first", a, op, b)
	}
	return map[string]float64{"+": p + q, "-": p - q, "*": p * q, "/": p / q}[op], nil
}

// whole computes with whole numbers, whose quotient is one too.
func whole(op string, x, y int64) any {
	switch op {
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	}
	if y == 0 {
		return nil
	}
	return x / y
}

// call computes the scalar functions.
func call(name string, args []any) (any, error) {
	switch {
	case len(args) == 2 && name == "bin":
		return bin(args[0], args[1])
	case len(args) == 2 && name == "round":
		n, ok := toReal(args[0])
		digits, fine := args[1].(int64)
		if !ok || !fine {
			return nil, fmt.Errorf("round needs two numbers")
		}
		scale := math.Pow10(int(digits))
		return math.Round(n*scale) / scale, nil
	case len(args) == 1 && name == "parse_json":
		text, ok := args[0].(string)
		if !ok {
			return nil, fmt.Errorf("parse_json needs a text")
		}
		var value any
		if json.Unmarshal([]byte(text), &value) != nil {
			value = text // as Kusto does
		}
		return Dynamic{value}, nil
	case len(args) == 1:
		return cast(name, unwrap(args[0]))
	}
	return nil, fmt.Errorf("the function %s with %d arguments is not known here", name, len(args))
}

// cast turns a value into another type; what does not fit becomes nothing.
func cast(name string, value any) (any, error) {
	n, numeric := toReal(value)
	switch name {
	case "tostring":
		if value == nil {
			return "", nil
		}
		if numeric {
			return strconv.FormatFloat(n, 'f', -1, 64), nil
		}
		return fmt.Sprint(value), nil
	case "toint", "tolong":
		if !numeric {
			return nil, nil
		}
		return int64(n), nil
	case "todouble":
		if !numeric {
			return nil, nil
		}
		return n, nil
	case "todatetime":
		text, _ := value.(string)
		if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
			return t, nil
		}
		return nil, nil
	case "isnotempty":
		return value != nil && value != "", nil
	}
	return nil, fmt.Errorf("the function %s is not known here", name)
}

func bin(value, size any) (any, error) {
	step, ok := size.(time.Duration)
	if t, is := value.(time.Time); ok && is {
		return t.Truncate(step), nil
	}
	return nil, fmt.Errorf("bin rounds a time to a span here")
}
