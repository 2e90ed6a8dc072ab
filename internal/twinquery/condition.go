package twinquery

import "strings"

// Condition chooses devices or modules: the part of a query after WHERE. IoT Hub's jobs call it queryCondition.
type Condition struct {
	// Source is Devices, or Modules if the text began with FROM devices.modules.
	Source Source
	// Expr is nil if the condition means all.
	Expr Expr
	// Unknown lists, by position, what the parser could read but does not know; a hub decides whether it accepts it.
	Unknown []Unknown

	text string
}

// longestProjection is room for the query that a condition becomes part of.
const longestProjection = "SELECT deviceId, moduleId FROM devices.modules WHERE "

// MaxConditionLength is the greatest length of a condition in characters: [MaxLength] less room for SELECT and FROM.
const MaxConditionLength = MaxLength - len(longestProjection)

// ParseCondition parses a condition. "" and "*" mean all devices. The form FROM devices.modules WHERE ..., which IoT Hub's
// jobs accept although it is not documented (https://github.com/Azure/iotedge/issues/2958), chooses modules. Every error is
// a *[SyntaxError].
func ParseCondition(text string) (*Condition, error) {
	if err := tooLong(text, MaxConditionLength); err != nil {
		return nil, err
	}
	p := newParser(text)
	c := &Condition{}
	if err := p.conditionHead(c); err != nil {
		return nil, err
	}
	start := p.peek()
	switch {
	case start.kind == tokEnd:
		return c, nil
	case start.is("*") && p.after().kind == tokEnd:
		return c, nil
	}
	var err error
	if c.Expr, err = p.expr(precOr); err != nil {
		return nil, err
	}
	if t := p.peek(); t.kind != tokEnd {
		hint := ""
		if t.isWord("GROUP") {
			hint = "a condition has no GROUP BY"
		}
		return nil, p.fail(t, "an operator or the end of the text", hint)
	}
	p.resolvePaths(c.Source)
	c.Unknown = p.sortedUnknown()
	c.text = strings.TrimSpace(text[start.pos:])
	return c, nil
}

// conditionHead reads FROM source WHERE and refuses whole queries.
func (p *parser) conditionHead(c *Condition) error {
	t := p.peek()
	switch {
	case t.isWord("SELECT"):
		return p.fail(t, "a condition", "give only the condition after WHERE")
	case t.isWord("WHERE"):
		return p.fail(t, "a condition", "leave WHERE out: give only the condition after it")
	case !p.skipWord("FROM"):
		return nil
	}
	at := p.peek()
	var err error
	if c.Source, err = p.source(); err != nil {
		return err
	}
	if c.Source == Jobs {
		return p.fail(at, "devices or devices.modules", "a condition chooses devices or modules, not rows of jobs")
	}
	if p.peek().kind == tokEnd {
		return nil
	}
	if !p.skipWord("WHERE") {
		return p.fail(p.peek(), "WHERE or the end of the text", "")
	}
	if p.peek().kind == tokEnd {
		return p.missingValue(p.peek())
	}
	return nil
}

// Query returns a whole query for the condition: SELECT projection FROM source [WHERE condition], the condition exactly as
// it was given.
func (c *Condition) Query(projection string) string {
	query := "SELECT " + projection + " FROM " + c.Source.String()
	if c.Expr == nil {
		return query
	}
	return query + " WHERE " + c.text
}

// String returns canonical text that parses to the same condition: "*" for all devices.
func (c *Condition) String() string {
	switch {
	case c.Source == Devices && c.Expr == nil:
		return "*"
	case c.Source == Devices:
		return c.Expr.String()
	case c.Expr == nil:
		return "FROM " + c.Source.String()
	default:
		return "FROM " + c.Source.String() + " WHERE " + c.Expr.String()
	}
}

// Match reports whether the condition chooses doc.
func (c *Condition) Match(doc Document, opt Options) bool { return Match(c.Expr, doc, opt) }
