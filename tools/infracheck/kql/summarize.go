package kql

import (
	"cmp"
	"fmt"
	"slices"
)

// group is the rows with the same values to summarize by.
type group struct {
	keys Row
	rows []Row
}

func (r *run) summarize(s step, rows []Row) ([]Row, error) {
	groups, err := r.group(s, rows)
	if err != nil {
		return nil, err
	}
	result := make([]Row, len(groups))
	for i, g := range groups {
		result[i] = g.keys
		for _, c := range s.columns {
			if c.expr.op == "call" && c.expr.text == "arg_max" {
				err = r.argMax(c.expr, g)
			} else {
				err = r.aggregateColumn(c, g)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return result, nil
}

func (r *run) aggregateColumn(c column, g group) error {
	if c.name == "" {
		return fmt.Errorf("line %d: a computed column needs a name", c.expr.line)
	}
	value, err := r.aggregate(c.expr, g.rows)
	g.keys[c.name] = value
	return err
}

func (r *run) group(s step, rows []Row) ([]group, error) {
	if len(s.by) == 0 {
		return []group{{Row{}, rows}}, nil
	}
	var groups []group
	at := map[string]int{}
	for _, row := range rows {
		keys := Row{}
		for _, c := range s.by {
			value, err := r.eval(c.expr, row)
			if err != nil {
				return nil, err
			}
			if _, dynamic := value.(Dynamic); dynamic || c.name == "" {
				return nil, fmt.Errorf("line %d: cast and name what to summarize by", c.expr.line)
			}
			keys[c.name] = value
		}
		id := fmt.Sprint(keys)
		if _, ok := at[id]; !ok {
			at[id] = len(groups)
			groups = append(groups, group{keys: keys})
		}
		groups[at[id]].rows = append(groups[at[id]].rows, row)
	}
	return groups, nil
}

// argMax adds the columns of the row whose first argument is the largest.
func (r *run) argMax(e *expr, g group) error {
	var best Row
	var largest any
	for _, row := range g.rows {
		value, err := r.eval(e.args[0], row)
		if err != nil {
			return err
		}
		n, err := compare(value, largest)
		if err != nil {
			return fmt.Errorf("line %d: %w", e.line, err)
		}
		if best == nil || n > 0 {
			best, largest = row, value
		}
	}
	for _, arg := range e.args {
		name := impliedName(arg)
		if name == "" {
			return fmt.Errorf("line %d: arg_max takes columns here", e.line)
		}
		value, err := r.eval(arg, best)
		if err != nil {
			return err
		}
		g.keys[name] = value
	}
	return nil
}

// aggregate computes an aggregate, or arithmetic on aggregates.
func (r *run) aggregate(e *expr, rows []Row) (any, error) {
	if e.op != "call" {
		if e.op == "literal" {
			return e.lit, nil
		}
		if len(e.args) != 2 || !slices.Contains([]string{"+", "-", "*", "/"}, e.op) {
			return nil, fmt.Errorf("line %d: %s is no aggregate", e.line, e.text)
		}
		a, err := r.aggregate(e.args[0], rows)
		if err != nil {
			return nil, err
		}
		b, err := r.aggregate(e.args[1], rows)
		if err != nil {
			return nil, err
		}
		return arithmetic(e.op, a, b)
	}
	if e.text == "count" && len(e.args) == 0 {
		return int64(len(rows)), nil
	}
	if len(e.args) == 0 {
		return nil, fmt.Errorf("line %d: %s needs an argument", e.line, e.text)
	}
	var values []any
	for _, row := range rows {
		value, err := r.eval(e.args[0], row)
		if err != nil {
			return nil, err
		}
		if _, dynamic := value.(Dynamic); dynamic {
			return nil, fmt.Errorf("line %d: cast what %s takes", e.line, e.text)
		}
		if value != nil {
			values = append(values, value)
		}
	}
	value, err := reduce(e, values)
	if err != nil {
		return nil, fmt.Errorf("line %d: %w", e.line, err)
	}
	return value, nil
}

func reduce(e *expr, values []any) (any, error) {
	switch e.text {
	case "countif":
		n := int64(0)
		for _, v := range values {
			if v == true {
				n++
			}
		}
		return n, nil
	case "sum":
		var total any = int64(0)
		for _, v := range values {
			var err error
			if total, err = arithmetic("+", total, v); err != nil {
				return nil, err
			}
		}
		return total, nil
	case "max", "min", "percentile":
		if len(values) == 0 {
			return nil, nil
		}
		var fault error
		slices.SortFunc(values, func(a, b any) int {
			n, err := compare(a, b)
			fault = cmp.Or(fault, err)
			return n
		})
		return pick(e, values), fault
	}
	return nil, fmt.Errorf("the aggregate %s is not known here", e.text)
}

// pick takes the value at the place of the sorted ones that e asks for.
func pick(e *expr, sorted []any) any {
	switch e.text {
	case "min":
		return sorted[0]
	case "percentile":
		if share, ok := e.args[len(e.args)-1].lit.(int64); ok {
			return sorted[min(len(sorted)*int(share)/100, len(sorted)-1)]
		}
	}
	return sorted[len(sorted)-1]
}
