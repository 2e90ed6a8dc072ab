package twinquery

import (
	"encoding/json"
	"iter"
)

// Match reports whether the query's WHERE keeps doc.
func (q *Query) Match(doc Document, opt Options) bool { return Match(q.Where, doc, opt) }

// Project returns the row of doc. For SELECT * it is doc.All() itself; otherwise a new map without the properties that doc
// does not have. It must not be called on an aggregate query.
func (q *Query) Project(doc Document) map[string]any {
	if q.IsAll() {
		return doc.All()
	}
	row := make(map[string]any, len(q.Items))
	for i := range q.Items {
		if v, ok := doc.Lookup(q.Items[i].Path.Key); ok {
			row[q.Items[i].key] = v
		}
	}
	return row
}

// Run returns the rows of the query over docs. Without aggregates it is lazy: it reads only as many documents as the caller
// takes rows, and stops reading at TOP. With aggregates it reads all documents before the first row and keeps one row per
// group, in the order of first appearance; without GROUP BY there is exactly one row, also over no documents.
//
// Guesses, because undocumented: COUNT is an int64 and the other aggregates are computed over numbers only (MIN and MAX over
// strings too, if there are no numbers); what has no input is absent from the row, except COUNT and SUM, which are 0;
// documents without the property of GROUP BY form a group whose row lacks it.
func (q *Query) Run(docs iter.Seq[Document], opt Options) iter.Seq[map[string]any] {
	rows := q.stream(docs, opt)
	if q.IsAggregate() {
		rows = q.aggregate(docs, opt)
	}
	if q.Top == 0 {
		return rows
	}
	return func(yield func(map[string]any) bool) {
		left := q.Top
		for row := range rows {
			left--
			if !yield(row) || left == 0 {
				return
			}
		}
	}
}

func (q *Query) stream(docs iter.Seq[Document], opt Options) iter.Seq[map[string]any] {
	return func(yield func(map[string]any) bool) {
		for doc := range docs {
			if q.Match(doc, opt) && !yield(q.Project(doc)) {
				return
			}
		}
	}
}

func (q *Query) aggregate(docs iter.Seq[Document], opt Options) iter.Seq[map[string]any] {
	return func(yield func(map[string]any) bool) {
		for _, g := range q.groups(docs, opt) {
			if !yield(g.row(q)) {
				return
			}
		}
	}
}

// group accumulates the documents that share a value of the GROUP BY property.
type group struct {
	value   any
	defined bool
	count   int64
	sums    []aggregation // one per item
}

func (q *Query) groups(docs iter.Seq[Document], opt Options) []*group {
	var order []*group
	byKey := map[string]*group{}
	find := func(v any, defined bool) *group {
		key := groupKey(v, defined)
		g, ok := byKey[key]
		if !ok {
			g = &group{value: v, defined: defined, sums: make([]aggregation, len(q.Items))}
			byKey[key] = g
			order = append(order, g)
		}
		return g
	}
	if q.GroupBy == nil {
		find(nil, false)
	}
	for doc := range docs {
		if !q.Match(doc, opt) {
			continue
		}
		var v any
		defined := false
		if q.GroupBy != nil {
			v, defined = doc.Lookup(q.GroupBy.Key)
		}
		find(v, defined).add(q, doc)
	}
	return order
}

// groupKey tells the values of GROUP BY apart: by kind and content, objects by their JSON.
func groupKey(v any, defined bool) string {
	if !defined {
		return "undefined"
	}
	val := newValue(v)
	if val.kind == str {
		return "s" + val.str
	}
	encoded, err := json.Marshal(val.native())
	if err != nil { // not JSON: such values form one group
		return "other"
	}
	return "j" + string(encoded)
}

func (g *group) add(q *Query, doc Document) {
	g.count++
	for i, it := range q.Items {
		if it.Aggregate == "" || it.Path == nil {
			continue
		}
		if v, ok := doc.Lookup(it.Path.Key); ok {
			g.sums[i].add(newValue(v))
		}
	}
}

func (g *group) row(q *Query) map[string]any {
	row := make(map[string]any, len(q.Items))
	for i, it := range q.Items {
		switch {
		case it.Aggregate == Count:
			row[it.key] = g.count
		case it.Aggregate != "":
			if v, ok := g.sums[i].result(it.Aggregate); ok {
				row[it.key] = v
			}
		case g.defined:
			row[it.key] = g.value
		}
	}
	return row
}

// aggregation is the running state of AVG, SUM, MIN and MAX.
type aggregation struct {
	numbers, strings int64
	sum, min, max    float64
	first, last      string // least and greatest string
}

func (a *aggregation) add(v value) {
	switch v.kind {
	case number:
		if a.numbers++; a.numbers == 1 {
			a.min, a.max = v.num, v.num
		}
		a.sum += v.num
		a.min, a.max = min(a.min, v.num), max(a.max, v.num)
	case str:
		if a.strings++; a.strings == 1 {
			a.first, a.last = v.str, v.str
		}
		a.first, a.last = min(a.first, v.str), max(a.last, v.str)
	}
}

func (a *aggregation) result(f Aggregate) (any, bool) {
	switch {
	case f == Sum:
		return a.sum, true
	case f == Avg && a.numbers > 0:
		return a.sum / float64(a.numbers), true
	case f == Min && a.numbers > 0:
		return a.min, true
	case f == Max && a.numbers > 0:
		return a.max, true
	case f == Min && a.strings > 0:
		return a.first, true
	case f == Max && a.strings > 0:
		return a.last, true
	default:
		return nil, false
	}
}
