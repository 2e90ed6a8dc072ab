package twinquery

import (
	"slices"
	"strconv"
	"strings"
)

// Query is a parsed SELECT statement.
type Query struct {
	// Top is the greatest number of rows; 0 means all.
	Top int
	// Items are the projected columns; empty means SELECT *.
	Items []Item
	// Source is the collection to read.
	Source Source
	// Where is nil if there is no condition.
	Where Expr
	// GroupBy is nil if there is no grouping.
	GroupBy *Path
	// Unknown lists, by position, what the parser could read but does not know; IoT Hub may refuse such a query.
	Unknown []Unknown
}

// Aggregate is an aggregate function; the zero value is none.
type Aggregate string

// The aggregate functions.
const (
	Count Aggregate = "COUNT"
	Avg   Aggregate = "AVG"
	Sum   Aggregate = "SUM"
	Min   Aggregate = "MIN"
	Max   Aggregate = "MAX"
)

// Item is one projected column.
type Item struct {
	// Aggregate is empty for a plain property.
	Aggregate Aggregate
	// Path is the property; nil for COUNT().
	Path *Path
	// Alias is the name after AS; may be empty.
	Alias string

	key string
	pos int
}

// Key returns the name of the column in the rows: the alias, else the last element of the path. An aggregate without an
// alias is named $1, $2, ... in order (a guess: the documentation shows none).
func (it *Item) Key() string { return it.key }

// ParseQuery parses a whole query: SELECT [TOP n] list FROM source [WHERE expr] [GROUP BY path]. Every error is a
// *[SyntaxError].
func ParseQuery(text string) (*Query, error) {
	if err := tooLong(text, MaxLength); err != nil {
		return nil, err
	}
	p := newParser(text)
	q := &Query{}
	if err := p.query(q); err != nil {
		return nil, err
	}
	p.resolvePaths(q.Source)
	q.Unknown = p.sortedUnknown()
	if err := p.checkItems(q); err != nil {
		return nil, err
	}
	q.nameItems()
	return q, nil
}

// IsAll reports whether the query is SELECT *, so that its rows are whole documents.
func (q *Query) IsAll() bool { return len(q.Items) == 0 }

// IsAggregate reports whether rows are computed from many documents, so that the query cannot be run page by page.
func (q *Query) IsAggregate() bool {
	return q.GroupBy != nil || slices.ContainsFunc(q.Items, func(it Item) bool { return it.Aggregate != "" })
}

// String returns canonical text that parses to the same query.
func (q *Query) String() string {
	var p printer
	p.WriteString("SELECT ")
	if q.Top > 0 {
		p.WriteString("TOP " + strconv.Itoa(q.Top) + " ")
	}
	if q.IsAll() {
		p.WriteByte('*')
	}
	for i := range q.Items {
		if i > 0 {
			p.WriteString(", ")
		}
		q.Items[i].print(&p)
	}
	p.WriteString(" FROM " + q.Source.String())
	if q.Where != nil {
		p.WriteString(" WHERE ")
		q.Where.print(&p)
	}
	if q.GroupBy != nil {
		p.WriteString(" GROUP BY ")
		q.GroupBy.print(&p)
	}
	return p.String()
}

// String returns canonical text.
func (it *Item) String() string {
	var p printer
	it.print(&p)
	return p.String()
}

func (it *Item) print(p *printer) {
	if it.Aggregate != "" {
		p.WriteString(string(it.Aggregate) + "(")
	}
	if it.Path != nil {
		it.Path.print(p)
	}
	if it.Aggregate != "" {
		p.WriteByte(')')
	}
	if it.Alias != "" {
		p.WriteString(" AS " + it.Alias)
	}
}

func (p *parser) query(q *Query) (err error) {
	if !p.skipWord("SELECT") {
		return p.fail(p.peek(), "SELECT", "")
	}
	if q.Top, err = p.top(); err != nil {
		return err
	}
	if q.Items, err = p.items(); err != nil {
		return err
	}
	if !p.skipWord("FROM") {
		return p.fail(p.peek(), `"," or FROM`, "")
	}
	if q.Source, err = p.source(); err != nil {
		return err
	}
	if p.skipWord("WHERE") {
		if q.Where, err = p.expr(precOr); err != nil {
			return err
		}
	}
	return p.groupBy(q)
}

func (p *parser) top() (int, error) {
	if !p.skipWord("TOP") {
		return 0, nil
	}
	t := p.peek()
	n, err := strconv.Atoi(t.text)
	if t.kind != tokNumber || err != nil || n < 1 {
		return 0, p.fail(t, "a whole number above 0 after TOP", "")
	}
	p.advance()
	return n, nil
}

func (p *parser) items() ([]Item, error) {
	if p.skip("*") {
		return nil, nil
	}
	var items []Item
	for {
		it, err := p.item()
		if err != nil {
			return nil, err
		}
		items = append(items, it)
		if !p.skip(",") {
			return items, nil
		}
	}
}

func (p *parser) item() (it Item, err error) {
	t := p.peek()
	it.pos = t.pos
	switch {
	case t.kind == tokName && p.after().is("("):
		err = p.aggregate(&it)
	case t.kind == tokName && !isKeyword(t.text) && !t.isWord("DISTINCT"):
		it.Path, err = p.path()
	default:
		err = p.fail(t, "*, a property path or an aggregate", "")
	}
	if err != nil || !p.skipWord("AS") {
		return it, err
	}
	alias := p.peek()
	if alias.kind != tokName || isKeyword(alias.text) {
		return it, p.fail(alias, "a name after AS", "")
	}
	it.Alias = p.advance().text
	return it, nil
}

func (p *parser) aggregate(it *Item) (err error) {
	t := p.advance()
	it.Aggregate = Aggregate(strings.ToUpper(t.text))
	switch it.Aggregate {
	case Count, Avg, Sum, Min, Max:
	default:
		return p.fail(t, "COUNT, AVG, SUM, MIN or MAX", "other functions cannot stand after SELECT")
	}
	p.advance()
	if it.Aggregate != Count {
		if it.Path, err = p.path(); err != nil {
			return err
		}
	}
	if p.skip(")") {
		return nil
	}
	if it.Aggregate == Count {
		return p.fail(p.peek(), `")"`, "COUNT() takes no argument")
	}
	return p.fail(p.peek(), `")"`, "")
}

// source parses devices, devices.modules or devices.jobs.
func (p *parser) source() (Source, error) {
	const expected = "devices, devices.modules or devices.jobs"
	if !p.peek().isWord("devices") {
		return 0, p.fail(p.peek(), expected, "")
	}
	p.advance()
	if !p.skip(".") {
		return Devices, nil
	}
	switch t := p.peek(); {
	case t.isWord("modules"):
		p.advance()
		return Modules, nil
	case t.isWord("jobs"):
		p.advance()
		return Jobs, nil
	default:
		return 0, p.fail(t, expected, "")
	}
}

// groupBy parses the end of a query.
func (p *parser) groupBy(q *Query) (err error) {
	if t := p.peek(); p.skipWord("GROUP") {
		if q.Source == Jobs {
			return p.fail(t, "the end of the text", "rows of jobs cannot be grouped")
		}
		if !p.skipWord("BY") {
			return p.fail(p.peek(), "BY", "")
		}
		if q.GroupBy, err = p.path(); err != nil {
			return err
		}
	}
	switch t := p.peek(); {
	case t.kind == tokEnd:
		return nil
	case q.GroupBy != nil:
		return p.fail(t, "the end of the text", "GROUP BY takes one property and comes last")
	case q.Where != nil:
		return p.fail(t, "an operator, GROUP BY or the end of the text", "")
	default:
		return p.fail(t, "WHERE, GROUP BY or the end of the text", "")
	}
}

// checkItems refuses projections that cannot be computed.
func (p *parser) checkItems(q *Query) error {
	at := func(path *Path) token { return token{kind: tokName, pos: path.pos, text: path.String()} }
	if q.Source == Jobs && !q.IsAll() {
		first := q.Items[0]
		return p.fail(token{kind: tokName, pos: first.pos, text: first.String()}, "*", "of rows of jobs only SELECT * is possible")
	}
	if q.GroupBy != nil && q.IsAll() {
		return p.fail(at(q.GroupBy), "no GROUP BY after SELECT *", "name the property and an aggregate after SELECT")
	}
	if !q.IsAggregate() {
		return nil
	}
	for _, it := range q.Items {
		if it.Aggregate == "" && (q.GroupBy == nil || !slices.Equal(it.Path.Key, q.GroupBy.Key)) {
			return p.fail(at(it.Path), "an aggregate, or the property of GROUP BY", "")
		}
	}
	return nil
}

func (q *Query) nameItems() {
	unnamed := 0
	for i := range q.Items {
		it := &q.Items[i]
		switch {
		case it.Alias != "":
			it.key = it.Alias
		case it.Aggregate == "":
			it.key = it.Path.Key[len(it.Path.Key)-1]
		default:
			unnamed++
			it.key = "$" + strconv.Itoa(unnamed)
		}
	}
}

// sortedUnknown returns the unknown constructs by position, nil if there are none.
func (p *parser) sortedUnknown() []Unknown {
	slices.SortStableFunc(p.unknown, func(a, b Unknown) int { return a.Offset - b.Offset })
	return p.unknown
}
