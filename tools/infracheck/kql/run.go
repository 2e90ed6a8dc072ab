package kql

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Row is a row of a table by column: string, int64, float64, bool, time.Time, time.Duration, nil, or Dynamic.
type Row map[string]any

// Dynamic is what JSON holds. It must be cast before it is computed with, compared by size or grouped by.
type Dynamic struct{ Value any }

// run is the state of one execution: which parts of the query have met something in the rows, and what to say of the others.
type run struct {
	met   map[*expr]bool
	unmet map[*expr]string
}

// Run executes the query on the rows of its table. Besides faults of types it reports what no row has: a member that every row
// which got so far lacks, and a text that is compared with == and never equal. Such a query may be right, but its author
// has misspelled something more likely.
func (q *Query) Run(rows []Row) ([]Row, error) {
	r := &run{met: map[*expr]bool{}, unmet: map[*expr]string{}}
	for _, s := range q.steps {
		if len(rows) == 0 {
			return nil, fmt.Errorf("line %d: no sample row gets as far as this", s.line)
		}
		var err error
		if rows, err = r.step(s, rows); err != nil {
			return nil, err
		}
	}
	var faults []error
	for e, fault := range r.unmet {
		faults = append(faults, fmt.Errorf("line %d: %s", e.line, fault))
	}
	slices.SortFunc(faults, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return rows, errors.Join(faults...)
}

func (r *run) step(s step, rows []Row) ([]Row, error) {
	switch s.operator {
	case "where":
		return r.where(s, rows)
	case "extend", "project":
		return r.compute(s, rows)
	case "summarize":
		return r.summarize(s, rows)
	case "order":
		return r.order(s, rows)
	}
	return rows[:min(len(rows), s.limit)], nil
}

func (r *run) where(s step, rows []Row) ([]Row, error) {
	var kept []Row
	for _, row := range rows {
		value, err := r.eval(s.columns[0].expr, row)
		if err != nil {
			return nil, err
		}
		yes, ok := value.(bool)
		if value != nil && !ok {
			return nil, fmt.Errorf("line %d: a filter is true or false, not %T", s.line, value)
		}
		if yes {
			kept = append(kept, row)
		}
	}
	return kept, nil
}

func (r *run) compute(s step, rows []Row) ([]Row, error) {
	result := make([]Row, len(rows))
	for i, row := range rows {
		result[i] = Row{}
		if s.operator == "extend" {
			maps.Copy(result[i], row)
		}
		for _, c := range s.columns {
			if c.name == "" {
				return nil, fmt.Errorf("line %d: a computed column needs a name", c.expr.line)
			}
			value, err := r.eval(c.expr, row)
			if err != nil {
				return nil, err
			}
			result[i][c.name] = value
		}
	}
	return result, nil
}

func (r *run) order(s step, rows []Row) ([]Row, error) {
	sorted := slices.Clone(rows)
	var fault error
	slices.SortStableFunc(sorted, func(a, b Row) int {
		for _, c := range s.columns {
			x, err := r.eval(c.expr, a)
			y, other := r.eval(c.expr, b)
			n, bad := compare(x, y)
			fault = errors.Join(fault, err, other, bad)
			if c.desc {
				n = -n
			}
			if n != 0 {
				return n
			}
		}
		return 0
	})
	return sorted, fault
}

// compare orders two values of one type; nothing comes first.
func compare(a, b any) (int, error) {
	if a == nil || b == nil {
		switch a {
		case b:
			return 0, nil
		case nil:
			return -1, nil
		}
		return 1, nil
	}
	if x, ok := toReal(a); ok {
		if y, ok := toReal(b); ok {
			return cmp.Compare(x, y), nil
		}
	}
	switch x := a.(type) {
	case string:
		if y, ok := b.(string); ok {
			return cmp.Compare(x, y), nil
		}
	case time.Time:
		if y, ok := b.(time.Time); ok {
			return x.Compare(y), nil
		}
	case time.Duration:
		if y, ok := b.(time.Duration); ok {
			return cmp.Compare(x, y), nil
		}
	}
	return 0, fmt.Errorf("%T and %T cannot be ordered", a, b)
}

// toReal returns a number as a real.
func toReal(v any) (float64, bool) {
	switch n := v.(type) {
	case int64:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}
